//! TLS on both sides of the gateway. Here it runs in this process and its configuration is made by hand; the modules
//! below run the program.

mod change;
mod identity;
mod profile;
mod traffic;
mod trust;

use std::{fs, path::Path, sync::Arc, time::Duration};

use gateway::{
    config::{
        self,
        compiled::{
            Certificate, CertificateFiles, ClientCertificates, Compiled, EndpointTls, ListenTls,
        },
    },
    secret::Secret,
    server::{self, Running},
};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Version, tls::TlsInfo};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use simulator::{Deployment, Resource, Simulator};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::support::{CHAT, PATIENCE, post};

struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Issued {
    der: CertificateDer<'static>,
    pem: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        // As pingora does it for its own connections.
        let _ = ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// For host names and IP addresses.
    fn issue(&self, name: &str) -> Issued {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A client that trusts this authority and nobody else.
    fn client(&self) -> reqwest::ClientBuilder {
        let trusted = reqwest::Certificate::from_der(self.0.der()).unwrap();
        reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([trusted])
            .tls_info(true)
    }
}

/// A gateway in front of `endpoints`, each its URL, whose one model has the name of its place.
fn compiled(endpoints: &[String]) -> Compiled {
    let lines = endpoints.iter().enumerate().map(|(index, url)| {
        format!("  e{index}: {{ url: \"{url}\", credential: none, deployments: {{ m{index}: {{}} }} }}\n")
    });
    let text = format!(
        "version: 1\nopen: true\nlisten: [{{ address: \"127.0.0.1:0\" }}]\nendpoints:\n{}",
        lines.collect::<String>()
    );
    match config::from_text(Path::new("tokenweir.yaml"), text) {
        Ok(mut loaded) => {
            loaded.compiled.admin = None;
            loaded.compiled
        }
        Err(report) => panic!("{report}"),
    }
}

mod downstream {
    use super::*;

    struct Front {
        folder: tempfile::TempDir,
        tls: ListenTls,
        gateway: Running,
        _resource: simulator::Running,
    }

    impl Front {
        async fn start(issued: &Issued, clients: Option<(&Authority, bool)>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name| Arc::<Path>::from(folder.path().join(name));
            let clients = clients.map(|(authority, required)| {
                fs::write(path("ca.pem"), authority.0.pem()).unwrap();
                let ca = path("ca.pem");
                ClientCertificates { ca, required }
            });
            let files = CertificateFiles {
                certificate: path("tls.pem"),
                key: path("key.pem"),
            };
            fs::write(&files.certificate, &issued.pem).unwrap();
            fs::write(&files.key, &issued.key).unwrap();
            let tls = ListenTls {
                certificates: vec![files],
                clients,
            };
            let resource = Resource::new("aoi-1").deployment(Deployment::new("m0", "m0"));
            let resource = Simulator::start(resource).await.unwrap();
            let mut config = compiled(&[resource.url()]);
            config.listen[0].tls = Some(tls.clone());
            let gateway = server::start(config).await.unwrap();
            Self {
                folder,
                tls,
                gateway,
                _resource: resource,
            }
        }

        fn put(&self, issued: &Issued) {
            for (path, text) in [
                (&self.tls.certificates[0].certificate, &issued.pem),
                (&self.tls.certificates[0].key, &issued.key),
            ] {
                let new = self.folder.path().join("new");
                fs::write(&new, text).unwrap();
                fs::rename(new, path).unwrap();
            }
        }

        async fn ask(&self, client: &reqwest::Client) -> reqwest::Result<reqwest::Response> {
            let port = self.gateway.addresses[0].port();
            let url = format!(
                "https://127.0.0.1:{port}/openai/deployments/m0/chat/completions?api-version=2024-10-21"
            );
            let request = client.post(url).header("content-type", "application/json");
            request.body(CHAT).send().await
        }
    }

    fn shown(answer: &reqwest::Response) -> Vec<u8> {
        let info = answer.extensions().get::<TlsInfo>().unwrap();
        info.peer_certificate().unwrap().to_vec()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn http2_and_http11_are_served_with_tls() {
        let authority = Authority::new();
        let front = Front::start(&authority.issue("127.0.0.1"), None).await;
        let both = authority.client().build().unwrap();
        let http1 = authority.client().http1_only().build().unwrap();
        for (client, version) in [(both, Version::HTTP_2), (http1, Version::HTTP_11)] {
            for _ in 0..3 {
                let answer = front.ask(&client).await.unwrap();
                assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
            }
        }
        // A client that does not trust it, and one that speaks no TLS.
        let stranger = Authority::new().client().build().unwrap();
        assert!(front.ask(&stranger).await.unwrap_err().is_connect());
        let plain = format!("http://{}/v1/models", front.gateway.addresses[0]);
        let plain = reqwest::get(plain).await;
        assert!(plain.is_err(), "{plain:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_certificate_is_found_and_no_client_notices() {
        let authority = Authority::new();
        let (old, new) = (authority.issue("127.0.0.1"), authority.issue("127.0.0.1"));
        let front = Front::start(&old, None).await;
        let kept = [
            authority.client().build().unwrap(),
            authority.client().http1_only().build().unwrap(),
        ];
        for client in &kept {
            assert_eq!(shown(&front.ask(client).await.unwrap()), *old.der);
        }
        front.put(&new);
        let deadline = Instant::now() + PATIENCE;
        loop {
            for client in &kept {
                let answer = front.ask(client).await.unwrap();
                assert_eq!(
                    (answer.status().as_u16(), shown(&answer)),
                    (200, old.der.to_vec())
                );
            }
            let fresh = authority.client().build().unwrap();
            let answer = front.ask(&fresh).await.unwrap();
            assert_eq!(answer.status(), 200);
            if shown(&answer) == *new.der {
                break;
            }
            assert!(Instant::now() < deadline, "the new certificate is not used");
        }
        let report = front.gateway.shared.tls[0].as_ref().unwrap().report();
        assert_eq!((report.certificates.len(), &report.problem), (1, &None));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
        let authority = Authority::new();
        let own = authority.issue("client.example");
        let foreign = Authority::new().issue("client.example");
        let server = authority.issue("127.0.0.1");
        for required in [false, true] {
            let front = Front::start(&server, Some((&authority, required))).await;
            for (identity, served) in [
                (Some(&own), true),
                (Some(&foreign), false),
                (None, !required),
            ] {
                let client = match identity {
                    None => authority.client(),
                    Some(Issued { pem, key, .. }) => {
                        let pem = format!("{key}{pem}");
                        let identity = reqwest::Identity::from_pem(pem.as_bytes()).unwrap();
                        authority.client().identity(identity)
                    }
                };
                let answer = front.ask(&client.build().unwrap()).await;
                let status = answer.map(|answer| answer.status().as_u16()).ok();
                assert_eq!(status, served.then_some(200), "required: {required}");
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stop_does_not_wait_for_a_handshake() {
        let authority = Authority::new();
        let mut front = Front::start(&authority.issue("127.0.0.1"), None).await;
        let mut client = TcpStream::connect(front.gateway.addresses[0])
            .await
            .unwrap();
        client.write_all(b"\x16\x03\x01").await.unwrap();
        // It has been accepted once a later connection is served.
        let other = authority.client().build().unwrap();
        assert_eq!(front.ask(&other).await.unwrap().status(), 200);
        // Shorter than a handshake may take.
        let stopped = timeout(Duration::from_secs(5), front.gateway.drain(PATIENCE)).await;
        assert_eq!(stopped, Ok(0));
        let read = timeout(PATIENCE, client.read(&mut [0; 8])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }

    #[tokio::test]
    async fn a_gateway_does_not_start_with_files_that_cannot_be_used() {
        let mut config = compiled(&["http://127.0.0.1:9".to_owned()]);
        config.listen[0].tls = Some(ListenTls {
            certificates: vec![CertificateFiles {
                certificate: Path::new("/nowhere/tls.pem").into(),
                key: Path::new("/nowhere/key.pem").into(),
            }],
            clients: None,
        });
        let error = server::start(config).await.err().unwrap().to_string();
        assert_eq!(
            error,
            "no TLS on 127.0.0.1:0: /nowhere/tls.pem: No such file or directory (os error 2)"
        );
    }
}

mod upstream {
    use super::*;

    /// An endpoint with a certificate. What it sees: for each request, the certificate of the client.
    struct Provider {
        port: u16,
        seen: Arc<Mutex<Vec<Option<CertificateDer<'static>>>>>,
    }

    impl Provider {
        async fn start(shown: &Issued, clients: Option<&Authority>) -> Self {
            let provider = Arc::new(ring::default_provider());
            let builder = ServerConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .unwrap();
            let builder = match clients {
                None => builder.with_no_client_auth(),
                Some(authority) => {
                    let mut roots = RootCertStore::empty();
                    roots.add(authority.der()).unwrap();
                    let roots = Arc::new(roots);
                    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                    builder.with_client_cert_verifier(verifier.build().unwrap())
                }
            };
            let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
            let config = builder
                .with_single_cert(vec![shown.der.clone()], key)
                .unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let seen = Arc::<Mutex<Vec<_>>>::default();
            let told = seen.clone();
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, told) = (acceptor.clone(), told.clone());
                    tokio::spawn(async move {
                        let Ok(mut stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let client = stream.get_ref().1.peer_certificates();
                        let client = client.map(|chain| chain[0].clone().into_owned());
                        let mut request = Vec::new();
                        while let Ok(1..) = stream.read_buf(&mut request).await {
                            if request.ends_with(CHAT.as_bytes()) {
                                told.lock().push(client.clone());
                                request.clear();
                                let answer =
                                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                                               content-length: 2\r\n\r\n{}";
                                stream.write_all(answer).await.unwrap();
                                stream.flush().await.unwrap();
                            }
                        }
                    });
                }
            });
            Self { port, seen }
        }

        fn requests(&self) -> usize {
            self.seen.lock().len()
        }

        fn url(&self, host: &str) -> String {
            format!("https://{host}:{}", self.port)
        }
    }

    /// Asks each endpoint in turn for its model.
    async fn statuses(endpoints: &[(String, EndpointTls)], order: &[usize]) -> Vec<u16> {
        let urls: Vec<String> = endpoints.iter().map(|(url, _)| url.clone()).collect();
        let mut config = compiled(&urls);
        for (endpoint, (_, tls)) in config.endpoints.iter_mut().zip(endpoints) {
            endpoint.tls = tls.clone();
        }
        let gateway = server::start(config).await.unwrap();
        let mut statuses = Vec::new();
        for index in order {
            let url = format!(
                "http://{}/openai/deployments/m{index}/chat/completions?api-version=2024-10-21",
                gateway.addresses[0]
            );
            statuses.push(post(&url, CHAT).await.status().as_u16());
        }
        statuses
    }

    fn trusting(authorities: &[&Authority]) -> EndpointTls {
        EndpointTls {
            authorities: authorities.iter().map(|one| one.der()).collect(),
            ..EndpointTls::default()
        }
    }

    fn showing(issued: &Issued) -> Option<Certificate> {
        Some(Certificate {
            chain: vec![issued.der.clone()],
            key: Secret::new(issued.key.clone()),
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_endpoint_must_have_a_certificate_for_its_name_from_a_trusted_authority() {
        let (own, other) = (Authority::new(), Authority::new());
        let insecure = EndpointTls {
            verify: false,
            ..EndpointTls::default()
        };
        for (host, name, tls, served) in [
            ("localhost", "localhost", trusting(&[&own]), true),
            ("localhost", "localhost", trusting(&[&other, &own]), true),
            ("localhost", "localhost", trusting(&[&other]), false),
            ("localhost", "localhost", EndpointTls::default(), false),
            ("localhost", "other.example", trusting(&[&own]), false),
            ("localhost", "127.0.0.1", trusting(&[&own]), false),
            ("127.0.0.1", "127.0.0.1", trusting(&[&own]), true),
            ("127.0.0.1", "127.0.0.2", trusting(&[&own]), false),
            ("127.0.0.1", "localhost", trusting(&[&own]), false),
            ("127.0.0.1", "127.0.0.1", EndpointTls::default(), false),
            ("127.0.0.1", "other.example", insecure.clone(), true),
            ("localhost", "other.example", insecure, true),
        ] {
            let provider = Provider::start(&own.issue(name), None).await;
            let endpoint = (provider.url(host), tls);
            let status = statuses(&[endpoint], &[0]).await[0];
            let message = format!("https://{host} with a certificate for {name}: {status}");
            assert_eq!(
                (status == 200, provider.requests()),
                (served, usize::from(served)),
                "{message}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_endpoint_gets_to_see_the_certificate_of_the_gateway() {
        let (own, other) = (Authority::new(), Authority::new());
        let (good, foreign) = (own.issue("gateway.example"), other.issue("gateway.example"));
        for (certificate, served) in [
            (showing(&good), true),
            (showing(&foreign), false),
            (None, false),
        ] {
            let provider = Provider::start(&own.issue("127.0.0.1"), Some(&own)).await;
            let tls = EndpointTls {
                certificate,
                ..trusting(&[&own])
            };
            let status = statuses(&[(provider.url("127.0.0.1"), tls)], &[0]).await[0];
            let expected = if served {
                vec![Some(good.der.clone())]
            } else {
                Vec::new()
            };
            assert_eq!(*provider.seen.lock(), expected);
            assert_eq!(status == 200, served, "{status}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn endpoints_with_different_settings_share_no_connection() {
        let (own, other) = (Authority::new(), Authority::new());
        let provider = Provider::start(&own.issue("127.0.0.1"), None).await;
        let url = provider.url("127.0.0.1");
        let insecure = EndpointTls {
            verify: false,
            ..EndpointTls::default()
        };
        // Each would be served on a connection of one before it.
        let endpoints = [
            (url.clone(), insecure),
            (format!("{url}/a"), trusting(&[&own])),
            (format!("{url}/b"), trusting(&[&other])),
            (format!("{url}/c"), EndpointTls::default()),
        ];
        let statuses = statuses(&endpoints, &[0, 1, 2, 3, 1, 0]).await;
        let served: Vec<bool> = statuses.iter().map(|&status| status == 200).collect();
        assert_eq!(
            served,
            [true, true, false, false, true, true],
            "{statuses:?}"
        );
        assert_eq!(provider.requests(), 4);
    }
}
