//! Thousands of requests of every sort and of several clients at once, some of which break off: the counts of the gateway
//! are those of the providers, to the token, and everywhere the same.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt as _, stream};
use gateway::config::client_key::{format_key_hash, key_hash};
use serde_json::Value;
use simulator::{Action, Behaviour, Fault, Resource};

use super::counted;
use crate::support::{Fleet, PATIENCE, Seen, client};

const REQUESTS: usize = 10_000;
const AT_ONCE: usize = 64;
const ANSWER_TOKENS: u64 = 4;
const IMAGE_TOKENS: u64 = 272;
/// One in so many breaks off; behind an event that reports no tokens.
const CUT: Action = Action::CutMidStream { after_events: 2 };
const CUT_SHARE: f64 = 0.02;
const CLIENTS: [&str; 3] = ["team-a", "team-b", "team-c"];
const DIRECTIONS: [&str; 4] = ["prompt", "cached", "completion", "reasoning"];

/// Tokens by endpoint, client, direction, and whether they are estimated.
type Sums = BTreeMap<[String; 4], u64>;

struct Request {
    path: &'static str,
    body: String,
    /// As the provider counts them.
    prompt: u64,
    completion: u64,
}

impl Request {
    /// The `number`-th of the mix.
    fn new(number: usize) -> Self {
        let text = format!("{number} {}", "word ".repeat(number % 40));
        let quoted = format!("\"{text}\"");
        let messages = format!(r#"[{{"role":"user","content":"{text}"}}]"#);
        let max = number as u64 % 5 + 1;
        let (path, prompt) = match number % 8 {
            0 => (
                "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
                ("messages", messages),
            ),
            1 => ("/v1/chat/completions", ("messages", messages)),
            2 => (
                "/openai/deployments/gpt-4o/completions?api-version=2025-04-01-preview",
                ("prompt", quoted),
            ),
            3 => ("/openai/v1/responses", ("input", quoted)),
            4 => (
                "/openai/responses?api-version=2025-04-01-preview",
                ("input", messages),
            ),
            5 => (
                "/openai/v1/embeddings",
                ("input", format!("[{quoted},{quoted}]")),
            ),
            6 => ("/v1/images/generations", ("prompt", quoted)),
            _ => (
                "/openai/deployments/gpt-4o/embeddings?api-version=2024-10-21",
                ("input", quoted),
            ),
        };
        let unary = path.contains("embeddings") || path.contains("images");
        let limit = if path.contains("responses") {
            "max_output_tokens"
        } else {
            "max_tokens"
        };
        let ways = [
            "",
            r#""stream":true,"#,
            r#""stream":true,"stream_options":{"include_usage":true},"#,
        ];
        // Of a stream of responses the provider always reports them.
        let way = match (unary, path.contains("responses")) {
            (true, _) => ways[0],
            (_, true) => ways[number / 8 % 2],
            (_, false) => ways[number / 8 % 3],
        };
        let (name, value) = prompt;
        Self {
            path,
            body: format!(r#"{{{way}"model":"gpt-4o","{name}":{value},"{limit}":{max}}}"#),
            prompt: (value.len() as u64).div_ceil(4),
            completion: match path {
                "/v1/images/generations" => IMAGE_TOKENS,
                _ if unary => 0,
                _ => max.min(ANSWER_TOKENS),
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_counts_what_the_providers_report_to_the_token() {
    let clients = CLIENTS.map(|name| {
        let hash = format_key_hash(&key_hash(name));
        format!("  {name}: {{ keys: ['{hash}'] }}\n")
    });
    let config = format!(
        "defaults: {{ circuit_breaker: off }}\nclients:\n{}",
        clients.concat()
    );
    let shape = |name: &str, mut resource: Resource| {
        let pieces = HashMap::from([("aoi-1", 0), ("aoi-2", 61), ("aoi-3", 1000)]);
        for deployment in &mut resource.deployments {
            deployment.behaviour = Behaviour {
                answer_tokens: ANSWER_TOKENS,
                embedding_dimensions: 8,
                piece_bytes: pieces[name],
                ..Behaviour::default()
            };
        }
        resource
    };
    let mut fleet = Fleet::with(&config, shape, |_| String::new()).await;
    for number in 1..=3 {
        let cut = Fault::new(CUT).on("gpt-4o").with_probability(CUT_SHARE);
        fleet.aoi(number).inject(cut);
    }
    let http = client();
    let requests: Vec<Request> = (0..REQUESTS).map(Request::new).collect();
    let whole = stream::iter(requests.iter().enumerate())
        .map(|(number, request)| {
            let sent = http
                .post(fleet.gateway.url(request.path))
                .header("content-type", "application/json")
                .header("api-key", CLIENTS[number % CLIENTS.len()])
                .header("x-ms-client-request-id", number)
                .body(request.body.clone());
            async move { (number, Seen::read(sent.send().await.unwrap()).await) }
        })
        .buffer_unordered(AT_ONCE)
        .fold(vec![false; REQUESTS], async |mut whole, (number, seen)| {
            // One may break off before the client has heard of it.
            assert!(matches!(seen.status, 200 | 502), "{}", seen.text());
            let asked = !requests[number].body.contains("stream\":true,\"model")
                || requests[number].path.contains("responses");
            assert!(
                seen.status == 502 || !seen.complete || seen.text().contains("_tokens") == asked,
                "{}",
                seen.text()
            );
            whole[number] = seen.status == 200 && seen.complete;
            whole
        });
    let whole = tokio::time::timeout(3 * PATIENCE, whole)
        .await
        .expect("in time");

    let (mut logged, mut cut) = (Sums::new(), 0);
    for _ in 0..REQUESTS {
        let line = fleet.gateway.next_access();
        let number: usize = line["client_request_id"].as_str().unwrap().parse().unwrap();
        let request = &requests[number];
        if whole[number] {
            let expected = (request.prompt, request.completion, false);
            assert_eq!(counted(&line), Some(expected), "{}: {line}", request.body);
        } else {
            cut += 1;
            // Of a unary answer that broke off nothing is known.
            let streams = line["status"] == 200 && request.body.contains("\"stream\":true");
            assert_eq!(
                counted(&line).map(|counted| counted.2),
                streams.then_some(true),
                "{line}"
            );
        }
        add(&mut logged, &line);
    }
    assert!(cut > REQUESTS / 200, "only {cut} broke off");
    all_say(&fleet, &logged).await;
}

fn add(sums: &mut Sums, line: &Value) {
    for direction in DIRECTIONS {
        if let Some(tokens @ 1..) = line[format!("{direction}_tokens")].as_u64() {
            let estimated = line["tokens_estimated"].to_string();
            let of = |field: &str| line[field].as_str().unwrap().to_owned();
            let key = [of("endpoint"), of("client"), direction.into(), estimated];
            *sums.entry(key).or_default() += tokens;
        }
    }
}

/// Each number of the lines is that of the metric; its sums are those of the status and, where nothing was estimated, of
/// the providers.
async fn all_say(fleet: &Fleet, logged: &Sums) {
    assert_eq!(
        metered(&fleet.gateway.admin_page("/metrics").await),
        *logged
    );
    let sum = |fits: &dyn Fn(&[&str; 4]) -> bool| -> u64 {
        let fitting = logged.iter().filter(|(key, _)| {
            let key = key.each_ref().map(String::as_str);
            fits(&key)
        });
        fitting.map(|(_, tokens)| tokens).sum()
    };
    let status = fleet.gateway.admin_page("/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let pools = status["pools"].as_array().unwrap();
    let pool = pools.iter().find(|pool| pool["model"] == "gpt-4o").unwrap();
    for direction in ["prompt", "completion"] {
        for (number, name) in (1..).zip(["aoi-1", "aoi-2", "aoi-3"]) {
            let counts = fleet.aoi(number).counts("gpt-4o");
            let reported = match direction {
                "prompt" => counts.prompt_tokens,
                _ => counts.completion_tokens,
            };
            let measured = sum(&|[endpoint, _, of, estimated]| {
                (*endpoint, *of, *estimated) == (name, direction, "false")
            });
            assert_eq!(
                (measured, measured > 0),
                (reported, true),
                "{name} {direction}"
            );
            let all = sum(&|[endpoint, _, of, _]| (*endpoint, *of) == (name, direction));
            let deployments = pool["deployments"].as_array().unwrap();
            let said = deployments.iter().find(|said| said["endpoint"] == name);
            assert_eq!(
                said.unwrap()["tokens"][direction],
                all,
                "{name} {direction}"
            );
        }
        for (name, said) in CLIENTS.iter().zip(status["clients"].as_array().unwrap()) {
            let all = sum(&|[_, client, of, _]| (client, *of) == (name, direction));
            assert_eq!(said["name"], *name);
            assert_eq!(
                said[format!("{direction}_tokens")],
                all,
                "{name} {direction}"
            );
        }
    }
}

fn metered(page: &str) -> Sums {
    let series = page.lines();
    let series = series.filter_map(|line| line.strip_prefix("tokenweir_tokens_total{"));
    let series = series.map(|line| {
        let (labels, tokens) = line.split_once("} ").unwrap();
        let key = ["endpoint", "client", "direction", "estimated"].map(|name| {
            let (_, value) = labels.split_once(&format!("{name}=\"")).unwrap();
            value.split('"').next().unwrap().to_owned()
        });
        (key, tokens.parse().unwrap())
    });
    series.filter(|(_, tokens)| *tokens > 0).collect()
}
