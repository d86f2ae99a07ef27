//! The file's shape, key for key: what serde reads and the JSON Schema shows. Doc comments here are the
//! operator's documentation. Every key is optional for serde; [`compile`](crate::config::compile()) decides
//! what is missing and what it means, so that one mistake does not hide the others.
//!
//! Aliases (`tripDuration`) are the words of API Management, see [`APIM_WORDS`].

mod identity;
mod read;
mod shapes;
mod traces;
mod values;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use identity::{
    RawAlgorithm, RawApiKey, RawClient, RawClientCertificate, RawClientSecret, RawCredential,
    RawEndpointTls, RawIssuer, RawListenTls, RawManagedIdentity, RawPlatform, RawRule, RawSecret,
    RawWorkloadIdentity,
};
pub(super) use read::read;
pub(super) use shapes::{Entries, InlineSecret, List, Switch, Words};
pub(super) use traces::RawTraces;
pub(super) use values::{Address, Amount, FailureCause, Percent, RetryCause, Statuses, Whole};

use super::{
    bytes::{GIB, KIB, MIB, Size},
    duration::{ANY, POSITIVE, Span},
};

/// Configuration of Tokenweir.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    /// Version of this format: 1.
    #[schemars(required)]
    pub(super) version: Option<Whole<1, 1>>,
    /// True: whoever reaches a listener may use every model, without a key.
    #[schemars(extend("default" = false))]
    pub(super) open: Option<bool>,
    /// With `open: true`: the model that the name `auto` means. Clients have their own.
    pub(super) default_model: Option<String>,
    /// With `open: true`: whoever sends `x-tokenweir-explain: 1` is told why its request went where it did. Clients have
    /// their own.
    #[schemars(extend("default" = false))]
    pub(super) explain: Option<bool>,
    /// Worker threads; 0 is one for each core.
    #[schemars(extend("default" = 0))]
    pub(super) threads: Option<Whole<0, 1024>>,
    /// On a stop or restart: how long requests in progress may take before they are cut.
    #[schemars(extend("default" = "60s"))]
    pub(super) drain_timeout: Option<Span<ANY>>,
    /// How long the process that takes over in an upgrade may need until it can serve. Later than that it is
    /// killed, and the old one serves on.
    #[schemars(extend("default" = "30s"))]
    pub(super) hand_over_timeout: Option<Span<POSITIVE>>,
    /// Absolute path of a folder in which the keys of token issuers are kept over a restart. Left out: the first of
    /// systemd's `StateDirectory=`, or none.
    pub(super) state_directory: Option<PathBuf>,
    /// Answers name the endpoint used and the number of attempts (`x-tokenweir-endpoint`,
    /// `x-tokenweir-attempts`).
    #[schemars(extend("default" = true))]
    pub(super) response_headers: Option<bool>,
    /// Where clients connect; at least one.
    #[schemars(required, length(min = 1))]
    pub(super) listen: Option<List<RawListen>>,
    /// Listener for metrics, health and status; `off` for none.
    pub(super) admin: Option<Switch<RawAdmin>>,
    /// The program's own log.
    pub(super) log: Option<RawLog>,
    /// Spans of requests for an OpenTelemetry collector; `off`, as if left out, for none.
    pub(super) traces: Option<Switch<RawTraces>>,
    /// Bounds on what clients may send and hold.
    pub(super) limits: Option<RawLimits>,
    /// How the gateway shows itself to providers, by name; `none` for no credential. The names `none` and `caller`
    /// always exist.
    pub(super) credentials: Option<Entries<Switch<RawCredential>>>,
    /// Provider resources by name; at least one.
    #[schemars(required)]
    pub(super) endpoints: Option<Entries<RawEndpoint>>,
    /// Policy by model, where it differs from `defaults`. A model exists because an endpoint deploys it.
    pub(super) models: Option<Entries<RawModel>>,
    /// The currency of all prices, by its three letters.
    #[schemars(extend("default" = "USD"))]
    pub(super) currency: Option<String>,
    /// Policy of every model.
    pub(super) defaults: Option<RawDefaults>,
    /// Who may call, by name. Needed unless `open: true`.
    pub(super) clients: Option<Entries<RawClient>>,
    /// Issuers of tokens that clients may show in place of a key.
    pub(super) jwt: Option<List<RawIssuer>>,
}

/// One listening socket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListen {
    /// IP address and port.
    #[schemars(required)]
    pub(super) address: Option<Address>,
    /// Accept HTTP/2 without TLS (prior knowledge) beside HTTP/1.1.
    #[schemars(extend("default" = false))]
    pub(super) h2c: Option<bool>,
    /// Speak TLS: HTTP/1.1 and HTTP/2. Left out: plain text.
    pub(super) tls: Option<RawListenTls>,
}

/// The operators' listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    /// IP address and port. Whoever reaches it can read, and change nothing, unless a `token` is set.
    #[schemars(extend("default" = "127.0.0.1:9090"))]
    pub(super) address: Option<Address>,
    /// Absolute path of a unix socket for `tokenweir reload`, `upgrade` and `check --diff`; only the user that the
    /// gateway runs as and root can open it.
    pub(super) socket: Option<PathBuf>,
    /// Whoever shows it as a bearer token on the address can read, switch endpoints and change the log level; nobody else
    /// can do any of it, but `/healthz` and `/readyz` stay open. At least 16 characters.
    pub(super) token: Option<RawSecret>,
}

/// What is logged, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`; also by module: `warn,gateway=debug`.
    #[schemars(extend("default" = "info"))]
    pub(super) level: Option<String>,
    /// JSON or logfmt for machines, text for people; `auto` is text on a terminal and JSON elsewhere.
    #[schemars(extend("default" = "auto"))]
    pub(super) format: Option<RawLogFormat>,
    /// Absolute path of a file that lines are appended to, in place of standard output. A reload opens it again.
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawLogFormat {
    Auto,
    Json,
    Logfmt,
    Text,
}

/// Bounds on what clients may send and hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    /// Largest request body.
    #[schemars(extend("default" = "32MiB"))]
    pub(super) body: Option<Size<KIB, GIB>>,
    /// Request bodies held in memory at one time by the whole process.
    #[schemars(extend("default" = "1GiB"))]
    pub(super) buffered: Option<Size<MIB, { 1024 * GIB }>>,
    /// Largest request head.
    #[schemars(extend("default" = "32KiB"))]
    pub(super) header: Option<Size<KIB, MIB>>,
    /// How long an idle client connection is kept.
    #[schemars(extend("default" = "75s"))]
    pub(super) keep_alive: Option<Span<POSITIVE>>,
    /// Longest pause inside a request's head or body.
    #[schemars(extend("default" = "30s"))]
    pub(super) client_read: Option<Span<POSITIVE>>,
    /// Longest time a whole request body may take to arrive.
    #[schemars(extend("default" = "5m"))]
    pub(super) client_body: Option<Span<POSITIVE>>,
}

/// One provider resource: an Azure OpenAI resource or an OpenAI-compatible server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEndpoint {
    /// Address of the resource, with `https://` or `http://`; the path of the API itself is left out.
    #[schemars(required)]
    pub(super) url: Option<String>,
    /// What is spoken there: `azure`, or `openai` for any OpenAI-compatible server.
    #[schemars(extend("default" = "azure"))]
    pub(super) kind: Option<RawKind>,
    /// Where it is, for people, logs and metrics.
    pub(super) region: Option<String>,
    /// A name from `credentials`, or `none`, or `caller`: the caller's own credential is handed on, if it is for Azure
    /// and not one of the gateway's.
    #[schemars(required)]
    pub(super) credential: Option<String>,
    /// Priority of its deployments: lower first, a group is used only when those before it cannot serve.
    #[schemars(extend("default" = 1))]
    pub(super) priority: Option<Whole<0, 1000>>,
    /// Share of its deployments inside one priority; 0 is drained.
    #[schemars(extend("default" = 1))]
    pub(super) weight: Option<Whole<0, 1000>>,
    /// Azure only: replaces the `api-version` of the client.
    pub(super) api_version: Option<String>,
    /// Speak HTTP/2 to the endpoint where it offers it.
    #[schemars(extend("default" = false))]
    pub(super) http2: Option<bool>,
    /// Whom to trust there, and what to show.
    pub(super) tls: Option<RawEndpointTls>,
    /// What it serves: model name to deployment. At least one.
    #[schemars(required)]
    pub(super) deployments: Option<Entries<RawDeployment>>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum RawKind {
    Azure,
    OpenAi,
}

/// A model at one endpoint.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeployment {
    /// The provider's name for it, if it differs from the model's.
    pub(super) deployment: Option<String>,
    /// Instead of the endpoint's weight.
    pub(super) weight: Option<Whole<0, 1000>>,
    /// Instead of the endpoint's priority.
    pub(super) priority: Option<Whole<0, 1000>>,
    /// Instead of the model's price; 0 for capacity that is paid for anyway.
    pub(super) price: Option<RawPrice>,
}

/// What a million tokens cost, in `currency`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrice {
    /// Of the prompt.
    #[schemars(required)]
    pub(super) prompt: Option<Amount>,
    /// Of the part of the prompt that the provider had cached; left out: as the rest of it.
    pub(super) cached: Option<Amount>,
    /// Of the answer, what is thought included.
    #[schemars(required)]
    pub(super) completion: Option<Amount>,
}

/// Policy of every model.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDefaults {
    /// How traffic is spread inside one priority.
    #[schemars(extend("default" = "round_robin"))]
    pub(super) balance: Option<RawBalance>,
    /// Limits in time.
    pub(super) timeouts: Option<RawTimeouts>,
    /// When a failed attempt is followed by another one.
    pub(super) retry: Option<RawRetry>,
    /// When a failing deployment is taken out; `off` for never.
    pub(super) circuit_breaker: Option<Switch<RawBreaker>>,
    /// How long a deployment that asked for a pause gets one.
    pub(super) cool_down: Option<RawCoolDown>,
    /// How the tokens of requests are learnt.
    pub(super) usage: Option<RawUsage>,
}

/// Policy of one model; what is left out is as in `defaults`, key by key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    /// Other names that clients may use for it.
    pub(super) aliases: Option<List<String>>,
    /// What a million tokens cost. Left out: its cost is not counted.
    pub(super) price: Option<RawPrice>,
    /// How traffic is spread inside one priority.
    pub(super) balance: Option<RawBalance>,
    /// Limits in time.
    pub(super) timeouts: Option<RawTimeouts>,
    /// When a failed attempt is followed by another one.
    pub(super) retry: Option<RawRetry>,
    /// When a failing deployment is taken out; `off` for never.
    pub(super) circuit_breaker: Option<Switch<RawBreaker>>,
    /// How long a deployment that asked for a pause gets one.
    pub(super) cool_down: Option<RawCoolDown>,
    /// How the tokens of requests are learnt.
    pub(super) usage: Option<RawUsage>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawBalance {
    RoundRobin,
    Random,
}

/// Limits in time of one attempt (`connect`, `read`, `read_stream`) and of a whole request (`total`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTimeouts {
    /// TCP and TLS.
    #[schemars(extend("default" = "2s"))]
    pub(super) connect: Option<Span<POSITIVE>>,
    /// To the first byte of an answer that is not streamed, and between its bytes.
    #[schemars(extend("default" = "10m"))]
    pub(super) read: Option<Span<POSITIVE>>,
    /// The same for a streamed answer.
    #[schemars(extend("default" = "5m"))]
    pub(super) read_stream: Option<Span<POSITIVE>>,
    /// The whole request with all its attempts.
    #[schemars(extend("default" = "30m"))]
    pub(super) total: Option<Span<POSITIVE>>,
}

/// When a failed attempt is followed by another one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetry {
    /// Attempts in all, the first one included.
    #[schemars(extend("default" = 3))]
    pub(super) attempts: Option<Whole<1, 10>>,
    /// Retries allowed in the long run, as a share of the model's requests.
    #[schemars(extend("default" = "20%"))]
    pub(super) budget: Option<Percent>,
    /// Retries per second allowed at any traffic.
    #[schemars(extend("default" = 3))]
    pub(super) budget_min_per_second: Option<Whole<0, 100_000>>,
    /// Causes after which another deployment is tried.
    #[schemars(extend("default" =
        ["throttled", "server", "connect", "tls", "dns", "timeout", "stall", "auth", "absent"]))]
    pub(super) on: Option<List<RetryCause>>,
}

/// When a failing deployment is taken out, and for how long. The words of API Management are understood:
/// `count`, `statusCodeRanges`, `tripDuration`, `acceptRetryAfter`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = apim_words)]
pub(super) struct RawBreaker {
    /// Failures inside `interval` that trip the breaker.
    #[serde(alias = "count")]
    #[schemars(extend("default" = 5))]
    pub(super) failures: Option<Whole<1, 100_000>>,
    /// The time in which failures are counted.
    #[schemars(extend("default" = "60s"))]
    pub(super) interval: Option<Span<POSITIVE>>,
    /// Answers that count as failures: `500-599`, `429`, `{ min: 500, max: 599 }`.
    #[serde(alias = "statusCodeRanges")]
    #[schemars(extend("default" = ["500-599"]))]
    pub(super) statuses: Option<List<Statuses>>,
    /// Failures without a whole answer that count.
    #[schemars(extend("default" = ["connect", "tls", "dns", "timeout", "stall"]))]
    pub(super) reasons: Option<List<FailureCause>>,
    /// How long the deployment stays out.
    #[serde(alias = "tripDuration")]
    #[schemars(extend("default" = "30s"))]
    pub(super) trip: Option<Span<POSITIVE>>,
    /// A `Retry-After` of the failing answer replaces `trip`.
    #[serde(alias = "acceptRetryAfter")]
    #[schemars(extend("default" = true))]
    pub(super) accept_retry_after: Option<bool>,
}

/// How long a deployment that asked for a pause gets one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCoolDown {
    /// A shorter wish is taken as this.
    #[schemars(extend("default" = "1s"))]
    pub(super) min: Option<Span<ANY>>,
    /// A longer wish is taken as this.
    #[schemars(extend("default" = "60s"))]
    pub(super) max: Option<Span<POSITIVE>>,
    /// For a throttled answer that names no time.
    #[schemars(extend("default" = "10s"))]
    pub(super) default: Option<Span<POSITIVE>>,
    /// For an endpoint that refuses the gateway's credential.
    #[schemars(extend("default" = "60s"))]
    pub(super) auth: Option<Span<POSITIVE>>,
    /// For a deployment that the endpoint says does not exist.
    #[schemars(extend("default" = "60s"))]
    pub(super) absent: Option<Span<POSITIVE>>,
}

/// How the tokens of requests are learnt.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUsage {
    /// Ask the provider for the tokens of a streamed chat or completion whose client does not
    /// (`stream_options.include_usage`), and keep its answer to that from the client. False: such streams are
    /// estimated.
    #[schemars(extend("default" = true))]
    pub(super) ask: Option<bool>,
}

/// The words of API Management's circuit breaker, and ours.
pub(super) const APIM_WORDS: [(&str, &str); 4] = [
    ("count", "failures"),
    ("statusCodeRanges", "statuses"),
    ("tripDuration", "trip"),
    ("acceptRetryAfter", "accept_retry_after"),
];

fn apim_words(schema: &mut schemars::Schema) {
    let properties = schema
        .get_mut("properties")
        .and_then(serde_json::Value::as_object_mut);
    let Some(properties) = properties else { return };
    for (theirs, ours) in APIM_WORDS {
        let mut property = properties[ours].clone();
        property["description"] = format!("`{ours}` in the words of API Management.").into();
        properties.insert(theirs.to_owned(), property);
    }
}
