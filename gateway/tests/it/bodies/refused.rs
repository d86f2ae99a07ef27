//! Requests that the gateway refuses for their body, their size or the name in their path, and the memory that
//! bodies may take.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use super::{GPT, PATH, V1, both, chat, chunked, send};
use crate::support::{CHAT, Fleet, PATIENCE, Seen, post, raw};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_reaches_nobody() {
    let fleet = Fleet::start("limits: { body: 1MiB }").await;
    let (fits, too_long) = (chat(1 << 20), chat((1 << 20) + 1));
    for (client, url) in both(&fleet, PATH) {
        assert_eq!(send(&client, &url, fits.clone()).await.status, 200);
        let before = fleet.requests(GPT);
        let seen = send(&client, &url, too_long.clone()).await;
        assert_eq!(
            (seen.status, &*seen.code()),
            (413, "body_too_large"),
            "{url}"
        );
        // Without a length the limit shows only when the body is on its way.
        let answer = client
            .post(&url)
            .header("content-type", "application/json")
            .body(chunked(&chat(3 << 20), 50_000))
            .send();
        if let Ok(answer) = tokio::time::timeout(PATIENCE, answer)
            .await
            .expect("in time")
        {
            assert_eq!(answer.status(), 413, "{url}");
        }
        assert_eq!(fleet.requests(GPT), before, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_100_continue_is_answered_at_once() {
    let fleet = Fleet::start("").await;
    let mut stream = TcpStream::connect(fleet.gateway.address).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n",
        CHAT.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let started = Instant::now();
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"));
    assert!(started.elapsed() < Duration::from_secs(1));
    stream.write_all(CHAT.as_bytes()).await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n"), "{rest}");
    let models = ["gpt-4o"; 3].iter().zip(1..);
    let seen = models
        .filter_map(|(model, number)| fleet.aoi(number).last(model))
        .next()
        .unwrap();
    assert_eq!(seen.header("expect"), None);

    // A request that is refused by its head gets that answer instead.
    let refused = head.replace("gpt-4o/", "gpt-9/");
    let answer = raw(fleet.gateway.address, refused.as_bytes(), |got| {
        got.contains("gpt-9")
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_for_bodies_is_capped_and_given_back() {
    let fleet = Fleet::start("limits: { body: 1MiB, buffered: 1MiB }").await;
    let held = async || fleet.gateway.metric("tokenweir_buffered_bytes").await;
    let mut half_sent = TcpStream::connect(fleet.gateway.address).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{}",
        "x".repeat(900_000)
    );
    half_sent.write_all(head.as_bytes()).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while held().await < 800_000.0 {
        assert!(Instant::now() < deadline);
    }
    for (client, url) in both(&fleet, PATH) {
        let seen = send(&client, &url, chat(500_000)).await;
        assert_eq!((seen.status, &*seen.code()), (503, "gateway_busy"), "{url}");
        assert!(seen.wait().is_some());
        assert_eq!(
            send(&client, &url, CHAT).await.status,
            200,
            "small ones fit"
        );
    }
    drop(half_sent);
    while held().await > 0.0 {
        assert!(
            Instant::now() < deadline,
            "{} bytes are still held",
            held().await
        );
    }
    assert_eq!(
        post(&fleet.gateway.url(PATH), chat(500_000)).await.status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_ambiguous_or_names_no_model_reaches_nobody() {
    let fleet = Fleet::start("").await;
    for (path, body, status, code) in [
        (
            V1,
            r#"{"model":"gpt-4o","messages":[],"model":"gpt-4o"}"#,
            400,
            "duplicate_model",
        ),
        (
            V1,
            r#"{"model":"gpt-4o","messages":[],"mod\u0065l":"gpt-4o-mini"}"#,
            400,
            "duplicate_model",
        ),
        (
            PATH,
            r#"{"model":"a","model":"b","messages":[]}"#,
            400,
            "duplicate_model",
        ),
        (V1, r#"{"messages":[]}"#, 400, "missing_model"),
        (V1, r#"{"model":7,"messages":[]}"#, 400, "invalid_model"),
        (V1, r#"{"model":"gpt-4o","#, 400, "invalid_json"),
        (V1, r#"{"model":"gpt-4o"} {}"#, 400, "invalid_json"),
        (V1, r#"["gpt-4o"]"#, 400, "invalid_json"),
        (
            V1,
            r#"{"model":"gpt-9","messages":[]}"#,
            404,
            "model_not_found",
        ),
        (
            V1,
            r#"{"model":"GPT-4O","messages":[]}"#,
            404,
            "model_not_found",
        ),
        (V1, "", 400, "missing_model"),
    ] {
        let seen = Seen::read(post(&fleet.gateway.url(path), body).await).await;
        assert_eq!((seen.status, &*seen.code()), (status, code), "{body}");
    }
    for number in 1..=3 {
        assert_eq!(fleet.aoi(number).stats().connections, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_no_plain_name_is_refused() {
    let fleet = Fleet::start("").await;
    for name in [
        "gpt%2F4o",
        "gpt%2f4o",
        "gpt%5C4o",
        "..",
        "%2e%2e",
        "%2E.",
        ".",
        "%252e%252e",
        "gpt-4o%00",
        "gpt-4o%0d%0aX-Evil:%201",
        "%0a",
        "gpt-4o%7f",
        "%ff",
        "%",
        "%zz",
        "gpt%252F4o",
    ] {
        let request = format!(
            "POST /openai/deployments/{name}/chat/completions?api-version=2024-10-21 HTTP/1.1\r\nhost: g\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{CHAT}",
            CHAT.len()
        );
        let answer = raw(fleet.gateway.address, request.as_bytes(), |_| false).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
        assert!(answer.contains("invalid_deployment"), "{name}: {answer}");
    }
    // A plain name may be written with escapes.
    let url = fleet.gateway.url(&PATH.replace("gpt-4o", "gpt%2D4o"));
    assert_eq!(post(&url, CHAT).await.status(), 200);
    let connections: u64 = (1..=3)
        .map(|number| fleet.aoi(number).stats().connections)
        .sum();
    assert_eq!(connections, 1);
}
