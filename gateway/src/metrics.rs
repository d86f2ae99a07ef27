//! Every metric of the gateway; the doc comment of a family is its HELP text. Labels come from the configuration only,
//! so their number is bounded: a model that nobody serves and a caller who is nobody are `other`. Handles are resolved
//! when a snapshot is linked, or once when a pair of client and model first meets: recording is a few atomic
//! operations.

mod account;
mod deployment;
mod family;
mod forget;
mod live;
mod totals;

use std::time::Duration;

use prometheus::{
    CounterVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, TextEncoder, process_collector::ProcessCollector, proto::MetricFamily,
};

use self::family::families;
pub use self::{
    account::{Accounts, Asked, Caller},
    deployment::{DeploymentMetrics, EndpointMetrics},
    family::Description,
    live::{Live, Standings},
    totals::{ClientTotals, DeploymentTotals, ModelTotals, Totals},
};
use crate::ids::ModelName;

/// Models that nobody serves, callers that are nobody, paths that do not exist.
pub const OTHER: &str = "other";
/// The callers of a gateway that is open to everybody.
pub const ANONYMOUS: &str = "anonymous";

/// From tens of microseconds: what the gateway itself takes.
const OVERHEAD: &[f64] = &[
    0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.5, 1.0,
];
/// Of whole answers: embeddings take milliseconds, reasoning models half an hour.
const DURATION: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
    600.0, 1800.0,
];
/// Models that reason are silent for minutes.
const FIRST_TOKEN: &[f64] = &[
    0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0,
    120.0, 300.0,
];
const OUTPUT_TOKEN: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
    0.5, 1.0, 2.5,
];

families! {
    #[derive(Debug, Clone)]
    pub(super) struct Families {
        /// Client requests by client, model, operation and class of the status they were answered with.
        requests: IntCounterVec = "tokenweir_requests_total" ["client", "model", "operation", "status"];
        /// Time from a request's head to the end of its answer, with all its attempts.
        request_duration: HistogramVec = "tokenweir_request_duration_seconds" ["model"] in DURATION;
        /// Time that the gateway itself took of a request: all of it but its attempts and the wait for its body.
        overhead: HistogramVec = "tokenweir_overhead_seconds" ["model"] in OVERHEAD;
        /// Time from a request's head to the first byte of a streamed answer.
        first_token: HistogramVec = "tokenweir_time_to_first_token_seconds" ["endpoint", "model"] in FIRST_TOKEN;
        /// Time for each token after the first one of a streamed answer.
        output_token: HistogramVec = "tokenweir_time_per_output_token_seconds" ["endpoint", "model"] in OUTPUT_TOKEN;
        /// Requests sent to a deployment, by how they ended (ok; client: its own fault; failed) and why.
        attempts: IntCounterVec = "tokenweir_attempts_total" ["endpoint", "deployment", "model", "outcome", "cause"];
        /// Time of one attempt, from its beginning to its failure or to the end of its answer.
        attempt_duration: HistogramVec = "tokenweir_attempt_duration_seconds" ["endpoint", "model"] in DURATION;
        /// Attempts beyond the first one of a request.
        retries: IntCounter = "tokenweir_retries_total";
        /// Requests that were not retried because the retry budget was spent.
        retry_budget_spent: IntCounter = "tokenweir_retry_budget_spent_total";
        /// Requests sent again because a kept-alive connection had died before any response byte.
        stale_connections: IntCounter = "tokenweir_stale_connections_total";
        /// Answers that broke off after their first byte had gone to the client.
        answers_cut: IntCounter = "tokenweir_answers_cut_total";
        /// Requests whose client left before the answer was complete.
        clients_gone: IntCounter = "tokenweir_clients_gone_total";
        /// Failures blamed on the request because two deployments failed in the same way.
        requests_blamed: IntCounter = "tokenweir_requests_blamed_total";
        /// Times a circuit breaker opened.
        breaker_trips: IntCounter = "tokenweir_breaker_trips_total";
        /// Tokens by who asked for them, who served them, and direction; cached is part of prompt, reasoning of
        /// completion. Estimated: the answer broke off before the provider had counted them.
        tokens: IntCounterVec = "tokenweir_tokens_total" ["client", "model", "endpoint", "direction", "estimated"];
        /// What the tokens cost at the configured prices.
        cost: CounterVec = "tokenweir_cost_total" ["client", "model", "endpoint", "currency"];
        /// Streamed answers under way.
        streams_open: IntGauge = "tokenweir_streams_open";
        /// Attempts by whether their connection to the endpoint had been used before.
        upstream_connections: IntCounterVec = "tokenweir_upstream_connections_total" ["endpoint", "reused"];
        /// Connections of clients that are open.
        client_connections: IntGauge = "tokenweir_client_connections";
        /// Connections that clients have opened.
        client_connections_total: IntCounter = "tokenweir_client_connections_total";
        /// Connections of clients that did not come to speak TLS.
        handshakes_failed: IntCounter = "tokenweir_handshakes_failed_total";
        /// Bytes of request bodies held in memory.
        buffered_bytes: IntGauge = "tokenweir_buffered_bytes";
        /// Spans that were not exported because the collector did not take them.
        spans_dropped: IntCounter = "tokenweir_spans_dropped_total";
        /// 1 if the configuration in use is the last one that was loaded, 0 if that one was refused.
        reload_successful: IntGauge = "tokenweir_config_last_reload_successful";
        /// When a configuration was last loaded with success, Unix time.
        reload_success_time: IntGauge = "tokenweir_config_last_reload_success_timestamp_seconds";
        /// Configurations loaded, by whether they came into use: ok or refused.
        reloads: IntCounterVec = "tokenweir_config_reloads_total" ["result"];
        /// 1 for the version of this program.
        build: IntGaugeVec = "tokenweir_build_info" ["version"];
    }
}

#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    families: Families,
}

/// What is counted for the requests of one model.
#[derive(Debug, Clone)]
pub struct ModelMetrics {
    duration: Histogram,
    overhead: Histogram,
}

impl ModelMetrics {
    /// A request has ended: how long it took, and how much of that the gateway itself.
    pub fn request(&self, took: Duration, overhead: Duration) {
        self.duration.observe(took.as_secs_f64());
        self.overhead.observe(overhead.as_secs_f64());
    }
}

/// Counts one up for as long as it lives.
#[derive(Debug)]
pub struct Open(IntGauge);

impl Open {
    #[must_use]
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

macro_rules! handles {
    ($($name:ident: $kind:ty),* $(,)?) => {
        /// The families without labels.
        impl Metrics {
            $(#[must_use]
            pub fn $name(&self) -> &$kind {
                &self.families.$name
            })*
        }
    };
}

handles! {
    retries: IntCounter,
    retry_budget_spent: IntCounter,
    stale_connections: IntCounter,
    answers_cut: IntCounter,
    clients_gone: IntCounter,
    requests_blamed: IntCounter,
    breaker_trips: IntCounter,
    streams_open: IntGauge,
    client_connections: IntGauge,
    client_connections_total: IntCounter,
    handshakes_failed: IntCounter,
    buffered_bytes: IntGauge,
    spans_dropped: IntCounter,
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let families = Families::register(&registry);
        families
            .build
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        for result in ["ok", "refused"] {
            families.reloads.with_label_values(&[result]);
        }
        // CPU, memory, descriptors and threads, under the names that all exporters use.
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .expect("names are unique");
        Self { registry, families }
    }

    /// Every family that there is but those about the process, in alphabetical order.
    #[must_use]
    pub fn descriptions() -> Vec<Description> {
        let mut all = [Families::DESCRIPTIONS, live::DESCRIPTIONS].concat();
        all.sort_by_key(|description| description.name);
        all
    }

    /// `None`: requests for models that nobody serves, or for none at all.
    #[must_use]
    pub fn model(&self, model: Option<&ModelName>) -> ModelMetrics {
        let model = model.map_or(OTHER, ModelName::as_str);
        ModelMetrics {
            duration: self.families.request_duration.with_label_values(&[model]),
            overhead: self.families.overhead.with_label_values(&[model]),
        }
    }

    /// Records how loading a configuration went; `now` is Unix time.
    pub fn reloaded(&self, successful: bool, now: Duration) {
        let result = if successful { "ok" } else { "refused" };
        self.families.reloads.with_label_values(&[result]).inc();
        self.families.reload_successful.set(i64::from(successful));
        if successful {
            let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            self.families.reload_success_time.set(seconds);
        }
    }

    /// All metrics in the Prometheus text format, those of live state included.
    #[must_use]
    pub fn render(&self, live: Vec<MetricFamily>) -> String {
        let mut families = self.registry.gather();
        families.extend(live);
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
