//! Answers that are held back until it is known what they are, and that go to the client after all: byte for byte as
//! the provider gave them, on a connection that stays open, however long they are.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{interval, timeout},
};

use crate::support::{
    CHAT, PATIENCE, Seen, client, h2_client,
    provider::{Provider, STREAM},
};

const PATH: &str = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";
const MISTAKE: &str = r#"{"error":{"code":"bad","message":"no"}}"#;

/// An answer after which the provider closes, so that each request comes to it on a connection of its own.
fn answer(status: u16, chunked: bool, body: &str) -> String {
    let (framing, body) = if chunked {
        let body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        ("transfer-encoding: chunked".to_owned(), body)
    } else {
        (format!("content-length: {}", body.len()), body.to_owned())
    };
    format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{framing}\r\n\r\n{body}")
}

/// A request and its answer, on a connection that another one may follow on.
async fn exchange(
    connection: &mut TcpStream,
    provider: &Provider,
    sent: &str,
    answer: &str,
) -> String {
    let length = sent.len();
    let request = format!("POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-length: {length}\r\n\r\n");
    let request = request + sent;
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut upstream = provider.next(sent).await;
    upstream.write_all(answer.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(MISTAKE.as_bytes()) {
        let read = timeout(PATIENCE, connection.read_buf(&mut got)).await;
        let text = String::from_utf8_lossy(&got);
        assert_ne!(read.expect("an answer").unwrap(), 0, "closed after {text}");
    }
    String::from_utf8(got).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_the_client_stays_open() {
    let (provider, mut fleet) = Provider::before("").await;
    let mut connection = TcpStream::connect(fleet.gateway.address).await.unwrap();
    for (status, sent) in [(400, STREAM), (422, STREAM), (404, STREAM), (404, CHAT)] {
        for chunked in [false, true] {
            let answer = answer(status, chunked, MISTAKE);
            let got = exchange(&mut connection, &provider, sent, &answer).await;
            assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
            let (head, body) = got.split_once("\r\n\r\n").unwrap();
            let head = head.to_ascii_lowercase();
            assert!(head.contains("\r\nconnection: keep-alive"), "{got}");
            assert!(
                head.contains(&format!("\r\ncontent-length: {}", body.len())),
                "{got}"
            );
            assert_eq!(body, MISTAKE);
            let line = fleet.gateway.next_access();
            assert_eq!(
                (&line["status"], &line["error"], &line["bytes"]),
                (&status.into(), &"bad".into(), &MISTAKE.len().into()),
                "{line}"
            );
            assert_eq!(line["attempts"][0]["outcome"], "bad_request", "{line}");
        }
    }
    assert_eq!(fleet.requests("gpt-4o"), [0; 3], "asked elsewhere");
}

/// Not one letter over and over: a piece in the wrong place would show.
fn long(bytes: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        text += &format!("{number} ");
        if text.len() >= bytes {
            break;
        }
    }
    text
}

/// As chunks of so many bytes, without the last one.
fn chunks(body: &str, bytes: usize) -> Vec<u8> {
    let pieces = body.as_bytes().chunks(bytes);
    let chunks = pieces.map(|piece| {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        chunk
    });
    chunks.collect::<Vec<_>>().concat()
}

const LONG: usize = 3 << 20;
/// More than is held, and little enough to be on its way while nobody reads it.
const BEGINNING: usize = 150 << 10;

/// What a client sees of an answer without a length, whose provider dies, or sends the rest, when the beginning has
/// arrived.
async fn long_answer(status: u16, sent: &'static str, http2: bool, dies: bool) -> (Seen, Value) {
    let (provider, mut fleet) = Provider::before("").await;
    let (http, url) = if http2 {
        (h2_client(), fleet.gateway.h2c_url(PATH))
    } else {
        (client(), fleet.gateway.url(PATH))
    };
    let asked = tokio::spawn(http.post(url).body(sent).send());
    let mut upstream = provider.next(sent).await;
    let body = long(LONG);
    let head = format!("HTTP/1.1 {status} X\r\ntransfer-encoding: chunked\r\n\r\n");
    upstream.write_all(head.as_bytes()).await.unwrap();
    let beginning = chunks(&body[..BEGINNING], 7_001);
    upstream.write_all(&beginning).await.unwrap();
    let mut answer = timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap();
    let begun = timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap();
    if dies {
        drop(upstream);
    } else {
        tokio::spawn(async move {
            let rest = chunks(&body[BEGINNING..], 100_003);
            upstream.write_all(&rest).await.unwrap();
            upstream.write_all(b"0\r\n\r\n").await.unwrap();
        });
    }
    let mut seen = timeout(PATIENCE, Seen::read(answer)).await.expect("an end");
    seen.body.splice(..0, begun.unwrap());
    assert_eq!(fleet.requests("gpt-4o"), [0; 3], "asked elsewhere");
    (seen, fleet.gateway.next_access())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_to_be_held_passes() {
    for http2 in [false, true] {
        for (status, sent) in [(404, CHAT), (422, STREAM)] {
            let (seen, line) = long_answer(status, sent, http2, false).await;
            let body = long(LONG);
            assert!(seen.complete, "{status}, HTTP/2: {http2}");
            assert_eq!((seen.status, seen.body.len()), (status, body.len()));
            assert_eq!(seen.text(), body);
            assert_eq!(line["attempts"][0]["outcome"], "bad_request", "{line}");
            assert_eq!(line["bytes"], body.len(), "{line}");
        }
        let (seen, line) = long_answer(404, CHAT, http2, true).await;
        assert!(!seen.complete, "HTTP/2: {http2}");
        assert!(long(LONG).starts_with(&seen.text()));
        assert_eq!(line["cut"], true, "{line}");
        assert_eq!(line["attempts"].as_array().unwrap().len(), 1, "{line}");
    }
}

/// A deadline that nobody looked at would pass unnoticed: the answer would be given whole, and counted as cut.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_has_no_more_time_than_other_answers() {
    let (provider, mut fleet) = Provider::before("defaults: { timeouts: { total: 1s } }").await;
    let asked = tokio::spawn(client().post(fleet.gateway.url(PATH)).body(CHAT).send());
    let mut upstream = provider.next(CHAT).await;
    let head = b"HTTP/1.1 404 X\r\ntransfer-encoding: chunked\r\n\r\n";
    upstream.write_all(head).await.unwrap();
    let drip = tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(20));
        while upstream.write_all(b"1\r\nx\r\n").await.is_ok() {
            ticks.tick().await;
        }
    });
    let answer = timeout(PATIENCE, asked).await.expect("an end");
    assert_eq!(answer.unwrap().unwrap().status(), 504);
    timeout(PATIENCE, drip).await.expect("let go").unwrap();
    let line = fleet.gateway.next_access();
    assert_eq!(line["attempts"][0]["outcome"], "timeout", "{line}");
    assert_eq!(line["cut"], Value::Null, "{line}");
}
