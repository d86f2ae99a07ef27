//! A port of 127.0.0.1 that can be closed and opened again. Knows no protocol.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves one connection to its end.
pub(crate) type Serve = Arc<dyn Fn(TcpStream) -> Served + Send + Sync>;

/// An open port; dropping it closes it.
pub(crate) struct Port {
    addr: SocketAddr,
    serve: Serve,
    task: Option<JoinHandle<()>>,
}

/// A port that listens already, so that its number can be told before it is served; 0 takes a free one.
pub(crate) async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

impl Port {
    pub(crate) fn open(listener: TcpListener, serve: Serve) -> io::Result<Self> {
        Ok(Self {
            addr: listener.local_addr()?,
            task: Some(tokio::spawn(accept(listener, Arc::clone(&serve)))),
            serve,
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listener and every connection, and returns when the port refuses.
    pub(crate) async fn close(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // The error is the cancellation just asked for.
            drop(task.await);
        }
    }

    pub(crate) async fn reopen(&mut self) -> io::Result<()> {
        self.close().await;
        let listener = bind(self.addr.port()).await?;
        self.task = Some(tokio::spawn(accept(listener, Arc::clone(&self.serve))));
        Ok(())
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Owns the connections' tasks: they end with this one.
async fn accept(listener: TcpListener, serve: Serve) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream))),
                // Out of file descriptors or a caller gone already; the next one may do better.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
