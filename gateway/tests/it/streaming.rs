//! Streams: every byte on its way at once and unchanged, a client that leaves, a provider that dies midway.

use std::time::Duration;

use simulator::{Action, Behaviour, Fault};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    CHAT, Fleet, PATIENCE, Seen, client, h2_client, in_order,
    provider::{EVENTS, Provider, STREAM},
};

const CONFIG: &str = "defaults: { circuit_breaker: { failures: 1 } }";
const GPT: &str = "gpt-4o";

fn chat_path(model: &str) -> String {
    format!("/openai/deployments/{model}/chat/completions?api-version=2024-10-21")
}

/// Over HTTP/1.1 and over HTTP/2: a client and the URL of a chat.
fn both(fleet: &Fleet) -> [(reqwest::Client, String); 2] {
    [
        (client(), fleet.gateway.url(&chat_path(GPT))),
        (h2_client(), fleet.gateway.h2c_url(&chat_path(GPT))),
    ]
}

fn request(client: &reqwest::Client, url: &str, body: &'static str) -> reqwest::RequestBuilder {
    client
        .post(url)
        .header("content-type", "application/json")
        .body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_piece_of_a_stream_arrives_unchanged_before_the_next_is_sent() {
    let (provider, fleet) = Provider::before("").await;
    let pieces: [&[u8]; 8] = [
        b": comment\n\n",
        b"data: {\"choices\":[]}\n\n",
        b"event: x\r\nid: 7\r\nretry: 10\r\ndata: a\r\ndata: b\r\n\r\n",
        b"data: caf\xc3",
        b"\xa9 \xf0\x9f\x98",
        b"\x80\n\ndata: not \xff utf-8\n",
        b"\n",
        b"data: [DONE]\n\n",
    ];
    for (client, url) in both(&fleet) {
        for chunked in [true, false] {
            let sent = tokio::spawn(request(&client, &url, STREAM).send());
            let mut upstream = provider.next(STREAM).await;
            let framing = if chunked {
                "transfer-encoding: chunked\r\n\r\n"
            } else {
                "connection: close\r\n\r\n"
            };
            let head = format!("{EVENTS}{framing}");
            upstream.write_all(head.as_bytes()).await.unwrap();
            // The head comes before there is any body.
            let mut answer = timeout(PATIENCE, sent).await.unwrap().unwrap().unwrap();
            assert_eq!(
                answer.headers()["content-type"],
                "text/event-stream; charset=utf-8"
            );
            for piece in pieces {
                let mut bytes = piece.to_vec();
                if chunked {
                    bytes = format!("{:x}\r\n", piece.len()).into_bytes();
                    bytes.extend_from_slice(piece);
                    bytes.extend_from_slice(b"\r\n");
                }
                upstream.write_all(&bytes).await.unwrap();
                let mut arrived = Vec::new();
                while arrived.len() < piece.len() {
                    let chunk = timeout(PATIENCE, answer.chunk()).await;
                    arrived.extend_from_slice(&chunk.expect("not held back").unwrap().unwrap());
                }
                assert_eq!(arrived, piece);
            }
            if chunked {
                upstream.write_all(b"0\r\n\r\n").await.unwrap();
            } else {
                drop(upstream);
            }
            let end = timeout(PATIENCE, Seen::read(answer)).await.expect("an end");
            assert!(end.complete && end.body.is_empty(), "{end:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_dies_midway_is_seen_as_an_abnormal_end() {
    let part = "data: partial\n\n".repeat(20_000);
    let cases = [
        (
            "chunked",
            format!(
                "transfer-encoding: chunked\r\n\r\n{:x}\r\n{part}\r\n",
                part.len()
            ),
        ),
        (
            "inside a chunk",
            format!("transfer-encoding: chunked\r\n\r\nffffff\r\n{part}"),
        ),
        (
            "shorter than promised",
            format!("content-length: 5000000\r\n\r\n{part}"),
        ),
    ];
    for (name, rest) in cases {
        let config = "defaults: { circuit_breaker: { failures: 2 } }";
        let (provider, mut fleet) = Provider::before(config).await;
        for (client, url) in both(&fleet) {
            let sent = tokio::spawn(request(&client, &url, CHAT).send());
            let mut upstream = provider.next(CHAT).await;
            upstream
                .write_all(format!("{EVENTS}{rest}").as_bytes())
                .await
                .unwrap();
            let mut answer = timeout(PATIENCE, sent).await.expect(name).unwrap().unwrap();
            let first = timeout(PATIENCE, answer.chunk()).await.expect(name);
            let first = first.unwrap().unwrap();
            drop(upstream);
            let mut end = timeout(PATIENCE, Seen::read(answer)).await.expect(name);
            assert!(!end.complete, "{name}");
            end.body.splice(..0, first);
            assert!(part.as_bytes().starts_with(&end.body), "{name}");

            let line = fleet.gateway.next_access();
            assert_eq!(
                line["attempts"].as_array().unwrap().len(),
                1,
                "{name}: {line}"
            );
            assert_eq!(line["attempts"][0]["outcome"], "stall", "{name}");
            assert_eq!(line["cut"], true, "{name}");
        }
        assert_eq!(fleet.requests(GPT), [0, 0, 0], "{name}");
        let cut = fleet.gateway.metric("tokenweir_answers_cut_total").await;
        assert!((cut - 2.0).abs() < 0.1, "{cut}");
        let state = fleet.gateway.deployment("aoi-1", GPT).await;
        assert_eq!(state["reason"], "breaker", "{name}: {state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_gets_no_terminator_of_ours_on_the_wire() {
    let (provider, fleet) = Provider::before("").await;
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{STREAM}",
        chat_path(GPT),
        STREAM.len()
    );
    let mut client = TcpStream::connect(fleet.gateway.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut upstream = provider.next(STREAM).await;
    let event = "data: {\"choices\":[]}\n\n";
    let start = format!(
        "{EVENTS}transfer-encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n",
        event.len()
    );
    upstream.write_all(start.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let text = |got: &[u8]| String::from_utf8_lossy(got).into_owned();
    while !text(&got).contains(event) {
        let read = timeout(PATIENCE, client.read_buf(&mut got)).await;
        assert_ne!(read.expect("the event").unwrap(), 0);
    }
    drop(upstream);
    // The connection may also be reset: what counts is what was sent before.
    let _ = timeout(PATIENCE, client.read_to_end(&mut got))
        .await
        .expect("an end");
    let got = text(&got);
    assert!(
        !got.contains("0\r\n\r\n") && !got.contains("[DONE]"),
        "{got:?}"
    );
}

/// A client that leaves: before the answer began, or in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_of_a_client_that_left_ends_within_a_second_and_nobody_is_blamed() {
    for waiting in [true, false] {
        for http2 in [false, true] {
            let slow = |_: &str, mut resource: simulator::Resource| {
                for deployment in &mut resource.deployments {
                    deployment.behaviour = Behaviour {
                        tokens_per_second: 10,
                        answer_tokens: 1_000,
                        ..Behaviour::default()
                    };
                }
                resource
            };
            let mut fleet = Fleet::with(CONFIG, slow, in_order).await;
            let first = fleet.aoi(1);
            if waiting {
                first.inject(Fault::new(Action::HangBeforeHeaders));
            }
            let [h1, h2] = both(&fleet);
            // The client lives on, so over HTTP/2 only the stream is reset.
            let (client, url) = if http2 { h2 } else { h1 };
            let mut sent = Box::pin(request(&client, &url, STREAM).send());
            if waiting {
                tokio::select! {
                    answer = &mut sent => panic!("answered: {answer:?}"),
                    _ = first.wait_for(GPT, |counts| counts.in_flight == 1) => {}
                }
                drop(sent);
            } else {
                let mut answer = sent.await.unwrap();
                assert!(answer.chunk().await.unwrap().is_some());
                drop(answer);
            }
            let gone = first.wait_for(GPT, |counts| counts.cancelled == 1);
            let name = format!("waiting: {waiting}, HTTP/2: {http2}");
            let counts = timeout(Duration::from_secs(1), gone).await.expect(&name);
            assert_eq!(counts.in_flight, 0);

            let line = fleet.gateway.next_access();
            assert_eq!(
                line["attempts"].as_array().unwrap().len(),
                1,
                "{name}: {line}"
            );
            assert_eq!(line["attempts"][0]["outcome"], "client_gone", "{name}");
            assert_eq!(fleet.requests(GPT), [1, 0, 0], "{name}");
            let state = fleet.gateway.deployment("aoi-1", GPT).await;
            assert_eq!(
                (&state["state"], &state["in_flight"]),
                (&"healthy".into(), &0.into())
            );
            let gone = fleet.gateway.metric("tokenweir_clients_gone_total").await;
            assert!((gone - 1.0).abs() < 0.1, "{name}: {gone}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_retried_for_a_client_that_left() {
    let (provider, mut fleet) = Provider::before(CONFIG).await;
    let [(client, url), _] = both(&fleet);
    let mut sent = Box::pin(request(&client, &url, CHAT).send());
    let upstream = tokio::select! {
        answer = &mut sent => panic!("answered: {answer:?}"),
        upstream = provider.next(CHAT) => upstream,
    };
    drop(sent);
    // Whatever the provider says now, be it a failure, comes too late.
    let mut upstream = upstream;
    let late = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
    let _ = upstream.write_all(late).await;
    let line = fleet.gateway.next_access();
    assert!(line["attempts"].as_array().unwrap().len() <= 2, "{line}");
    let mut rest = Vec::new();
    let closed = timeout(Duration::from_secs(1), upstream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the gateway holds on to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_probe_is_given_back() {
    let config = "defaults: { circuit_breaker: { failures: 1, trip: 100ms } }";
    let fleet = Fleet::in_order(config).await;
    let first = fleet.aoi(1);
    first.inject(Fault::status(500).on(GPT).times(1));
    first.inject(Fault::new(Action::HangBeforeHeaders).on(GPT).times(1));
    assert_eq!(fleet.chat(GPT).await.status(), 200);
    fleet.gateway.until("aoi-1", GPT, "recovering").await;
    let [(client, url), _] = both(&fleet);
    let mut probe = Box::pin(request(&client, &url, CHAT).send());
    tokio::select! {
        answer = &mut probe => panic!("answered: {answer:?}"),
        _ = first.wait_for(GPT, |counts| counts.in_flight == 1) => {}
    }
    drop(probe);
    first.wait_for(GPT, |counts| counts.cancelled == 1).await;
    // The next request is the next probe, and it succeeds.
    fleet.gateway.until("aoi-1", GPT, "recovering").await;
    let answer = fleet.chat(GPT).await;
    assert_eq!(answer.headers()["x-tokenweir-endpoint"], "aoi-1");
    let state = fleet.gateway.deployment("aoi-1", GPT).await;
    assert_eq!(state["state"], "recovering");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_right_after_the_head_is_retried_or_visible_but_never_a_clean_end() {
    for _ in 0..10 {
        let mut fleet = Fleet::in_order(CONFIG).await;
        fleet
            .aoi(1)
            .inject(Fault::new(Action::ResetAfterHeaders).on(GPT));
        let [(client, url), _] = both(&fleet);
        let seen = match request(&client, &url, STREAM).send().await {
            Ok(answer) => Seen::read(answer).await,
            Err(error) => panic!("no head: {error}"),
        };
        let line = fleet.gateway.next_access();
        let outcomes: Vec<_> = line["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a["outcome"].as_str().unwrap())
            .collect();
        if seen.complete {
            assert!(seen.text().ends_with("data: [DONE]\n\n"));
            assert_eq!(outcomes, ["stall", "ok"]);
        } else {
            assert!(seen.body.is_empty());
            assert_eq!(outcomes, ["stall"]);
        }
        let state = fleet.gateway.deployment("aoi-1", GPT).await;
        assert_eq!(state["reason"], "breaker");
    }
}

/// Each event after the beginning of an answer that was accepted with 200.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_a_stream_is_a_failure_of_whoever_it_names() {
    let server = ("server", "failed", "error", "breaker");
    let throttled = ("throttled", "failed", "throttling", "throttled");
    let filter = ("content_filter", "client", "healthy", "");
    let clients_own = ("bad_request", "client", "healthy", "");
    for (event, (cause, outcome, state, reason)) in [
        (
            r#"data: {"error":{"message":"m","type":"server_error","code":null}}"#,
            server,
        ),
        (r#"data: {"error":{"message":"m"}}"#, server),
        (r#"data: {"error":{"code":"429"}}"#, throttled),
        (r#"data: {"error":{"code":"content_filter"}}"#, filter),
        (
            r#"data: {"error":{"code":null,"type":"invalid_request_error"}}"#,
            clients_own,
        ),
        ("event: error\ndata: {\"code\":\"server_error\"}", server),
        (
            r#"data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}"#,
            throttled,
        ),
    ] {
        let (provider, mut fleet) = Provider::before(CONFIG).await;
        let [(http, url), _] = both(&fleet);
        let sent = tokio::spawn(request(&http, &url, STREAM).send());
        let mut upstream = provider.begin().await;
        let rest = format!("{event}\n\ndata: [DONE]\n\n");
        upstream.write_all(rest.as_bytes()).await.unwrap();
        drop(upstream);
        let answer = timeout(PATIENCE, sent).await.unwrap().unwrap().unwrap();
        let seen = Seen::read(answer).await;
        // The client gets it as it came.
        assert_eq!((seen.status, seen.complete), (200, true));
        assert!(seen.text().ends_with(&rest), "{}", seen.text());

        let line = fleet.gateway.next_access();
        let attempt = &line["attempts"][0];
        assert_eq!(
            (&attempt["outcome"], &attempt["status"]),
            (&cause.into(), &200.into()),
            "{line}"
        );
        assert_eq!(line["attempts"].as_array().unwrap().len(), 1, "{line}");
        assert_eq!(line["stream_error"], true, "{line}");
        let deployment = fleet.gateway.deployment("aoi-1", GPT).await;
        assert_eq!(deployment["state"], state, "{event}: {deployment}");
        assert_eq!(
            deployment["reason"].as_str().unwrap_or(""),
            reason,
            "{event}"
        );
        assert_eq!(deployment["attempts"][outcome], 1, "{event}: {deployment}");
        let errors = deployment["last_errors"].as_array().unwrap();
        let failed = usize::from(outcome == "failed");
        assert_eq!(errors.len(), failed, "{event}: {deployment}");
        for error in errors {
            assert_eq!(
                (&error["cause"], &error["status"]),
                (&cause.into(), &200.into())
            );
        }
        let name = format!(
            "tokenweir_attempts_total{{cause=\"{cause}\",deployment=\"gpt-4o\",endpoint=\"aoi-1\",model=\"gpt-4o\",outcome=\"{outcome}\"}}"
        );
        assert_eq!(fleet.gateway.metric(&name).await, 1.0, "{name}");
    }
}

/// As the SDKs do.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_because_of_an_error_takes_no_blame_for_it() {
    let (provider, mut fleet) = Provider::before(CONFIG).await;
    let [(http, url), _] = both(&fleet);
    let sent = tokio::spawn(request(&http, &url, STREAM).send());
    let mut upstream = provider.begin().await;
    let event = b"data: {\"error\":{\"code\":\"server_error\"}}\n\n";
    upstream.write_all(event).await.unwrap();
    let mut answer = timeout(PATIENCE, sent).await.unwrap().unwrap().unwrap();
    let mut got = Vec::new();
    while !got.ends_with(event) {
        let chunk = timeout(PATIENCE, answer.chunk()).await.expect("the event");
        got.extend_from_slice(&chunk.unwrap().unwrap());
    }
    drop((answer, http));
    let line = fleet.gateway.next_access();
    assert_eq!(line["attempts"][0]["outcome"], "server", "{line}");
    fleet.gateway.until("aoi-1", GPT, "error").await;
    drop(upstream);
}
