//! What a listener agrees to in a handshake: Mozilla's intermediate profile (5.7) as far as ring has it, which is all
//! of it but finite-field Diffie-Hellman; which certificate a name gets; whose certificates clients may show.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::CertificateDer,
    server::{
        ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use crate::config::{compiled::CertificateName, material};

/// What certificates clients are asked for.
pub(super) struct Clients {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) required: bool,
}

/// `tickets`: what sessions are resumed with, which outlives a change of certificates.
pub(super) fn server_config(
    certificates: Vec<Arc<CertifiedKey>>,
    clients: Option<Clients>,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let certificates = Arc::new(ByName::new(certificates)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| error.to_string())?;
    let resumed = clients.is_none();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(verifier(clients, provider)?),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if resumed {
        config.ticketer = Arc::clone(tickets);
    } else {
        // A resumed session brings the client's certificate along, and nobody looks again whether it has ended or
        // whether its authority is still trusted (rustls 0.23).
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn verifier(
    clients: Clients,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut authorities = RootCertStore::empty();
    for authority in clients.authorities {
        authorities
            .add(authority)
            .map_err(|error| format!("an authority of clients cannot be used: {error}"))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
    let verifier = if clients.required {
        verifier
    } else {
        verifier.allow_unauthenticated()
    };
    verifier.build().map_err(|error| error.to_string())
}

/// The certificates by the names in them.
#[derive(Debug)]
struct ByName {
    /// In the order of the configuration: there may be one for each kind of key. A name that begins with `*.` stands
    /// for any one label in that place.
    named: HashMap<Arc<str>, Vec<Arc<CertifiedKey>>>,
    all: Vec<Arc<CertifiedKey>>,
}

impl ByName {
    fn new(certificates: Vec<Arc<CertifiedKey>>) -> Result<Self, String> {
        let mut named: HashMap<_, Vec<_>> = HashMap::new();
        for certificate in &certificates {
            let leaf = certificate
                .end_entity_cert()
                .map_err(|error| error.to_string())?;
            for name in material::certificate_names(leaf) {
                if let CertificateName::Dns(name) = name {
                    named.entry(name).or_default().push(certificate.clone());
                }
            }
        }
        Ok(Self {
            named,
            all: certificates,
        })
    }

    /// Those for a name in lower case, the better ones first.
    fn candidates(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let exact = self.named.get(name);
        let wildcard = name
            .split_once('.')
            .and_then(|(_, parent)| self.named.get(format!("*.{parent}").as_str()));
        exact.into_iter().chain(wildcard).flatten()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // In lower case already (rustls 0.23, server/hs.rs).
        let name = hello.server_name().unwrap_or_default();
        let schemes = hello.signature_schemes();
        let usable = self
            .candidates(name)
            .find(|certificate| certificate.key.choose_scheme(schemes).is_some());
        let of_fitting_key = || {
            let mut all = self.all.iter();
            all.find(|certificate| certificate.key.choose_scheme(schemes).is_some())
        };
        usable.or_else(of_fitting_key).or(self.all.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use rustls::{CipherSuite, NamedGroup};

    use super::*;

    /// <https://ssl-config.mozilla.org/guidelines/5.7.json>, `intermediate`.
    #[test]
    fn ciphers_and_curves_are_those_of_mozillas_intermediate_profile() {
        use CipherSuite as Is;
        let provider = ring::default_provider();
        let mut suites: Vec<_> = provider
            .cipher_suites
            .iter()
            .map(|one| one.suite())
            .collect();
        let groups: Vec<_> = provider.kx_groups.iter().map(|one| one.name()).collect();
        let mut profile = vec![
            Is::TLS13_AES_128_GCM_SHA256,
            Is::TLS13_AES_256_GCM_SHA384,
            Is::TLS13_CHACHA20_POLY1305_SHA256,
            Is::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            Is::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            Is::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            Is::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            Is::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            Is::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ];
        suites.sort_by_key(|suite| u16::from(*suite));
        profile.sort_by_key(|suite| u16::from(*suite));
        assert_eq!(suites, profile);
        assert_eq!(
            groups,
            [
                NamedGroup::X25519,
                NamedGroup::secp256r1,
                NamedGroup::secp384r1
            ]
        );
    }
}
