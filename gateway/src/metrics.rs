//! Every metric of the gateway. The HELP text is the documentation. Labels come from the configuration only, so
//! their number is bounded, and handles are resolved when a snapshot is linked: recording is one atomic add.

use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::{
    ids::{EndpointName, ModelName},
    policy::cause::Cause,
};

#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    attempts: IntCounterVec,
    requests: IntCounterVec,
    /// Attempts beyond the first one of a request.
    pub retries: IntCounter,
    /// Requests that were not retried because the retry budget was spent.
    pub retry_budget_spent: IntCounter,
    /// Requests sent again because a kept-alive connection had died before any response byte.
    pub stale_connections: IntCounter,
    /// Answers that broke off after their first byte had gone to the client.
    pub answers_cut: IntCounter,
    /// Requests whose client left before the answer was complete.
    pub clients_gone: IntCounter,
    /// Failures blamed on the request because two deployments failed in the same way.
    pub requests_blamed: IntCounter,
    /// Times a circuit breaker opened.
    pub breaker_trips: IntCounter,
    /// Bytes of request bodies held in memory.
    pub buffered_bytes: IntGauge,
    reload_successful: IntGauge,
    reload_success_time: IntGauge,
}

/// What is counted for one deployment.
#[derive(Debug, Clone)]
pub struct DeploymentMetrics {
    succeeded: IntCounter,
    failed: [IntCounter; Cause::ALL.len()],
}

impl DeploymentMetrics {
    /// Counts one attempt.
    pub fn attempt(&self, cause: Option<Cause>) {
        let counter = match cause {
            None => &self.succeeded,
            Some(cause) => {
                &self.failed[Cause::ALL
                    .iter()
                    .position(|&c| c == cause)
                    .expect("every cause is in ALL")]
            }
        };
        counter.inc();
    }
}

/// Status classes, as labels: 2xx, 4xx and 5xx.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted for the client requests of one model.
#[derive(Debug, Clone)]
pub struct ModelMetrics([IntCounter; CLASSES.len()]);

impl ModelMetrics {
    pub fn request(&self, status: u16) {
        if let Some(counter) = self.0.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.inc();
        }
    }
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("a constant name is valid");
            registry
                .register(Box::new(counter.clone()))
                .expect("names are unique");
            counter
        };
        let family = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)
                .expect("constant names are valid");
            registry
                .register(Box::new(family.clone()))
                .expect("names are unique");
            family
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("a constant name is valid");
            registry
                .register(Box::new(gauge.clone()))
                .expect("names are unique");
            gauge
        };
        Self {
            attempts: family(
                "tokenweir_attempts_total",
                "Requests sent to a deployment, by how they ended: ok or one cause.",
                &["endpoint", "model", "outcome"],
            ),
            requests: family(
                "tokenweir_requests_total",
                "Client requests by model and class of the status they were answered with.",
                &["model", "status"],
            ),
            retries: counter(
                "tokenweir_retries_total",
                "Attempts beyond the first one of a request.",
            ),
            retry_budget_spent: counter(
                "tokenweir_retry_budget_spent_total",
                "Requests that were not retried because the retry budget was spent.",
            ),
            stale_connections: counter(
                "tokenweir_stale_connections_total",
                "Requests sent again because a kept-alive connection had died before any response byte.",
            ),
            answers_cut: counter(
                "tokenweir_answers_cut_total",
                "Answers that broke off after their first byte had gone to the client.",
            ),
            clients_gone: counter(
                "tokenweir_clients_gone_total",
                "Requests whose client left before the answer was complete.",
            ),
            requests_blamed: counter(
                "tokenweir_requests_blamed_total",
                "Failures blamed on the request because two deployments failed in the same way.",
            ),
            breaker_trips: counter(
                "tokenweir_breaker_trips_total",
                "Times a circuit breaker opened.",
            ),
            buffered_bytes: gauge(
                "tokenweir_buffered_bytes",
                "Bytes of request bodies held in memory.",
            ),
            reload_successful: gauge(
                "tokenweir_config_last_reload_successful",
                "1 if the configuration in use is the last one that was loaded, 0 if that one was refused.",
            ),
            reload_success_time: gauge(
                "tokenweir_config_last_reload_success_timestamp_seconds",
                "When a configuration was last loaded with success, Unix time.",
            ),
            registry,
        }
    }

    #[must_use]
    pub fn deployment(&self, endpoint: &EndpointName, model: &ModelName) -> DeploymentMetrics {
        let with = |outcome| {
            self.attempts
                .with_label_values(&[endpoint.as_str(), model.as_str(), outcome])
        };
        DeploymentMetrics {
            succeeded: with("ok"),
            failed: Cause::ALL.map(|cause| with(cause.as_str())),
        }
    }

    /// `None`: requests for models that nobody serves, or for none at all.
    #[must_use]
    pub fn model(&self, model: Option<&ModelName>) -> ModelMetrics {
        let model = model.map_or("other", ModelName::as_str);
        ModelMetrics(CLASSES.map(|class| self.requests.with_label_values(&[model, class])))
    }

    /// Records how loading a configuration went; `now` is Unix time.
    pub fn reloaded(&self, successful: bool, now: Duration) {
        self.reload_successful.set(i64::from(successful));
        if successful {
            let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            self.reload_success_time.set(seconds);
        }
    }

    /// All metrics in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
