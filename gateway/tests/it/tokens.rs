//! Tokens: every one that a provider reports is counted, also where the client did not ask for it and hears nothing
//! of it; and what cannot be counted is estimated and says so.

mod mix;

use serde_json::Value;
use simulator::{Action, Control, Fault, Resource};
use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::support::{
    Fleet, PATIENCE, Seen, client, h2_client, in_order, post,
    provider::{EVENTS, Provider, STREAM},
};

const GPT: &str = "gpt-4o";
const CHAT_PATH: &str = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";
const INCLUDE_USAGE: &str = r#""stream_options":{"include_usage":true},"#;

/// Prompt, completion, and whether they are estimated, from an access line.
fn counted(line: &Value) -> Option<(u64, u64, bool)> {
    Some((
        line["prompt_tokens"].as_u64()?,
        line["completion_tokens"].as_u64()?,
        line["tokens_estimated"].as_bool()?,
    ))
}

/// What a deployment was last sent.
fn last(control: &Control) -> String {
    let last = control.last(GPT).expect("it was asked");
    String::from_utf8(last.body.to_vec()).expect("text")
}

/// One answer with this body.
fn refusal(status: u16, body: &str) -> Fault {
    let action = Action::Status {
        status,
        headers: [].into(),
        body: Some(body.to_owned()),
    };
    Fault::new(action).on(GPT).times(1)
}

/// A body whose ids and times, which differ from answer to answer, are left out.
fn alike(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((at, member)) = [r#""id":""#, r#""created":"#]
        .into_iter()
        .filter_map(|member| Some((rest.find(member)?, member)))
        .min()
    {
        let value = &rest[at + member.len()..];
        let end = value.find(['"', ',', '}']).unwrap_or(value.len());
        out += &rest[..at + member.len()];
        rest = &value[end..];
    }
    out + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_ask_gets_what_the_provider_would_have_sent() {
    let messages = r#""messages":[{"role":"user","content":"say \"usage\":null"}]"#;
    for piece_bytes in [0, 1, 61] {
        let in_pieces = |_: &str, mut resource: Resource| {
            for deployment in &mut resource.deployments {
                deployment.behaviour.piece_bytes = piece_bytes;
            }
            resource
        };
        let mut fleet = Fleet::with("", in_pieces, in_order).await;
        for (path, rest) in [
            (CHAT_PATH, format!(r#""stream":true,{messages}}}"#)),
            (
                "/openai/v1/chat/completions",
                format!(r#""stream":true,"model":"gpt-4o",{messages}}}"#),
            ),
            (
                CHAT_PATH,
                r#""stream":true,"messages":[{"role":"user","content":"weather?"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#.to_owned(),
            ),
            (
                "/openai/deployments/gpt-4o/completions?api-version=2024-10-21",
                r#""stream":true,"prompt":"a"}"#.to_owned(),
            ),
        ] {
            for asks in [false, true] {
                let sent = format!("{{{}{rest}", if asks { INCLUDE_USAGE } else { "" });
                let direct = client()
                    .post(fleet.simulators[0].url() + path)
                    .header("api-key", "key-of-aoi-1")
                    .body(sent.clone());
                let direct = Seen::read(direct.send().await.unwrap()).await.text();
                let http2 = piece_bytes == 61;
                let (http, url) = if http2 {
                    (h2_client(), fleet.gateway.h2c_url(path))
                } else {
                    (client(), fleet.gateway.url(path))
                };
                let answer = http.post(url).body(sent.clone()).send();
                let seen = Seen::read(answer.await.unwrap()).await;
                assert!(direct.contains("[DONE]") && seen.complete, "{direct}");
                assert_eq!(alike(&seen.text()), alike(&direct), "{sent}");
                assert_eq!(direct.contains("_tokens"), asks, "{direct}");

                assert_eq!(last(&fleet.aoi(1)), format!("{{{INCLUDE_USAGE}{rest}"));
                let line = fleet.gateway.next_access();
                let (_, completion, estimated) = counted(&line).unwrap();
                assert_eq!((completion, estimated), (16, false), "{line}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_question_is_not_asked_and_estimated() {
    let body = r#"{"stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
    let sources = body.replace("true,", r#"true,"data_sources":[],"#);
    let old = CHAT_PATH.replace("2024-10-21", "2024-06-01");
    for (config, path, body) in [
        ("", &*old, body),
        ("", CHAT_PATH, &sources),
        ("defaults: { usage: { ask: false } }", CHAT_PATH, body),
        (
            "models: { gpt-4o: { usage: { ask: false } } }",
            CHAT_PATH,
            body,
        ),
    ] {
        let mut fleet = Fleet::in_order(config).await;
        let seen = Seen::read(post(&fleet.gateway.url(path), body.to_owned()).await).await;
        assert!(
            seen.complete && !seen.text().contains("usage"),
            "{}",
            seen.text()
        );
        assert_eq!(last(&fleet.aoi(1)), body);
        let line = fleet.gateway.next_access();
        let prompt = body.len().div_ceil(4) as u64;
        assert_eq!(counted(&line), Some((prompt, 16, true)), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_question_is_not_shown_to_the_client() {
    let mut fleet = Fleet::in_order("").await;
    // A mistake of the client's own is the client's to see, and costs nothing; also where it is repeated at length.
    let long = "x".repeat(100 * 1024);
    let long = format!(r#"{{"error":{{"code":"bad","message":"{long}"}}}}"#);
    for (status, body, code) in [
        (
            400,
            r#"{"error":{"code":"content_filter","message":"m"}}"#,
            "content_filter",
        ),
        (422, r#"{"error":{"code":"bad","message":"m"}}"#, "bad"),
        (422, &long, ""),
    ] {
        fleet.aoi(1).inject(refusal(status, body));
        let before = fleet.requests(GPT)[0];
        let seen = Seen::read(post(&fleet.gateway.url(CHAT_PATH), STREAM).await).await;
        assert_eq!((seen.status, &*seen.text()), (status, body));
        assert_eq!(fleet.requests(GPT), [before + 1, 0, 0]);
        let line = fleet.gateway.next_access();
        assert_eq!(
            (line["error"].as_str().unwrap_or_default(), counted(&line)),
            (code, None),
            "{line}"
        );
        fleet.gateway.until("aoi-1", GPT, "healthy").await;
    }

    let before = fleet.requests(GPT)[0];
    fleet.aoi(1).inject(refusal(400, UNKNOWN));
    let seen = Seen::read(post(&fleet.gateway.url(CHAT_PATH), STREAM).await).await;
    assert_eq!(
        (seen.status, seen.header("x-tokenweir-attempts")),
        (200, Some("1"))
    );
    assert!(!seen.text().contains("usage"), "{}", seen.text());
    assert_eq!(
        (fleet.requests(GPT), last(&fleet.aoi(1))),
        ([before + 2, 0, 0], STREAM.to_owned())
    );
    let line = fleet.gateway.next_access();
    assert_eq!(
        counted(&line),
        Some((STREAM.len().div_ceil(4) as u64, 16, true))
    );
}

const UNKNOWN: &str =
    r#"{"error":{"message":"Unknown parameter: 'stream_options'.","code":"unknown_parameter"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_refused_the_question_is_not_asked_again_for_a_while() {
    let mut fleet = Fleet::in_order("").await;
    fleet.aoi(1).inject(refusal(400, UNKNOWN));
    // What is learnt outlives a reload.
    for round in 0..4_u64 {
        if round == 2 {
            fleet.gateway.reload(&[("version: 1", "version: 1 ")]);
        }
        let seen = Seen::read(post(&fleet.gateway.url(CHAT_PATH), STREAM).await).await;
        assert_eq!(seen.status, 200);
        assert_eq!(fleet.requests(GPT), [round + 2, 0, 0]);
        assert_eq!(last(&fleet.aoi(1)), STREAM);
        let line = fleet.gateway.next_access();
        assert_eq!(line["tokens_estimated"], true, "{line}");
    }
    let told = fleet.gateway.logged();
    let mut told = told.lines().filter(|line| line.contains("\"WARN\""));
    let once: Value = serde_json::from_str(told.next().expect("it is told")).unwrap();
    assert_eq!(
        (&once["endpoint"], &once["deployment"]),
        (&"aoi-1".into(), &GPT.into())
    );
    assert_eq!(told.next(), None, "once");

    // The others are asked as before.
    let disabled = fleet.gateway.ask(&["endpoint", "disable", "aoi-1"]);
    assert!(disabled.status.success());
    let seen = Seen::read(post(&fleet.gateway.url(CHAT_PATH), STREAM).await).await;
    assert_eq!(seen.status, 200);
    assert_ne!(last(&fleet.aoi(2)), STREAM);
    assert_eq!(fleet.gateway.next_access()["tokens_estimated"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_was_not_about_the_question_teaches_nothing() {
    let mut fleet = Fleet::in_order("").await;
    // Some servers repeat the request in their refusal, and with it the question.
    for _ in 0..2 {
        fleet.aoi(1).inject(refusal(400, UNKNOWN));
    }
    let seen = Seen::read(post(&fleet.gateway.url(CHAT_PATH), STREAM).await).await;
    assert_eq!((seen.status, &*seen.text()), (400, UNKNOWN));
    fleet.gateway.next_access();
    let seen = Seen::read(post(&fleet.gateway.url(CHAT_PATH), STREAM).await).await;
    assert_eq!(seen.status, 200);
    assert_ne!(last(&fleet.aoi(1)), STREAM);
    assert_eq!(fleet.gateway.next_access()["tokens_estimated"], false);
}

/// How a stream breaks off.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Break {
    Provider,
    Client,
    Deadline,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_is_estimated_by_what_was_seen() {
    let events = [
        r#"{"choices":[],"prompt_filter_results":[],"usage":null}"#,
        r#"{"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}"#,
        r#"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#,
        r#"{"choices":[{"delta":{"content":"b"}}],"usage":null}"#,
        r#"{"choices":[{"delta":{"content":"c"}}],"usage":null}"#,
    ];
    let events: String = events.map(|event| format!("data: {event}\n\n")).concat();
    for how in [Break::Provider, Break::Client, Break::Deadline] {
        let total = if how == Break::Deadline { "1s" } else { "1m" };
        let config = format!("defaults: {{ timeouts: {{ total: {total} }} }}");
        let (provider, mut fleet) = Provider::before(&config).await;
        let sent = client().post(fleet.gateway.url(CHAT_PATH)).body(STREAM);
        let sent = tokio::spawn(sent.send());
        let mut upstream = provider.next(STREAM).await;
        let start = format!(
            "{EVENTS}transfer-encoding: chunked\r\n\r\n{:x}\r\n{events}\r\n",
            events.len()
        );
        upstream.write_all(start.as_bytes()).await.unwrap();
        let mut answer = timeout(PATIENCE, sent).await.unwrap().unwrap().unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"\"c\"}}]}\n\n") {
            let chunk = timeout(PATIENCE, answer.chunk())
                .await
                .expect("not held back");
            got.extend_from_slice(&chunk.unwrap().unwrap());
        }
        assert_eq!(
            String::from_utf8(got).unwrap(),
            events.replace(",\"usage\":null", "")
        );
        match how {
            Break::Provider => drop(upstream),
            Break::Client => drop(answer),
            Break::Deadline => {}
        }
        let line = fleet.gateway.next_access();
        let prompt = STREAM.len().div_ceil(4) as u64;
        assert_eq!(counted(&line), Some((prompt, 3, true)), "{how:?}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_wanted_uncompressed_and_pass_if_they_are_not() {
    let (provider, mut fleet) = Provider::before("").await;
    let ask = || {
        let request = client().post(fleet.gateway.url(CHAT_PATH));
        let request = request.header("accept-encoding", "gzip, br").body(STREAM);
        tokio::spawn(request.send())
    };
    let sent = ask();
    let mut upstream = provider.next(STREAM).await;
    let body = "\u{1f}not really";
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    upstream.write_all(head.as_bytes()).await.unwrap();
    let seen = timeout(PATIENCE, sent).await.unwrap().unwrap().unwrap();
    let seen = Seen::read(seen).await;
    assert_eq!(
        (seen.header("content-encoding"), &*seen.text()),
        (Some("gzip"), body)
    );
    assert_eq!(counted(&fleet.gateway.next_access()), None);

    let aside = Fleet::in_order("").await;
    let request = client().post(aside.gateway.url(CHAT_PATH));
    let request = request.header("accept-encoding", "gzip, br").body(STREAM);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let last = aside.aoi(1).last(GPT).unwrap();
    assert_eq!(last.header("accept-encoding"), Some("identity"));
}
