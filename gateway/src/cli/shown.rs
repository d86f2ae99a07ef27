//! What `/status` and `/identity` say, as far as the command line shows it. Counters are numbers with a fraction because
//! they are only ever divided and printed.

use serde::Deserialize;

use crate::policy::reason::Switch;

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Status {
    pub(super) version: String,
    /// By the gateway's clock, as all times here: seconds since 1970.
    pub(super) now: f64,
    pub(super) started: f64,
    pub(super) draining: bool,
    pub(super) ready: bool,
    pub(super) config: Config,
    pub(super) pools: Vec<Pool>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) clients: Vec<Client>,
    pub(super) currency: Option<String>,
}

impl Status {
    /// Models that nobody can serve at this moment.
    pub(super) fn unserved(&self) -> Vec<&str> {
        let unserved = self.pools.iter().filter(|pool| pool.usable == 0);
        unserved.map(|pool| pool.model.as_str()).collect()
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    pub(super) hash: String,
    pub(super) last_reload: Option<Reload>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Reload {
    pub(super) at: f64,
    pub(super) ok: bool,
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Pool {
    pub(super) model: String,
    pub(super) aliases: Vec<String>,
    pub(super) balance: String,
    pub(super) usable: usize,
    pub(super) requests: f64,
    /// Answers with a status of 500 and above.
    pub(super) errors: f64,
    pub(super) deployments: Vec<Deployment>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Deployment {
    pub(super) endpoint: String,
    pub(super) region: Option<String>,
    pub(super) deployment: String,
    pub(super) priority: u32,
    pub(super) weight: u32,
    pub(super) state: State,
    /// Why it is not healthy.
    pub(super) reason: Option<String>,
    pub(super) since: Option<f64>,
    pub(super) seconds_left: Option<f64>,
    pub(super) in_flight: u32,
    pub(super) latency_ms: Latency,
    pub(super) quota: Quota,
    /// Of a provisioned deployment: 1 is all of its capacity.
    pub(super) utilization: Option<f64>,
    pub(super) attempts: Attempts,
    pub(super) tokens: Tokens,
    /// The newest first.
    pub(super) last_errors: Vec<LastError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Healthy,
    Throttling,
    Error,
    Recovering,
    Disabled,
}

impl State {
    /// The word that the configuration's reader, logs and metrics know it by.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Throttling => "throttling",
            Self::Error => "error",
            Self::Recovering => "recovering",
            Self::Disabled => "disabled",
        }
    }

    pub(super) const fn is_usable(self) -> bool {
        match self {
            Self::Healthy | Self::Recovering => true,
            Self::Throttling | Self::Error | Self::Disabled => false,
        }
    }
}

/// Moving averages, milliseconds; absent before the first answer.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Latency {
    pub(super) first_byte: Option<f64>,
    pub(super) total: Option<f64>,
}

/// What the provider said is left; absent if it said nothing.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Quota {
    pub(super) requests: Option<f64>,
    pub(super) tokens: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Attempts {
    pub(super) ok: f64,
    /// Nobody's failure: the client left, or asked for what cannot be had.
    pub(super) client: f64,
    pub(super) failed: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Tokens {
    pub(super) prompt: f64,
    pub(super) completion: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct LastError {
    pub(super) at: f64,
    pub(super) cause: String,
    pub(super) status: Option<u16>,
    /// How long the provider asked to be left alone.
    pub(super) wait_seconds: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) url: String,
    pub(super) switch: Switch,
    pub(super) in_flight: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) requests: f64,
    pub(super) prompt_tokens: f64,
    pub(super) completion_tokens: f64,
    pub(super) cost: Option<f64>,
}

/// What `/identity` says, as far as it is about trouble.
#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    pub(super) tokens: Vec<Token>,
    pub(super) key_sets: Vec<KeySet>,
    pub(super) listeners: Vec<Listener>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Token {
    pub(super) credential: String,
    pub(super) expires_in_seconds: Option<f64>,
    pub(super) error: Option<String>,
    pub(super) next_try_in_seconds: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct KeySet {
    pub(super) keys: usize,
    pub(super) error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Listener {
    pub(super) listen: String,
    pub(super) problem: Option<String>,
}
