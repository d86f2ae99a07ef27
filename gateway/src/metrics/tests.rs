use std::path::Path;

use super::*;
use crate::{
    api::{
        answer::{Counted, Usage},
        operation::Operation,
    },
    config::{self, Compiled},
    ids::{DeploymentName, EndpointName},
    policy::cause::Cause,
    pool::Place,
};

/// Dashboards and alerts are made of these: a change here is a change for every operator.
#[test]
fn names_types_and_labels_are_those_that_were_promised() {
    let described: String = Metrics::descriptions()
        .iter()
        .map(|description| {
            let labels = description.labels.join(",");
            format!("{} {{{labels}}} {}\n", description.name, description.kind)
        })
        .collect();
    let golden = include_str!("tests/names.txt");
    assert_eq!(described, golden, "is it meant? Then write it to names.txt");
}

#[test]
fn every_family_says_what_it_is_and_has_a_unit_that_prometheus_knows() {
    for Description {
        name, help, kind, ..
    } in Metrics::descriptions()
    {
        assert!(name.starts_with("tokenweir_"), "{name}");
        assert!(help.ends_with('.') && help.len() > 10, "{name}: {help:?}");
        assert!(
            !help.contains("  ") && help.trim() == help,
            "{name}: {help:?}"
        );
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        for unit in ["_ms", "_millis", "_percent", "_minutes"] {
            assert!(!name.ends_with(unit), "{name}");
        }
        if kind == "histogram" {
            assert!(name.ends_with("_seconds"), "{name}");
        }
    }
}

#[test]
fn buckets_rise() {
    for description in Metrics::descriptions() {
        let rise = description.buckets.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(rise, "{}", description.name);
    }
}

const CONFIG: &str = "
version: 1
listen: [{ address: 127.0.0.1:8080 }]
credentials: { key: { api_key: { value: k } } }
endpoints:
  one:
    url: https://one.openai.azure.com
    credential: key
    deployments: { cheap: {}, dear: { price: { prompt: 0, completion: 0 } } }
  two: { url: https://two.openai.azure.com, credential: key, priority: 2, deployments: { dear: {} } }
models: { dear: { price: { prompt: 2.5, cached: 0.5, completion: 10 } } }
clients: { team: { keys: [ \"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\" ] } }
";

fn compiled(text: String) -> Compiled {
    let loaded = config::from_text(Path::new("/tokenweir.yaml"), text);
    loaded.unwrap().compiled
}

fn accounts(metrics: &Metrics) -> Accounts {
    Accounts::link(&compiled(CONFIG.to_owned()), metrics)
}

const CHAT: Asked = Asked::Model(Operation::ChatCompletions);

#[test]
fn requests_are_counted_by_what_the_configuration_knows_and_nothing_else() {
    let metrics = Metrics::new();
    let accounts = accounts(&metrics);
    for (caller, model, asked, status) in [
        (Caller::Client(0), Some(1), CHAT, 200),
        (Caller::Client(0), Some(1), CHAT, 299),
        (Caller::Client(0), Some(1), CHAT, 503),
        (Caller::Client(0), None, CHAT, 404),
        (Caller::Anonymous, Some(0), Asked::Models, 200),
        (Caller::Nobody, None, Asked::Nothing, 401),
        (Caller::Nobody, None, Asked::Nothing, 0),
        (Caller::Nobody, None, Asked::Nothing, 999),
    ] {
        accounts.request(caller, model, asked, status);
    }
    let text = metrics.render(Vec::new());
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("tokenweir_requests_total"))
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    assert_eq!(
        lines,
        [
            r#"{client="anonymous",model="cheap",operation="models",status="2xx"} 1"#,
            r#"{client="other",model="other",operation="other",status="4xx"} 1"#,
            r#"{client="team",model="dear",operation="chat/completions",status="2xx"} 2"#,
            r#"{client="team",model="dear",operation="chat/completions",status="5xx"} 1"#,
            r#"{client="team",model="other",operation="chat/completions",status="4xx"} 1"#,
        ]
    );
    let totals = metrics.totals();
    assert_eq!(totals.clients["team"].requests, 4);
    let dear = ModelTotals {
        requests: 3,
        errors: 1,
    };
    assert_eq!(totals.models["dear"], dear);
}

#[test]
fn tokens_are_booked_where_they_were_spent_and_paid_at_the_price_of_that_place() {
    let metrics = Metrics::new();
    let accounts = accounts(&metrics);
    let counted = |estimated| Counted {
        usage: Usage {
            prompt: 1_000_000,
            cached: 400_000,
            completion: 100_000,
            reasoning: 7,
        },
        estimated,
    };
    let place = |tier| Place { tier, member: 0 };
    let team = Caller::Client(0);
    let (cheap, dear) = (0, 1);
    assert_eq!(
        accounts.tokens(team, cheap, place(0), &counted(false)),
        None
    );
    // Paid for anyway, at this endpoint.
    assert_eq!(
        accounts.tokens(team, dear, place(0), &counted(false)),
        Some(0.0)
    );
    let cost = accounts.tokens(team, dear, place(1), &counted(true));
    // 0.6 million at 2.50, 0.4 at 0.50, 0.1 at 10.
    assert!((cost.unwrap() - 2.7).abs() < 1e-9, "{cost:?}");

    let totals = metrics.totals();
    let team = totals.clients["team"];
    assert_eq!(
        (team.prompt_tokens, team.completion_tokens),
        (3_000_000, 300_000)
    );
    assert!((team.cost.unwrap() - 2.7).abs() < 1e-9);
    let two = totals.deployments[&("two".to_owned(), "dear".to_owned())];
    assert_eq!(
        (two.prompt_tokens, two.completion_tokens),
        (1_000_000, 100_000)
    );
    let text = metrics.render(Vec::new());
    let labels =
        r#"{client="team",direction="cached",endpoint="two",estimated="true",model="dear"}"#;
    assert!(
        text.contains(&format!("tokenweir_tokens_total{labels} 400000")),
        "{text}"
    );
}

#[test]
fn an_attempt_is_the_deployments_the_clients_or_a_success() {
    let metrics = Metrics::new();
    let deployment = metrics.deployment(
        &EndpointName::new("one").unwrap(),
        &DeploymentName::new("d").unwrap(),
        &ModelName::new("m").unwrap(),
    );
    let took = Duration::from_millis(20);
    deployment.attempt(None, took);
    for cause in Cause::ALL {
        deployment.attempt(Some(cause), took);
    }
    let totals = metrics.totals().deployments[&("one".to_owned(), "m".to_owned())];
    assert_eq!((totals.ok, totals.client, totals.failed), (1, 3, 10));
}

#[test]
fn time_per_token_is_that_of_the_tokens_after_the_first() {
    let metrics = Metrics::new();
    let deployment = metrics.deployment(
        &EndpointName::new("one").unwrap(),
        &DeploymentName::new("d").unwrap(),
        &ModelName::new("m").unwrap(),
    );
    let second = Duration::from_secs(1);
    // What has no second token has no time between tokens.
    for tokens in [0, 1, 11] {
        deployment.stream(second, second, tokens);
    }
    let text = metrics.render(Vec::new());
    let family = "tokenweir_time_per_output_token_seconds";
    for line in [
        format!("{family}_sum{{endpoint=\"one\",model=\"m\"}} 0.1"),
        format!("{family}_count{{endpoint=\"one\",model=\"m\"}} 1"),
        "tokenweir_time_to_first_token_seconds_count{endpoint=\"one\",model=\"m\"} 3".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}

#[test]
fn what_is_no_longer_configured_is_no_longer_counted() {
    let metrics = Metrics::new();
    let accounts = accounts(&metrics);
    let team = Caller::Client(0);
    accounts.request(team, Some(0), CHAT, 200);
    accounts.request(team, Some(1), CHAT, 200);
    accounts.request(Caller::Nobody, None, Asked::Nothing, 401);
    let counted = Counted {
        usage: Usage::default(),
        estimated: false,
    };
    for tier in [0, 1] {
        accounts.tokens(team, 1, Place { tier, member: 0 }, &counted);
    }
    for endpoint in ["one", "two"] {
        let _ = metrics.endpoint(&EndpointName::new(endpoint).unwrap());
    }
    let has = |text: &str| metrics.render(Vec::new()).contains(text);
    metrics.forget(&compiled(CONFIG.to_owned()));
    let kept = [r#"model="dear""#, r#"client="other""#, r#"endpoint="one""#];
    let gone = [r#"model="cheap""#, r#"endpoint="two""#];
    for text in kept.iter().chain(&gone) {
        assert!(has(text), "{text}");
    }
    let smaller = CONFIG.replace("cheap: {}, ", "");
    let two = smaller.lines().find(|line| line.starts_with("  two:"));
    metrics.forget(&compiled(smaller.replace(two.unwrap(), "")));
    for text in kept {
        assert!(has(text), "{text}");
    }
    for text in gone {
        assert!(!has(text), "{text}");
    }
    metrics.forget(&compiled(CONFIG.replace("team:", "others:")));
    assert!(!has(r#"client="team""#) && has(r#"client="other""#));
}
