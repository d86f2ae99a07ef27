//! The counters, summed up as people want to see them. Reads what Prometheus would; asked for about once a second by
//! whoever looks, never by a request.

use std::collections::HashMap;

use prometheus::{core::Collector, proto::Metric};

use super::Metrics;

#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub clients: HashMap<String, ClientTotals>,
    pub models: HashMap<String, ModelTotals>,
    /// By endpoint and model.
    pub deployments: HashMap<(String, String), DeploymentTotals>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClientTotals {
    pub requests: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// In the configured currency, where prices are configured.
    pub cost: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelTotals {
    pub requests: u64,
    /// Of these, answered with 5xx.
    pub errors: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeploymentTotals {
    pub ok: u64,
    pub client: u64,
    pub failed: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

impl Metrics {
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let families = &self.families;
        each(&families.requests, |labels, count| {
            let client = totals.clients.entry(labels.owned("client")).or_default();
            client.requests += whole(count);
            let model = totals.models.entry(labels.owned("model")).or_default();
            model.requests += whole(count);
            if labels.get("status") == "5xx" {
                model.errors += whole(count);
            }
        });
        each(&families.attempts, |labels, count| {
            let key = (labels.owned("endpoint"), labels.owned("model"));
            let deployment = totals.deployments.entry(key).or_default();
            match labels.get("outcome") {
                "ok" => deployment.ok += whole(count),
                "client" => deployment.client += whole(count),
                _ => deployment.failed += whole(count),
            }
        });
        each(&families.tokens, |labels, count| {
            let count = whole(count);
            let key = (labels.owned("endpoint"), labels.owned("model"));
            let client = totals.clients.entry(labels.owned("client")).or_default();
            let deployment = totals.deployments.entry(key).or_default();
            match labels.get("direction") {
                "prompt" => {
                    client.prompt_tokens += count;
                    deployment.prompt_tokens += count;
                }
                "completion" => {
                    client.completion_tokens += count;
                    deployment.completion_tokens += count;
                }
                // Parts of the others.
                _ => {}
            }
        });
        each(&families.cost, |labels, cost| {
            let client = totals.clients.entry(labels.owned("client")).or_default();
            *client.cost.get_or_insert(0.0) += cost;
        });
        totals
    }
}

struct Labels<'a>(&'a Metric);

impl Labels<'_> {
    fn get(&self, name: &str) -> &str {
        let pair = self.0.get_label().iter().find(|pair| pair.name() == name);
        pair.map_or("", |pair| pair.value())
    }

    fn owned(&self, name: &str) -> String {
        self.get(name).to_owned()
    }
}

fn each(family: &impl Collector, mut visit: impl FnMut(&Labels<'_>, f64)) {
    for family in family.collect() {
        for metric in family.get_metric() {
            visit(&Labels(metric), metric.get_counter().get_value());
        }
    }
}

/// What an integer counter has counted: Prometheus hands it out as a float.
#[expect(clippy::cast_possible_truncation, reason = "never negative, and whole")]
fn whole(count: f64) -> u64 {
    count as u64
}
