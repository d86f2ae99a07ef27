//! TLS: whether the files can be used, and whether what is switched off may be. The files of a listener are only
//! looked at here; the listener reads them itself, also when they change.

use std::path::Path;

use rustls::pki_types::CertificateDer;

use crate::{
    config::{
        compiled::{
            Certificate, CertificateFiles, ClientCertificates, EndpointTls, EndpointUrl, ListenTls,
        },
        diagnostics::{At, Diagnostics},
        material,
        raw::{List, RawClientCertificate, RawEndpointTls, RawListenTls},
        secrets::{SecretError, SecretSource},
    },
    secret::Secret,
};

pub(super) fn listener(
    raw: &RawListenTls,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> ListenTls {
    let at_certificates = at.key("certificates");
    let mut certificates = Vec::new();
    for (index, pair) in raw.certificates.iter().flat_map(List::iter) {
        let at = at_certificates.index(index);
        let key = pair.key.as_deref();
        let found = self::pair(pair.certificate.as_deref(), key, secrets, at, diagnostics);
        if let Some(Pair { chain, key, .. }) = found {
            certificates.push(CertificateFiles {
                certificate: secrets.place(chain).into(),
                key: secrets.place(key).into(),
            });
        }
    }
    if raw
        .certificates
        .iter()
        .flat_map(List::items)
        .next()
        .is_none()
    {
        let message = "at least one is needed, write `[{ certificate: FILE, key: FILE }]`";
        diagnostics.missing(at_certificates, message);
    }
    let required = match raw.client_certificate {
        Some(RawClientCertificate::Required) | None => true,
        Some(RawClientCertificate::Optional) => false,
    };
    if raw.client_certificate.is_some() && raw.client_ca.is_none() {
        let message = "nothing says who signs client certificates, set `client_ca`";
        diagnostics.error(at.key("client_certificate"), message);
    }
    let clients = raw.client_ca.as_deref().map(|ca| {
        authorities(ca, secrets, at.key("client_ca"), diagnostics);
        ClientCertificates {
            ca: secrets.place(ca).into(),
            required,
        }
    });
    ListenTls {
        certificates,
        clients,
    }
}

pub(super) fn endpoint(
    raw: &RawEndpointTls,
    url: Option<&EndpointUrl>,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> EndpointTls {
    if url.is_some_and(|url| !url.tls) {
        diagnostics.error(at, "the URL is not https, change it or remove `tls`");
    }
    let skip = raw.insecure_skip_verify.unwrap_or(false);
    if skip && !url.is_none_or(super::url::is_loopback) {
        diagnostics.error(
            at.key("insecure_skip_verify"),
            "anybody could take the credential: only allowed for a loopback URL; for a private authority use `ca`",
        );
    }
    let certificate = match (&raw.certificate, &raw.key) {
        (None, None) => None,
        (certificate, key) => pair(
            certificate.as_deref(),
            key.as_deref(),
            secrets,
            at,
            diagnostics,
        )
        .map(|pair| Certificate {
            chain: pair.certificates,
            key: pair.secret,
        }),
    };
    EndpointTls {
        authorities: raw.ca.as_deref().map_or_else(Vec::new, |ca| {
            authorities(ca, secrets, at.key("ca"), diagnostics)
        }),
        certificate,
        verify: !skip,
    }
}

/// A certificate and the key that belongs to it.
struct Pair<'r> {
    chain: &'r Path,
    key: &'r Path,
    certificates: Vec<CertificateDer<'static>>,
    secret: Secret,
}

fn pair<'r>(
    chain: Option<&'r Path>,
    key: Option<&'r Path>,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Pair<'r>> {
    let (at_chain, at_key) = (at.key("certificate"), at.key("key"));
    if chain.is_none() {
        diagnostics.missing(at_chain, "missing, expected a PEM file");
    }
    if key.is_none() {
        diagnostics.missing(at_key, "missing, expected the PEM file of its private key");
    }
    let (chain, key) = (chain?, key?);
    let chain_pem = read(chain, secrets, at_chain, diagnostics);
    let key_pem = read(key, secrets, at_key, diagnostics);
    let (chain_pem, secret) = (chain_pem?, key_pem?);
    let certificates = material::certificates(chain_pem.expose())
        .map_err(|message| diagnostics.error(at_chain, in_file(chain, &message)))
        .ok()?;
    material::server_certificate(chain_pem.expose(), secret.expose())
        .map_err(|message| diagnostics.error(at_key, in_file(key, &message)))
        .ok()?;
    Some(Pair {
        chain,
        key,
        certificates,
        secret,
    })
}

fn authorities(
    path: &Path,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<CertificateDer<'static>> {
    let Some(pem) = read(path, secrets, at, diagnostics) else {
        return Vec::new();
    };
    material::certificates(pem.expose()).unwrap_or_else(|message| {
        diagnostics.error(at, in_file(path, &message));
        Vec::new()
    })
}

fn in_file(path: &Path, message: &str) -> String {
    format!("`{}`: {message}", path.display())
}

fn read(
    path: &Path,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Secret> {
    secrets
        .file(path)
        .map_err(|error| {
            let path = path.display();
            diagnostics.error(
                at,
                match error {
                    SecretError::Unreadable(reason) => {
                        format!("the file `{path}` cannot be read: {reason}")
                    }
                    SecretError::Absent | SecretError::NotText | SecretError::TooLarge(_) => {
                        format!("the file `{path}` {error}")
                    }
                },
            );
        })
        .ok()
}
