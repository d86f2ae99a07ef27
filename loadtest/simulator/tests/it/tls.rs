//! https, and who is let in.

use std::sync::Arc;

use http::Request;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use simulator::{
    ClientName, Identity, IdentityOptions, Issued, ServerTls, Simulator, TestAuthority,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{CHAT, parsed, prompt, read_all, request, resource, start};

fn connector(authority: &TestAuthority, client: Option<&Issued>, alpn: &[u8]) -> TlsConnector {
    let chain = |pem: &str| -> Vec<CertificateDer<'static>> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        certificates.map(Result::unwrap).collect()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain(&authority.certificate_pem()));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has their ciphers")
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let key = PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes()).expect("a key");
            builder
                .with_client_auth_cert(chain(&client.chain_pem), key)
                .expect("a key that fits")
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn connect(
    connector: &TlsConnector,
    addr: std::net::SocketAddr,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let socket = TcpStream::connect(addr)
        .await
        .expect("the simulator listens");
    connector.connect(name, socket).await
}

/// The answer, or none where the server ends the connection.
async fn ask(mut stream: TlsStream<TcpStream>, method: &str, path: &str, body: &str) -> String {
    let request = request(method, path, "connection: close\r\n", body);
    // A server that refuses the client's certificate may close before the request is written.
    drop(stream.write_all(request.as_bytes()).await);
    read_all(stream).await.0
}

#[tokio::test]
async fn a_resource_serves_https_to_who_trusts_its_authority() {
    let authority = TestAuthority::new();
    let names = ["aoi-1.test", "127.0.0.1"];
    let tls = authority.server(&names).server_tls(None);
    let running = start(resource().tls(tls)).await;
    assert!(
        running.url().starts_with("https://127.0.0.1:"),
        "{}",
        running.url()
    );
    let trusting = connector(&authority, None, b"http/1.1");
    for name in names {
        let stream = connect(&trusting, running.addr(), name).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let answer = ask(stream, "POST", CHAT, &prompt("hi").to_string()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let last = running.control().last("gpt-4o").unwrap();
    assert_eq!(last.client_subject, None);

    let other = connect(&trusting, running.addr(), "other.test").await;
    assert!(other.is_err(), "a name that is not in the certificate");
    let strange = connector(&TestAuthority::new(), None, b"http/1.1");
    let distrusted = connect(&strange, running.addr(), names[0]).await;
    assert!(distrusted.is_err(), "another authority");
}

#[tokio::test]
async fn a_resource_speaks_http_2_where_it_is_asked_to() {
    let authority = TestAuthority::new();
    let tls = authority.server(&["localhost"]).server_tls(None);
    let running = start(resource().tls(tls)).await;
    let stream = connect(
        &connector(&authority, None, b"h2"),
        running.addr(),
        "localhost",
    )
    .await;
    let stream = stream.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let uri = format!("https://localhost{CHAT}");
    let request = Request::post(uri).body(()).unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(prompt("hi").to_string().into(), true)
        .unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    driver.abort();
}

#[tokio::test]
async fn a_resource_lets_in_clients_of_its_authority_only() {
    let (servers, clients) = (TestAuthority::new(), TestAuthority::new());
    let tls = servers.server(&["localhost"]).server_tls(Some(&clients));
    let running = start(resource().tls(tls)).await;
    let known = clients.client(
        "gateway",
        &[
            ClientName::Uri("spiffe://a/b"),
            ClientName::Dns("b.test"),
            ClientName::Email("c@d.test"),
        ],
    );
    let unknown = TestAuthority::new().client("gateway", &[]);
    let body = prompt("hi").to_string();
    for (name, client, accepted) in [
        ("known", Some(&known), true),
        ("none", None, false),
        ("unknown", Some(&unknown), false),
    ] {
        let connector = connector(&servers, client, b"http/1.1");
        // In TLS 1.3 the client's side of the handshake is complete before the server has looked at it.
        let stream = connect(&connector, running.addr(), "localhost")
            .await
            .unwrap();
        let answer = ask(stream, "POST", CHAT, &body).await;
        assert_eq!(
            answer.starts_with("HTTP/1.1 200 "),
            accepted,
            "{name}: {answer}"
        );
    }
    let last = running.control().last("gpt-4o").unwrap();
    assert_eq!(last.client_subject.as_deref(), Some("CN=gateway"));
    assert_eq!(running.control().counts("gpt-4o").requests, 1);
}

#[tokio::test]
async fn an_expired_certificate_is_one() {
    let authority = TestAuthority::new();
    let tls = authority.expired_server(&["localhost"]).server_tls(None);
    let running = start(resource().tls(tls)).await;
    let connector = connector(&authority, None, b"http/1.1");
    let error = connect(&connector, running.addr(), "localhost")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn an_identity_serves_https_and_publishes_https() {
    let authority = TestAuthority::new();
    let options = IdentityOptions {
        tls: Some(
            authority
                .server(&["localhost", "127.0.0.1"])
                .server_tls(None),
        ),
        ..IdentityOptions::default()
    };
    let identity = Identity::start(options).await.unwrap();
    assert!(identity.url().starts_with("https://"), "{}", identity.url());
    let url = identity.control().discovery_url();
    let path = url.strip_prefix(&identity.url()).unwrap();
    let connector = connector(&authority, None, b"http/1.1");
    let stream = connect(&connector, identity.addr(), "127.0.0.1")
        .await
        .unwrap();
    let answer = ask(stream, "GET", path, "").await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert_eq!(parsed(body)["jwks_uri"], identity.control().jwks_url());
}

#[tokio::test]
async fn what_is_not_a_certificate_is_told_at_the_start() {
    let authority = TestAuthority::new();
    let good = authority.server(&["localhost"]).server_tls(None);
    let other_key = authority.server(&["localhost"]).key_pem;
    for (name, tls) in [
        (
            "no certificate",
            ServerTls {
                chain_pem: String::new(),
                ..good.clone()
            },
        ),
        (
            "no key",
            ServerTls {
                key_pem: "a".to_owned(),
                ..good.clone()
            },
        ),
        (
            "another's key",
            ServerTls {
                key_pem: other_key,
                ..good.clone()
            },
        ),
        (
            "no authority",
            ServerTls {
                client_ca_pem: Some(String::new()),
                ..good.clone()
            },
        ),
    ] {
        let started = Simulator::start(resource().tls(tls)).await;
        let kind = started.err().map(|error| error.kind());
        assert_eq!(kind, Some(std::io::ErrorKind::InvalidInput), "{name}");
    }
}

#[test]
fn certificates_can_be_written_to_files() {
    let directory = tempfile::tempdir().unwrap();
    let authority = TestAuthority::new();
    let ca = authority.write(directory.path(), "ca").unwrap();
    let issued = authority.server(&["localhost"]);
    let files = issued.write(directory.path(), "server").unwrap();
    let read = |path| std::fs::read_to_string(path).unwrap();
    assert_eq!(
        read(directory.path().join("ca.pem")),
        authority.certificate_pem()
    );
    assert_eq!(ca, directory.path().join("ca.pem"));
    assert_eq!(files.certificate, directory.path().join("server.pem"));
    assert_eq!(read(files.certificate), issued.chain_pem);
    assert_eq!(read(files.key), issued.key_pem);
}
