//! The admin listeners themselves: who gets in when many want to, and how answers are framed.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Fleet, PATIENCE, client, raw};

/// As many of each the address has room for.
const CONNECTIONS: usize = 128;
const READERS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_to_a_full_listener_gets_the_place_of_the_oldest_connection() {
    let fleet = Fleet::start("").await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(TcpStream::connect(fleet.gateway.admin).await.unwrap());
    }
    assert_eq!(fleet.gateway.asked_on_socket("GET", "/status").await, 200);
    assert_eq!(fleet.gateway.asked("GET", "/healthz", None).await, 200);
    let closed = timeout(PATIENCE, idle[0].read(&mut [0])).await;
    assert_eq!(closed.expect("it is closed").unwrap(), 0);
    let last = idle.last_mut().unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    last.write_all(request).await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_reader_of_events_gets_the_place_of_the_oldest() {
    let fleet = Fleet::start("").await;
    let url = format!("http://{}/events", fleet.gateway.admin);
    let mut readers = Vec::new();
    for _ in 0..=READERS {
        let mut reader = client().get(&url).send().await.unwrap();
        assert_eq!(reader.status(), 200);
        let first = timeout(PATIENCE, reader.chunk()).await.unwrap().unwrap();
        assert!(first.unwrap().starts_with(b"event: status\n"));
        readers.push(reader);
    }
    let mut rest = String::new();
    let to_its_end = async {
        while let Some(chunk) = readers[0].chunk().await.unwrap() {
            rest += std::str::from_utf8(&chunk).unwrap();
        }
    };
    timeout(PATIENCE, to_its_end).await.expect("it ends");
    assert!(
        rest.ends_with(": a newer reader took this place\n\n"),
        "{rest}"
    );
    let second = timeout(PATIENCE, readers[1].chunk()).await.unwrap();
    assert!(second.unwrap().is_some(), "only the oldest has to go");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_http_1_0_reads_until_the_connection_is_closed() {
    let fleet = Fleet::start("").await;
    for (path, events) in [("/status", 0), ("/events", 2)] {
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let enough = |answer: &str| events > 0 && answer.matches("\n\n").count() >= events;
        let answer = raw(fleet.gateway.admin, request.as_bytes(), enough).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let head = head.to_lowercase();
        assert!(head.contains("\r\nconnection: close"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        for text in body.split_terminator("\n\n") {
            let data = text.trim_start_matches("event: status\ndata: ");
            let status: Value = serde_json::from_str(data).expect(data);
            assert!(status["pools"].is_array(), "{status}");
        }
    }
}
