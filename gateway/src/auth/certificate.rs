//! The names that a client has shown in its TLS handshake. Which client they mean is decided by whoever knows the
//! clients.

use rustls::pki_types::CertificateDer;

use crate::config::{compiled::CertificateName, material};

/// The names in the certificate that the client of a connection has shown. The handshake has verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerNames(pub Vec<CertificateName>);

/// The names in a certificate. It must have been verified: anybody can write a name.
#[must_use]
pub fn names(leaf: &CertificateDer<'_>) -> Vec<CertificateName> {
    material::certificate_names(leaf)
}
