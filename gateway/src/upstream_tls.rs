//! TLS toward an endpoint, as pingora's peer takes it: whom to trust, what to show, and which connections may be
//! shared.

use std::sync::Arc;

use pingora::{
    upstreams::peer::HttpPeer,
    utils::tls::{CertKey, WrappedX509, parse_x509},
};
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use crate::config::{
    compiled::{Certificate, EndpointTls},
    material,
};

/// Makes `peer` follow these settings. The name that its certificate must carry is its SNI, a host name or an IP
/// address, which is then looked for among the certificate's addresses and not sent. It must not be empty: pingora
/// would verify nothing then (pingora-core 0.9.1, connectors/tls/rustls/mod.rs).
pub(crate) fn apply(tls: &EndpointTls, peer: &mut HttpPeer) {
    if *tls == EndpointTls::default() {
        return;
    }
    // With either of these two, pingora makes up the settings of TLS anew for each connection, so that none resumes
    // the session of another one (same file).
    if !tls.authorities.is_empty() {
        let authorities = tls.authorities.iter();
        peer.options.ca = Some(
            authorities
                .map(|der| WrappedX509::new(der.to_vec(), parse_x509))
                .collect(),
        );
    }
    if let Some(Certificate { chain, key }) = &tls.certificate {
        let chain = chain.iter().map(|der| der.to_vec()).collect();
        let key = material::private_key(key.expose())
            .expect("checked when the configuration was compiled");
        let shown = CertKey::new(chain, key.secret_der().to_vec());
        peer.client_cert_key = Some(Arc::new(shown));
    }
    peer.options.verify_cert = tls.verify;
    peer.options.verify_hostname = tls.verify;
    peer.group_key = group(tls);
}

/// Pingora shares a connection between peers that agree in what it looks at, which is not the authorities, and of the
/// client's certificate only the serial number (upstreams/peer.rs, utils/tls/rustls.rs).
fn group(tls: &EndpointTls) -> u64 {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    };
    let mut add_all = |list: &[CertificateDer<'_>]| {
        add(&list.len().to_be_bytes());
        list.iter().for_each(|der| add(der));
    };
    add_all(&tls.authorities);
    if let Some(Certificate { chain, key }) = &tls.certificate {
        add_all(chain);
        add(key.expose().as_bytes());
    }
    add(&[u8::from(tls.verify)]);
    let first = hash.finalize().into_iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(byte))
}
