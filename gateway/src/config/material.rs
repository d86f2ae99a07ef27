//! Certificates and private keys out of PEM text. Pure: somebody else has read the files. Messages are for whoever
//! wrote the files, and never hold anything of a key.

use std::sync::Arc;

use rustls::{
    Error, InconsistentKeys,
    crypto::ring::sign::any_supported_type,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject as _},
    },
    sign::CertifiedKey,
};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer as _,
};

use super::compiled::CertificateName;

/// The certificates in a file, at least one. Other blocks may stand between them.
///
/// # Errors
/// There is none, or something is no certificate.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates_in(pem, "file")
}

/// The private key in a file.
///
/// # Errors
/// There is none that can be read.
pub fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "the key file holds an encrypted key: decrypt it (openssl pkey -in KEY -out \
                    PLAIN) and let only the gateway read the result"
                .to_owned(),
        );
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| not_pem(&error, "key file", "PRIVATE KEY"))
}

/// A certificate as a server or a client shows it, with its chain and its key.
///
/// # Errors
/// One of the files cannot be used, or they do not belong together.
pub fn server_certificate(chain_pem: &str, key_pem: &str) -> Result<Arc<CertifiedKey>, String> {
    let chain = certificates_in(chain_pem, "certificate file")?;
    // Its error could only say what rustls thinks of the bytes of the key.
    let key = any_supported_type(&private_key(key_pem)?).map_err(|_| {
        "the key file holds a key of a kind that is not supported: use RSA of at least 2048 bits, \
         ECDSA P-256 or P-384, or Ed25519"
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(Error::InconsistentKeys(_)) => Err(
            "the key file holds the key of another certificate than the first one in the \
             certificate file: the certificate's own must stand first, the chain after it"
                .to_owned(),
        ),
        Err(error) => Err(format!(
            "the first certificate in the certificate file cannot be used: {error}"
        )),
    }
}

/// The names that a certificate carries; none if it cannot be read.
#[must_use]
pub fn certificate_names(der: &CertificateDer<'_>) -> Vec<CertificateName> {
    let Some(certificate) = parsed(der) else {
        return Vec::new();
    };
    let subject = certificate.subject().iter_common_name();
    let common = subject
        .filter_map(|name| name.as_str().ok())
        .map(|name| CertificateName::Common(name.into()));
    let alternative = certificate
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
        .flatten()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(CertificateName::Dns(lower_case(name))),
            GeneralName::URI(name) => Some(CertificateName::Uri((*name).into())),
            GeneralName::RFC822Name(name) => Some(CertificateName::Email(lower_case(name))),
            _ => None,
        });
    common.chain(alternative).collect()
}

/// When a certificate ends, seconds since 1970; `None` if it cannot be read.
#[must_use]
pub fn not_after(der: &CertificateDer<'_>) -> Option<u64> {
    let end = parsed(der)?.validity().not_after.timestamp();
    Some(u64::try_from(end).unwrap_or_default())
}

fn parsed<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

/// `file`: what the operator knows it as.
fn certificates_in(pem: &str, file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let blocks = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let certificates = blocks.map_err(|error| not_pem(&error, file, "CERTIFICATE"))?;
    if certificates.is_empty() {
        return Err(not_pem(&PemError::NoItemsFound, file, "CERTIFICATE"));
    }
    // Pingora takes it for granted that each can be read (pingora-core 0.9.1, utils/tls/rustls.rs).
    match certificates.iter().position(|der| parsed(der).is_none()) {
        None => Ok(certificates),
        Some(index) => {
            let number = index + 1;
            Err(format!(
                "CERTIFICATE block {number} of the {file} is not an X.509 certificate"
            ))
        }
    }
}

/// Not the error's own words: they quote the file.
fn not_pem(error: &PemError, file: &str, block: &str) -> String {
    match error {
        PemError::NoItemsFound => format!("the {file} has no {block} block: it must be PEM"),
        PemError::MissingSectionEnd { .. } => format!("the {file} ends inside a block"),
        _ => format!("the {file} has a block that is not PEM"),
    }
}

fn lower_case(name: &str) -> Arc<str> {
    name.to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests;
