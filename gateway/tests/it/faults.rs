//! Every way in which a provider can fail, as a table: its cause, what it does to the deployment, who else was
//! asked, and what the client saw. The resources are in strict order, so the first one is always tried first.

mod rows;

use std::collections::BTreeMap;

use simulator::{Action, Behaviour, Deployment, Fault};

use self::rows::rows;
use crate::support::{CHAT, Fleet, Gateway, Seen, client, in_order, try_all};

/// One failure opens the breaker, so its effect shows; all waits are longer than a slow machine.
const CONFIG: &str = "
defaults:
  timeouts: { read: 1s, read_stream: 1s }
  circuit_breaker: { failures: 1 }
  cool_down: { min: 5s }
";
/// Of a stream, so that its first events are with the client before a fault at the fourth or later.
const TOKENS_PER_SECOND: u32 = 5;
const STREAM: &str = r#"{"messages":[{"role":"user","content":"hello"}],"stream":true}"#;

struct Row {
    name: &'static str,
    /// Number of the resource and what goes wrong there, every time.
    faults: Vec<(usize, Action)>,
    world: World,
    stream: bool,
    expected: Observed,
}

/// What is wrong besides the faults.
enum World {
    Fine,
    /// The gateway holds an idle connection to each resource.
    Warm,
    /// The first resource does not listen.
    Stopped,
    /// The first endpoint has another URL.
    Url(&'static str),
}

/// What a row is about. Times are rounded up to a multiple of five seconds.
#[derive(Debug, Clone, PartialEq)]
struct Observed {
    /// Of each attempt, from the access log.
    outcomes: Vec<String>,
    /// Upstream requests at each resource.
    requests: [u64; 3],
    status: u16,
    /// `error.code` as the client saw it.
    code: String,
    /// The body of the answer is that of the fault, byte for byte.
    exact: bool,
    ending: Ending,
    /// Seconds after which the client is asked to come back.
    wait: Option<u32>,
    /// State of the first deployment afterwards: `state`, `reason` and seconds.
    standing: String,
    /// The other deployments of that endpoint are in the same state.
    whole_endpoint: bool,
    /// Breakers that opened.
    trips: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Complete,
    /// Of a stream of events, with `[DONE]` at the end.
    Done,
    /// The framing was broken off, and nothing claims otherwise.
    Cut,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn every_fault_has_its_cause_its_effect_and_its_answer() {
    let rows = rows();
    assert!(rows.len() >= 40);
    let wrong = |row: Row| async move {
        let observed = observe(&row).await;
        (observed != row.expected).then(|| {
            format!(
                "{}\n expected {:?}\n observed {observed:?}",
                row.name, row.expected
            )
        })
    };
    try_all(rows, wrong).await;
}

async fn observe(row: &Row) -> Observed {
    let url = match row.world {
        World::Url(url) => format!("    url: {url}\n"),
        World::Fine | World::Warm | World::Stopped => String::new(),
    };
    let mut fleet = Fleet::with(
        CONFIG,
        |_, mut resource| {
            if row.stream {
                resource.deployments = resource.deployments.into_iter().map(paced).collect();
            }
            resource
        },
        |name| in_order(name) + if name == "aoi-1" { &url } else { "" },
    )
    .await;
    if matches!(row.world, World::Warm) {
        assert_eq!(fleet.chat("gpt-4o").await.status(), 200);
        let _ = fleet.gateway.next_access();
    }
    if matches!(row.world, World::Stopped) {
        fleet.simulators[0].stop().await;
    }
    let before = fleet.requests("gpt-4o");
    for (number, action) in &row.faults {
        let fault = Fault::new(action.clone()).on("gpt-4o");
        // A fault of a kept-alive connection happens once: the next connection is a new one.
        let fault = if matches!(row.world, World::Warm) {
            fault.times(1)
        } else {
            fault
        };
        fleet.aoi(*number).inject(fault);
    }
    let body = if row.stream { STREAM } else { CHAT };
    let answer = client()
        .post(fleet.chat_url("gpt-4o"))
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap_or_else(|error| panic!("{}: no answer: {error}", row.name));
    let seen = Seen::read(answer).await;
    let outcomes = outcomes(&mut fleet.gateway);
    if seen.complete {
        let attempts = outcomes.len().to_string();
        assert_eq!(
            seen.header("x-tokenweir-attempts"),
            Some(&*attempts),
            "{}",
            row.name
        );
    }
    let first = standing(&fleet.gateway, "gpt-4o").await;
    let other = standing(&fleet.gateway, "embedding-3-small").await;
    let after = fleet.requests("gpt-4o");
    Observed {
        outcomes,
        requests: [0, 1, 2].map(|at| after[at] - before[at]),
        status: seen.status,
        code: seen.code(),
        exact: row.faults.iter().any(|(_, action)| {
            matches!(action, Action::Status { body: Some(body), .. } if body.as_bytes() == seen.body)
        }),
        ending: ending(&seen),
        wait: seen.wait().map(rounded),
        whole_endpoint: first == other && first != "healthy",
        standing: first,
        trips: rounded_to(
            fleet.gateway.metric("tokenweir_breaker_trips_total").await,
            1.0,
        ),
    }
}

fn paced(deployment: Deployment) -> Deployment {
    deployment.behaviour(Behaviour {
        tokens_per_second: TOKENS_PER_SECOND,
        answer_tokens: 3,
        ..Behaviour::default()
    })
}

fn outcomes(gateway: &mut Gateway) -> Vec<String> {
    let line = gateway.next_access();
    let attempts = line["attempts"].as_array().expect("attempts");
    attempts
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap_or("?").to_owned())
        .collect()
}

fn ending(seen: &Seen) -> Ending {
    let done = seen.text().ends_with("data: [DONE]\n\n");
    match (seen.complete, done) {
        (true, true) => Ending::Done,
        (true, false) => Ending::Complete,
        (false, false) => Ending::Cut,
        (false, true) => panic!("cut, and [DONE] all the same"),
    }
}

async fn standing(gateway: &Gateway, model: &str) -> String {
    let state = gateway.deployment("aoi-1", model).await;
    let mut text = state["state"].as_str().unwrap_or("?").to_owned();
    if let Some(reason) = state["reason"].as_str() {
        text += &format!(" {reason}");
    }
    if let Some(seconds) = state["seconds_left"].as_f64() {
        text += &format!(" {}", rounded(seconds));
    }
    text
}

fn rounded(seconds: f64) -> u32 {
    rounded_to(seconds, 5.0) * 5
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small positive numbers of a test"
)]
fn rounded_to(number: f64, step: f64) -> u32 {
    (number / step).ceil() as u32
}

/// A status with headers, and a body that nobody else would send.
fn status(status: u16, headers: &[(&str, &str)], code: &str) -> Action {
    let headers = headers.iter();
    let headers: BTreeMap<_, _> = headers
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let body =
        format!(r#"{{ "error":{{"code":"{code}",  "message":"of the résource {status}"}}}}"#);
    Action::Status {
        status,
        headers,
        body: Some(body),
    }
}
