//! New certificates and new processes under a TLS listener, with the program and its configuration file.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use reqwest::{Client, Response, tls::TlsInfo};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use simulator::Issued;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    CHAT, Fleet, PATIENCE, Seen,
    provider::{Provider, STREAM, finish},
    tls::{NAMES, Trust},
};

/// The first resource does not have this one: the test is its provider.
const MINI: &str = "gpt-4o-mini";

struct Renewed {
    trust: Trust,
    provider: Provider,
    fleet: Fleet,
}

impl Renewed {
    async fn start() -> Self {
        let trust = Trust::new();
        let (provider, fleet) = Provider::before(&trust.listen("")).await;
        Self {
            trust,
            provider,
            fleet,
        }
    }

    fn fresh(&self) -> Client {
        self.trust.client(None).build().unwrap()
    }

    fn kept(&self) -> [Client; 2] {
        let http1 = self.trust.client(None).http1_only();
        [self.fresh(), http1.build().unwrap()]
    }

    fn url(&self, model: &str) -> String {
        let path = format!("/openai/deployments/{model}/chat/completions?api-version=2024-10-21");
        self.fleet.gateway.https_url(&path)
    }

    async fn ask(&self, client: &Client, model: &str, body: &'static str) -> Response {
        client
            .post(self.url(model))
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    /// The certificate that a client sees, on the connection that it has.
    async fn seen_by(&self, client: &Client) -> Vec<u8> {
        let answer = self.ask(client, MINI, CHAT).await;
        assert_eq!(answer.status(), 200);
        let info = answer.extensions().get::<TlsInfo>().unwrap();
        info.peer_certificate().unwrap().to_vec()
    }

    async fn assert_shown(&self, issued: &Issued) {
        assert!(self.seen_by(&self.fresh()).await == der(issued));
    }

    /// Puts a new certificate in the place of the listener's.
    fn renew(&self) -> Issued {
        let issued = self.trust.authority.server(&NAMES);
        self.trust.put("listener", &issued);
        issued
    }
}

fn der(issued: &Issued) -> Vec<u8> {
    let der = CertificateDer::from_pem_slice(issued.chain_pem.as_bytes());
    der.unwrap().to_vec()
}

async fn assert_whole(stream: Response) {
    let seen = Seen::read(stream).await;
    assert!(
        seen.complete && seen.text().ends_with("data: [DONE]\n\n"),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_the_new_certificate_and_streams_go_on() {
    let mut renewed = Renewed::start().await;
    for _ in 0..2 {
        let clients = renewed.kept();
        let before = renewed.seen_by(&clients[0]).await;
        let mut streams = Vec::new();
        for client in &clients {
            streams.push(tokio::join!(
                renewed.ask(client, "gpt-4o", STREAM),
                renewed.provider.begin()
            ));
        }
        let issued = renewed.renew();
        renewed.fleet.gateway.reload(&[]);
        renewed.assert_shown(&issued).await;
        assert!(renewed.seen_by(&clients[0]).await == before);
        for (running, upstream) in streams {
            finish(upstream).await;
            assert_whole(running).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_told_and_change_nothing() {
    let mut renewed = Renewed::start().await;
    let issued = renewed.renew();
    renewed.fleet.gateway.reload(&[]);
    let [certificate, key] = ["listener.pem", "listener-key.pem"];
    let other = renewed.trust.authority.server(&NAMES);
    let broken = issued.chain_pem.replacen("MII", "MIJ", 1);
    let clients = renewed.kept();
    for (what, name, text) in [
        ("no PEM", certificate, Some("no certificate")),
        ("half of it", certificate, Some(&issued.chain_pem[..200])),
        ("no certificate inside", certificate, Some(&*broken)),
        ("an empty file", key, Some("")),
        ("the key of another", key, Some(&*other.key_pem)),
        ("no file", certificate, None),
        ("no key", key, None),
    ] {
        let file = renewed.trust.folder().join(name);
        let mut expected = format!(
            "tls.certificates[0].{}: ",
            if name == key { "key" } else { "certificate" }
        );
        match text {
            Some(text) => fs::write(&file, text).unwrap(),
            None => {
                fs::remove_file(&file).unwrap();
                expected += &format!("the file `{}` cannot be read", file.display());
            }
        }
        for signal in [Signal::HUP, Signal::USR2] {
            renewed.fleet.gateway.signal(signal);
            let event = renewed.fleet.gateway.next_event(|event| {
                let message = event["message"].as_str().unwrap_or_default();
                message == "the new configuration is not used, the old one stays"
                    || message == "hand-over failed, this process serves on"
            });
            let reason = event["reason"].as_str().unwrap();
            assert!(reason.contains(&expected), "{what}: {reason}");
        }
        renewed.assert_shown(&issued).await;
        for client in &clients {
            assert!(renewed.seen_by(client).await == der(&issued));
        }
        renewed.trust.put("listener", &issued);
    }
    // It is not stuck: what is good again is taken.
    let issued = renewed.renew();
    renewed.fleet.gateway.reload(&[]);
    renewed.assert_shown(&issued).await;
}

/// Chats until it is told that this is enough; every one must be served. Returns how many there were.
async fn chats(client: Client, url: String, enough: Arc<AtomicBool>) -> usize {
    let mut served = 0;
    while !enough.load(Relaxed) {
        let request = client
            .post(&url)
            .header("content-type", "application/json")
            .body(CHAT);
        let seen = Seen::read(request.send().await.unwrap()).await;
        assert!(seen.status == 200 && seen.complete, "{seen:?}");
        served += 1;
    }
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_loses_no_encrypted_request() {
    let mut renewed = Renewed::start().await;
    let streaming = renewed.kept();
    let mut streams = Vec::new();
    for client in &streaming {
        streams.push(tokio::join!(
            renewed.ask(client, "gpt-4o", STREAM),
            renewed.provider.begin()
        ));
    }
    // One that keeps its connection in each protocol, and one with a new one for each request.
    let [h2, h1] = renewed.kept();
    let once = renewed.trust.client(None).pool_max_idle_per_host(0);
    let enough = Arc::new(AtomicBool::new(false));
    let chatting = [h2, h1, once.build().unwrap()]
        .map(|client| tokio::spawn(chats(client, renewed.url(MINI), enough.clone())));
    for _ in 0..2 {
        let issued = renewed.renew();
        renewed.fleet.gateway.signal(Signal::USR2);
        renewed.fleet.gateway.handed_over();
        // Its last connections may still be the old process's.
        let shown = async { while renewed.seen_by(&renewed.fresh()).await != der(&issued) {} };
        timeout(PATIENCE, shown).await.expect("the new certificate");
    }
    enough.store(true, Relaxed);
    for chatting in chatting {
        let served = timeout(PATIENCE, chatting).await.expect("an answer");
        assert!(served.unwrap() > 2);
    }
    assert!(!renewed.fleet.gateway.has_ended(), "streams hold it");
    for (running, upstream) in streams {
        finish(upstream).await;
        assert_whole(running).await;
    }
    // Each could send one more request on its connection.
    drop(streaming);
    assert!(renewed.fleet.gateway.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_from_before_a_hand_over_are_served_once_more_and_closed_in_order() {
    let mut renewed = Renewed::start().await;
    let open = || TcpStream::connect(renewed.fleet.gateway.address);
    let (unused, silent) = (open().await.unwrap(), open().await.unwrap());
    let unused = renewed.trust.handshake(unused).await;
    // Both have been accepted once a later one is served.
    renewed.seen_by(&renewed.fresh()).await;
    renewed.fleet.gateway.signal(Signal::USR2);
    renewed.fleet.gateway.handed_over();
    let late = renewed.trust.handshake(silent).await;
    for mut connection in [unused, late] {
        let request = format!(
            "POST /openai/deployments/{MINI}/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n\
             host: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{CHAT}",
            CHAT.len()
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        // It fails where the connection ends without TLS's own goodbye.
        let mut answer = String::new();
        let read = timeout(PATIENCE, connection.read_to_string(&mut answer)).await;
        read.expect("it is closed").unwrap();
        let answer = answer.to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert!(renewed.fleet.gateway.ended().await.success());
}
