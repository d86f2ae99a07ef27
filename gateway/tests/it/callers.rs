//! Who a caller is: keys and tokens that are good, and everything that somebody tries who has none. The issuer is the
//! identity simulator; its tokens have the names of Entra, its keys are where it listens.

mod attacker;
mod attacks;
mod azure;
mod browser;
mod claims;
mod keys;
mod outages;
mod rotation;
mod secrecy;

use std::time::Duration;

use gateway::config::client_key::{format_key_hash, key_hash};
use serde_json::{Value, json};
use simulator::{Identity, IdentityControl, IdentityOptions, RunningIdentity, forge};
use tokio::time::Instant;

use crate::support::{CHAT, Fleet, PATIENCE, Seen, client};

const GPT: &str = "gpt-4o";
const MINI: &str = "gpt-4o-mini";
const PATH: &str = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";
const AUDIENCE: &str = "api://gateway";
const ROLE: &str = "Chat.Use";
/// Of team-a.
const KEY: &str = "canary-of-team-a-0123456789";

fn hash(key: &str) -> String {
    format_key_hash(&key_hash(key))
}

/// Each with a key; `team-a` may use one model.
fn clients() -> String {
    let [a, b, c] = [KEY, "canary-of-team-b", "canary-of-team-c"].map(hash);
    format!(
        "clients:\n  team-a: {{ keys: [ \"{a}\" ], models: [{GPT}] }}\n  \
         team-b: {{ keys: [ \"{b}\" ] }}\n  team-c: {{ keys: [ \"{c}\" ] }}\n"
    )
}

/// Trust in an issuer's tokens for this gateway; `lines` are more of its settings, indented by four.
fn trust(issuer: &IdentityControl, lines: &str) -> String {
    format!(
        "  - issuer: [ \"{}\", \"{}\" ]\n    discovery: {}\n    audience: {AUDIENCE}\n{lines}",
        issuer.issuer_v2(),
        issuer.issuer_v1(),
        issuer.discovery_url()
    )
}

/// A token with [`ROLE`] is team-a's.
const BY_ROLE: &str = "    rules: [ { client: team-a, roles: Chat.Use } ]\n";

/// The gateway, what it asks and what asks it.
struct Stage {
    fleet: Fleet,
    issuer: RunningIdentity,
    client: reqwest::Client,
}

impl Stage {
    /// Tokens with [`ROLE`] are good.
    async fn new() -> Self {
        Self::with("", BY_ROLE).await
    }

    /// `config` is added to the top level, `lines` to the issuer.
    async fn with(config: &str, lines: &str) -> Self {
        let issuer = issuer(IdentityOptions::default()).await;
        let control = issuer.control();
        let config = format!("{config}{}jwt:\n{}", clients(), trust(&control, lines));
        Self::of(Fleet::start(&config).await, issuer)
    }

    fn of(fleet: Fleet, issuer: RunningIdentity) -> Self {
        Self {
            fleet,
            issuer,
            client: client(),
        }
    }

    fn issuer(&self) -> IdentityControl {
        self.issuer.control()
    }

    async fn ask_for(&self, model: &str, headers: &[(&str, &str)]) -> Seen {
        let mut request = self.client.post(self.fleet.chat_url(model)).body(CHAT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Seen::read(request.send().await.expect("the gateway answers")).await
    }

    async fn ask(&self, headers: &[(&str, &str)]) -> Seen {
        self.ask_for(GPT, headers).await
    }

    async fn show(&self, token: &str) -> Seen {
        self.ask(&[("authorization", &format!("Bearer {token}"))])
            .await
    }

    async fn status(&self, token: &str) -> u16 {
        self.show(token).await.status
    }

    /// Shows a token until the answer is `status`.
    async fn until(&self, token: &str, status: u16, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let seen = self.show(token).await;
            if seen.status == status {
                return;
            }
            assert!(Instant::now() < deadline, "not {status}: {}", seen.text());
        }
    }

    /// A token that is good for team-a.
    fn token(&self) -> String {
        self.issuer().issue(claims(&self.issuer()))
    }

    /// The client in the next line of the access log.
    fn client_in_the_log(&mut self) -> Value {
        self.fleet.gateway.next_access()["client"].clone()
    }

    /// Requests that reached a provider.
    fn served(&self) -> u64 {
        let models = [GPT, MINI];
        models
            .map(|model| self.fleet.requests(model).iter().sum::<u64>())
            .iter()
            .sum()
    }
}

async fn issuer(options: IdentityOptions) -> RunningIdentity {
    Identity::start(options).await.expect("a free port")
}

/// Of a token of version 2 that is good for team-a.
fn claims(issuer: &IdentityControl) -> Value {
    but(issuer.claims_v2(AUDIENCE), json!({ "roles": [ROLE] }))
}

/// `value` with some members changed; `null` takes one out.
fn but(mut value: Value, changes: Value) -> Value {
    let members = value.as_object_mut().unwrap();
    let Value::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, change);
        }
    }
    value
}

/// The header of the issuer's tokens.
fn header(issuer: &IdentityControl) -> Value {
    json!({"typ": "JWT", "alg": "RS256", "kid": issuer.current_kid()})
}

fn unix_secs() -> u64 {
    gateway::clock::unix_now().as_secs()
}

/// An error of the gateway as SDKs read it, with this status, code and challenge.
fn assert_refused(seen: &Seen, status: u16, code: &str, challenge: Option<&str>, case: &str) {
    let text = seen.text();
    assert_eq!(
        (seen.status, &*seen.code()),
        (status, code),
        "{case}: {text}"
    );
    assert_eq!(seen.header("www-authenticate"), challenge, "{case}");
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    let error = body["error"].as_object().unwrap();
    let mut members: Vec<_> = error.keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["code", "message", "param", "type"], "{case}");
    let kind = if status < 500 {
        "invalid_request_error"
    } else {
        "server_error"
    };
    assert_eq!(body["error"]["type"], kind, "{case}");
}

const BEARER: Option<&str> = Some("Bearer");
const INVALID_TOKEN: Option<&str> = Some(r#"Bearer error="invalid_token""#);
