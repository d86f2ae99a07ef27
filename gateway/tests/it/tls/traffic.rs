//! Encrypted from the client to the endpoint, with the program and its configuration file: what works without TLS
//! works with it.

use reqwest::{Client, Version};
use simulator::{Fault, Resource};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    CHAT, Fleet, PATIENCE, Seen, in_order,
    provider::STREAM,
    tls::{NAMES, Trust},
};

const GPT: &str = "gpt-4o";
const PATH: &str = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";

struct Encrypted {
    trust: Trust,
    fleet: Fleet,
}

impl Encrypted {
    /// The endpoints let nobody in but the gateway.
    async fn start(http2: bool) -> Self {
        let trust = Trust::new();
        let own = trust.authority.server(&NAMES);
        let gateway = trust.put("gateway", &trust.authority.client("gateway", &[]));
        let shape =
            |_: &str, resource: Resource| resource.tls(own.server_tls(Some(&trust.authority)));
        let lines = |name: &str| {
            let ca = trust.ca();
            format!(
                "{}    http2: {http2}\n    tls: {{ ca: {}, {gateway} }}\n",
                in_order(name),
                ca.display()
            )
        };
        let fleet = Fleet::with(&trust.listen(""), shape, lines).await;
        assert!(fleet.simulators[0].url().starts_with("https://"));
        Self { trust, fleet }
    }

    /// A client of either protocol, which it agrees on in the handshake.
    fn clients(&self) -> [(Client, Version); 2] {
        let client = || self.trust.client(None);
        [
            (client().build().unwrap(), Version::HTTP_2),
            (client().http1_only().build().unwrap(), Version::HTTP_11),
        ]
    }

    async fn ask(&self, (client, version): &(Client, Version), body: impl Into<String>) -> Seen {
        let request = client
            .post(self.fleet.gateway.https_url(PATH))
            .header("content-type", "application/json")
            .body(body.into());
        let answer = timeout(PATIENCE, request.send()).await;
        let answer = answer.expect("an answer in time").unwrap();
        assert_eq!(answer.version(), *version);
        Seen::read(answer).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_every_kind_are_encrypted_on_both_sides() {
    let upload = CHAT.replace("hello", &"0123456789abcdef".repeat(4 << 16));
    assert!(upload.len() > 4 << 20);
    for http2 in [false, true] {
        let encrypted = Encrypted::start(http2).await;
        for client in &encrypted.clients() {
            let what = format!("{:?}, http2: {http2}", client.1);
            let unary = encrypted.ask(client, CHAT).await;
            assert_eq!((unary.status, unary.complete), (200, true), "{what}");
            let stream = encrypted.ask(client, STREAM).await;
            assert!(
                stream.complete && stream.text().ends_with("data: [DONE]\n\n"),
                "{what}: {stream:?}"
            );
            let last = |number| encrypted.fleet.aoi(number).last(GPT).unwrap();
            assert_eq!(last(1).client_subject.as_deref(), Some("CN=gateway"));
            // The whole upload once more, over another encrypted connection.
            encrypted.fleet.aoi(1).inject(Fault::status(500).times(1));
            let uploaded = encrypted.ask(client, upload.as_str()).await;
            assert_eq!((uploaded.status, uploaded.complete), (200, true), "{what}");
            assert_eq!(uploaded.header("x-tokenweir-endpoint"), Some("aoi-2"));
            assert!(last(2).body == upload, "{what}: it is another one");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_realtime_session_is_encrypted_on_both_sides() {
    // An upgrade is of HTTP/1.1: with an endpoint that could speak HTTP/2 too.
    for http2 in [false, true] {
        let mut encrypted = Encrypted::start(http2).await;
        let socket = TcpStream::connect(encrypted.fleet.gateway.address).await;
        let mut session = encrypted.trust.handshake(socket.unwrap()).await;
        let request = format!(
            "GET /openai/realtime?api-version=2024-10-01-preview&deployment={GPT} HTTP/1.1\r\n\
             host: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let talk = async {
            session.write_all(request.as_bytes()).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert_ne!(session.read_buf(&mut head).await.unwrap(), 0, "{head:?}");
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.starts_with("HTTP/1.1 101"), "http2: {http2}: {head}");
            // More than one record of TLS.
            let said = b"frame ".repeat(10_000);
            let (mut reader, mut writer) = tokio::io::split(session);
            let mut heard = vec![0; said.len()];
            let (written, read) =
                tokio::join!(writer.write_all(&said), reader.read_exact(&mut heard));
            written.unwrap();
            read.unwrap();
            assert!(heard == said);
        };
        timeout(PATIENCE, talk).await.expect("no silence");
        let line = encrypted.fleet.gateway.next_access();
        assert_eq!(
            (&line["status"], &line["endpoint"]),
            (&101.into(), &"aoi-1".into())
        );
    }
}
