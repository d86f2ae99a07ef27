//! What a simulated resource is: its name, its deployments, how they behave and what they allow. Plain data.

use std::time::Duration;

use serde::Deserialize;

use crate::tls::ServerTls;

/// Which service is imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `/openai/deployments/{dep}/…`, `/openai/…` and `/openai/v1/…`.
    #[default]
    Azure,
    /// A plain OpenAI-compatible server: `/v1/…` only, the model in the body.
    Openai,
}

/// One resource; listens on `port` of 127.0.0.1, 0 takes a free one.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resource {
    pub name: String,
    /// Sent as `x-ms-region`.
    pub region: String,
    pub kind: Kind,
    pub port: u16,
    pub deployments: Vec<Deployment>,
    /// Accepted keys. With no keys, no bearer tokens and no audience every caller is accepted.
    pub api_keys: Vec<String>,
    /// Accepted `Authorization: Bearer` values besides the keys.
    pub bearer_tokens: Vec<String>,
    /// The `aud` of accepted tokens besides those: unexpired, and signed by a key of an [`Identity`].
    ///
    /// [`Identity`]: crate::Identity
    pub token_audience: Option<String>,
    /// Serves https in place of http.
    pub tls: Option<ServerTls>,
    /// Seed of the faults' probabilities.
    pub seed: u64,
}

impl Default for Resource {
    fn default() -> Self {
        Self {
            name: "simulator".to_owned(),
            region: "Sweden Central".to_owned(),
            kind: Kind::Azure,
            port: 0,
            deployments: Vec::new(),
            api_keys: Vec::new(),
            bearer_tokens: Vec::new(),
            token_audience: None,
            tls: None,
            seed: 0,
        }
    }
}

impl Resource {
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn deployment(mut self, deployment: Deployment) -> Self {
        self.deployments.push(deployment);
        self
    }

    #[must_use]
    pub fn api_key(mut self, key: &str) -> Self {
        self.api_keys.push(key.to_owned());
        self
    }

    #[must_use]
    pub fn token_audience(mut self, audience: &str) -> Self {
        self.token_audience = Some(audience.to_owned());
        self
    }

    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deployment {
    pub name: String,
    pub model: String,
    pub model_version: String,
    pub behaviour: Behaviour,
    pub limits: Limits,
}

impl Deployment {
    #[must_use]
    pub fn new(name: &str, model: &str) -> Self {
        Self {
            name: name.to_owned(),
            model: model.to_owned(),
            model_version: "2024-11-20".to_owned(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// Speed and size of the answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Time from the whole request to the first byte of the answer, in milliseconds.
    pub ttft_ms: u64,
    /// Pace of the tokens after the first; 0 means no delay.
    pub tokens_per_second: u32,
    /// Length of an answer in tokens; a smaller `max_tokens` of the request wins.
    pub answer_tokens: u64,
    /// Vector length where the request names no `dimensions`.
    pub embedding_dimensions: usize,
    /// Answers leave in pieces of so many bytes, whatever they cut in two; 0 sends a unary answer or an event whole.
    /// Not for streams with a pace.
    pub piece_bytes: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ttft_ms: 0,
            tokens_per_second: 0,
            answer_tokens: 16,
            embedding_dimensions: 1536,
            piece_bytes: 0,
        }
    }
}

impl Behaviour {
    pub(crate) fn ttft(&self) -> Duration {
        Duration::from_millis(self.ttft_ms)
    }

    /// Time between two tokens.
    pub(crate) fn token_interval(&self) -> Duration {
        match self.tokens_per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1) / rate,
        }
    }
}

/// What a deployment allows. Without limits no `x-ratelimit-*` header is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute; with `ptu` the throughput of the provisioned units.
    pub tpm: Option<u64>,
    /// Also enforces `rpm` proportionally in windows of this many seconds, as Azure does with 1 or 10.
    pub burst_window_s: Option<u64>,
    /// Provisioned throughput: utilisation in place of rate-limit headers.
    pub ptu: bool,
}
