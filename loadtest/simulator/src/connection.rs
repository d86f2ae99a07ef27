//! One accepted connection: HTTP/1.1 or HTTP/2 with prior knowledge, over TLS or not, and the violent ends that
//! HTTP libraries do not offer. Those happen to the TCP connection, below TLS. Knows no request.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::body::AnswerBody;
use crate::tls::{self, ClientSubject};

const GARBAGE: &[u8] = b"\x16\x03\x01 this is not HTTP at all\r\n\r\n";

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Reset,
    Close,
    Garbage,
    /// The answer is finished first, without a word about the close.
    CloseAfterAnswer,
}

/// Lets a request decide the end of its connection.
#[derive(Default)]
pub(crate) struct Fate {
    end: Mutex<Option<End>>,
    decided: Notify,
}

impl Fate {
    pub(crate) fn decide(&self, end: End) {
        *self.end.lock() = Some(end);
        self.decided.notify_one();
    }

    async fn decided(&self) -> End {
        loop {
            if let Some(end) = self.end.lock().take() {
                return end;
            }
            self.decided.notified().await;
        }
    }
}

/// Serves `stream` until either side ends it.
pub(crate) async fn serve<S, F>(stream: TcpStream, tls: Option<&TlsAcceptor>, handle: S)
where
    S: Fn(Arc<Fate>, Request<Incoming>) -> F,
    F: Future<Output = Result<Response<AnswerBody>, std::convert::Infallible>> + Send + 'static,
{
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let socket = Socket(Arc::new(Mutex::new(stream)));
    let Some(tls) = tls else {
        return exchange(socket.clone(), &socket, None, handle).await;
    };
    // A caller whose handshake fails has been told by the TLS library.
    if let Ok(stream) = tls.accept(socket.clone()).await {
        let client = tls::client_subject(stream.get_ref().1);
        exchange(stream, &socket, client, handle).await;
    }
}

/// Speaks HTTP on `stream`, which lies on `socket`.
async fn exchange<I, S, F>(stream: I, socket: &Socket, client: Option<ClientSubject>, handle: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Arc<Fate>, Request<Incoming>) -> F,
    F: Future<Output = Result<Response<AnswerBody>, std::convert::Infallible>> + Send + 'static,
{
    let fate = Arc::new(Fate::default());
    let builder = auto::Builder::new(TokioExecutor::new());
    let service = service_fn(|mut request: Request<Incoming>| {
        if let Some(client) = &client {
            request.extensions_mut().insert(client.clone());
        }
        handle(Arc::clone(&fate), request)
    });
    let io = TokioIo::new(stream);
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    loop {
        tokio::select! {
            biased;
            // An error here is the caller's doing or a body cut on purpose: counted where it happened.
            _ = connection.as_mut() => return,
            end = fate.decided() => match end {
                End::CloseAfterAnswer => connection.as_mut().graceful_shutdown(),
                End::Close => return,
                End::Garbage => {
                    socket.write_raw(GARBAGE);
                    return;
                }
                End::Reset => {
                    socket.reset_when_dropped();
                    return;
                }
            }
        }
    }
}

/// A TCP stream that its connection's task can still reach while the HTTP library holds it. The lock is never
/// contended: both belong to the same task.
#[derive(Clone)]
struct Socket(Arc<Mutex<TcpStream>>);

impl Socket {
    fn write_raw(&self, bytes: &[u8]) {
        // A peer that has gone already misses nothing.
        drop(self.0.lock().try_write(bytes));
    }

    fn reset_when_dropped(&self) {
        self.0
            .lock()
            .set_zero_linger()
            .expect("an open TCP socket takes SO_LINGER");
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.lock().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The peer may be gone first; then there is nothing to shut down.
        drop(ready!(Pin::new(&mut *self.0.lock()).poll_shutdown(cx)));
        Poll::Ready(Ok(()))
    }
}
