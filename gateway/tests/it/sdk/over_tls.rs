//! The SDKs against an https listener, with tokens of an identity provider in place of keys.

use std::collections::BTreeMap;

use gateway::config::client_key::{format_key_hash, key_hash};
use serde_json::json;
use simulator::{Door, Identity, IdentityClient, IdentityOptions, RunningIdentity};

use super::{
    KEY,
    toolchain::{Ran, Sdk},
};
use crate::support::{Fleet, tls::Trust};

const AUDIENCE: &str = "api://tokenweir";
const APPLICATION: &str = "a1a1a1a1-0000-4000-8000-000000000001";
/// The tenant knows it, the gateway has no rule for it.
const STRANGER: &str = "b2b2b2b2-0000-4000-8000-000000000002";
const SECRET: &str = "secret-of-both";

struct Scene {
    trust: Trust,
    identity: RunningIdentity,
    fleet: Fleet,
}

impl Scene {
    async fn start() -> Self {
        let registration = |id: &str| {
            IdentityClient::new(id, "0b0b0b0b-0000-4000-8000-0000000000aa").secret(SECRET)
        };
        let identity = Identity::start(IdentityOptions {
            clients: vec![registration(STRANGER), registration(APPLICATION)],
            ..IdentityOptions::default()
        });
        let identity = identity.await.unwrap();
        let control = identity.control();
        let trust = Trust::new();
        let config = format!(
            "{}clients:\n  by-key: {{ keys: [\"{}\"] }}\n  application: {{}}\n  reviewer: {{}}\n\
             jwt:\n  - issuer: [\"{}\", \"{}\"]\n    discovery: \"{}\"\n    audience: \"{AUDIENCE}\"\n    \
             rules: [{{ client: application, azp: {APPLICATION} }}, {{ client: reviewer, roles: [Chat.Use] }}]\n",
            trust.listen(""),
            format_key_hash(&key_hash(KEY)),
            control.issuer_v2(),
            control.issuer_v1(),
            control.discovery_url(),
        );
        let fleet = Fleet::in_order(&config).await;
        Self {
            trust,
            identity,
            fleet,
        }
    }

    async fn run(&self, sdk: Sdk, script: &str) -> Ran {
        let identity = self.identity.control();
        // Of the application without a rule, but for the role.
        let mut claims = identity.claims_v1(AUDIENCE);
        claims["roles"] = json!(["Chat.Read", "Chat.Use"]);
        let settings = json!({
            "url": self.fleet.gateway.https_url(""),
            "ca": self.trust.ca(),
            "key": KEY,
            "token_url": format!("{}/{}/oauth2/v2.0/token", self.identity.url(), self.identity.tenant()),
            "scope": format!("{AUDIENCE}/.default"),
            "wrong_scope": "api://somebody-else/.default",
            "application": APPLICATION,
            "stranger": STRANGER,
            "secret": SECRET,
            "token_with_role": identity.issue(claims),
        });
        // Python reads the file when a client is made, and the script decides which ones may.
        let ca = self.trust.ca();
        let environment: &[_] = match sdk {
            Sdk::Node => &[("NODE_EXTRA_CA_CERTS", ca.as_path())],
            Sdk::Python | Sdk::SemanticKernel | Sdk::Sslyze | Sdk::Browser => &[],
        };
        sdk.call(&[script, &settings.to_string()], environment)
            .await
    }

    /// The next requests in the access log, by client and status.
    fn requests(&mut self, count: u64) -> BTreeMap<(String, u64), u64> {
        let mut requests = BTreeMap::new();
        for _ in 0..count {
            let line = self.fleet.gateway.next_access();
            let client = line["client"].as_str().unwrap_or("nobody").to_owned();
            let key = (client, line["status"].as_u64().unwrap());
            *requests.entry(key).or_default() += 1;
        }
        requests
    }
}

/// `requests`: how many the script sends as each client, and their status. `fetched`: how many tokens it fetches.
async fn is_known(sdk: Sdk, script: &str, requests: &[(&str, u64, u64)], fetched: u64) {
    let mut scene = Scene::start().await;
    if scene.run(sdk, script).await == Ran::Skipped {
        return;
    }
    let expected: BTreeMap<_, _> = requests
        .iter()
        .map(|&(client, status, count)| ((client.to_owned(), status), count))
        .collect();
    let count = expected.values().sum();
    assert_eq!(scene.requests(count), expected);
    let all = scene.fleet.gateway.logged_events("request").len();
    assert_eq!(u64::try_from(all), Ok(count), "there were more");
    let identity = scene.identity.control();
    let seen = [Door::Token, Door::Keys].map(|door| identity.requests(door));
    assert_eq!(seen, [fetched, 1]);
    let last = scene.fleet.aoi(1).last("gpt-4o").unwrap();
    assert_eq!(last.header("authorization"), None, "the token went on");
    assert_eq!(last.header("api-key"), Some("key-of-aoi-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_is_known_by_its_tokens_over_tls() {
    let requests = [
        ("application", 200, 16),
        ("reviewer", 200, 4),
        ("nobody", 401, 4),
        ("nobody", 403, 4),
    ];
    is_known(Sdk::Python, "openai_token.py", &requests, 24).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn semantic_kernel_is_known_by_key_and_token_over_tls() {
    let requests = [("by-key", 200, 10), ("application", 200, 5)];
    is_known(Sdk::SemanticKernel, "semantic_kernel_chat.py", &requests, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_is_known_by_its_tokens_over_tls() {
    let requests = [
        ("application", 200, 3),
        ("reviewer", 200, 3),
        ("nobody", 401, 1),
        ("nobody", 403, 1),
    ];
    is_known(Sdk::Node, "openai_token.mjs", &requests, 5).await;
}
