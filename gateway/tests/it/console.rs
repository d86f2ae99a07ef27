//! The console shows operators what is true, and lets them act: a real browser against the real gateway, with an
//! endpoint that throttles.

use std::collections::BTreeMap;

use gateway::config::client_key::{format_key_hash, key_hash};
use serde_json::json;
use simulator::{Action, Fault};

use crate::{
    sdk::toolchain::Sdk,
    support::{ADMIN_TOKEN, CHAT, Fleet, WITH_ADMIN_TOKEN},
};

const GPT: &str = "gpt-4o";
const KEY: &str = "tw-of-the-application";
/// Long enough to look at it, short enough to wait for its end.
const THROTTLED_SECONDS: u32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_explains_and_switches_in_the_console() {
    let fleet = in_regions().await;
    let read_only = Fleet::start("").await;
    let throttle = Action::Status {
        status: 429,
        headers: BTreeMap::from([("retry-after".to_owned(), THROTTLED_SECONDS.to_string())]),
        body: None,
    };
    // Once to see it come and go, once to look whether everybody can read it.
    fleet.aoi(1).inject(Fault::new(throttle).on(GPT).times(2));
    let settings = json!({
        "url": format!("http://{}", fleet.gateway.admin),
        "read_only_url": format!("http://{}", read_only.gateway.admin),
        "token": ADMIN_TOKEN,
        "model": GPT,
        "client": "application",
        "throttled": { "endpoint": "aoi-1", "region": "swedencentral" },
        "standby": { "endpoint": "aoi-2", "region": "westeurope" },
        "chat_url": fleet.chat_url(GPT),
        "chat": {
            "method": "POST",
            "headers": { "content-type": "application/json", "api-key": KEY },
            "body": CHAT,
        },
    });
    Sdk::Browser.run("console.mjs", settings).await;
}

/// The three resources in strict order, each in a region of its own.
async fn in_regions() -> Fleet {
    let hash = format_key_hash(&key_hash(KEY));
    let config = format!("{WITH_ADMIN_TOKEN}clients:\n  application: {{ keys: [\"{hash}\"] }}\n");
    let region = |name: &str| match name {
        "aoi-1" => "swedencentral",
        "aoi-2" => "westeurope",
        _ => "eastus2",
    };
    let lines = |name: &str| {
        let priority = &name[4..];
        format!("    region: {}\n    priority: {priority}\n", region(name))
    };
    Fleet::with(&config, |_, resource| resource, lines).await
}
