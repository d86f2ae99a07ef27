//! Where two protocols, two models or two requests meet: each of these once went wrong.

use simulator::{Action, Fault};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Fleet, PATIENCE, Seen, h2_client, post, raw};

const GPT: &str = "gpt-4o";

#[tokio::test(flavor = "multi_thread")]
async fn a_404_of_an_http2_endpoint_reaches_clients_of_either_protocol() {
    let fleet = Fleet::with(
        "",
        |_, resource| resource,
        |_| "    http2: true\n".to_owned(),
    )
    .await;
    let not_found = r#"{"error":{"code":"404","message":"Resource not found"}}"#;
    for number in 1..=3 {
        fleet.aoi(number).inject(Fault::new(Action::Status {
            status: 404,
            headers: std::collections::BTreeMap::new(),
            body: Some(not_found.to_owned()),
        }));
    }
    let h1 = Seen::read(fleet.chat(GPT).await).await;
    let path = format!("/openai/deployments/{GPT}/chat/completions?api-version=2024-10-21");
    let h2 = h2_client()
        .post(fleet.gateway.h2c_url(&path))
        .body(crate::support::CHAT)
        .send()
        .await;
    let h2 = Seen::read(h2.unwrap()).await;
    for seen in [h1, h2] {
        assert_eq!(
            (seen.status, &*seen.text(), seen.complete),
            (404, not_found, true)
        );
    }
    assert_eq!(
        fleet.requests(GPT).iter().sum::<u64>(),
        2,
        "a wrong path was asked for elsewhere"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_for_realtime_only_and_may_be_silent() {
    let mut fleet = Fleet::start("limits: { client_read: 200ms }").await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    // Anywhere else the upgrade is ignored: the answer is an ordinary one.
    let body = r#"{"model":"gpt-4o","messages":[]}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{upgrade}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(fleet.gateway.address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    timeout(PATIENCE, connection.read_exact(&mut start))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");

    let request = format!("GET /v1/realtime?model={GPT} HTTP/1.1\r\nhost: a\r\n{upgrade}\r\n");
    let mut tunnel = TcpStream::connect(fleet.gateway.address).await.unwrap();
    tunnel.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, tunnel.read_u8()).await.unwrap().unwrap());
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    // Silent for longer than `client_read`: still open, since nothing was read and no end was seen.
    let silence = timeout(std::time::Duration::from_millis(600), tunnel.read_u8()).await;
    assert!(
        silence.is_err(),
        "the silent tunnel was closed: {silence:?}\n{}",
        fleet.gateway.logged()
    );
    tunnel.write_all(b"still here").await.unwrap();
    let mut echo = [0; 10];
    timeout(PATIENCE, tunnel.read_exact(&mut echo))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&echo, b"still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_may_go_where_the_breaker_would_rather_not() {
    let config = "defaults: { circuit_breaker: { failures: 1, trip: 1h } }";
    let fleet = Fleet::in_order(config).await;
    // The second had one bad moment and is well again; the others are broken.
    fleet
        .aoi(2)
        .inject(Fault::new(Action::CloseBeforeHeaders).on(GPT).times(1));
    fleet.aoi(1).inject(Fault::status(500).on(GPT));
    fleet.aoi(3).inject(Fault::status(500).on(GPT));
    assert_eq!(fleet.chat(GPT).await.status(), 500);
    for _ in 0..4 {
        let answer = fleet.chat(GPT).await;
        assert_eq!(answer.status(), 200, "a healthy deployment was left out");
        assert_eq!(answer.headers()["x-tokenweir-endpoint"], "aoi-2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_gives_its_memory_back_when_its_answer_begins() {
    let fleet = Fleet::with(
        "limits: { body: 1MiB, buffered: 1MiB }",
        |_, mut resource| {
            for deployment in &mut resource.deployments {
                deployment.behaviour.tokens_per_second = 2;
            }
            resource
        },
        |_| String::new(),
    )
    .await;
    let long = "x".repeat(700 * 1024);
    let stream = format!(r#"{{"stream":true,"messages":[{{"role":"user","content":"{long}"}}]}}"#);
    let mut slow = post(&fleet.chat_url(GPT), stream).await;
    assert!(slow.chunk().await.unwrap().is_some());
    assert_eq!(fleet.gateway.metric("tokenweir_buffered_bytes").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_cannot_be_read_is_quoted_in_no_log_line() {
    let mut fleet = Fleet::start("log: { level: trace }").await;
    let broken =
        b"POST /status HTTP/1.1\r\nhost: a\r\napi-key: canary\r\nbad header\x01: x\r\n\r\n";
    for address in [
        fleet.gateway.address,
        fleet.gateway.h2c,
        fleet.gateway.admin,
    ] {
        let _ = raw(address, broken, |_| false).await;
    }
    assert_eq!(fleet.chat(GPT).await.status(), 200);
    fleet.gateway.next_access();
    assert!(!fleet.gateway.logged().contains("canary"));
}
