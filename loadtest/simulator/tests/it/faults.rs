//! What goes wrong on demand, and what is counted then.

use std::io;

use serde_json::{Value, json};
use simulator::{Action, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{CHAT, ask, parsed, post, prompt, raw, resource, send, start, streamed};

#[tokio::test]
async fn broken_connections_are_seen_as_broken() {
    let running = start(resource()).await;
    let control = running.control();
    let reset = Err(io::ErrorKind::ConnectionReset);
    let cut = Action::CutMidStream { after_events: 2 };
    let error = Action::ErrorEventInStream { after_events: 2 };
    let cases = [
        (Action::ResetBeforeHeaders, prompt("hi"), reset, "", ""),
        (Action::CloseBeforeHeaders, prompt("hi"), Ok(()), "", ""),
        (
            Action::Garbage,
            prompt("hi"),
            Ok(()),
            "\x16\x03\x01",
            "HTTP at all\r\n\r\n",
        ),
        (
            Action::ResetAfterHeaders,
            streamed("hi"),
            reset,
            "HTTP/1.1 200 OK",
            "\r\n\r\n",
        ),
        (
            cut.clone(),
            streamed("hi"),
            Ok(()),
            "HTTP/1.1 200 OK",
            "}\n\n\r\n",
        ),
        (cut, prompt("hi"), Ok(()), "HTTP/1.1 200 OK", ""),
        (
            error,
            streamed("hi"),
            Ok(()),
            "HTTP/1.1 200 OK",
            "\"InternalServerError\"}}\n\n\r\n0\r\n\r\n",
        ),
    ];
    let faults = cases.len() as u64;
    for (action, body, expected, starts, ends) in cases {
        control.inject(Fault::new(action.clone()).on("gpt-4o").times(1));
        let (answer, end) = raw(&running, "POST", CHAT, "", &body.to_string()).await;
        assert_eq!(
            end.map_err(|error| error.kind()),
            expected,
            "{action:?}: {answer}"
        );
        assert!(
            answer.starts_with(starts) && answer.ends_with(ends),
            "{action:?}: {answer:?}"
        );
        assert_eq!(
            answer.is_empty(),
            starts.is_empty(),
            "{action:?}: {answer:?}"
        );
    }
    let counts = control.counts("gpt-4o");
    assert_eq!(
        (counts.faulted, counts.cancelled, counts.in_flight),
        (faults, 0, 0),
        "{counts:?}"
    );
    let (head, _) = post(&running, CHAT, &prompt("hi")).await;
    assert!(
        head.starts_with("HTTP/1.1 200 "),
        "all faults are used up: {head}"
    );
}

#[tokio::test]
async fn a_caller_that_leaves_is_noticed_before_the_first_byte_and_in_the_middle_of_a_stream() {
    let running = start(resource()).await;
    let control = running.control();
    control.inject(Fault::new(Action::HangBeforeHeaders).times(1));
    control.inject(Fault::new(Action::StallMidStream { after_events: 2 }).times(1));

    let waiting = send(&running, "POST", CHAT, "", &prompt("hi").to_string()).await;
    control
        .wait_for("gpt-4o", |counts| counts.in_flight == 1)
        .await;
    drop(waiting);
    control
        .wait_for("gpt-4o", |counts| counts.cancelled == 1)
        .await;

    let mut reading = send(&running, "POST", CHAT, "", &streamed("hi").to_string()).await;
    let mut seen = String::new();
    while seen.matches("data: ").count() < 2 {
        let mut buffer = [0; 4096];
        let length = reading.read(&mut buffer).await.expect("the first events");
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    drop(reading);
    let counts = control
        .wait_for("gpt-4o", |counts| counts.cancelled == 2)
        .await;
    assert_eq!(
        (counts.in_flight, counts.in_flight_max, counts.ok),
        (0, 1, 0)
    );
}

#[tokio::test]
async fn an_early_status_does_not_wait_for_the_body_and_an_idle_close_is_not_announced() {
    let running = start(resource()).await;
    running.control().inject(
        Fault::new(Action::EarlyStatus { status: 503 })
            .on("gpt-4o")
            .times(1),
    );
    let mut socket = TcpStream::connect(running.addr())
        .await
        .expect("the simulator listens");
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n");
    socket
        .write_all(head.as_bytes())
        .await
        .expect("the head is read");
    let mut status = [0; 12];
    socket
        .read_exact(&mut status)
        .await
        .expect("an answer without the body");
    assert_eq!(&status, b"HTTP/1.1 503");

    running
        .control()
        .inject(Fault::new(Action::CloseIdle).times(1));
    let mut socket = send(&running, "POST", CHAT, "", &prompt("hi").to_string()).await;
    let mut answer = String::new();
    socket
        .read_to_string(&mut answer)
        .await
        .expect("the connection ends in good order");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('}'),
        "{answer}"
    );
    assert!(!answer.contains("connection:"), "{answer}");
}

#[tokio::test]
async fn faults_limits_and_counts_are_reached_over_http() {
    let running = start(resource()).await;
    let fault = json!({"deployment": "gpt-4o", "count": 1,
        "action": {"status": {"status": 429, "headers": {"retry-after": "7"}}}});
    post(&running, "/_sim/faults", &fault).await;
    post(
        &running,
        "/_sim/faults",
        &json!([{"action": "garbage"}, {"action": {"slow_first_byte": {"ms": 5}}}]),
    )
    .await;
    let (head, _) = post(&running, CHAT, &prompt("hi")).await;
    assert!(
        head.starts_with("HTTP/1.1 429 ") && head.contains("retry-after: 7"),
        "{head}"
    );
    ask(&running, "DELETE", "/_sim/faults", "", &Value::Null).await;
    post(&running, "/_sim/limits", &json!({"rpm": 1})).await;
    let (head, _) = post(&running, CHAT, &prompt("hi")).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");

    let (_, stats) = ask(&running, "GET", "/_sim/stats", "", &Value::Null).await;
    let stats = parsed(&stats);
    assert_eq!(
        stats["deployments"]["gpt-4o"]["statuses"],
        json!({"200": 1, "429": 1})
    );
    let (_, last) = ask(&running, "GET", "/_sim/last/gpt-4o", "", &Value::Null).await;
    let last = parsed(&last);
    let body = prompt("hi").to_string();
    assert_eq!(
        (&last["body"], &last["body_crc32"]),
        (&json!(body), &json!(crc32fast::hash(body.as_bytes())))
    );
    assert_eq!(last["query"], "api-version=2024-10-21");
    let (head, _) = post(&running, "/_sim/faults", &json!({"action": "no_such"})).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[tokio::test]
async fn a_stopped_simulator_refuses_and_serves_again_on_the_same_port() {
    let mut running = start(resource()).await;
    running.stop().await;
    let refused = TcpStream::connect(running.addr())
        .await
        .map_err(|error| error.kind());
    assert_eq!(refused.err(), Some(io::ErrorKind::ConnectionRefused));
    running.restart().await.expect("the port is still free");
    let (head, _) = post(&running, CHAT, &prompt("hi")).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}
