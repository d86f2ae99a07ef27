//! The SDKs that applications have keep working when only their base URL and key change: the real packages
//! against the real gateway, with every endpoint well and with the preferred one failing.

mod over_tls;
pub(crate) mod toolchain;

use gateway::config::client_key::{format_key_hash, key_hash};
use serde_json::{Value, json};
use simulator::{Action, Fault};

use crate::support::Fleet;
use toolchain::{Ran, Sdk};

const KEY: &str = "tw-of-the-application";
const LIMITED_KEY: &str = "tw-of-the-limited-application";

/// The policy under which the failing endpoint is preferred again at once, so that the requests are saved by
/// the failover and not by a breaker or a pause.
const NEVER_LEARNS: &str = "defaults:\n  circuit_breaker: off\n  \
    cool_down: { min: 0s, max: 1ms, default: 1ms }\n  retry: { budget: 100% }\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_is_served_in_every_shape() {
    is_served(Sdk::Python, "openai_sdk.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_sees_nothing_of_a_failing_endpoint() {
    sees_nothing(Sdk::Python, "openai_sdk.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_is_served_in_every_shape() {
    is_served(Sdk::Node, "openai_sdk.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_sees_nothing_of_a_failing_endpoint() {
    sees_nothing(Sdk::Node, "openai_sdk.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_is_served_also_while_an_endpoint_fails() {
    let targets = [
        Target::healthy().await,
        Target::failing("throttled", status(429), NEVER_LEARNS).await,
    ];
    run(Sdk::Python, "langchain_sdk.py", &targets).await;
}

async fn is_served(sdk: Sdk, script: &'static str) {
    let target = Target::healthy().await;
    if run(sdk, script, std::slice::from_ref(&target)).await == Ran::Skipped {
        return;
    }
    assert!(target.requests(1) > 0, "the preferred endpoint served");
    assert_eq!(target.requests(2) + target.requests(3), 0, "and alone");
    let last = target.fleet.aoi(1).last("gpt-4o").unwrap();
    assert_eq!(last.header("api-key"), Some("key-of-aoi-1"));
    for (name, value) in &last.headers {
        assert!(!value.contains(KEY), "the client's key went on in {name}");
    }
}

async fn sees_nothing(sdk: Sdk, script: &'static str) {
    let mut targets = Vec::new();
    for (name, action) in [
        ("throttled", status(429)),
        ("broken", status(500)),
        ("reset", Action::ResetBeforeHeaders),
    ] {
        targets.push(Target::failing(name, action.clone(), NEVER_LEARNS).await);
        let name = format!("{name}, default policy");
        targets.push(Target::failing(&name, action, "").await);
    }
    if run(sdk, script, &targets).await == Ran::Skipped {
        return;
    }
    for target in &targets {
        let name = &target.name;
        let failed = target.requests(1);
        let served = target.requests(2) + target.requests(3);
        let stats = target.fleet.aoi(1).stats();
        assert!(stats.deployments.values().all(|counts| counts.ok == 0));
        if target.learns {
            assert!(
                (1..served / 4).contains(&failed),
                "{name}: {failed} failed, {served} were served"
            );
        } else {
            // Only what came within the shortest of pauses was spared the failing endpoint.
            assert!(
                failed > served / 2,
                "{name}: {failed} failed, {served} were served"
            );
        }
    }
}

fn status(status: u16) -> Action {
    Fault::status(status).action
}

/// A gateway for the scripts, and what they may expect of it.
struct Target {
    name: String,
    fleet: Fleet,
    failing: bool,
    /// Whether its policy takes failing deployments out.
    learns: bool,
}

impl Target {
    async fn healthy() -> Self {
        Self {
            name: "healthy".to_owned(),
            fleet: fleet("").await,
            failing: false,
            learns: true,
        }
    }

    /// `aoi-1`, which everything prefers, meets every request with `action`.
    async fn failing(name: &str, action: Action, policy: &str) -> Self {
        let fleet = fleet(policy).await;
        fleet.aoi(1).inject(Fault::new(action));
        Self {
            name: name.to_owned(),
            fleet,
            failing: true,
            learns: policy != NEVER_LEARNS,
        }
    }

    fn settings(&self) -> Value {
        let attempts: &[&str] = if self.failing { &["1", "2"] } else { &["1"] };
        json!({
            "name": self.name,
            "url": self.fleet.gateway.url(""),
            "failing": self.failing,
            "attempts": attempts,
        })
    }

    /// What a resource got for the models that the failing one has too.
    fn requests(&self, aoi: usize) -> u64 {
        let count = |model| self.fleet.aoi(aoi).counts(model).requests;
        count("gpt-4o") + count("embedding-3-small")
    }
}

async fn fleet(policy: &str) -> Fleet {
    let hash = |key| format_key_hash(&key_hash(key));
    let config = format!(
        "{policy}models:\n  gpt-4o: {{ aliases: [gpt-3.5-turbo-instruct, gpt-image-1, whisper-1] }}\n\
         clients:\n  application: {{ keys: [\"{}\"] }}\n  \
         limited: {{ keys: [\"{}\"], models: [gpt-4o-mini] }}\n",
        hash(KEY),
        hash(LIMITED_KEY)
    );
    let prefer_the_first = |name: &str| match name {
        "aoi-1" => String::new(),
        _ => "    priority: 2\n".to_owned(),
    };
    Fleet::with(&config, |_, resource| resource, prefer_the_first).await
}

async fn run(sdk: Sdk, script: &'static str, targets: &[Target]) -> Ran {
    let settings = json!({
        "key": KEY,
        "limited_key": LIMITED_KEY,
        "targets": targets.iter().map(Target::settings).collect::<Vec<_>>(),
    });
    sdk.run(script, settings).await
}
