//! What is counted for one deployment and for one endpoint.

use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::Metrics;
use crate::{
    ids::{DeploymentName, EndpointName, ModelName},
    policy::cause::Cause,
};

/// Of one deployment as a member of a model's pool.
#[derive(Debug, Clone)]
pub struct DeploymentMetrics {
    succeeded: IntCounter,
    /// In the order of [`Cause::ALL`].
    failed: [IntCounter; Cause::ALL.len()],
    duration: Histogram,
    first_token: Histogram,
    output_token: Histogram,
}

impl DeploymentMetrics {
    /// One attempt has ended.
    pub fn attempt(&self, cause: Option<Cause>, took: Duration) {
        match cause {
            None => &self.succeeded,
            Some(cause) => {
                let place = Cause::ALL.iter().position(|&other| other == cause);
                &self.failed[place.expect("every cause is in ALL")]
            }
        }
        .inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// A stream has ended. `to_first`: from the request's head to the first byte; `rest`: from there to the end.
    pub fn stream(&self, to_first: Duration, rest: Duration, tokens: u64) {
        self.first_token.observe(to_first.as_secs_f64());
        if let Some(after_the_first @ 1..) = tokens.checked_sub(1) {
            let each = rest.as_secs_f64() / after_the_first as f64;
            self.output_token.observe(each);
        }
    }
}

/// Who is to blame for how an attempt ended.
pub(super) const fn outcome(cause: Option<Cause>) -> &'static str {
    match cause {
        None => "ok",
        Some(Cause::ClientGone | Cause::BadRequest | Cause::ContentFilter) => "client",
        Some(
            Cause::Auth
            | Cause::Throttled
            | Cause::Absent
            | Cause::Server
            | Cause::Connect
            | Cause::Tls
            | Cause::Dns
            | Cause::Timeout
            | Cause::Stall
            | Cause::Gateway,
        ) => "failed",
    }
}

/// Of one endpoint.
#[derive(Debug, Clone)]
pub struct EndpointMetrics {
    fresh: IntCounter,
    reused: IntCounter,
}

impl EndpointMetrics {
    /// An attempt has its connection.
    pub fn connected(&self, reused: bool) {
        if reused { &self.reused } else { &self.fresh }.inc();
    }
}

impl Metrics {
    #[must_use]
    pub fn deployment(
        &self,
        endpoint: &EndpointName,
        deployment: &DeploymentName,
        model: &ModelName,
    ) -> DeploymentMetrics {
        let (endpoint, model) = (endpoint.as_str(), model.as_str());
        let attempts = |cause: Option<Cause>| {
            self.families.attempts.with_label_values(&[
                endpoint,
                deployment.as_str(),
                model,
                outcome(cause),
                cause.map_or("none", Cause::as_str),
            ])
        };
        let families = &self.families;
        DeploymentMetrics {
            succeeded: attempts(None),
            failed: Cause::ALL.map(|cause| attempts(Some(cause))),
            duration: families
                .attempt_duration
                .with_label_values(&[endpoint, model]),
            first_token: families.first_token.with_label_values(&[endpoint, model]),
            output_token: families.output_token.with_label_values(&[endpoint, model]),
        }
    }

    #[must_use]
    pub fn endpoint(&self, endpoint: &EndpointName) -> EndpointMetrics {
        let with = |reused| {
            self.families
                .upstream_connections
                .with_label_values(&[endpoint.as_str(), reused])
        };
        EndpointMetrics {
            fresh: with("false"),
            reused: with("true"),
        }
    }
}
