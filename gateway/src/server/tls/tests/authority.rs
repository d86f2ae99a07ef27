//! An authority, what it issues, and clients that trust it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

pub(super) struct Authority(pub(super) CertifiedIssuer<'static, KeyPair>);

pub(super) struct Issued {
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(super) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    pub(super) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        self.sign(&params, &KeyPair::generate().unwrap())
    }

    pub(super) fn issue_rsa(&self, names: &[&str]) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = include_str!("../../../../tests/keys/rsa-one.pem");
        let params = CertificateParams::new(names).unwrap();
        self.sign(&params, &KeyPair::from_pem(key).unwrap())
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Issued {
        let certificate = params.signed_by(key, &self.0).unwrap();
        Issued {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client that trusts this authority.
    pub(super) fn client(&self, shown: Option<&Issued>) -> Arc<ClientConfig> {
        self.client_with(ring::default_provider(), shown)
    }

    /// One that can verify no handshake with another key.
    pub(super) fn client_of_rsa(&self) -> Arc<ClientConfig> {
        let mut provider = ring::default_provider();
        let algorithms = &mut provider.signature_verification_algorithms;
        let of_rsa = algorithms.mapping.iter().copied().filter(|(scheme, _)| {
            let name = scheme.as_str();
            name.is_some_and(|name| name.starts_with("RSA"))
        });
        algorithms.mapping = of_rsa.collect::<Vec<_>>().leak();
        self.client_with(provider, None)
    }

    fn client_with(&self, provider: CryptoProvider, shown: Option<&Issued>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
                let chain = vec![shown.der.clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}
