//! A provider whose every byte the test decides.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Fleet, PATIENCE, in_order};

pub(crate) const STREAM: &str = r#"{"stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
pub(crate) const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n";

pub(crate) struct Provider {
    listener: TcpListener,
}

impl Provider {
    /// In the place of the first resource, which is the first choice.
    pub(crate) async fn before(config: &str) -> (Self, Fleet) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("    url: http://{}\n", listener.local_addr().unwrap());
        let endpoint = |name: &str| in_order(name) + if name == "aoi-1" { &url } else { "" };
        let fleet = Fleet::with(config, |_, resource| resource, endpoint).await;
        (Self { listener }, fleet)
    }

    /// The connection of the next request, whose head and body have been read. The gateway may have added a member to
    /// the body, at its start.
    pub(crate) async fn next(&self, body: &str) -> TcpStream {
        let body = &body[1..];
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        let (mut stream, _) = accepted.expect("the gateway connects").unwrap();
        let mut request = Vec::new();
        while !request.ends_with(body.as_bytes()) {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        stream
    }

    /// Begins to answer the next request with a stream that lasts until the connection is dropped.
    pub(crate) async fn begin(&self) -> TcpStream {
        let mut upstream = self.next(STREAM).await;
        let head = format!("{EVENTS}connection: close\r\n\r\ndata: {{\"choices\":[]}}\n\n");
        upstream.write_all(head.as_bytes()).await.unwrap();
        upstream
    }
}

/// Ends an answer that [`Provider::begin`] has begun.
pub(crate) async fn finish(mut upstream: TcpStream) {
    upstream.write_all(b"data: [DONE]\n\n").await.unwrap();
}
