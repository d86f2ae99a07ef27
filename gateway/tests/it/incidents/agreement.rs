//! Whether all tell the truth, and the same. Each disagreement names its teller.

use serde_json::Value;

use super::{
    Standing, Truth,
    pages::{Pages, list, text},
};
use crate::support::Seen;

const STATES: [&str; 5] = ["healthy", "throttling", "error", "recovering", "disabled"];

#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    fn expect<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, said: T, truth: T) {
        if said != truth {
            self.0
                .push(format!("{what}: {said:?} instead of {truth:?}"));
        }
    }

    fn near(&mut self, what: &str, said: &Value, truth: Option<f64>, apart_max: f64) {
        self.near_number(what, said.as_f64(), truth, apart_max);
    }

    fn near_number(&mut self, what: &str, said: Option<f64>, truth: Option<f64>, apart_max: f64) {
        if !near(said, truth, apart_max) {
            self.0
                .push(format!("{what}: {said:?} instead of {truth:?}"));
        }
    }
}

impl Truth {
    pub(super) fn compare(&self, pages: &Pages, seen: Option<&Seen>) -> Vec<String> {
        let mut said = Said::default();
        if let Some(seen) = seen {
            said.expect("client: status", seen.status, self.status);
            let wait = seen.wait();
            said.near_number("client: retry-after", wait, self.wait, 5.0);
        }
        self.access(pages, &mut said);
        self.explained(pages, &mut said);
        self.status(pages, &mut said);
        self.metrics(pages, &mut said);
        said.0
    }

    fn access(&self, pages: &Pages, said: &mut Said) {
        let line = pages.line();
        let attempts: Vec<String> = list(&line["attempts"]).iter().map(attempt).collect();
        said.expect("access: attempts", attempts, owned(&self.attempts));
        for (field, truth) in [
            ("status", self.status.into()),
            ("error", self.error.into()),
            ("stopped", self.stopped.into()),
            ("decision", self.decision.into()),
            ("cut", self.cut.then_some(true).into()),
            ("blamed", self.blamed.then_some(true).into()),
        ] {
            said.expect(&format!("access: {field}"), &line[field], &truth);
        }
    }

    fn explained(&self, pages: &Pages, said: &mut Said) {
        let explained = &pages.explained;
        said.expect(
            "explain: verdict",
            text(&explained["verdict"]),
            self.verdict,
        );
        let Standing {
            explained: reason,
            detail,
            ..
        } = self.standing;
        let candidate = pages.candidate("aoi-1");
        said.expect("explain: reason", text(&candidate["reason"]), reason);
        if !text(&candidate["detail"]).contains(detail) {
            let sentence = &candidate["detail"];
            said.0
                .push(format!("explain: detail: {sentence} has no {detail:?}"));
        }
        if let (Some(wait), "nobody") = (self.wait, self.verdict) {
            let seconds = &explained["retry_after_seconds"];
            said.near("explain: retry_after_seconds", seconds, Some(wait), 5.0);
        }
    }

    fn status(&self, pages: &Pages, said: &mut Said) {
        let Some(deployment) = pages.deployment(&pages.explained["model"], "aoi-1") else {
            return;
        };
        let Standing {
            state,
            reason,
            seconds,
            ..
        } = self.standing;
        said.expect("status: state", text(&deployment["state"]), state);
        said.expect("status: reason", &deployment["reason"], &reason.into());
        let (since, until) = (deployment["since"].as_f64(), deployment["until"].as_f64());
        let lasts = until.map(|until| until - since.unwrap_or_default());
        said.near_number("status: until - since", lasts, seconds, 0.1);
        let errors = list(&deployment["last_errors"]);
        let failures: Vec<String> = errors.iter().map(failure).collect();
        said.expect("status: last_errors", failures, owned(&self.failures));
        // What has taken it out is among them.
        let mut errors = errors.iter();
        let began = |error: &&Value| near(error["at"].as_f64(), since, 0.1);
        if until.is_some() {
            match errors.find(began) {
                None => said
                    .0
                    .push("status: no error at the time of since".to_owned()),
                Some(error) if error["cause"] == deployment["reason"] => {
                    let wait = error["wait_seconds"].as_f64();
                    said.near_number("status: wait_seconds", wait, seconds, 0.1);
                }
                Some(_) => {}
            }
        }
    }

    fn metrics(&self, pages: &Pages, said: &mut Said) {
        for name in [
            "retries",
            "retry_budget_spent",
            "answers_cut",
            "clients_gone",
            "requests_blamed",
            "breaker_trips",
        ] {
            let mut counted = self.counted.iter();
            let truth = counted.find(|(counted, _)| *counted == name);
            let truth = truth.map_or(0.0, |(_, count)| *count);
            let name = format!("tokenweir_{name}_total");
            said.expect(
                &format!("metrics: {name}"),
                pages.metric(&name, &[]),
                Some(truth),
            );
        }
        if let Some(model) = pages.explained["model"].as_str() {
            let usable = pages.metric("tokenweir_pool_usable_deployments", &[("model", model)]);
            said.expect(
                "metrics: usable deployments",
                usable,
                Some(self.usable.into()),
            );
        }
    }
}

impl Pages {
    /// Where one teller says something else than another, whatever the truth is.
    pub(super) fn disagreements(&self) -> Vec<String> {
        let mut said = Said::default();
        self.alike(&self.event, &self.status, "events", &mut said);
        self.requests(&mut said);
        self.attempts_counted(&mut said);
        for pool in list(&self.status["pools"]) {
            self.pool(pool, &mut said);
        }
        for endpoint in list(&self.status["endpoints"]) {
            for switch in ["disabled", "drained"] {
                let labels = [("endpoint", text(&endpoint["name"])), ("switch", switch)];
                let set = self.metric("tokenweir_endpoint_switched", &labels);
                let truth = (endpoint["switch"] == switch).then_some(1.0);
                said.expect("metrics: endpoint_switched", set, truth);
            }
        }
        for explained in self.models.iter().chain([&self.explained]) {
            self.candidates(explained, &mut said);
        }
        said.0
    }

    /// Each has its line, and is counted for its client, its model and its status.
    fn requests(&self, said: &mut Said) {
        let name = "tokenweir_requests_total";
        let is_open = self.status["clients"][0]["name"] == "anonymous";
        let nobody = if is_open { "anonymous" } else { "other" };
        let labels = |line: &Value| {
            let word = |field: &str, other: &str| line[field].as_str().unwrap_or(other).to_owned();
            let class = format!("{}xx", line["status"].as_u64().unwrap_or_default() / 100);
            [word("client", nobody), word("model", "other"), class]
        };
        let all: Vec<_> = self.access.iter().map(labels).collect();
        for one in &all {
            let [client, model, status] = one;
            let labels = [("client", &**client), ("model", model), ("status", status)];
            let lines = all.iter().filter(|&other| other == one).count();
            said.expect(
                &format!("metrics: {name}{labels:?}"),
                self.metric(name, &labels),
                Some(lines as f64),
            );
        }
        let total = self.metric(name, &[]).unwrap_or_default();
        said.expect("metrics: requests", total, self.access.len() as f64);
        for (clients, field, label) in [("clients", "name", "client"), ("pools", "model", "model")]
        {
            for one in list(&self.status[clients]) {
                let labels = [(label, text(&one[field]))];
                let counted = self.metric(name, &labels).unwrap_or_default();
                said.expect(
                    &format!("status: requests of {clients} {}", one[field]),
                    one["requests"].as_f64(),
                    Some(counted),
                );
            }
        }
    }

    fn attempts_counted(&self, said: &mut Said) {
        let name = "tokenweir_attempts_total";
        let attempts = self.attempts();
        for &(endpoint, outcome) in &attempts {
            let same = attempts.iter().filter(|&&one| one == (endpoint, outcome));
            let cause = if outcome == "ok" { "none" } else { outcome };
            let kind = match outcome {
                "ok" => "ok",
                "client_gone" | "bad_request" | "content_filter" => "client",
                _ => "failed",
            };
            let labels = [("endpoint", endpoint), ("cause", cause), ("outcome", kind)];
            said.expect(
                &format!("metrics: {name}{labels:?}"),
                self.metric(name, &labels),
                Some(same.count() as f64),
            );
        }
        let total = self.metric(name, &[]);
        said.expect("metrics: attempts", total, Some(attempts.len() as f64));
    }

    fn pool(&self, pool: &Value, said: &mut Said) {
        let model = text(&pool["model"]);
        let deployments = list(&pool["deployments"]);
        for (name, truth) in [
            ("tokenweir_pool_usable_deployments", pool["usable"].as_f64()),
            ("tokenweir_pool_deployments", Some(deployments.len() as f64)),
        ] {
            let gauge = self.metric(name, &[("model", model)]);
            said.expect(&format!("metrics: {name} of {model}"), gauge, truth);
        }
        for deployment in deployments {
            let endpoint = text(&deployment["endpoint"]);
            let labels = [("endpoint", endpoint), ("model", model)];
            let what = |name: &str| format!("metrics: {name} of {endpoint} {model}");
            for state in STATES {
                let labels = [labels[0], labels[1], ("state", state)];
                let gauge = self.metric("tokenweir_deployment_state", &labels);
                let truth = f64::from(u8::from(deployment["state"] == state));
                said.expect(
                    &what(&format!("deployment_state {state}")),
                    gauge,
                    Some(truth),
                );
            }
            let left = deployment["seconds_left"].as_f64().unwrap_or_default();
            let gauge = self.metric("tokenweir_cool_down_seconds", &labels);
            said.near_number(&what("cool_down"), gauge, Some(left), self.apart_max());
            let gauge = self.metric("tokenweir_in_flight", &labels);
            said.expect(&what("in_flight"), gauge, deployment["in_flight"].as_f64());
            let gauge = self.metric("tokenweir_utilization_ratio", &labels);
            said.expect(
                &what("utilization"),
                gauge,
                deployment["utilization"].as_f64(),
            );
            for outcome in ["ok", "client", "failed"] {
                let labels = [labels[0], labels[1], ("outcome", outcome)];
                said.expect(
                    &format!("status: attempts of {endpoint} {model}: {outcome}"),
                    deployment["attempts"][outcome].as_f64(),
                    self.metric("tokenweir_attempts_total", &labels),
                );
            }
        }
    }

    /// The same, but for the time that has passed between the two.
    fn alike(&self, one: &Value, other: &Value, path: &str, said: &mut Said) {
        match (one, other) {
            (Value::Object(one), Value::Object(other)) => {
                said.expect(
                    path,
                    one.keys().collect::<Vec<_>>(),
                    other.keys().collect::<Vec<_>>(),
                );
                for (key, value) in one {
                    let path = format!("{path}.{key}");
                    let beside = other.get(key).unwrap_or(&Value::Null);
                    match &**key {
                        "now" | "since" | "until" | "seconds_left" | "at" => {
                            said.near(&path, value, beside.as_f64(), self.apart_max());
                        }
                        _ => self.alike(value, beside, &path, said),
                    }
                }
            }
            (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
                for (index, (one, other)) in one.iter().zip(other).enumerate() {
                    self.alike(one, other, &format!("{path}[{index}]"), said);
                }
            }
            (_, _) => said.expect(path, one, other),
        }
    }

    /// `/explain` beside `/status`.
    fn candidates(&self, explained: &Value, said: &mut Said) {
        let candidates = list(&explained["candidates"]);
        let shares: f64 = candidates
            .iter()
            .filter_map(|one| one["share"].as_f64())
            .sum();
        let served = f64::from(u8::from(explained["verdict"] == "served"));
        said.near_number("explain: shares", Some(shares), Some(served), 0.01);
        for candidate in candidates {
            let endpoint = text(&candidate["endpoint"]);
            let Some(deployment) = self.deployment(&explained["model"], endpoint) else {
                said.expect(endpoint, text(&candidate["reason"]), "no_deployment");
                continue;
            };
            let state = text(&deployment["state"]);
            said.expect(
                &format!("explain: state of {endpoint} {}", explained["model"]),
                text(&candidate["state"]),
                state,
            );
            for field in ["since", "until"] {
                let what = format!("explain: {field} of {endpoint} {}", explained["model"]);
                let truth = deployment[field].as_f64();
                said.near(&what, &candidate[field], truth, self.apart_max());
            }
            let states: &[_] = match text(&candidate["reason"]) {
                "ready" | "lower_priority" => &["healthy", "recovering"],
                "cooling_down" => &["throttling", "error"],
                "breaker_open" | "last_resort" | "no_credential" => &["error"],
                "disabled" | "drained" | "weight_zero" => &["disabled"],
                _ => &[],
            };
            if !states.contains(&state) {
                let reason = &candidate["reason"];
                said.0
                    .push(format!("explain: {endpoint} is {reason}, but {state}"));
            }
        }
    }
}

fn near(one: Option<f64>, other: Option<f64>, apart_max: f64) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= apart_max,
        (one, other) => one == other,
    }
}

/// `aoi-1 throttled 429`
fn attempt(attempt: &Value) -> String {
    let words = [
        &attempt["endpoint"],
        &attempt["outcome"],
        &attempt["status"],
    ];
    joined(&words)
}

/// `throttled 429`
fn failure(failure: &Value) -> String {
    joined(&[&failure["cause"], &failure["status"]])
}

fn joined(values: &[&Value]) -> String {
    let words = values.iter().filter(|value| !value.is_null());
    let words = words.map(|value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    });
    words.collect::<Vec<_>>().join(" ")
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
