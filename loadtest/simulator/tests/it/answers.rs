//! Whole answers and event streams, as a real resource sends them.

use serde_json::{Value, json};
use simulator::{Behaviour, Deployment, Kind, Resource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{CHAT, ask, parsed, post, prompt, resource, send, start, streamed};

#[tokio::test]
async fn a_chat_stream_is_one_chunk_per_event_with_the_filter_first_and_the_usage_last() {
    let running = start(resource()).await;
    let mut body = streamed("hi");
    body["stream_options"] = json!({"include_usage": true});
    let (head, body) = post(&running, CHAT, &body).await;
    assert!(
        head.contains("content-type: text/event-stream; charset=utf-8"),
        "{head}"
    );

    let mut events = Vec::new();
    let mut rest = body.as_str();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        events.push(&after[..size]);
        rest = &after[size + 2..];
    }
    assert_eq!(events.pop(), Some(""), "the terminating chunk");
    assert_eq!(events.pop(), Some("data: [DONE]\n\n"));
    let events: Vec<Value> = events
        .iter()
        .map(|event| parsed(event.strip_prefix("data: ").expect("one event a chunk")))
        .collect();
    assert_eq!(
        events.len(),
        7,
        "filter, role, 3 tokens, finish, usage: {events:?}"
    );
    assert_eq!(
        (
            &events[0]["choices"],
            &events[0]["id"],
            &events[0]["created"]
        ),
        (&json!([]), &json!(""), &json!(0))
    );
    assert!(events[0]["prompt_filter_results"].is_array());
    assert_eq!(events[1]["choices"][0]["delta"]["role"], "assistant");
    let text: String = events[2..5]
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "The water behind");
    assert_eq!(
        events[2]["choices"][0]["content_filter_results"]["hate"]["severity"],
        "safe"
    );
    assert_eq!(events[5]["choices"][0]["finish_reason"], "stop");
    assert!(
        events[..6]
            .iter()
            .all(|event| event.get("usage") == Some(&Value::Null))
    );
    assert_eq!(
        (
            &events[6]["choices"],
            &events[6]["usage"]["completion_tokens"]
        ),
        (&json!([]), &json!(3))
    );

    let counts = running.control().counts("gpt-4o");
    assert_eq!(
        (counts.ok, counts.completion_tokens, counts.in_flight),
        (1, 3, 0)
    );
}

#[tokio::test]
async fn a_stream_keeps_its_pace() {
    let slow = Behaviour {
        ttft_ms: 30,
        tokens_per_second: 100,
        answer_tokens: 4,
        ..Behaviour::default()
    };
    let running =
        start(Resource::new("a").deployment(Deployment::new("gpt-4o", "gpt-4o").behaviour(slow)))
            .await;
    for body in [streamed("hi"), prompt("hi")] {
        let begun = tokio::time::Instant::now();
        post(&running, CHAT, &body).await;
        let took = begun.elapsed().as_millis();
        assert!(
            (60..400).contains(&took),
            "30 ms and three intervals of 10 ms, took {took} ms"
        );
    }
}

#[tokio::test]
async fn answers_can_leave_in_pieces_that_cut_everything_in_two() {
    let behaviour = Behaviour {
        piece_bytes: 7,
        ..Behaviour::default()
    };
    let deployment = Deployment::new("gpt-4o", "gpt-4o").behaviour(behaviour);
    let running = start(Resource::new("a").deployment(deployment)).await;
    let (_, body) = post(&running, CHAT, &streamed("hi")).await;
    let (mut events, mut rest) = (String::new(), body.as_str());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        assert!(size <= 7, "{size}");
        events += &after[..size];
        rest = &after[size + 2..];
    }
    assert!(events.ends_with("}\n\ndata: [DONE]\n\n"), "{events}");
    let (head, body) = post(&running, CHAT, &prompt("hi")).await;
    let length = format!("content-length: {}", body.len());
    assert!(head.contains(&length), "{head}");
    assert_eq!(parsed(&body)["usage"]["completion_tokens"], 16);
    assert_eq!(running.control().counts("gpt-4o").completion_tokens, 32);
}

#[tokio::test]
async fn answers_carry_the_headers_of_a_real_resource() {
    let running = start(resource()).await;
    let (head, body) = ask(
        &running,
        "POST",
        CHAT,
        "x-ms-client-request-id: mine\r\n",
        &prompt("hi"),
    )
    .await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for header in [
        "apim-request-id: ",
        "x-request-id: ",
        "x-ms-region: Sweden Central",
        "x-ms-client-request-id: mine",
        "x-accel-buffering: no",
        "azureml-model-session: ",
        "strict-transport-security: ",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    let body = parsed(&body);
    assert_eq!(body["model"], "gpt-4o-2024-11-20");
    assert_eq!(body["usage"]["completion_tokens"], 3);
}

#[tokio::test]
async fn a_plain_openai_server_serves_v1_only() {
    let running = start(Resource {
        kind: Kind::Openai,
        ..resource()
    })
    .await;
    let (_, body) = post(&running, "/v1/chat/completions", &prompt("hi")).await;
    assert!(!body.contains("filter"), "{body}");
    let (_, body) = post(&running, "/v1/chat/completions", &json!({"model": "nope"})).await;
    assert_eq!(parsed(&body)["error"]["code"], "model_not_found");
    let (head, _) = post(&running, CHAT, &prompt("hi")).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[tokio::test]
async fn a_response_is_remembered_where_it_was_made() {
    let running = start(resource()).await;
    let path = "/openai/v1/responses";
    let (_, body) = post(
        &running,
        path,
        &json!({"model": "gpt-4o", "input": "hi", "stream": true}),
    )
    .await;
    let names: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("event: response."))
        .collect();
    let expected = "created in_progress output_item.added content_part.added output_text.delta output_text.delta \
                    output_text.delta output_text.done content_part.done output_item.done completed";
    assert_eq!(names.join(" "), expected);
    assert!(!body.contains("[DONE]"), "{body}");
    let data = body
        .lines()
        .rfind(|line| line.starts_with("data: "))
        .expect("a terminal event");
    let last = parsed(&data["data: ".len()..]);
    assert_eq!(last["response"]["usage"]["output_tokens"], 3);

    let id = last["response"]["id"].as_str().expect("an id");
    let next = json!({"model": "gpt-4o", "input": "and?", "previous_response_id": id});
    assert!(
        post(&running, path, &next)
            .await
            .0
            .starts_with("HTTP/1.1 200 ")
    );
    for (method, status) in [("GET", 200), ("DELETE", 200), ("GET", 404)] {
        let (head, _) = ask(&running, method, &format!("{path}/{id}"), "", &Value::Null).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method}: {head}"
        );
    }
    let (_, body) = post(&running, path, &next).await;
    assert_eq!(
        parsed(&body)["error"]["code"],
        "previous_response_not_found"
    );
}

#[tokio::test]
async fn http2_with_prior_knowledge_and_tunnels_are_spoken() {
    let running = start(resource()).await;
    let mut socket = TcpStream::connect(running.addr())
        .await
        .expect("the simulator listens");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    socket
        .write_all(preface)
        .await
        .expect("the preface is read");
    let mut frame = [0; 9];
    socket.read_exact(&mut frame).await.expect("a frame");
    assert_eq!(frame[3], 4, "a SETTINGS frame");

    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let path = "/openai/v1/realtime?model=gpt-4o";
    let mut socket = send(&running, "GET", path, upgrade, "").await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(socket.read_u8().await.expect("an answer"));
    }
    assert!(seen.starts_with(b"HTTP/1.1 101 "), "{seen:?}");
    socket.write_all(b"ping").await.expect("the tunnel is open");
    let mut echo = [0; 4];
    socket.read_exact(&mut echo).await.expect("an echo");
    assert_eq!(&echo, b"ping");
    drop(socket);
    running
        .control()
        .wait_for("gpt-4o", |counts| counts.in_flight == 0)
        .await;
}
