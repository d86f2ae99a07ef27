//! Endpoints that an operator takes out by hand.

use rustix::process::Signal;
use serde_json::Value;

use super::{GPT, MINI};
use crate::support::{
    Fleet, post,
    provider::{Provider, STREAM, finish},
};

fn switch_of(status: &Value, endpoint: &str) -> (String, u64) {
    let endpoints = status["endpoints"].as_array().unwrap();
    let found = endpoints
        .iter()
        .find(|found| found["name"] == endpoint)
        .unwrap();
    let switch = found["switch"].as_str().unwrap().to_owned();
    (switch, found["in_flight"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_endpoint_finishes_what_runs_and_gets_nothing_new() {
    let (provider, mut fleet) = Provider::before("").await;
    let url = fleet.chat_url(GPT);
    let (running, upstream) = tokio::join!(post(&url, STREAM), provider.begin());
    let drained = fleet.gateway.ask(&["endpoint", "drain", "aoi-1"]);
    let said = String::from_utf8_lossy(&drained.stdout).into_owned();
    assert_eq!(
        said, "aoi-1: enabled → drained, requests under way: 1\n",
        "{drained:?}"
    );
    let line = fleet
        .gateway
        .next_event(|event| event["message"] == "an operator has switched an endpoint");
    let uid = format!("unix uid {} pid ", rustix::process::getuid().as_raw());
    assert!(line["by"].as_str().unwrap().starts_with(&uid), "{line}");
    assert_eq!(
        (&line["endpoint"], &line["before"], &line["after"]),
        (&"aoi-1".into(), &"enabled".into(), &"drained".into())
    );
    for _ in 0..4 {
        assert_ne!(
            fleet.chat(GPT).await.headers()["x-tokenweir-endpoint"],
            "aoi-1"
        );
    }
    let status = fleet.gateway.json("/status").await;
    assert_eq!(switch_of(&status, "aoi-1"), ("drained".to_owned(), 1));
    finish(upstream).await;
    let whole = running.bytes().await.unwrap();
    assert!(whole.ends_with(b"data: [DONE]\n\n"), "{whole:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_stays_over_reload_and_hand_over_until_it_is_turned_back() {
    let mut fleet = Fleet::start("").await;
    assert!(
        fleet
            .gateway
            .ask(&["endpoint", "disable", "aoi-2"])
            .status
            .success()
    );
    assert!(
        fleet
            .gateway
            .ask(&["endpoint", "drain", "aoi-3"])
            .status
            .success()
    );
    let switched = fleet.gateway.deployment("aoi-3", MINI).await["since"].clone();
    let switched = switched.as_f64().expect("it is known since when");
    let check = async |fleet: &Fleet| {
        let status = fleet.gateway.json("/status").await;
        assert_eq!(switch_of(&status, "aoi-2").0, "disabled");
        let state = fleet.gateway.deployment("aoi-3", MINI).await;
        assert_eq!(
            (&state["state"], &state["reason"]),
            (&"disabled".into(), &"drained by operator".into())
        );
        let since = state["since"].as_f64().unwrap();
        assert!((since - switched).abs() < 0.1, "{state}");
        let explained = fleet.gateway.json("/explain?model=gpt-4o-mini").await;
        let sentence = explained["sentence"].as_str().unwrap();
        assert!(
            sentence.contains("drained by an operator at "),
            "{sentence}"
        );
        let ready = fleet.gateway.json("/readyz").await;
        assert_eq!(
            (&ready["ready"], &ready["unserved"][0]),
            (&true.into(), &MINI.into())
        );
        assert_eq!(ready["switched"]["aoi-3"], "drained");
        for _ in 0..3 {
            assert_eq!(
                fleet.chat(GPT).await.headers()["x-tokenweir-endpoint"],
                "aoi-1"
            );
        }
        assert_eq!(fleet.chat(MINI).await.status(), 503);
    };
    check(&fleet).await;
    // Also one that is out of the configuration for a while.
    fleet.gateway.reload(&[("  aoi-2:\n", "  aoi-two:\n")]);
    fleet
        .gateway
        .reload(&[("open: true", "open: true\ndrain_timeout: 5s")]);
    check(&fleet).await;
    fleet.gateway.signal(Signal::USR2);
    fleet.gateway.handed_over();
    check(&fleet).await;

    let printed = fleet.gateway.ask(&["status"]);
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        printed.contains("endpoint aoi-2: disabled by operator"),
        "{printed}"
    );
    let unknown = fleet.gateway.ask(&["endpoint", "enable", "aoi-22"]);
    assert!(!unknown.status.success());
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("did you mean `aoi-2`?"), "{said}");
    assert!(
        fleet
            .gateway
            .ask(&["endpoint", "enable", "aoi-2"])
            .status
            .success()
    );
    assert_eq!(
        fleet.chat(MINI).await.headers()["x-tokenweir-endpoint"],
        "aoi-2"
    );
}
