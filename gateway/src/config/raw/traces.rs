//! Export of spans as the operator writes it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Entries, Percent, RawSecret};

/// Spans of requests for an OpenTelemetry collector.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawTraces {
    /// Address of the collector for OTLP over HTTP; `/v1/traces` is added.
    #[schemars(required)]
    pub(in crate::config) otlp: Option<String>,
    /// Share of the traces that begin here; where a client's `traceparent` says whether it is sampled, that counts.
    #[schemars(extend("default" = "10%"))]
    pub(in crate::config) sample: Option<Percent>,
    /// Headers for the collector, such as `authorization`; the value of each is a secret.
    pub(in crate::config) headers: Option<Entries<RawSecret>>,
    /// How the gateway is called in traces.
    #[schemars(extend("default" = "tokenweir"))]
    pub(in crate::config) service_name: Option<String>,
}
