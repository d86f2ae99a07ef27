//! Gauges that are read off live state when somebody looks: made anew for each scrape, so that what is configured no
//! longer is shown no longer, and a request pays nothing for them.

use prometheus::{GaugeVec, IntCounter, IntGauge, IntGaugeVec, Registry, proto::MetricFamily};

use super::family::{Description, families};

families! {
    pub(super) struct Gauges {
        /// 1 for the state a deployment is in: healthy, throttling, error, recovering or disabled.
        state: IntGaugeVec = "tokenweir_deployment_state" ["endpoint", "deployment", "model", "state"];
        /// How long a deployment will stay out, 0 if it is not out.
        cool_down: GaugeVec = "tokenweir_cool_down_seconds" ["endpoint", "deployment", "model"];
        /// Attempts under way.
        in_flight: IntGaugeVec = "tokenweir_in_flight" ["endpoint", "deployment", "model"];
        /// Requests left in the provider's window, as it last said.
        quota_requests: IntGaugeVec = "tokenweir_quota_remaining_requests" ["endpoint", "deployment", "model"];
        /// Tokens left in the provider's window, as it last said.
        quota_tokens: IntGaugeVec = "tokenweir_quota_remaining_tokens" ["endpoint", "deployment", "model"];
        /// Use of a provisioned deployment, as it last said; 1 is all of it.
        utilization: GaugeVec = "tokenweir_utilization_ratio" ["endpoint", "deployment", "model"];
        /// Deployments of a model that can be sent to now.
        usable: IntGaugeVec = "tokenweir_pool_usable_deployments" ["model"];
        /// Deployments of a model.
        deployments: IntGaugeVec = "tokenweir_pool_deployments" ["model"];
        /// 1 for an endpoint that an operator has disabled or drained.
        switched: IntGaugeVec = "tokenweir_endpoint_switched" ["endpoint", "switch"];
        /// When the token of a credential expires, Unix time; 0: there is none.
        credential_expiry: GaugeVec = "tokenweir_credential_expiry_timestamp_seconds" ["credential"];
        /// How long ago the keys of a token issuer were fetched; infinite while there are none.
        key_set_age: GaugeVec = "tokenweir_key_set_age_seconds" ["issuer"];
        /// When the first of a listener's certificates expires, Unix time.
        certificate_expiry: GaugeVec = "tokenweir_certificate_expiry_timestamp_seconds" ["listener"];
        /// Lines that were not logged because the log was not written as fast as they came.
        log_lines_dropped: IntCounter = "tokenweir_log_lines_dropped_total";
        /// Requests under way.
        requests_in_flight: IntGauge = "tokenweir_requests_in_flight";
        /// 1 for the configuration in use.
        config: IntGaugeVec = "tokenweir_config_info" ["hash"];
    }
}

pub(super) const DESCRIPTIONS: &[Description] = Gauges::DESCRIPTIONS;

/// The states of deployments, as labels.
const STATES: [&str; 5] = ["healthy", "throttling", "error", "recovering", "disabled"];

/// One scrape.
pub struct Live {
    registry: Registry,
    gauges: Gauges,
}

/// How a deployment stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standings {
    pub state: &'static str,
    pub cool_down_seconds: f64,
    pub in_flight: u32,
    pub quota_requests: Option<u64>,
    pub quota_tokens: Option<u64>,
    pub utilization: Option<f64>,
}

impl Live {
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let gauges = Gauges::register(&registry);
        Self { registry, gauges }
    }

    /// `labels`: endpoint, deployment, model.
    pub fn deployment(&self, labels: [&str; 3], standings: &Standings) {
        let [endpoint, deployment, model] = labels;
        for state in STATES {
            self.gauges
                .state
                .with_label_values(&[endpoint, deployment, model, state])
                .set(i64::from(state == standings.state));
        }
        let labels = &labels;
        let Standings {
            state: _,
            cool_down_seconds,
            in_flight,
            quota_requests,
            quota_tokens,
            utilization,
        } = *standings;
        self.gauges
            .cool_down
            .with_label_values(labels)
            .set(cool_down_seconds);
        self.gauges
            .in_flight
            .with_label_values(labels)
            .set(in_flight.into());
        for (family, left) in [
            (&self.gauges.quota_requests, quota_requests),
            (&self.gauges.quota_tokens, quota_tokens),
        ] {
            if let Some(left) = left {
                let left = i64::try_from(left).unwrap_or(i64::MAX);
                family.with_label_values(labels).set(left);
            }
        }
        if let Some(utilization) = utilization {
            self.gauges
                .utilization
                .with_label_values(labels)
                .set(utilization);
        }
    }

    pub fn pool(&self, model: &str, usable: usize, deployments: usize) {
        for (family, count) in [
            (&self.gauges.usable, usable),
            (&self.gauges.deployments, deployments),
        ] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            family.with_label_values(&[model]).set(count);
        }
    }

    /// `switch`: `disabled` or `drained`.
    pub fn switched(&self, endpoint: &str, switch: &str) {
        let labels = [endpoint, switch];
        self.gauges.switched.with_label_values(&labels).set(1);
    }

    /// Seconds, Unix time.
    pub fn credential(&self, name: &str, expiry: f64) {
        let family = &self.gauges.credential_expiry;
        family.with_label_values(&[name]).set(expiry);
    }

    pub fn key_set(&self, issuer: &str, age_seconds: f64) {
        let family = &self.gauges.key_set_age;
        family.with_label_values(&[issuer]).set(age_seconds);
    }

    /// Seconds, Unix time.
    pub fn certificate(&self, listener: &str, expiry: f64) {
        let family = &self.gauges.certificate_expiry;
        family.with_label_values(&[listener]).set(expiry);
    }

    pub fn process(&self, requests: usize, log_lines_dropped: u64, config_hash: &str) {
        self.gauges.log_lines_dropped.inc_by(log_lines_dropped);
        let requests = i64::try_from(requests).unwrap_or(i64::MAX);
        self.gauges.requests_in_flight.set(requests);
        self.gauges.config.with_label_values(&[config_hash]).set(1);
    }

    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}
