use std::{collections::BTreeMap, path::Path};

use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    trace::v1::{ScopeSpans, Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;

use super::*;
use crate::{
    api::trace_context::Traceparent,
    config::{
        compile,
        secrets::{SecretError, SecretSource},
    },
    pool::Place,
    secret::Secret,
};

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn env(&self, _: &str) -> Result<Secret, SecretError> {
        Err(SecretError::Absent)
    }

    fn file(&self, _: &Path) -> Result<Secret, SecretError> {
        Err(SecretError::Absent)
    }

    fn credential(&self, _: &str) -> Result<Secret, SecretError> {
        Err(SecretError::Absent)
    }
}

fn endpoints() -> Vec<Endpoint> {
    let text = "
version: 1
open: true
listen: [{ address: 127.0.0.1:1 }]
endpoints:
  west: { url: https://west.openai.azure.com, credential: none, deployments: { gpt-4o: { deployment: gpt-4o-west } } }
  own: { url: http://127.0.0.1:8000, kind: openai, credential: none, deployments: { gpt-4o: {} } }
";
    compile(text, &NoSecrets).unwrap().0.endpoints
}

const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn tried(cause: Option<Cause>, status: Option<u16>, started: u64, ended: u64) -> Tried {
    Tried {
        place: Place { tier: 0, member: 0 },
        cause,
        status,
        started: at(started),
        ended: at(ended),
    }
}

/// A request from second 100 to 110 on this machine's clock, of which the last was second 1000 of Unix time.
fn ended<'a>(trace: &'a TraceContext, status: u16) -> Ended<'a> {
    Ended {
        trace,
        method: &Method::POST,
        path: "/openai/deployments/gpt-4o/chat/completions",
        status,
        cut: false,
        client: None,
        wanted: None,
        attempts: SmallVec::new(),
        usage: None,
        started: at(100),
        ended: at(110),
        unix_ended: Duration::from_secs(1000),
    }
}

/// What a collector reads.
fn spans(ended: &Ended<'_>) -> Vec<Span> {
    let written = ended.spans();
    let read = ScopeSpans::decode(written.bytes.as_slice()).unwrap().spans;
    assert_eq!((written.count, ended.count()), (read.len(), read.len()));
    read
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let pairs = span.attributes.iter().map(|pair| {
        let value = match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            other => panic!("{}: {other:?}", pair.key),
        };
        (pair.key.as_str(), value)
    });
    let read: BTreeMap<_, _> = pairs.collect();
    assert_eq!(read.len(), span.attributes.len(), "each is there once");
    read
}

fn seconds(span: &Span) -> (u64, u64) {
    let nanos = (span.start_time_unix_nano, span.end_time_unix_nano);
    (nanos.0 / 1_000_000_000, nanos.1 / 1_000_000_000)
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().unwrap().code() == StatusCode::Error
}

fn id(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_that_failed_over_has_a_span_for_itself_and_one_for_each_attempt() {
    let mut trace = TraceContext::begin(1, 2, false);
    trace.follow(&Traceparent::parse(CLIENT.as_bytes()).unwrap());
    let endpoints = endpoints();
    let (client, model) = (
        ClientName::new("team-a").unwrap(),
        ModelName::new("gpt-4o").unwrap(),
    );
    let history = [
        tried(Some(Cause::Throttled), Some(429), 101, 102),
        tried(None, Some(200), 102, 110),
    ];
    let attempts = endpoints.iter().zip(&history).map(|(endpoint, tried)| {
        let deployment = &endpoint.deployments[0].name;
        Attempt {
            endpoint,
            deployment,
            tried,
        }
    });
    let spans = spans(&Ended {
        client: Some(&client),
        wanted: Some((Operation::ChatCompletions, &model)),
        attempts: attempts.collect(),
        usage: Some(Usage {
            prompt: 12,
            completion: 34,
            cached: 8,
            reasoning: 0,
        }),
        ..ended(&trace, 200)
    });

    let [server, first, second] = spans.as_slice() else {
        panic!("{spans:#?}")
    };
    for span in &spans {
        assert_eq!(id(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(span.name, "chat gpt-4o");
    }
    // Sampled, and with a parent that is another process's.
    assert_eq!(server.flags, 0x301);
    assert_eq!(id(&server.parent_span_id), "00f067aa0ba902b7");
    for (number, attempt) in [(1, first), (2, second)] {
        assert_eq!(attempt.flags, 0x101);
        assert_eq!(attempt.parent_span_id, server.span_id);
        assert_eq!(id(&attempt.span_id), trace.attempt(number).to_string());
        assert_eq!(attempt.kind(), SpanKind::Client);
    }
    assert_eq!(server.kind(), SpanKind::Server);
    assert_eq!(seconds(server), (990, 1000));
    assert_eq!(seconds(first), (991, 992));
    assert_eq!(seconds(second), (992, 1000));
    assert_eq!(
        [server, first, second].map(failed),
        [false, true, false],
        "what was retried with success is no failure of the request"
    );

    let expected = |pairs: &[(&'static str, &str)]| -> BTreeMap<&str, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect()
    };
    assert_eq!(
        attributes(server),
        expected(&[
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "gpt-4o"),
            ("gen_ai.usage.cache_read.input_tokens", "8"),
            ("gen_ai.usage.input_tokens", "12"),
            ("gen_ai.usage.output_tokens", "34"),
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("tokenweir.client", "team-a"),
            ("tokenweir.endpoint", "own"),
            ("url.path", "/openai/deployments/gpt-4o/chat/completions"),
        ])
    );
    assert_eq!(
        attributes(first),
        expected(&[
            ("error.type", "throttled"),
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "azure.ai.openai"),
            ("gen_ai.request.model", "gpt-4o"),
            ("http.response.status_code", "429"),
            ("server.address", "west.openai.azure.com"),
            ("server.port", "443"),
            ("tokenweir.deployment", "gpt-4o-west"),
            ("tokenweir.endpoint", "west"),
        ])
    );
    assert_eq!(
        attributes(second),
        expected(&[
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "gpt-4o"),
            ("http.response.status_code", "200"),
            ("server.address", "127.0.0.1"),
            ("server.port", "8000"),
            ("tokenweir.deployment", "gpt-4o"),
            ("tokenweir.endpoint", "own"),
        ])
    );
}

#[test]
fn a_request_fails_by_its_own_answer_and_says_why() {
    let trace = TraceContext::begin(1, 2, true);
    let endpoints = endpoints();
    for (status, cut, cause, error) in [
        (200, false, None, None),
        (200, true, Some(Cause::Stall), Some("stall")),
        (400, false, Some(Cause::BadRequest), None),
        (401, false, None, None),
        (499, false, Some(Cause::ClientGone), None),
        (502, false, Some(Cause::Connect), Some("connect")),
        (503, false, None, Some("503")),
    ] {
        let tried = tried(cause, None, 101, 102);
        let attempt = Attempt {
            endpoint: &endpoints[0],
            deployment: &endpoints[0].deployments[0].name,
            tried: &tried,
        };
        let spans = spans(&Ended {
            cut,
            attempts: cause.map(|_| attempt).into_iter().collect(),
            ..ended(&trace, status)
        });
        let server = attributes(&spans[0]);
        assert_eq!(server.get("error.type").map(String::as_str), error);
        assert_eq!(failed(&spans[0]), error.is_some(), "{status}");
        if let Some(client) = spans.get(1) {
            let word = cause.map(Cause::as_str);
            let said = attributes(client);
            assert_eq!(said.get("error.type").map(String::as_str), word);
            assert_eq!(
                failed(client),
                cause != Some(Cause::ClientGone),
                "{cause:?}"
            );
        }
    }
}

#[test]
fn a_request_that_got_nowhere_is_one_span_without_a_parent() {
    let trace = TraceContext::begin(1, 2, true);
    let path = format!("/{}", "é".repeat(CHOSEN_BYTES_MAX));
    let method = "X".repeat(CHOSEN_BYTES_MAX + 1);
    let spans = spans(&Ended {
        path: &path,
        method: &method.parse().unwrap(),
        ..ended(&trace, 401)
    });
    let [span] = spans.as_slice() else {
        panic!("{spans:#?}")
    };
    assert_eq!(span.name, method[1..]);
    assert_eq!(span.parent_span_id, b"");
    assert_eq!(span.flags, 0x103);
    // What a client chooses is cut, between two characters.
    let said = attributes(span);
    assert_eq!(said["http.request.method"], method[1..]);
    assert_eq!(said["url.path"], path[..CHOSEN_BYTES_MAX - 1]);
}
