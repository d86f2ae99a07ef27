//! Why a request goes where it goes: what is said is what is done.

use gateway::config::client_key::{format_key_hash, key_hash};
use serde_json::{Value, json};
use simulator::Fault;

use super::{GPT, MINI, throttled};
use crate::support::{CHAT, Fleet, Gateway, Seen, client};

/// What is said about an endpoint.
fn of<'a>(explained: &'a Value, endpoint: &str) -> &'a Value {
    let candidates = explained["candidates"].as_array().unwrap();
    let found = candidates
        .iter()
        .find(|candidate| candidate["endpoint"] == endpoint);
    found.unwrap_or_else(|| panic!("no {endpoint} in {explained}"))
}

async fn explain(gateway: &Gateway, query: &str) -> Value {
    gateway.json(&format!("/explain?{query}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_true_cause_is_named_for_every_endpoint() {
    let config = "defaults: { circuit_breaker: { failures: 1, trip: 600s } }\nmodels: { gpt-4o: { aliases: [four] } }";
    let fleet = Fleet::in_order(config).await;
    let fine = explain(&fleet.gateway, "model=four&operation=chat_completions").await;
    assert_eq!(
        (&fine["verdict"], &fine["model"], &fine["tier"]),
        (&"served".into(), &GPT.into(), &1.into())
    );
    for (endpoint, share, reason) in [("aoi-1", 1.0, "ready"), ("aoi-2", 0.0, "lower_priority")] {
        assert_eq!(of(&fine, endpoint)["share"], share, "{fine}");
        assert_eq!(of(&fine, endpoint)["reason"], reason, "{fine}");
    }

    // Each resource fails in its own way, and the request comes back with the last one's word.
    fleet.aoi(1).inject(throttled().on(GPT));
    fleet.aoi(2).inject(Fault::status(500).on(GPT));
    fleet.aoi(3).inject(Fault::status(401).on(GPT));
    let answer = Seen::read(fleet.chat(GPT).await).await;
    assert!(answer.status >= 400, "{}", answer.text());
    let explained = explain(&fleet.gateway, "model=gpt-4o").await;
    for (endpoint, reason, detail) in [
        ("aoi-1", "cooling_down", "because of 429 (throttled) at "),
        ("aoi-2", "last_resort", "because of 500 (server) at "),
        ("aoi-3", "cooling_down", "because of 401 (auth) at "),
    ] {
        let said = of(&explained, endpoint);
        assert_eq!(said["reason"], reason, "{explained}");
        assert!(said["detail"].as_str().unwrap().contains(detail), "{said}");
        assert!(said["until"].as_f64() > said["since"].as_f64(), "{said}");
    }
    assert_eq!(
        explained["tier"], 2,
        "the breaker alone takes no model away"
    );
    assert_eq!(
        fleet.chat(GPT).await.headers()["x-tokenweir-endpoint"],
        "aoi-2"
    );

    // Of the other model: an endpoint without it, and one whose credential was refused.
    let mini = explain(&fleet.gateway, "model=gpt-4o-mini").await;
    assert_eq!(of(&mini, "aoi-1")["reason"], "no_deployment");
    assert_eq!(of(&mini, "aoi-3")["reason"], "cooling_down");
    fleet.gateway.ask(&["endpoint", "disable", "aoi-2"]);
    let mini = explain(&fleet.gateway, "model=gpt-4o-mini").await;
    assert_eq!(mini["verdict"], "nobody", "{mini}");
    assert_eq!(of(&mini, "aoi-2")["reason"], "disabled");
    let refused = Seen::read(fleet.chat(MINI).await).await;
    // One request a second is let through, to the one that only cools down.
    assert!(refused.status == 503 || refused.header("x-tokenweir-endpoint") == Some("aoi-3"));
    let wait = mini["retry_after_seconds"].as_f64().unwrap();
    assert!((50.0..=60.0).contains(&wait), "{mini}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_is_said_and_what_makes_no_sense_is_refused() {
    let config = "models: { gpt-4o: { aliases: [four] } }";
    let fleet = Fleet::start(config).await;
    for (query, verdict, sentence) in [
        ("model=gpt-5o", "model_not_found", "did you mean `gpt-4o`?"),
        (
            "model=embedding-3-small&operation=moderations",
            "nobody",
            "it has no moderations",
        ),
    ] {
        let explained = explain(&fleet.gateway, query).await;
        assert_eq!(explained["verdict"], verdict, "{explained}");
        assert!(
            explained["sentence"].as_str().unwrap().contains(sentence),
            "{explained}"
        );
    }
    for (query, status) in [
        ("", 400),
        ("model=m&operation=chat", 400),
        ("model=m&client=x", 404),
    ] {
        let path = format!("/explain?{query}");
        assert_eq!(
            fleet.gateway.asked("GET", &path, None).await,
            status,
            "{query}"
        );
    }
    // The name would be in the answer once for each endpoint.
    let long = format!("/explain?model={}", "m".repeat(5000));
    assert_eq!(fleet.gateway.asked("GET", &long, None).await, 400);
    let printed = fleet.gateway.ask(&["explain", "--model", "four"]);
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        printed.contains("SHARE") && printed.contains("requests for gpt-4o go to aoi-1 (33.3 %)"),
        "{printed}"
    );
    let printed = fleet.gateway.ask(&["explain", "--json", "--model", "four"]);
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed["asked"], "four");
}

fn clients() -> String {
    let hash = |key| format_key_hash(&key_hash(key));
    format!(
        "clients:\n  curious: {{ keys: ['{}'], explain: true, models: [gpt-4o], default_model: gpt-4o }}\n  plain: {{ keys: ['{}'] }}\n",
        hash("key-of-curious"),
        hash("key-of-plain")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_may_not_use_is_said() {
    let fleet = Fleet::start(&clients()).await;
    let not = explain(&fleet.gateway, "model=gpt-4o-mini&client=curious").await;
    assert_eq!(not["verdict"], "model_not_allowed");
    assert!(
        not["sentence"].as_str().unwrap().contains("only gpt-4o"),
        "{not}"
    );
    let auto = explain(&fleet.gateway, "model=auto&client=curious").await;
    assert_eq!(
        (&auto["verdict"], &auto["model"]),
        (&"served".into(), &GPT.into())
    );
    let plain = explain(&fleet.gateway, "model=gpt-4o-mini&client=plain").await;
    assert_eq!(plain["verdict"], "served");
}

fn told(seen: &Seen) -> Option<Value> {
    let text = seen.header("x-tokenweir-explain")?;
    Some(serde_json::from_str(text).expect(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_may_know_is_told_why_and_no_other() {
    let in_order = crate::support::in_order;
    let mut fleet = Fleet::with(&clients(), |_, resource| resource, in_order).await;
    let ask = async |fleet: &Fleet, key: &str, header: &str| {
        let request = client()
            .post(fleet.chat_url(GPT))
            .header("content-type", "application/json")
            .header("api-key", key)
            .header("x-tokenweir-explain", header);
        Seen::read(request.body(CHAT).send().await.unwrap()).await
    };
    for (key, header) in [("key-of-plain", "1"), ("key-of-curious", "0")] {
        let seen = ask(&fleet, key, header).await;
        assert_eq!((seen.status, told(&seen)), (200, None), "{key}");
        assert_eq!(fleet.gateway.next_access()["decision"], Value::Null);
    }
    let seen = ask(&fleet, "key-of-curious", "1").await;
    let first = json!({ "priority": 1, "let_through": false, "endpoint": "aoi-1", "attempts": 1, "skipped": [], "more": 0 });
    assert_eq!(told(&seen), Some(first));
    fleet.gateway.next_access();

    fleet.aoi(1).inject(throttled().on(GPT).times(2));
    let seen = ask(&fleet, "key-of-curious", "1").await;
    assert_eq!(seen.status, 200);
    let moved = told(&seen).unwrap();
    assert_eq!(
        (&moved["priority"], &moved["attempts"]),
        (&2.into(), &2.into())
    );
    assert_eq!(
        moved["skipped"][0],
        json!({ "endpoint": "aoi-1", "reason": "tried" })
    );
    let line = fleet.gateway.next_access();
    assert_eq!(line["decision"], "priority 2; skipped aoi-1: tried");
    let seen = ask(&fleet, "key-of-curious", "1").await;
    let skipped = &told(&seen).unwrap()["skipped"][0];
    assert_eq!(
        (&skipped["reason"], &skipped["cause"]),
        (&"cooling_down".into(), &"throttled".into())
    );
    assert!(
        skipped["seconds_left"].as_f64().unwrap() > 50.0,
        "{skipped}"
    );
    let line = fleet.gateway.next_access();
    assert_eq!(
        line["decision"],
        "priority 2; skipped aoi-1: cooling_down throttled"
    );

    // Also when the gateway itself has the last word.
    for endpoint in ["aoi-1", "aoi-2", "aoi-3"] {
        fleet.gateway.ask(&["endpoint", "disable", endpoint]);
    }
    let seen = ask(&fleet, "key-of-curious", "1").await;
    assert_eq!(seen.status, 503);
    let nobody = told(&seen).unwrap();
    assert_eq!(
        (&nobody["priority"], &nobody["endpoint"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(nobody["skipped"][2]["reason"], "disabled");
    let line = fleet.gateway.next_access();
    assert_eq!(
        line["decision"],
        "nobody; skipped aoi-1: disabled, aoi-2: disabled, aoi-3: disabled"
    );
}
