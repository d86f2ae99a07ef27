//! A gateway for tests: one model on three endpoints, one of which throttles, and a second model.

use serde_json::{Value, json};

fn deployment(endpoint: &str, priority: u32, state: &str) -> Value {
    json!({
        "endpoint": endpoint, "region": "swedencentral", "deployment": "gpt-4o", "priority": priority, "weight": 1,
        "state": state, "reason": null, "since": null, "until": null, "seconds_left": null, "in_flight": 2,
        "latency_ms": { "first_byte": 320.4, "total": 2100.0 },
        "quota": { "requests": 950, "tokens": 120_000 }, "utilization": null,
        "attempts": { "ok": 0, "client": 0, "failed": 0 }, "tokens": { "prompt": 0, "completion": 0 },
        "last_errors": [],
    })
}

/// What `/status` says at `now`, seconds: 10 requests, 1000 tokens and 1 failed attempt a second on `aoi-1`.
pub(super) fn status(now: f64) -> Value {
    let mut first = deployment("aoi-1", 1, "healthy");
    first["attempts"] = json!({ "ok": 9.0 * now, "client": 0, "failed": now });
    first["tokens"] = json!({ "prompt": 600.0 * now, "completion": 400.0 * now });
    first["utilization"] = json!(0.73);
    let mut second = deployment("aoi-2", 1, "throttling");
    second["reason"] = json!("throttled");
    second["since"] = json!(now - 3.0);
    second["until"] = json!(now + 6.2);
    second["seconds_left"] = json!(6.2);
    second["last_errors"] = json!([
        { "at": now - 3.0, "cause": "throttled", "status": 429, "wait_seconds": 9.2 },
        { "at": now - 63.0, "cause": "timeout", "status": null, "wait_seconds": null },
    ]);
    let mut spare = deployment("openai-spare", 2, "disabled");
    spare["reason"] = json!("drained by operator");
    let mut embeddings = deployment("aoi-2", 1, "recovering");
    embeddings["deployment"] = json!("embeddings");
    json!({
        "version": "0.1.0", "now": now, "started": 0.0, "draining": false, "ready": true,
        "config": { "hash": "0123456789ab", "loaded": 0.0, "last_reload": null },
        "pools": [
            { "model": "gpt-4o", "aliases": ["gpt-4"], "balance": "round_robin", "usable": 1,
              "requests": 10.0 * now, "errors": 0, "deployments": [spare, first, second] },
            { "model": "text-embedding-3-large", "aliases": [], "balance": "random", "usable": 1,
              "requests": 0, "errors": 0, "deployments": [embeddings] },
        ],
        "endpoints": [
            { "name": "aoi-1", "region": null, "kind": "azure", "url": "https://aoi-1.example", "switch": "enabled",
              "in_flight": 2 },
            { "name": "aoi-2", "region": null, "kind": "azure", "url": "https://aoi-2.example", "switch": "enabled",
              "in_flight": 2 },
            { "name": "openai-spare", "region": null, "kind": "openai", "url": "https://api.example",
              "switch": "drained", "in_flight": 2 },
        ],
        "clients": [
            { "name": "team-idle", "requests": 7, "prompt_tokens": 5_000_000, "completion_tokens": 10, "cost": 12.5 },
            { "name": "team-busy", "requests": 10.0 * now, "prompt_tokens": 600.0 * now,
              "completion_tokens": 400.0 * now, "cost": null },
        ],
        "currency": "USD",
    })
}
