//! Listens, serves, and stops. A stopped simulator refuses connections on its port until it is restarted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::connection;
use crate::control::Control;
use crate::port::{Port, bind};
use crate::resource::Resource;
use crate::service;
use crate::state::Shared;
use crate::tls;

pub struct Simulator;

impl Simulator {
    /// Starts a resource on the current runtime.
    ///
    /// # Errors
    /// When the port cannot be bound, or the TLS files hold no certificate or no key that fits.
    pub async fn start(resource: Resource) -> io::Result<Running> {
        let tls = resource.tls.as_ref().map(tls::acceptor).transpose()?;
        let scheme = tls::scheme(tls.as_ref());
        let listener = bind(resource.port).await?;
        let shared = Arc::new(Shared::new(resource));
        let serving = Arc::clone(&shared);
        let port = Port::open(
            listener,
            Arc::new(move |stream| Box::pin(serve(stream, tls.clone(), Arc::clone(&serving)))),
        )?;
        Ok(Running {
            shared,
            port,
            scheme,
        })
    }
}

/// A simulator at work; dropping it stops it.
pub struct Running {
    shared: Arc<Shared>,
    port: Port,
    scheme: &'static str,
}

impl Running {
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end; `https` where the resource has TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.port.addr())
    }

    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }

    /// Closes the listener and every connection, and returns when the port refuses.
    pub async fn stop(&mut self) {
        self.port.close().await;
        self.shared.stopped.notify_waiters();
    }

    /// Listens again on the same port, with counts, faults, limits and stored responses as they were.
    ///
    /// # Errors
    /// When the port was taken in the meantime.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop().await;
        self.port.reopen().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stopped.notify_waiters();
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    shared.connections.fetch_add(1, Ordering::Relaxed);
    let _open = Open::new(Arc::clone(&shared));
    connection::serve(stream, tls.as_ref(), |fate, request| {
        service::handle(Arc::clone(&shared), fate, request)
    })
    .await;
}

struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.connections_open.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_waiters();
    }
}
