//! Everything that can go wrong with a request, told by everybody who tells operators about it: the access line,
//! `/explain`, `/status`, `/events` (which is what the console shows) and `/metrics`. Each incident is told alike and
//! as it was. The resources are in strict order, so the first one is what an incident is about.

mod agreement;
mod pages;
mod table;
mod words;

use gateway::config::client_key::{format_key_hash, key_hash};
use serde_json::Value;
use simulator::{Action, Behaviour, Fault, Resource, ServerTls, TestAuthority};

use self::{pages::Pages, table::incidents};
use crate::support::{CHAT, Fleet, Seen, client, in_order, provider::STREAM, tls::NAMES, try_all};

const GPT: &str = "gpt-4o";
/// Of the one client, where there are clients.
const KEY: &str = "key-of-team-a";

struct Incident {
    name: &'static str,
    /// Of the gateway.
    config: String,
    /// Lines of the first endpoint.
    first: &'static str,
    /// The first resource has a certificate that nobody trusts.
    untrusted: bool,
    steps: Vec<Step>,
    /// That is asked for.
    model: &'static str,
    /// That the client shows.
    key: Option<&'static str>,
    truth: Truth,
}

enum Step {
    /// At the resource of this number, every time.
    Fault(usize, Action),
    /// The same, once.
    Once(usize, Action),
    /// A resource ends.
    Stop(usize),
    /// What an operator does with an endpoint.
    Order(&'static str, &'static str),
    /// The first deployment comes to be in this state.
    Until(&'static str),
    /// In the configuration.
    Replace(&'static [(&'static str, &'static str)]),
    Ask,
    Stream,
    /// The client leaves in the middle of a stream.
    Leave,
    /// The client leaves as soon as the first resource has its request.
    LeaveEarly,
}

/// What happened.
#[derive(Clone)]
struct Truth {
    /// What the client got of the last request.
    status: u16,
    error: Option<&'static str>,
    /// It was asked to come back after so many seconds.
    wait: Option<f64>,
    /// Of the last request: endpoint, outcome and status.
    attempts: Vec<&'static str>,
    stopped: Option<&'static str>,
    decision: Option<&'static str>,
    cut: bool,
    blamed: bool,
    /// What becomes of the next request.
    verdict: &'static str,
    standing: Standing,
    /// Failures of the first deployment, newest first.
    failures: Vec<&'static str>,
    /// Deployments of the model that can be used.
    usable: u32,
    /// Metrics without labels that are not 0.
    counted: Vec<(&'static str, f64)>,
}

/// Where the first deployment stands afterwards.
#[derive(Clone, Copy)]
struct Standing {
    state: &'static str,
    reason: Option<&'static str>,
    /// To `/explain`, and a part of the sentence.
    explained: &'static str,
    detail: &'static str,
    /// From its beginning to its end.
    seconds: Option<f64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn every_incident_is_told_alike_and_truly_by_all_who_tell_of_it() {
    let incidents = incidents();
    assert!(incidents.len() >= 25);
    let wrong = |incident: Incident| async move {
        let lines = incident.disagreements().await.join("\n  ");
        (!lines.is_empty()).then(|| format!("{}:\n  {lines}", incident.name))
    };
    try_all(incidents, wrong).await;
}

impl Incident {
    /// Who says something else than the truth, or than somebody else.
    async fn disagreements(&self) -> Vec<String> {
        let mut fleet = self.fleet().await;
        let mut lines = Vec::new();
        let mut seen = None;
        for step in &self.steps {
            match step {
                Step::Fault(number, action) => {
                    let fault = Fault::new(action.clone()).on(GPT);
                    fleet.aoi(*number).inject(fault);
                }
                Step::Once(number, action) => {
                    let fault = Fault::new(action.clone()).on(GPT);
                    fleet.aoi(*number).inject(fault.times(1));
                }
                Step::Stop(number) => fleet.simulators[number - 1].stop().await,
                Step::Order(order, endpoint) => {
                    let done = fleet.gateway.ask(&["endpoint", order, endpoint]);
                    assert!(done.status.success(), "{}: {done:?}", self.name);
                }
                Step::Until(state) => fleet.gateway.until("aoi-1", GPT, state).await,
                Step::Replace(replacements) => fleet.gateway.reload(replacements),
                Step::Ask => seen = Some(Seen::read(self.ask(&fleet, CHAT).await).await),
                Step::Stream => seen = Some(Seen::read(self.ask(&fleet, STREAM).await).await),
                Step::Leave => {
                    let mut answer = self.ask(&fleet, STREAM).await;
                    let begun = answer.chunk().await.ok().flatten();
                    assert!(begun.is_some(), "{}: no answer", self.name);
                }
                Step::LeaveEarly => {
                    let first = fleet.aoi(1);
                    tokio::select! {
                        _ = self.ask(&fleet, CHAT) => panic!("{}: an answer", self.name),
                        _ = first.wait_for(GPT, |counts| counts.requests > 0) => {}
                    }
                }
            }
            if matches!(
                step,
                Step::Ask | Step::Stream | Step::Leave | Step::LeaveEarly
            ) {
                lines.push(fleet.gateway.next_access());
            }
        }
        let pages = self.pages(&fleet, lines).await;
        let mut disagreements = self.truth.compare(&pages, seen.as_ref());
        disagreements.extend(pages.disagreements());
        disagreements
    }

    async fn fleet(&self) -> Fleet {
        let streams = self
            .steps
            .iter()
            .any(|step| matches!(step, Step::Stream | Step::Leave));
        let shape = |name: &str, mut resource: Resource| {
            if self.untrusted && name == "aoi-1" {
                resource = resource.tls(server_tls());
            }
            if streams {
                let paced = Behaviour {
                    tokens_per_second: 20,
                    answer_tokens: 20,
                    ..Behaviour::default()
                };
                let deployments = resource.deployments.into_iter();
                resource.deployments = deployments
                    .map(|deployment| deployment.behaviour(paced.clone()))
                    .collect();
            }
            resource
        };
        let endpoint = |name: &str| in_order(name) + if name == "aoi-1" { self.first } else { "" };
        Fleet::with(&self.config, shape, endpoint).await
    }

    async fn ask(&self, fleet: &Fleet, body: &'static str) -> reqwest::Response {
        let mut request = client()
            .post(fleet.chat_url(self.model))
            .header("content-type", "application/json");
        if let Some(key) = self.key {
            request = request.header("api-key", key);
        }
        let answer = request.body(body).send().await;
        answer.unwrap_or_else(|error| panic!("{}: no answer: {error}", self.name))
    }

    async fn pages(&self, fleet: &Fleet, lines: Vec<Value>) -> Pages {
        let client = if self.key == Some(KEY) {
            "&client=team-a"
        } else {
            ""
        };
        let question = format!("/explain?model={}{client}", self.model);
        Pages::read(&fleet.gateway, &question, lines).await
    }
}

/// Of an authority that the gateway does not know.
fn server_tls() -> ServerTls {
    TestAuthority::new().server(&NAMES).server_tls(None)
}

/// The one client, which may use one model.
fn clients() -> String {
    let hash = format_key_hash(&key_hash(KEY));
    format!("clients: {{ team-a: {{ keys: ['{hash}'], models: [gpt-4o-mini] }} }}\n")
}
