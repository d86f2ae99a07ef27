//! A certificate authority for tests: what it issues is good for whoever trusts it, and nobody else does. All keys
//! are of P-256.

use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::clock::unix_now;
use crate::tls::ServerTls;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Issues certificates; each authority has a key of its own.
pub struct TestAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Default for TestAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl TestAuthority {
    #[must_use]
    pub fn new() -> Self {
        let mut params = params("Test authority", good(3650 * DAY));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key())
            .expect("a certificate without odd values can be written");
        Self { issuer }
    }

    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes the authority's certificate to `STEM.pem`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, directory: &Path, stem: &str) -> io::Result<PathBuf> {
        write(directory, &format!("{stem}.pem"), &self.certificate_pem())
    }

    /// A server's certificate, good for 90 days. The first name is the common name too; addresses are fine.
    ///
    /// # Panics
    /// There is no name, or one is not ASCII.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Issued {
        self.server_for(names, good(90 * DAY))
    }

    /// A server's certificate that expired yesterday.
    ///
    /// # Panics
    /// There is no name, or one is not ASCII.
    #[must_use]
    pub fn expired_server(&self, names: &[&str]) -> Issued {
        let now = unix_now();
        self.server_for(names, now - 91 * DAY..now - DAY)
    }

    /// A client's certificate, good for 90 days.
    ///
    /// # Panics
    /// One of `names` is not ASCII.
    #[must_use]
    pub fn client(&self, common_name: &str, names: &[ClientName<'_>]) -> Issued {
        self.client_for(common_name, names, 90 * DAY)
    }

    /// A client's certificate that is good for `lifetime`, less the part of a second.
    ///
    /// # Panics
    /// One of `names` is not ASCII.
    #[must_use]
    pub fn client_for(
        &self,
        common_name: &str,
        names: &[ClientName<'_>],
        lifetime: Duration,
    ) -> Issued {
        let mut params = params(common_name, good(lifetime));
        let names = names.iter().map(|name| match name {
            ClientName::Dns(name) => SanType::DnsName(ascii(name)),
            ClientName::Uri(name) => SanType::URI(ascii(name)),
            ClientName::Email(name) => SanType::Rfc822Name(ascii(name)),
        });
        params.subject_alt_names = names.collect();
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn server_for(&self, names: &[&str], validity: Range<Duration>) -> Issued {
        let mut params = params(names[0], validity);
        let names = names.iter().map(|name| match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(ascii(name)),
        });
        params.subject_alt_names = names.collect();
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Issued {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = key();
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate without odd values can be written");
        Issued {
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Issued {
    pub chain_pem: String,
    pub key_pem: String,
}

impl Issued {
    /// Writes `STEM.pem` and `STEM-key.pem`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, directory: &Path, stem: &str) -> io::Result<IssuedFiles> {
        Ok(IssuedFiles {
            certificate: write(directory, &format!("{stem}.pem"), &self.chain_pem)?,
            key: write(directory, &format!("{stem}-key.pem"), &self.key_pem)?,
        })
    }

    /// What a simulator needs to show it; with an authority, only that one's clients are let in.
    #[must_use]
    pub fn server_tls(&self, clients: Option<&TestAuthority>) -> ServerTls {
        ServerTls {
            chain_pem: self.chain_pem.clone(),
            key_pem: self.key_pem.clone(),
            client_ca_pem: clients.map(TestAuthority::certificate_pem),
        }
    }
}

/// Where a certificate and its key were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A name in a client's certificate besides its common name.
#[derive(Clone, Copy, Debug)]
pub enum ClientName<'a> {
    Dns(&'a str),
    Uri(&'a str),
    Email(&'a str),
}

/// From an hour ago, for clocks that are late.
fn good(lifetime: Duration) -> Range<Duration> {
    let now = unix_now();
    now - HOUR..now + lifetime
}

fn params(common_name: &str, validity: Range<Duration>) -> CertificateParams {
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + validity.start;
    params.not_after = epoch + validity.end;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system gives random numbers")
}

fn ascii(name: &str) -> Ia5String {
    name.try_into().expect("names in certificates are ASCII")
}

fn write(directory: &Path, name: &str, pem: &str) -> io::Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, pem)?;
    Ok(path)
}
