//! The accept loop: takes connections from a socket and gives each to a pingora application.
//!
//! Pingora's own `Service` is not used: it has one signal for "stop accepting", "say goodbye" and "drop idle
//! connections" (pingora-core 0.9.1, services/listening.rs), and a hand-over needs the first two without the third.

use std::{io, os::fd::AsRawFd as _, sync::Arc, time::Duration};

use pingora::{
    apps::ServerApp,
    http::ResponseHeader,
    protocols::{
        Digest, GetProxyDigest as _, GetSocketDigest as _, SocketDigest, Stream, TcpKeepalive,
        l4::stream::Stream as Connection, raw_connect::ProxyDigest,
    },
};
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream, unix::UCred},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{room::Room, sockets::Socket, tls::ListenerTls};
use crate::metrics::{Metrics, Open};

/// For the first byte of a connection. Pingora has the same limit, but not on listeners that also speak HTTP/2
/// without TLS (apps/mod.rs: the peek at the first bytes has none).
const FIRST_BYTE: Duration = Duration::from_secs(60);
/// For a whole TLS handshake, from its first byte. Also what a slow one may add to a hand-over.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// No descriptor or memory is left: others must finish first.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// Finds clients that vanished without a word, which would keep an old process alive for ever.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(10),
    count: 3,
    #[cfg(target_os = "linux")]
    user_timeout: Duration::ZERO,
};

/// What the connections of one service have in common.
pub(super) struct Reception<A> {
    pub(super) app: Arc<A>,
    /// `None`: plain text.
    pub(super) tls: Option<Arc<ListenerTls>>,
    /// True: accept no more, and say goodbye on what is open.
    pub(super) stop: watch::Receiver<bool>,
    /// Nobody takes over: what has not sent a byte, or not ended its handshake, is dropped.
    pub(super) dismiss: CancellationToken,
    pub(super) connections: TaskTracker,
    /// Where connections are counted, if they are.
    pub(super) metrics: Option<Metrics>,
    /// `None`: for as many as come.
    pub(super) room: Option<Arc<Room>>,
}

impl<A> Clone for Reception<A> {
    fn clone(&self) -> Self {
        Self {
            app: self.app.clone(),
            tls: self.tls.clone(),
            stop: self.stop.clone(),
            dismiss: self.dismiss.clone(),
            connections: self.connections.clone(),
            metrics: self.metrics.clone(),
            room: self.room.clone(),
        }
    }
}

/// Who opened a connection to a unix socket, as the kernel says.
#[derive(Debug, Clone, Copy)]
pub struct LocalPeer {
    pub uid: u32,
    pub pid: Option<i32>,
}

impl LocalPeer {
    /// Pingora has no place for it on a connection, but one for whatever a proxy has said about it.
    fn digest(peer: UCred) -> ProxyDigest {
        let said = ResponseHeader::build(200, None).expect("200 is a status");
        let peer = Self {
            uid: peer.uid(),
            pid: peer.pid(),
        };
        ProxyDigest::new(Box::new(said), Some(Box::new(peer)))
    }

    #[must_use]
    pub fn of(digest: &Digest) -> Option<Self> {
        let said = digest.proxy_digest.as_ref()?;
        said.user_data.as_ref()?.downcast_ref().copied()
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Accepts until it is told to stop.
///
/// # Errors
/// The socket cannot be watched by the runtime.
pub(super) fn accept<A>(socket: &Socket, reception: Reception<A>) -> io::Result<()>
where
    A: ServerApp + Send + Sync + 'static,
{
    let listener = match socket.try_clone()? {
        Socket::Tcp(listener) => Listener::Tcp(TcpListener::from_std(listener)?),
        Socket::Unix(listener) => Listener::Unix(UnixListener::from_std(listener)?),
    };
    // Counted as a connection: a stop waits for what is still taken in.
    let counted = reception.connections.clone();
    counted.spawn(async move {
        let mut stop = reception.stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|&stop| stop) => break,
                accepted = next(&listener) => accepted,
            };
            match accepted {
                Ok(connection) => receive(connection, &reception),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    if is_exhausted(&error) {
                        sleep(EXHAUSTED).await;
                    }
                }
            }
        }
        // What the kernel has accepted for us would be reset; after a hand-over the successor takes it.
        if reception.dismiss.is_cancelled() {
            take_the_rest(listener, &reception);
        }
    });
    Ok(())
}

/// Others must finish first. Any other error concerns one connection only (accept(2)).
fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// Straight from the kernel: tokio knows of a connection only once its driver has looked.
fn take_the_rest<A>(listener: Listener, reception: &Reception<A>)
where
    A: ServerApp + Send + Sync + 'static,
{
    let Listener::Tcp(listener) = listener else {
        return;
    };
    let Ok(listener) = listener.into_std() else {
        return;
    };
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(_) => return,
        };
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            receive(Accepted::Tcp(stream, peer), reception);
        }
    }
}

enum Accepted {
    Tcp(TcpStream, std::net::SocketAddr),
    Local(UnixStream),
}

async fn next(listener: &Listener) -> io::Result<Accepted> {
    Ok(match listener {
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            Accepted::Tcp(stream, peer)
        }
        Listener::Unix(listener) => Accepted::Local(listener.accept().await?.0),
    })
}

/// Serves it; where there is room for so many only, until somebody else has its place.
fn receive<A>(accepted: Accepted, reception: &Reception<A>)
where
    A: ServerApp + Send + Sync + 'static,
{
    let served = serve(accepted, reception.clone());
    let Some(room) = &reception.room else {
        reception.connections.spawn(served);
        return;
    };
    let seat = room.enter();
    reception.connections.spawn(async move {
        tokio::select! {
            biased;
            () = seat.lost() => {}
            () = served => {}
        }
    });
}

async fn serve<A: ServerApp>(accepted: Accepted, reception: Reception<A>) {
    let _open = reception.metrics.as_ref().map(|metrics| {
        metrics.client_connections_total().inc();
        Open::new(metrics.client_connections())
    });
    let connection = match accepted {
        Accepted::Local(stream) => {
            let peer = stream.peer_cred().ok();
            let mut connection = Connection::from(stream);
            if let Some(peer) = peer {
                connection.set_proxy_digest(LocalPeer::digest(peer));
            }
            connection
        }
        Accepted::Tcp(stream, peer) => {
            if !begins(&stream, &reception.dismiss).await {
                return;
            }
            let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
            let _ = digest.peer_addr.set(Some(peer.into()));
            let mut connection = Connection::from(stream);
            connection.set_socket_digest(digest);
            // They fail only on a connection that is already broken, which the first read will show.
            let _ = connection.set_nodelay();
            let _ = connection.set_keepalive(&KEEP_ALIVE);
            connection
        }
    };
    let mut connection: Option<Stream> = match &reception.tls {
        None => Some(Box::new(connection)),
        Some(tls) => {
            let stream = tls
                .handshake(connection, HANDSHAKE, &reception.dismiss)
                .await;
            if let (None, Some(metrics)) = (&stream, &reception.metrics) {
                metrics.handshakes_failed().inc();
            }
            stream
        }
    };
    while let Some(stream) = connection {
        connection = reception.app.process_new(stream, &reception.stop).await;
    }
}

/// Waits for the first byte. False if none comes in time, or none is there when idle connections are dismissed.
async fn begins(stream: &TcpStream, dismiss: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        readable = timeout(FIRST_BYTE, stream.readable()) => matches!(readable, Ok(Ok(()))),
        () = dismiss.cancelled() => {
            // Again straight from the kernel; and then until tokio knows it, because pingora asks tokio.
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            matches!(recv(stream, &mut [0][..], flags), Ok((1.., _))) && stream.readable().await.is_ok()
        }
    }
}
