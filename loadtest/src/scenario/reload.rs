//! Can the configuration be read again at any time? It is rewritten and reloaded over and over, every second time
//! with mistakes in it, under a mix of clients; a cool-down and an open breaker must outlive all of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::mix::{Clients, prove, simulator};
use crate::{
    client::{Client, Request},
    clock::{now, sleep_until},
    fleet::{MODEL, Simulator},
    process::Signal,
    report::Report,
    service::{Program, Service, says},
    stop::Stop,
    tally::Tally,
};

/// What is held lasts longer than any run; and no budget hides the failures that lead to it.
const CONFIG: &str = "defaults: { retry: { budget: 100% }, circuit_breaker: { failures: 5, trip: 10m }, \
                      cool_down: { max: 15m } }\n";
const FAILURES: u32 = 5;
const COOL_DOWN_SECONDS: &str = "600";
/// Requests that may be needed until both are held.
const REQUESTS_MAX: u32 = 500;
const IDLE: usize = 8;
const EFFECT_WITHIN: Duration = Duration::from_secs(10);
/// How far a time left may be from what it was, less what has passed.
const SECONDS_OFF_MAX: f64 = 1.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// SIGHUPs, at even intervals
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    reloads: u32,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=500))]
    seconds: u64,
    /// Deployments that the configuration has besides, which nobody asks for
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    deployments: u32,
    #[command(flatten)]
    program: Program,
}

pub(crate) fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    let simulators = [
        simulator("aoi-1")?,
        simulator("aoi-2")?,
        simulator("aoi-3")?,
        simulator("aoi-4")?,
    ];
    let mut service = Service::start(&options.program, &simulators, CONFIG, stop)?;
    let held = hold(&service, &simulators, stop)?;
    let clients = Clients::new(&service, stop)?;
    let idle = clients.idle(IDLE, 0);
    let mix = clients.mix();

    let (mut unexpected, mut violations, mut took) = (0, 0, Vec::new());
    let start = now();
    let interval = Duration::from_secs(options.seconds) / options.reloads;
    for index in 0..options.reloads {
        if stop.is_set() {
            bail!("interrupted");
        }
        sleep_until(start + interval * index);
        let (mut text, expected) = configuration(&service, &simulators, index);
        text += &others(options.deployments, index % 4);
        service.configure(&text)?;
        let sent = now();
        service.signal(Signal::HUP)?;
        let outcomes = [says::RELOADED, says::NOT_RELOADED, says::UNCHANGED];
        let said = service.wait_for(&outcomes, EFFECT_WITHIN)?;
        took.push((now() - sent).as_secs_f64() * 1e3);
        let message = said["message"].as_str().unwrap_or_default();
        unexpected += u32::from(!message.starts_with(expected));
        let status = service.status()?;
        violations += held.iter().filter(|held| !held.holds(&status)).count();
    }
    sleep_until(start + interval * options.reloads);
    let span = now() - start;

    let mut tallies = mix.end()?;
    tallies.push(idle.again());
    if stop.is_set() {
        bail!("interrupted");
    }
    let mut report = Report::new("reload");
    let (reloads, seconds) = (options.reloads, span.as_secs_f64());
    prove(
        &mut report,
        &format!("{reloads} reloads in {seconds:.1} s, every second one of a broken file"),
        tallies,
    );
    report.spread("from SIGHUP to its effect, ms", took);
    report.promise(
        "every good file was used and no broken one",
        unexpected == 0,
    );
    report.fact(
        "times that a cool-down or a breaker was not as before",
        violations as f64,
    );
    report.promise("health outlived every reload", violations == 0);
    Ok(report)
}

/// The file of this turn and what must be said about it. Two good ones in a row differ, or nothing would be swapped.
fn configuration(
    service: &Service,
    simulators: &[Simulator; 4],
    index: u32,
) -> (String, &'static str) {
    let all = simulators.len();
    let document = |weight: i32, endpoints: usize| {
        let weights = std::iter::once(weight).chain(std::iter::repeat(1));
        service.document(simulators.iter().zip(weights).take(endpoints))
    };
    if index % 2 == 1 {
        let text = format!("no_such_key: 1\n{}", document(-1, all));
        return (text, says::NOT_RELOADED);
    }
    let (weight, endpoints) = match index / 2 % 4 {
        0 => (3, all),
        1 => (1, all - 1),
        2 => (3, all - 1),
        _ => (1, all),
    };
    (document(weight, endpoints), says::RELOADED)
}

/// Endpoints with a hundred deployments each, all of which change with the weight.
fn others(deployments: u32, weight: u32) -> String {
    let endpoint = |first: u32| {
        let last = deployments.min(first + 100);
        let models: Vec<String> = (first..last)
            .map(|number| format!("other-{}: {{}}", number % 100))
            .collect();
        format!(
            "  other-{first}: {{ url: \"http://127.0.0.1:9\", credential: fleet, weight: {weight}, deployments: {{ {} }} }}\n",
            models.join(", ")
        )
    };
    (0..deployments).step_by(100).map(endpoint).collect()
}

/// Health that must not change.
struct Held {
    endpoint: &'static str,
    state: &'static str,
    until: Instant,
}

impl Held {
    fn holds(&self, status: &Value) -> bool {
        let left = self.until.saturating_duration_since(now()).as_secs_f64();
        seconds_left(status, self.endpoint, self.state)
            .is_some_and(|seconds| (seconds - left).abs() < SECONDS_OFF_MAX)
    }
}

/// How long the model's deployment at `endpoint` will be in `state`, if it is.
fn seconds_left(status: &Value, endpoint: &str, state: &str) -> Option<f64> {
    let deployments = status[0]["deployments"].as_array()?;
    let found = deployments.iter().find(|one| one["endpoint"] == endpoint)?;
    (found["state"] == state)
        .then(|| found["seconds_left"].as_f64())
        .flatten()
}

/// Puts aoi-2 into a long cool-down and opens the breaker of aoi-3.
fn hold(service: &Service, simulators: &[Simulator; 4], stop: &Stop) -> anyhow::Result<[Held; 2]> {
    let fault = |count: u32, status: u16, headers: Value| {
        json!({
            "deployment": MODEL,
            "count": count,
            "action": { "status": { "status": status, "headers": headers } },
        })
    };
    let pause = json!({ "retry-after": COOL_DOWN_SECONDS });
    simulators[1].fail(&fault(1, 429, pause), stop)?;
    simulators[2].fail(&fault(FAILURES, 500, json!({})), stop)?;
    let mut client = Client::new(&service.front.http1.authority, stop);
    let request = Request {
        bytes: service.front.http1.short(),
        streamed: false,
    };
    let mut not_counted = Tally::new("before", now());
    for _ in 0..REQUESTS_MAX {
        client.ask(&request, &mut not_counted, || {});
        let (status, at) = (service.status()?, now());
        let held = |endpoint, state| {
            let left = seconds_left(&status, endpoint, state)?;
            let until = at + Duration::from_secs_f64(left);
            Some(Held {
                endpoint,
                state,
                until,
            })
        };
        if let (Some(cooling), Some(open)) = (held("aoi-2", "throttling"), held("aoi-3", "error")) {
            return Ok([cooling, open]);
        }
    }
    let status = service.status()?;
    Err(anyhow::anyhow!("{status}")).context("no cool-down and open breaker to hold")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_holds_while_its_state_is_the_same_and_its_time_runs_on() {
        let held = Held {
            endpoint: "aoi-2",
            state: "throttling",
            until: now() + Duration::from_secs(100),
        };
        for (endpoint, state, seconds_left, holds) in [
            ("aoi-2", "throttling", 99.9, true),
            ("aoi-2", "throttling", 60.0, false),
            ("aoi-2", "throttling", 110.0, false),
            ("aoi-2", "error", 99.9, false),
            ("aoi-1", "throttling", 99.9, false),
        ] {
            let one = json!({ "endpoint": endpoint, "state": state, "seconds_left": seconds_left });
            let status = json!([{ "model": MODEL, "deployments": [one] }]);
            assert_eq!(held.holds(&status), holds, "{status}");
        }
        let healthy = json!([{ "deployments": [{ "endpoint": "aoi-2", "state": "healthy" }] }]);
        assert!(!held.holds(&healthy));
    }
}
