//! Takes out what is counted under names that the configuration no longer has, so that a fleet that changes does not
//! fill the memory of whoever scrapes it.

use std::collections::{HashMap, HashSet};

use prometheus::core::{Collector as _, MetricVec, MetricVecBuilder};

use super::{ANONYMOUS, Metrics, OTHER};
use crate::config::{Compiled, compiled::Access};

impl Metrics {
    /// `config`: the one in use. What requests of an older one still count is lost.
    pub fn forget(&self, config: &Compiled) {
        let endpoints = config.endpoints.iter();
        let endpoints: HashSet<&str> = endpoints.map(|endpoint| endpoint.name.as_str()).collect();
        let models = config.models.iter().map(|model| model.name.as_str());
        let models: HashSet<&str> = models.chain([OTHER]).collect();
        let mut clients = HashSet::from([OTHER, ANONYMOUS]);
        if let Access::Clients(configured) = &config.access {
            clients.extend(configured.list.iter().map(|client| client.name.as_str()));
        }
        let stays = |label: &str, value: &str| match label {
            "endpoint" => endpoints.contains(value),
            "model" => models.contains(value),
            "client" => clients.contains(value),
            // Words of ours, or names below an endpoint.
            _ => true,
        };
        let families = &self.families;
        retain(&families.requests, stays);
        retain(&families.request_duration, stays);
        retain(&families.overhead, stays);
        retain(&families.first_token, stays);
        retain(&families.output_token, stays);
        retain(&families.attempts, stays);
        retain(&families.attempt_duration, stays);
        retain(&families.tokens, stays);
        retain(&families.cost, stays);
        retain(&families.upstream_connections, stays);
    }
}

fn retain<T: MetricVecBuilder>(family: &MetricVec<T>, stays: impl Fn(&str, &str) -> bool) {
    for metric in family
        .collect()
        .iter()
        .flat_map(|family| family.get_metric())
    {
        let labels = metric.get_label().iter();
        let labels: HashMap<&str, &str> = labels.map(|pair| (pair.name(), pair.value())).collect();
        if !labels.iter().all(|(label, value)| stays(label, value)) {
            // Somebody else may have been faster.
            let _ = family.remove(&labels);
        }
    }
}
