//! Request bodies: whole at the last of several endpoints, rewritten nowhere but at the model, and refused where
//! they are too large, too long or too ambiguous.

mod refused;

use futures_util::stream;
use simulator::{Action, Deployment, Fault, Resource};

use crate::support::{CHAT, Fleet, PATIENCE, Seen, client, h2_client, in_order, post};

const GPT: &str = "gpt-4o";
const PATH: &str = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";
const V1: &str = "/v1/chat/completions";

/// A chat of exactly so many bytes.
fn chat(bytes: usize) -> String {
    let (start, end) = (r#"{"messages":[{"role":"user","content":""#, r#""}]}"#);
    // Not one letter over and over: a piece in the wrong place would not show.
    let words = (0..).map(|number| format!("{number} "));
    let mut body = start.to_owned();
    for word in words {
        if body.len() + word.len() + end.len() > bytes {
            break;
        }
        body += &word;
    }
    body += &"x".repeat(bytes - body.len() - end.len());
    body + end
}

/// A body without a length.
fn chunked(body: &str, chunk: usize) -> reqwest::Body {
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> = body
        .as_bytes()
        .chunks(chunk)
        .map(|chunk| Ok(chunk.to_vec()))
        .collect();
    reqwest::Body::wrap_stream(stream::iter(chunks))
}

/// Over HTTP/1.1 and over HTTP/2: a client and the URL of a path.
fn both(fleet: &Fleet, path: &str) -> [(reqwest::Client, String); 2] {
    [
        (client(), fleet.gateway.url(path)),
        (h2_client(), fleet.gateway.h2c_url(path)),
    ]
}

async fn send(client: &reqwest::Client, url: &str, body: impl Into<reqwest::Body>) -> Seen {
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .body(body);
    let answer = tokio::time::timeout(PATIENCE, request.send()).await;
    Seen::read(answer.expect("an answer in time").expect("an answer")).await
}

/// The deployments have other names than the models.
async fn renamed(config: &str) -> Fleet {
    let shape = |name: &str, resource: Resource| Resource {
        deployments: vec![Deployment::new(&format!("four-o-{name}"), GPT)],
        ..resource
    };
    let lines = |name: &str| {
        in_order(name)
            + &format!("    deployments: {{ gpt-4o: {{ deployment: four-o-{name} }} }}\n")
    };
    Fleet::with(config, shape, lines).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_survives_two_failing_endpoints() {
    let body = chat(5 << 20);
    let failures = [
        [Action::ResetBeforeHeaders, Action::Garbage],
        [answer(503), answer(503)],
        [answer(429), answer(500)],
        [Action::CloseBeforeHeaders, Action::ResetBeforeHeaders],
    ];
    for (failures, http2) in failures.iter().flat_map(|f| [(f, false), (f, true)]) {
        let fleet = Fleet::in_order("").await;
        let [h1, h2] = both(&fleet, PATH);
        let (client, url) = if http2 { h2 } else { h1 };
        for (number, action) in (1..).zip(failures) {
            fleet.aoi(number).inject(Fault::new(action.clone()).on(GPT));
        }
        let seen = send(&client, &url, body.clone()).await;
        let name = format!("{failures:?}, HTTP/2: {http2}");
        let attempts = seen.header("x-tokenweir-attempts");
        assert_eq!((seen.status, attempts), (200, Some("3")), "{name}");
        let last = fleet.aoi(3).last(GPT).unwrap();
        assert!(last.body == body, "{name}: it arrived changed");
        let length = body.len().to_string();
        assert_eq!(last.header("content-length"), Some(&*length), "{name}");
        assert_eq!(fleet.requests(GPT), [1, 1, 1], "{name}");
        let held = fleet.gateway.metric("tokenweir_buffered_bytes").await;
        assert!(held.abs() < 0.1, "{name}: {held} bytes are still held");
    }
}

fn answer(status: u16) -> Action {
    Action::Status {
        status,
        headers: [].into(),
        body: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_before_the_body_was_read_is_a_status() {
    let body = chat(5 << 20);
    for http2 in [false, true] {
        let fleet = Fleet::in_order("").await;
        let [h1, h2] = both(&fleet, PATH);
        let (client, url) = if http2 { h2 } else { h1 };
        let early = Action::EarlyStatus { status: 429 };
        fleet.aoi(1).inject(Fault::new(early).on(GPT).times(1));
        let seen = send(&client, &url, body.clone()).await;
        let attempts = seen.header("x-tokenweir-attempts");
        assert_eq!((seen.status, attempts), (200, Some("2")), "{url}");
        assert!(fleet.aoi(2).last(GPT).unwrap().body == body);
        fleet.gateway.until("aoi-1", GPT, "throttling").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_size_around_the_buffers_is_replayed_whole() {
    let fleet =
        Fleet::in_order("defaults: { circuit_breaker: off, retry: { budget: 100% } }").await;
    for (client, url) in both(&fleet, PATH) {
        for bytes in [
            100,
            16_384,
            65_535,
            65_536,
            65_537,
            131_071,
            131_072,
            131_073,
            196_609,
            1 << 20,
        ] {
            let body = chat(bytes);
            fleet.aoi(1).inject(Fault::status(500).on(GPT).times(1));
            let seen = send(&client, &url, body.clone()).await;
            assert_eq!(
                (seen.status, seen.header("x-tokenweir-attempts")),
                (200, Some("2")),
                "{bytes} {url}"
            );
            assert!(
                fleet.aoi(1).last(GPT).unwrap().body == body,
                "{bytes} {url}"
            );
            assert!(
                fleet.aoi(2).last(GPT).unwrap().body == body,
                "{bytes} {url}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_body_without_a_length_is_replayed() {
    let fleet =
        Fleet::in_order("defaults: { circuit_breaker: off, retry: { budget: 100% } }").await;
    for (client, url) in both(&fleet, PATH) {
        for bytes in [100, 40_000, 65_535, 65_536] {
            for chunk in [7_000, 65_536] {
                let body = chat(bytes);
                fleet.aoi(1).inject(Fault::status(500).on(GPT).times(1));
                let seen = send(&client, &url, chunked(&body, chunk)).await;
                assert_eq!(
                    (seen.status, seen.header("x-tokenweir-attempts")),
                    (200, Some("2")),
                    "{bytes} {url}"
                );
                assert!(
                    fleet.aoi(2).last(GPT).unwrap().body == body,
                    "{bytes} {url}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_without_a_length_goes_to_one_endpoint_or_is_refused() {
    let fleet = renamed("defaults: { circuit_breaker: off }").await;
    let body = chat(300_000);
    for (client, url) in both(&fleet, PATH) {
        // Several, since what one leaves on the connection to the endpoint meets the next.
        for _ in 0..8 {
            let seen = send(&client, &url, chunked(&body, 10_000)).await;
            assert_eq!(seen.status, 200, "{url}: {}", seen.text());
        }
        assert!(fleet.aoi(1).last("four-o-aoi-1").unwrap().body == body);

        fleet.aoi(1).inject(Fault::status(500).times(1));
        let seen = send(&client, &url, chunked(&body, 10_000)).await;
        assert_eq!(
            (seen.status, seen.header("x-tokenweir-attempts")),
            (500, Some("1")),
            "{url}: {}",
            seen.text()
        );
    }
    let before = fleet.aoi(1).counts("four-o-aoi-1").requests;
    let in_body = body.replacen('{', r#"{"model":"gpt-4o","#, 1);
    for (client, url) in both(&fleet, V1) {
        let seen = send(&client, &url, chunked(&in_body, 10_000)).await;
        assert_eq!(
            (seen.status, &*seen.code()),
            (411, "length_required"),
            "{url}"
        );
        assert!(seen.text().contains("content-length"));
    }
    assert_eq!(fleet.aoi(1).counts("four-o-aoi-1").requests, before);
    assert_eq!(fleet.aoi(2).counts("four-o-aoi-2").requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_model_of_a_body_is_changed_and_for_each_endpoint_anew() {
    let fleet = renamed("models: { gpt-4o: { aliases: [four] } }").await;
    let bodies = [
        r#"{"model":"gpt-4o","messages":[]}"#,
        "\n { \"messages\" : [ {\"model\":\"gpt-9\",\"role\":\"user\",\"content\":\"caf\\u00e9 \u{e9}\"} ],\n\t\"model\" : \"gpt-4o\" , \"big\":1e400, \"a\":1,\"a\":2 }\r\n",
        r#"{"messages":[],"model":"gpt\u002d4o"}"#,
        r#"{"messages":[],"model":"four"}"#,
    ];
    for (client, url) in both(&fleet, V1) {
        for body in bodies {
            fleet.aoi(1).inject(
                Fault::new(Action::Status {
                    status: 429,
                    headers: [("retry-after-ms".to_owned(), "1".to_owned())].into(),
                    body: None,
                })
                .times(1),
            );
            let seen = send(&client, &url, body).await;
            assert_eq!(
                (seen.status, seen.header("x-tokenweir-attempts")),
                (200, Some("2")),
                "{body}"
            );
            for number in [1, 2] {
                let name = format!("four-o-aoi-{number}");
                let expected = ["\"gpt-4o\"", "\"gpt\\u002d4o\"", "\"four\""]
                    .iter()
                    .fold(body.to_owned(), |body, model| {
                        body.replace(model, &format!("\"{name}\""))
                    });
                let last = fleet.aoi(number).last(&name).unwrap();
                assert_eq!(String::from_utf8_lossy(&last.body), expected);
                assert_eq!(last.path, "/openai/v1/chat/completions");
            }
            fleet.gateway.until("aoi-1", GPT, "healthy").await;
        }
    }
    // In the dated shape the path decides, and the body stays as it is.
    let body = r#"{"model":"something else","messages":[]}"#;
    assert_eq!(post(&fleet.gateway.url(PATH), body).await.status(), 200);
    let last = fleet.aoi(1).last("four-o-aoi-1").unwrap();
    assert_eq!(
        (&*last.body, &*last.path),
        (
            body.as_bytes(),
            "/openai/deployments/four-o-aoi-1/chat/completions"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_and_aliases_stand_for_models_in_path_and_body() {
    let config = "default_model: gpt-4o-mini\nmodels: { gpt-4o-mini: { aliases: [small] } }\n";
    let fleet = Fleet::start(config).await;
    let dated =
        |name: &str| format!("/openai/deployments/{name}/chat/completions?api-version=2024-10-21");
    let mut expected = 0;
    for name in ["auto", "small", "gpt-4o-mini"] {
        let body = format!(r#"{{"messages":[],"model":"{name}"}}"#);
        for (path, body) in [
            (dated(name), CHAT),
            (V1.to_owned(), &*body),
            ("/openai/v1/chat/completions".to_owned(), &*body),
        ] {
            let seen = Seen::read(post(&fleet.gateway.url(&path), body.to_owned()).await).await;
            assert_eq!(seen.status, 200, "{path} {body}: {}", seen.text());
            expected += 1;
            assert_eq!(fleet.requests("gpt-4o-mini").iter().sum::<u64>(), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_of_a_form_is_found_behind_a_large_file() {
    let fleet = renamed("").await;
    let file: Vec<u8> = (0..200_000_u32)
        .map(|number| number.to_le_bytes()[0] ^ 0x5a)
        .collect();
    let mut body =
        b"--b0undary\r\ncontent-disposition: form-data; name=\"file\"; filename=\"name=model\"\r\n\
                     content-type: audio/wav\r\n\r\n"
            .to_vec();
    body.extend_from_slice(&file);
    let model_at = b"\r\n--b0undary\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n";
    body.extend_from_slice(model_at);
    let start = body.clone();
    let end = b"\r\n--b0undary--\r\n";
    body.extend_from_slice(GPT.as_bytes());
    body.extend_from_slice(end);
    for (client, url) in both(&fleet, "/v1/audio/transcriptions") {
        let form = "multipart/form-data; boundary=b0undary";
        let request = client
            .post(&url)
            .header("content-type", form)
            .body(body.clone());
        let seen = Seen::read(request.send().await.unwrap()).await;
        assert_eq!(seen.status, 200, "{}", seen.text());
        let last = fleet.aoi(1).last("four-o-aoi-1").unwrap();
        let expected = [&*start, b"four-o-aoi-1", end].concat();
        assert!(last.body == expected, "{url}");
        assert_eq!(last.header("content-type"), Some(form));
    }
}
