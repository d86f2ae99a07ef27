//! An authority for one test: the files of what it issues, a listener that shows them, and clients that trust it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use simulator::{Issued, TestAuthority};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Gateway, client_builder};

/// The names that listeners and resources of the tests have.
pub(crate) const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

pub(crate) struct Trust {
    pub(crate) authority: TestAuthority,
    folder: tempfile::TempDir,
}

impl Trust {
    /// With the authority's certificate as a file.
    pub(crate) fn new() -> Self {
        let authority = TestAuthority::new();
        let folder = tempfile::tempdir().expect("a temporary folder");
        authority
            .write(folder.path(), "ca")
            .expect("the folder is ours");
        Self { authority, folder }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder().join("ca.pem")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `STEM.pem` and `STEM-key.pem`; returns them as lines of a configuration.
    pub(crate) fn put(&self, stem: &str, issued: &Issued) -> String {
        let files = issued
            .write(self.folder(), stem)
            .expect("the folder is ours");
        let (certificate, key) = (files.certificate.display(), files.key.display());
        format!("certificate: {certificate}, key: {key}")
    }

    /// A listener on a free port with a certificate of the authority; `more` are further keys of its `tls`.
    pub(crate) fn listen(&self, more: &str) -> String {
        let pair = self.put("listener", &self.authority.server(&NAMES));
        format!(
            "listen: [{{ address: \"127.0.0.1:0\", tls: {{ certificates: [{{ {pair} }}]{more} }} }}]\n"
        )
    }

    /// The keys of a listener's `tls` that ask clients for certificates of the authority.
    pub(crate) fn clients(&self, whether: &str) -> String {
        let ca = self.ca();
        format!(
            ", client_ca: {}, client_certificate: {whether}",
            ca.display()
        )
    }

    /// A client that trusts the authority and nobody else, and shows `certificate`.
    pub(crate) fn client(&self, certificate: Option<&Issued>) -> reqwest::ClientBuilder {
        let pem = self.authority.certificate_pem();
        let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
        let client = client_builder().tls_certs_only([trusted]).tls_info(true);
        match certificate {
            None => client,
            Some(Issued { chain_pem, key_pem }) => {
                let pem = format!("{key_pem}{chain_pem}");
                let identity = reqwest::Identity::from_pem(pem.as_bytes());
                client.identity(identity.expect("a certificate and its key"))
            }
        }
    }

    /// Makes a connection for HTTP/1.1 of a socket, for bytes that a test decides.
    pub(crate) async fn handshake(&self, socket: TcpStream) -> TlsStream<TcpStream> {
        let pem = self.authority.certificate_pem();
        let trusted = CertificateDer::from_pem_slice(pem.as_bytes());
        let mut roots = RootCertStore::empty();
        roots
            .add(trusted.expect("a certificate"))
            .expect("an authority");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has their ciphers")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(NAMES[0]).expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket);
        connecting.await.expect("a handshake")
    }
}

impl Gateway {
    /// Of its first listener, which has TLS.
    pub(crate) fn https_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}
