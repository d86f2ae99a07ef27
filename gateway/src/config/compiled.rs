//! The configuration as the rest of the program takes it: checked, defaulted, sorted, index-linked. A plain
//! value with `Eq`, so that a reload that changes nothing can be told from one that does.

mod access;
mod credential;
mod price;
mod tls;
mod traces;

use std::{fmt, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    access::{
        AZURE_AUDIENCES, Access, Algorithm, CertificateName, Client, ClientKey, Clients, Issuer,
        KeysAt, Rule,
    },
    credential::{ApiKey, Credential, CredentialKind, Flow, IdentityId, Platform, TokenSource},
    price::{Price, Rate},
    tls::{Certificate, CertificateFiles, ClientCertificates, EndpointTls, ListenTls},
    traces::Traces,
};
use crate::{
    ids::{DeploymentName, EndpointName, ModelName},
    policy::params::{Balance, BreakerParams, CoolDownParams, RetryParams, Timeouts, UsageParams},
    secret::Secret,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    pub listen: Vec<Listen>,
    pub admin: Option<Admin>,
    /// Worker threads; 0 = one for each core.
    pub threads: usize,
    pub limits: Limits,
    pub drain_timeout: Duration,
    /// Where the issuers' keys are kept over a restart.
    pub state_directory: Option<Arc<Path>>,
    /// How long the process that takes over may need until it can serve.
    pub hand_over_timeout: Duration,
    pub log: Log,
    /// `None`: no spans are exported.
    pub traces: Option<Traces>,
    /// Whether answers carry `x-tokenweir-endpoint` and `x-tokenweir-attempts`.
    pub response_headers: bool,
    /// Of all prices: `USD`.
    pub currency: Arc<str>,
    /// In the order of the file.
    pub endpoints: Vec<Endpoint>,
    /// Sorted by name.
    pub models: Vec<Model>,
    pub access: Access,
}

impl Compiled {
    /// Takes over what only a start can change.
    pub fn keep_process(&mut self, running: &Self) {
        let mut new = std::mem::take(&mut self.listen);
        self.listen = running
            .listen
            .iter()
            .map(|listen| {
                let mut listen = listen.clone();
                let place = new.iter().position(|new| new.address == listen.address);
                // The files of a listener that speaks TLS can change at any time.
                if let Some(tls) = place.and_then(|place| new.remove(place).tls)
                    && listen.tls.is_some()
                {
                    listen.tls = Some(tls);
                }
                listen
            })
            .collect();
        // The token can change at any time, but it is no way to open what was closed.
        let new = std::mem::replace(&mut self.admin, running.admin.clone());
        if let (Some(admin), Some(new)) = (&mut self.admin, new) {
            admin.token = new.token;
        }
        self.threads = running.threads;
        let level = std::mem::take(&mut self.log.level);
        self.log = Log {
            level,
            ..running.log.clone()
        };
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    /// Accept HTTP/2 without TLS (prior knowledge) beside HTTP/1.1.
    pub h2c: bool,
    /// `None`: plain text.
    pub tls: Option<ListenTls>,
}

/// The operators' listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub address: SocketAddr,
    /// A unix socket that offers the same and, to whoever may open it, reload and hand-over.
    pub socket: Option<Arc<Path>>,
    /// What has to be shown on the address to be told anything, and to switch endpoints.
    pub token: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body, bytes.
    pub body_bytes_max: usize,
    /// Request bodies held in memory at one time by the whole process, bytes.
    pub buffered_bytes_max: usize,
    /// Largest request head, bytes.
    pub header_bytes_max: usize,
    /// How long an idle client connection is kept.
    pub keep_alive: Duration,
    /// Longest pause inside a request head or body.
    pub client_read: Duration,
    /// Longest time a whole request body may take to arrive.
    pub client_body: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A `tracing` filter: `info`, `gateway=debug,warn`.
    pub level: String,
    pub format: LogFormat,
    /// `None`: standard output.
    pub file: Option<Arc<Path>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Json,
    Logfmt,
    Text,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub name: EndpointName,
    pub kind: EndpointKind,
    pub url: EndpointUrl,
    pub region: Option<Arc<str>>,
    pub credential: Credential,
    /// Replaces the client's `api-version` on requests of the dated shape.
    pub api_version: Option<Arc<str>>,
    /// Speak HTTP/2 upstream where the endpoint offers it.
    pub http2: bool,
    pub tls: EndpointTls,
    /// What this endpoint serves, in the order of the file.
    pub deployments: Vec<Deployment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointKind {
    /// Azure OpenAI: the dated shape (`/openai/deployments/…`) and the v1 shape (`/openai/v1/…`).
    Azure,
    /// Any OpenAI-compatible server: `/v1/…` only.
    OpenAi,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EndpointUrl {
    pub tls: bool,
    /// Lower case, without brackets for IPv6.
    pub host: Arc<str>,
    pub port: u16,
    /// Path before the API's own (`/openai`, `/v1`): empty, or `/prefix` without a slash at the end.
    pub base_path: Arc<str>,
}

/// As it is written in the configuration.
impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tls,
            host,
            port,
            base_path,
        } = self;
        let (scheme, usual) = if *tls { ("https", 443) } else { ("http", 80) };
        let (open, close) = if host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "{scheme}://{open}{host}{close}")?;
        if *port != usual {
            write!(f, ":{port}")?;
        }
        f.write_str(base_path)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    pub model: ModelName,
    /// The provider's name for it.
    pub name: DeploymentName,
    /// Lower first.
    pub priority: u32,
    /// Share inside one priority; 0 = drained.
    pub weight: u32,
    /// In place of the model's.
    pub price: Option<Price>,
}

/// A model and its pool: every deployment of it, over all endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub name: ModelName,
    pub aliases: Vec<ModelName>,
    pub price: Option<Price>,
    pub balance: Balance,
    pub timeouts: Timeouts,
    pub retry: RetryParams,
    pub breaker: BreakerParams,
    pub cool_down: CoolDownParams,
    pub usage: UsageParams,
    /// Priority groups, lowest number first; members in the order of the file.
    pub tiers: Vec<Tier>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    pub priority: u32,
    pub members: Vec<Member>,
}

/// One deployment, by its place in [`Compiled::endpoints`] and [`Endpoint::deployments`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub endpoint: usize,
    pub deployment: usize,
    pub weight: u32,
}
