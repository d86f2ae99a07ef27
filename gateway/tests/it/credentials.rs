//! How the gateway shows itself to providers: with tokens of its own, with keys that are being changed, with what the
//! caller brings. Whatever goes wrong there concerns the endpoints that need it and no others, and what is shown there
//! is seen by nobody else.

mod caller;
mod keys;
mod kinds;
mod process;
mod refused;
mod renewal;
mod start;

use std::{process::Command, time::Duration};

use serde_json::Value;
use simulator::{
    Deployment, Door, Identity, IdentityClient, IdentityOptions, LastRequest, Resource,
    RunningIdentity, Simulator,
};
use tokio::time::{Instant, timeout};

use crate::support::{CHAT, Fleet, Gateway, PATIENCE, Seen, client};

const GPT: &str = "gpt-4o";
/// What tokens are for, unless the configuration says otherwise.
const AUDIENCE: &str = "https://cognitiveservices.azure.com";
/// In every secret of these tests.
const CANARY: &str = "canary";
/// Every token begins so.
const TOKEN: &str = "eyJ";
/// A credential of the machine itself.
const FLEET: &str = "fleet: { managed_identity: { url: \"IDENTITY\" } }";
/// What it has beside in most tests.
const KEY: &str = "canary-key";

/// As many retries as there are requests.
const RETRIES: &str = "defaults: { retry: { budget: 100%, budget_min_per_second: 1000 } }";

fn options() -> IdentityOptions {
    IdentityOptions {
        tenant: "tenant-1".to_owned(),
        clients: vec![IdentityClient::new("client-0", "object-0").system_assigned()],
        ..IdentityOptions::default()
    }
}

async fn identity(options: IdentityOptions) -> RunningIdentity {
    Identity::start(options).await.expect("a free port")
}

/// A machine whose tokens are good for this many seconds.
async fn short_lived(seconds: u64) -> RunningIdentity {
    identity(IdentityOptions {
        token_lifetime: Duration::from_secs(seconds),
        ..options()
    })
    .await
}

fn takes_tokens() -> Resource {
    Resource::new("resource").token_audience(AUDIENCE)
}

fn takes_key(key: &str) -> Resource {
    Resource::new("resource").api_key(key)
}

/// An endpoint: the name of its credential, and what is there.
type Endpoint<'a> = (&'a str, Resource);

/// The gateway before `endpoints`, which are called aoi-1 and so on, each preferred to the next. They deploy one
/// model unless they say otherwise. `key` is a credential too.
async fn start(
    identity: &RunningIdentity,
    credentials: &str,
    endpoints: Vec<Endpoint<'_>>,
) -> Fleet {
    start_with(identity, credentials, endpoints, "", |_| {}).await
}

/// `more` is added to the configuration; `prepare` changes how the gateway is started.
async fn start_with(
    identity: &RunningIdentity,
    credentials: &str,
    endpoints: Vec<Endpoint<'_>>,
    more: &str,
    prepare: impl FnOnce(&mut Command),
) -> Fleet {
    let (mut simulators, mut lines) = (Vec::new(), String::new());
    for (number, (credential, mut resource)) in (1..).zip(endpoints) {
        if resource.deployments.is_empty() {
            resource = resource.deployment(Deployment::new(GPT, GPT));
        }
        let models: Vec<String> = resource
            .deployments
            .iter()
            .map(|deployment| format!("{}: {{}}", deployment.name))
            .collect();
        let running = Simulator::start(resource).await.expect("a free port");
        lines += &format!(
            "  aoi-{number}:\n    url: {}\n    credential: {credential}\n    priority: {number}\n    \
             deployments: {{ {} }}\n",
            running.url(),
            models.join(", ")
        );
        simulators.push(running);
    }
    let credentials = credentials
        .replace("IDENTITY", &identity.url())
        .replace("TENANT", identity.tenant())
        .replace('\n', "\n  ");
    let open = if more.contains("clients:") {
        ""
    } else {
        "open: true\n"
    };
    let config = format!(
        "{open}log: {{ level: trace }}\ncredentials:\n  key: {{ api_key: {{ value: {KEY} }} }}\n  {credentials}\n\
         endpoints:\n{lines}{more}"
    );
    Fleet {
        gateway: Gateway::start_with(&config, prepare),
        simulators,
    }
}

/// A chat request of a client that shows secrets of its own.
async fn ask(fleet: &Fleet, client: &reqwest::Client, model: &str) -> Seen {
    let request = client
        .post(fleet.chat_url(model))
        .header("content-type", "application/json")
        .header("api-key", "canary-of-the-caller")
        .header("authorization", "Bearer canary-of-the-caller")
        .body(CHAT);
    let seen = Seen::read(request.send().await.expect("the gateway answers")).await;
    assert_discreet(&seen.text());
    seen
}

async fn chat(fleet: &Fleet, model: &str) -> Seen {
    ask(fleet, &client(), model).await
}

/// Many at the same time.
async fn chats(fleet: &Fleet, count: usize) -> Vec<Seen> {
    let client = client();
    let all = (0..count).map(|_| ask(fleet, &client, GPT));
    futures_util::future::join_all(all).await
}

/// Which endpoint answered with 200.
fn served_by(seen: &Seen) -> &str {
    assert_eq!(seen.status, 200, "{seen:?} {}", seen.text());
    seen.header("x-tokenweir-endpoint").expect("it is said")
}

/// Who answered, and at which attempt.
fn route(seen: &Seen) -> (&str, &str) {
    let attempts = seen.header("x-tokenweir-attempts").expect("it is said");
    (served_by(seen), attempts)
}

/// What has to do with credentials in a request.
fn credentials(last: &LastRequest) -> Vec<(&str, &str)> {
    let words = ["auth", "key", "token", "cookie"];
    let all = last.headers.iter();
    all.filter(|(name, value)| {
        words.iter().any(|word| name.contains(word)) || value.contains(CANARY)
    })
    .map(|(name, value)| (name.as_str(), value.as_str()))
    .collect()
}

/// The token, and nothing else, that an endpoint was shown last.
fn token_at(fleet: &Fleet, number: usize, deployment: &str) -> String {
    let last = fleet.aoi(number).last(deployment).expect("it was asked");
    let [("authorization", value)] = credentials(&last)[..] else {
        panic!("not one credential: {:?}", credentials(&last));
    };
    let token = value.strip_prefix("Bearer ").expect("a bearer token");
    assert!(token.starts_with(TOKEN), "{token}");
    token.to_owned()
}

/// Waits until a door has got that many calls, from the start on.
async fn requested(identity: &RunningIdentity, door: Door, calls: u64) {
    let control = identity.control();
    let waited = timeout(PATIENCE, control.requested(door, calls)).await;
    waited.unwrap_or_else(|_| panic!("{door:?} has {} calls", control.requests(door)));
}

/// Asks until `enough`, and returns the last answer.
async fn until(fleet: &Fleet, model: &str, enough: impl Fn(&Seen) -> bool) -> Seen {
    let (client, deadline) = (client(), Instant::now() + PATIENCE);
    loop {
        let seen = ask(fleet, &client, model).await;
        if enough(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "still {seen:?} {}", seen.text());
    }
}

async fn until_served_by(fleet: &Fleet, endpoint: &str) {
    let is_there = |seen: &Seen| served_by(seen) == endpoint;
    until(fleet, GPT, is_there).await;
}

/// State and reason of the first endpoint's deployment.
async fn standing(fleet: &Fleet) -> (String, String) {
    let now = fleet.gateway.deployment("aoi-1", GPT).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&now["state"]), text(&now["reason"]))
}

/// Left out because there is nothing to show.
fn without_credential() -> (String, String) {
    ("error".to_owned(), "credential".to_owned())
}

fn assert_discreet(text: &str) {
    for secret in [TOKEN, CANARY] {
        assert!(!text.contains(secret), "{secret} is shown in\n{text}");
    }
}

/// Stops it. Nothing that operators could read has a secret in it.
async fn finish(mut fleet: Fleet) {
    for page in ["/status", "/metrics", "/readyz"] {
        assert_discreet(&fleet.gateway.admin_page(page).await);
    }
    fleet.gateway.signal(rustix::process::Signal::TERM);
    fleet.gateway.gone();
    let logged = fleet.gateway.logged();
    assert!(logged.contains("\"target\":\"access\""), "{logged}");
    assert_discreet(&logged);
}
