//! Thousands of requests of every sort at once, some of which break off: the counts of the gateway are those of the
//! providers, to the token.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};
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
    let config = "defaults: { circuit_breaker: off }";
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
    let mut fleet = Fleet::with(config, shape, |_| String::new()).await;
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

    let (mut prompt, mut completion, mut cut) = (0, 0, 0);
    for _ in 0..REQUESTS {
        let line = fleet.gateway.next_access();
        let number: usize = line["client_request_id"].as_str().unwrap().parse().unwrap();
        let request = &requests[number];
        if whole[number] {
            let expected = (request.prompt, request.completion, false);
            assert_eq!(counted(&line), Some(expected), "{}: {line}", request.body);
            prompt += request.prompt;
            completion += request.completion;
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
    }
    assert!(cut > REQUESTS / 200, "only {cut} broke off");
    let reported = fleet.simulators.iter().fold((0, 0), |sum, simulator| {
        let counts = simulator.control().counts("gpt-4o");
        (
            sum.0 + counts.prompt_tokens,
            sum.1 + counts.completion_tokens,
        )
    });
    assert_eq!((prompt, completion), reported);
}
