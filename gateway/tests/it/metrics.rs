//! What Prometheus sees: the truth, and never more series than the configuration has names.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use gateway::config::client_key::{format_key_hash, key_hash};

use crate::support::{CHAT, Fleet, client};

const KEY: &str = "tw-metrics-team-a";
/// Requests that nobody in their right mind sends.
const HOSTILE: usize = 10_000;

fn clients() -> String {
    format!(
        "clients: {{ team-a: {{ keys: [ \"{}\" ] }} }}\n\
         models: {{ gpt-4o: {{ price: {{ prompt: 1000, completion: 0 }} }} }}\n",
        format_key_hash(&key_hash(KEY))
    )
}

/// Every series with its value, but those of the process itself.
async fn series(fleet: &Fleet) -> BTreeMap<String, f64> {
    let page = fleet.gateway.admin_page("/metrics").await;
    page.lines()
        .filter(|line| line.starts_with("tokenweir_"))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

async fn attack(client: &reqwest::Client, fleet: &Fleet, number: usize) {
    let model = format!("model-{number}");
    let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
    let path = match number % 5 {
        0 => format!("/openai/deployments/{model}/chat/completions?api-version={number}"),
        1 => "/v1/chat/completions".to_owned(),
        2 => format!("/v1/models/{model}"),
        3 => format!("/{model}/.env?x={number}"),
        _ => "/openai/v1/responses".to_owned(),
    };
    let request = match number % 5 {
        2 | 3 => client.get(fleet.gateway.url(&path)),
        _ => client.post(fleet.gateway.url(&path)).body(body),
    };
    let stranger = format!("tw-{number}");
    let key = if number.is_multiple_of(2) {
        KEY
    } else {
        &stranger
    };
    let answer = request
        .header("api-key", key)
        .header("user-agent", &stranger)
        .header("x-ms-client-request-id", &model)
        .header("openai-organization", &model)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_client_error(), "{}", answer.status());
    let _ = answer.bytes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_a_series_that_the_configuration_does_not() {
    let fleet = Fleet::start(&clients()).await;
    let before: BTreeSet<String> = series(&fleet).await.into_keys().collect();
    let client = client();
    stream::iter(0..HOSTILE)
        .for_each_concurrent(64, |number| attack(&client, &fleet, number))
        .await;
    let after = series(&fleet).await;
    let of_clients = |client: &str| -> f64 {
        let mine = |series: &&String| {
            series.starts_with("tokenweir_requests_total{")
                && series.contains(&format!("client=\"{client}\""))
        };
        after.keys().filter(mine).map(|series| after[series]).sum()
    };
    for client in ["team-a", "other"] {
        assert_eq!(of_clients(client), HOSTILE as f64 / 2.0, "{client}");
    }
    let new: Vec<&String> = after.keys().filter(|key| !before.contains(*key)).collect();
    for series in &new {
        assert!(series.contains("model=\"other\""), "{series}");
    }
    assert!(new.len() <= 30, "{new:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_seen_from_every_side() {
    let mut fleet = Fleet::in_order(&clients()).await;
    // As long as it lives, so does its connection.
    let client = client();
    let request = client.post(fleet.chat_url("gpt-4o")).header("api-key", KEY);
    let answer = request.body(CHAT).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap();
    // It is counted when its line has been written.
    fleet.gateway.next_access();
    let stats = fleet.aoi(1).counts("gpt-4o");
    assert_eq!(stats.requests, 1);
    let series = series(&fleet).await;
    let who = r#"client="team-a",model="gpt-4o""#;
    let place = r#"endpoint="aoi-1",model="gpt-4o""#;
    for (name, expected) in [
        (
            format!(r#"tokenweir_requests_total{{{who},operation="chat/completions",status="2xx"}}"#),
            1.0,
        ),
        (
            r#"tokenweir_attempts_total{cause="none",deployment="gpt-4o",endpoint="aoi-1",model="gpt-4o",outcome="ok"}"#.to_owned(),
            1.0,
        ),
        (format!("tokenweir_attempt_duration_seconds_count{{{place}}}"), 1.0),
        (r#"tokenweir_request_duration_seconds_count{model="gpt-4o"}"#.to_owned(), 1.0),
        (r#"tokenweir_overhead_seconds_count{model="gpt-4o"}"#.to_owned(), 1.0),
        (r#"tokenweir_upstream_connections_total{endpoint="aoi-1",reused="false"}"#.to_owned(), 1.0),
        (r#"tokenweir_pool_usable_deployments{model="gpt-4o"}"#.to_owned(), 3.0),
        (r#"tokenweir_pool_deployments{model="gpt-4o"}"#.to_owned(), 3.0),
        ("tokenweir_client_connections".to_owned(), 1.0),
        ("tokenweir_requests_in_flight".to_owned(), 0.0),
        ("tokenweir_streams_open".to_owned(), 0.0),
        (r#"tokenweir_config_reloads_total{result="refused"}"#.to_owned(), 0.0),
    ] {
        assert_eq!(series.get(&name), Some(&expected), "{name} in {series:#?}");
    }
    let total = series[r#"tokenweir_request_duration_seconds_sum{model="gpt-4o"}"#];
    let own = series[r#"tokenweir_overhead_seconds_sum{model="gpt-4o"}"#];
    let elsewhere = series[&format!("tokenweir_attempt_duration_seconds_sum{{{place}}}")];
    assert!(
        own > 0.0 && own + elsewhere <= total + 1e-6,
        "{own} + {elsewhere} of {total}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_refused_to_a_client_is_named_and_one_that_does_not_exist_is_not() {
    let config = clients().replace("keys:", "models: [ gpt-4o-mini ], keys:");
    let mut fleet = Fleet::in_order(&config).await;
    for (model, status, named) in [
        ("gpt-4o", 403, Some("gpt-4o")),
        ("gpt-9", 404, None),
        ("gpt-4o-mini", 200, Some("gpt-4o-mini")),
    ] {
        let in_body = format!(r#"{{"model":"{model}","messages":[]}}"#);
        for (url, body) in [
            (fleet.chat_url(model), CHAT.to_owned()),
            (fleet.gateway.url("/v1/chat/completions"), in_body),
        ] {
            let request = client().post(url).header("api-key", KEY).body(body);
            assert_eq!(request.send().await.unwrap().status(), status);
            let line = fleet.gateway.next_access();
            assert_eq!(line["model"].as_str(), named, "{line}");
        }
        let (named, class) = (named.unwrap_or("other"), status / 100);
        let name = format!(
            "tokenweir_requests_total{{client=\"team-a\",model=\"{named}\",operation=\"chat/completions\",status=\"{class}xx\"}}"
        );
        assert_eq!(fleet.gateway.metric(&name).await, 2.0, "{name}");
    }
}
