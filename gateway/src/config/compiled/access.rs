//! Who may call: clients, and what shows that a caller is one of them.

use std::{fmt, sync::Arc, time::Duration};

use crate::ids::{ClientName, ModelName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// `open: true`: whoever reaches the listener may use every model. `auto` then means this model.
    Open {
        default_model: Option<ModelName>,
        /// As of a [`Client`].
        explain: bool,
    },
    Clients(Clients),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clients {
    /// In the order of the file.
    pub list: Vec<Client>,
    /// Whose tokens are accepted, in the order of the file.
    pub issuers: Vec<Issuer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub name: ClientName,
    pub keys: Vec<ClientKey>,
    /// Names in client certificates that mean this client.
    pub certificates: Vec<CertificateName>,
    /// Models it may use, aliases resolved; `None` = all.
    pub models: Option<Vec<ModelName>>,
    /// What the model or deployment name `auto` means.
    pub default_model: Option<ModelName>,
    /// It is told why its request went where it did, if it asks.
    pub explain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientKey {
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Not accepted from this time on, seconds since 1970.
    pub not_after: Option<u64>,
}

/// A name that a certificate carries. Host names and addresses are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateName {
    /// The common name of the subject.
    Common(Arc<str>),
    Dns(Arc<str>),
    Uri(Arc<str>),
    Email(Arc<str>),
}

/// As it is written in the configuration.
impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Common(name) => write!(f, "cn:{name}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Uri(name) => write!(f, "uri:{name}"),
            Self::Email(name) => write!(f, "email:{name}"),
        }
    }
}

/// An issuer of tokens that show who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The `iss` of its tokens: several, for Entra has two versions of one.
    pub names: Vec<Arc<str>>,
    /// The `aud` that means this gateway; any of them.
    pub audiences: Vec<Arc<str>>,
    pub keys: KeysAt,
    /// Never empty.
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Which client a token means: the first rule that fits.
    pub rules: Vec<Rule>,
}

/// Where an issuer publishes its keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeysAt {
    /// A discovery document, which names the key set.
    Discovery(Arc<str>),
    /// The key set itself.
    Jwks(Arc<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Es256,
}

/// What tokens for Azure OpenAI itself are issued for, by its documentation of different years.
pub const AZURE_AUDIENCES: [&str; 4] = [
    "https://cognitiveservices.azure.com",
    "https://cognitiveservices.azure.com/",
    "https://ai.azure.com",
    "https://ai.azure.com/",
];

/// All the claims that it names must fit; of each, one of the values. None at all fits every token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Place in [`Clients::list`].
    pub client: usize,
    pub roles: Vec<Arc<str>>,
    /// A word of `scp`.
    pub scp: Vec<Arc<str>>,
    /// `azp` (v2) or `appid` (v1).
    pub azp: Vec<Arc<str>>,
    pub oid: Vec<Arc<str>>,
    pub groups: Vec<Arc<str>>,
}
