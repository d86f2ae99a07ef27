//! Listens, serves, and stops, as the resources do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::control::IdentityControl;
use super::options::IdentityOptions;
use super::service;
use super::state::State;
use crate::port::{Port, bind};
use crate::{connection, tls};

pub struct Identity;

impl Identity {
    /// Starts an identity simulator on the current runtime.
    ///
    /// # Errors
    /// When the port cannot be bound, or the TLS files hold no certificate or no key that fits.
    pub async fn start(options: IdentityOptions) -> io::Result<RunningIdentity> {
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let listener = bind(options.port).await?;
        let url = format!("{}://{}", tls::scheme(tls.as_ref()), listener.local_addr()?);
        let state = Arc::new(State::new(options, url));
        let serving = Arc::clone(&state);
        let port = Port::open(
            listener,
            Arc::new(move |stream| {
                let (tls, state) = (tls.clone(), Arc::clone(&serving));
                Box::pin(async move {
                    connection::serve(stream, tls.as_ref(), |fate, request| {
                        service::handle(Arc::clone(&state), fate, request)
                    })
                    .await;
                })
            }),
        )?;
        Ok(RunningIdentity { state, port })
    }
}

/// An identity simulator at work; dropping it stops it.
pub struct RunningIdentity {
    state: Arc<State>,
    port: Port,
}

impl RunningIdentity {
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end; `https` where it has TLS. An authority to Entra's
    /// callers.
    #[must_use]
    pub fn url(&self) -> String {
        self.state.url.clone()
    }

    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.state.options.tenant
    }

    #[must_use]
    pub fn control(&self) -> IdentityControl {
        IdentityControl::new(Arc::clone(&self.state))
    }

    /// Closes the listener and every connection, and returns when the port refuses.
    pub async fn stop(&mut self) {
        self.port.close().await;
    }

    /// Listens again on the same port, with counts, faults and keys as they were.
    ///
    /// # Errors
    /// When the port was taken in the meantime.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.port.reopen().await
    }
}
