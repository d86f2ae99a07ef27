//! Listens, accepts, and stops. A stopped simulator refuses connections on its port until it is restarted.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::connection;
use crate::control::Control;
use crate::resource::Resource;
use crate::service;
use crate::state::Shared;

pub struct Simulator;

impl Simulator {
    /// Starts a resource on the current runtime.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(resource: Resource) -> io::Result<Running> {
        let listener = bind(resource.port).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(resource));
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Running {
            shared,
            addr,
            task: Some(task),
        })
    }
}

/// A simulator at work; dropping it stops it.
pub struct Running {
    shared: Arc<Shared>,
    addr: SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl Running {
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }

    /// Closes the listener and every connection, and returns when the port refuses.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // The error is the cancellation just asked for.
            drop(task.await);
        }
        self.shared.stopped.notify_waiters();
    }

    /// Listens again on the same port, with counts, faults, limits and stored responses as they were.
    ///
    /// # Errors
    /// When the port was taken in the meantime.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop().await;
        let listener = bind(self.addr.port()).await?;
        self.task = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.shared.stopped.notify_waiters();
    }
}

async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Owns the connections' tasks: they end with this one.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&shared)))),
                // Out of file descriptors or a caller gone already; the next one may do better.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    shared.connections.fetch_add(1, Ordering::Relaxed);
    let _open = Open::new(Arc::clone(&shared));
    connection::serve(stream, |fate, request| {
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
