//! What the tellers said after an incident.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::support::{Gateway, PATIENCE, client};

pub(super) struct Pages {
    /// Of all requests.
    pub(super) access: Vec<Value>,
    pub(super) status: Value,
    pub(super) event: Value,
    /// For the model that was asked for.
    pub(super) explained: Value,
    /// For each model that there is.
    pub(super) models: Vec<Value>,
    metrics: BTreeMap<String, f64>,
    /// From the first page to the last one.
    took: Duration,
}

impl Pages {
    pub(super) async fn read(gateway: &Gateway, question: &str, access: Vec<Value>) -> Self {
        let json = |page: String| -> Value {
            serde_json::from_str(&page).unwrap_or_else(|_| panic!("no JSON: {page}"))
        };
        let begun = Instant::now();
        let status: Value = json(gateway.admin_page("/status").await);
        let event = timeout(PATIENCE, first_event(gateway)).await;
        let explained = json(gateway.admin_page(question).await);
        let mut models = Vec::new();
        for pool in list(&status["pools"]) {
            let question = format!("/explain?model={}", text(&pool["model"]));
            models.push(json(gateway.admin_page(&question).await));
        }
        let text = gateway.admin_page("/metrics").await;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let metrics = samples
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                Some((series.to_owned(), value.parse().ok()?))
            })
            .collect();
        Self {
            access,
            status,
            event: json(event.expect("an event in time")),
            explained,
            models,
            metrics,
            took: begun.elapsed(),
        }
    }

    /// Seconds by which pages may differ about a time: each reads the clocks for itself, on a machine that may be busy.
    pub(super) fn apart_max(&self) -> f64 {
        self.took.as_secs_f64() + 1.0
    }

    /// The sum of all series of that name with all of these labels; `None` if there are none.
    pub(super) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |series: &str| {
            labels
                .iter()
                .all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
        };
        let found = self
            .metrics
            .iter()
            .filter(|(series, _)| series.split('{').next() == Some(name) && has(series));
        found.map(|(_, value)| *value).reduce(|a, b| a + b)
    }

    /// The last request's line.
    pub(super) fn line(&self) -> &Value {
        self.access.last().expect("somebody asked")
    }

    /// Of all requests: endpoint and outcome.
    pub(super) fn attempts(&self) -> Vec<(&str, &str)> {
        let lines = self.access.iter();
        let attempts = lines.flat_map(|line| list(&line["attempts"]));
        attempts
            .map(|attempt| (text(&attempt["endpoint"]), text(&attempt["outcome"])))
            .collect()
    }

    /// A deployment as `/status` shows it.
    pub(super) fn deployment(&self, model: &Value, endpoint: &str) -> Option<&Value> {
        let pools = list(&self.status["pools"]).iter();
        let mut pools = pools.filter(|pool| pool["model"] == *model);
        let deployments = list(&pools.next()?["deployments"]);
        deployments.iter().find(|one| one["endpoint"] == endpoint)
    }

    /// What `/explain` says of an endpoint.
    pub(super) fn candidate(&self, endpoint: &str) -> &Value {
        let mut candidates = list(&self.explained["candidates"]).iter();
        let found = candidates.find(|one| one["endpoint"] == endpoint);
        found.unwrap_or(&Value::Null)
    }
}

async fn first_event(gateway: &Gateway) -> String {
    let url = format!("http://{}/events", gateway.admin);
    let mut answer = client().get(url).send().await.expect("admin answers");
    let mut stream = String::new();
    loop {
        let chunk = answer.chunk().await.expect("it goes on");
        stream += std::str::from_utf8(&chunk.expect("it goes on")).expect("text");
        if let Some((event, _)) = stream.split_once("\n\n") {
            let data = event.strip_prefix("event: status\ndata: ");
            return data.expect("a status").to_owned();
        }
    }
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
