//! TLS on both sides.

use std::{fmt, path::Path, sync::Arc};

use rustls::pki_types::CertificateDer;

use crate::secret::Secret;

/// TLS of a listener. The files are read again when they change, so only their places stand here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTls {
    /// Never empty; the first is shown to clients that ask for a name that none has.
    pub certificates: Vec<CertificateFiles>,
    pub clients: Option<ClientCertificates>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, the listener's own certificate first.
    pub certificate: Arc<Path>,
    /// Its private key in PEM.
    pub key: Arc<Path>,
}

/// Certificates asked from clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM file of the authorities that may have signed them.
    pub ca: Arc<Path>,
    /// Whether a client without one is refused in the handshake.
    pub required: bool,
}

/// TLS toward an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTls {
    /// Trusted for this endpoint in place of the system's authorities; empty = the system's.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Shown to the endpoint.
    pub certificate: Option<Certificate>,
    /// False only for loopback addresses: anybody is taken for the endpoint.
    pub verify: bool,
}

impl Default for EndpointTls {
    fn default() -> Self {
        Self {
            authorities: Vec::new(),
            certificate: None,
            verify: true,
        }
    }
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// PEM.
    pub key: Secret,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}
