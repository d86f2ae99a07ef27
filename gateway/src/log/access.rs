//! The one line that a request leaves. It is no `tracing` event: those pass each field through a visitor, and this one
//! is written for every request. Nothing in it comes from a query, a body or a credential.

use std::{fmt, time::Duration};

use super::form::Line;

/// What a filter of the log calls these lines.
pub(super) const TARGET: &str = "access";

/// What is known of a request when it is over; what is `None` is left out. Texts are cut where they are taken from
/// somebody else.
#[derive(Debug, Clone, Default)]
pub struct AccessLine<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub status: u16,
    pub client: Option<&'a str>,
    pub model: Option<&'a str>,
    /// Of the last attempt.
    pub endpoint: Option<&'a str>,
    pub attempts: &'a [Attempt<'a>],
    /// Why the last one tried was chosen, or why nobody was left.
    pub decision: Option<&'a str>,
    /// Why no other was tried.
    pub stopped: Option<&'a str>,
    /// Deployments failed alike, and it was not held against them.
    pub blamed: bool,
    /// The code of the error that the client was told.
    pub error: Option<&'a str>,
    /// The answer broke off after it had begun.
    pub cut: bool,
    /// A stream of events brought an error.
    pub stream_error: bool,
    pub events: Option<u64>,
    pub prompt_tokens: Option<u64>,
    /// Of the prompt.
    pub cached_tokens: Option<u64>,
    pub completion_tokens: Option<u64>,
    /// Of the completion.
    pub reasoning_tokens: Option<u64>,
    pub tokens_estimated: Option<bool>,
    pub cost: Option<f64>,
    /// Of the answer's body.
    pub bytes: u64,
    pub first_byte: Option<Duration>,
    /// Of a stream.
    pub to_first_token: Option<Duration>,
    pub overhead: Duration,
    pub duration: Duration,
    /// The `x-request-id` that the client got.
    pub request_id: Option<&'a str>,
    /// What the client calls its request: its `x-request-id`, else its `x-ms-client-request-id`.
    pub client_request_id: Option<&'a str>,
    /// Its `x-ms-client-request-id`, where it sent both.
    pub ms_client_request_id: Option<&'a str>,
    pub trace_id: Option<&'a str>,
}

#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    pub endpoint: &'a str,
    pub deployment: &'a str,
    /// `ok`, or the cause of the failure.
    pub outcome: &'a str,
    pub status: Option<u16>,
    pub ms: u64,
}

impl fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint,
            deployment,
            outcome,
            status,
            ms,
        } = self;
        write!(f, "{endpoint} {deployment} {outcome} ")?;
        if let Some(status) = status {
            write!(f, "{status} ")?;
        }
        write!(f, "{ms}ms")
    }
}

impl Attempt<'_> {
    fn write(&self, line: &mut Line<'_>) {
        line.field("endpoint", self.endpoint);
        line.field("deployment", self.deployment);
        line.field("outcome", self.outcome);
        line.field("status", self.status);
        line.field("ms", self.ms);
    }
}

impl AccessLine<'_> {
    pub(super) fn write(&self, line: &mut Line<'_>) {
        line.field("message", "request");
        line.field("method", self.method);
        line.field("path", self.path);
        line.field("status", self.status);
        line.field("client", self.client);
        line.field("model", self.model);
        line.field("endpoint", self.endpoint);
        line.list("attempts", self.attempts, Attempt::write);
        line.field("decision", self.decision);
        line.field("stopped", self.stopped);
        line.field("blamed", self.blamed.then_some(true));
        line.field("error", self.error);
        line.field("cut", self.cut.then_some(true));
        line.field("stream_error", self.stream_error.then_some(true));
        line.field("events", self.events);
        line.field("prompt_tokens", self.prompt_tokens);
        line.field("cached_tokens", self.cached_tokens);
        line.field("completion_tokens", self.completion_tokens);
        line.field("reasoning_tokens", self.reasoning_tokens);
        line.field("tokens_estimated", self.tokens_estimated);
        line.field("cost", self.cost);
        line.field("bytes", self.bytes);
        line.field("first_byte_ms", self.first_byte);
        line.field("ttft_ms", self.to_first_token);
        line.field("overhead_ms", self.overhead);
        line.field("duration_ms", self.duration);
        line.field("request_id", self.request_id);
        line.field("client_request_id", self.client_request_id);
        line.field("ms_client_request_id", self.ms_client_request_id);
        line.field("trace_id", self.trace_id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tracing::Level;

    use super::*;
    use crate::log::form::Form;

    const ATTEMPTS: [Attempt<'_>; 2] = [
        Attempt {
            endpoint: "aoi-1",
            deployment: "gpt4",
            outcome: "throttled",
            status: Some(429),
            ms: 12,
        },
        Attempt {
            endpoint: "aoi-2",
            deployment: "gpt-4o",
            outcome: "connect",
            status: None,
            ms: 340,
        },
    ];

    fn written(form: Form, access: &AccessLine<'_>) -> String {
        let mut out = Vec::new();
        let now = Duration::from_micros(1_763_712_000_000_001);
        let mut line = Line::begin(&mut out, form, now, Level::INFO, TARGET);
        access.write(&mut line);
        line.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn attempts_are_an_array_and_what_is_unknown_is_left_out() {
        let line = AccessLine {
            method: "POST",
            path: "/v1/chat/completions",
            status: 502,
            attempts: &ATTEMPTS,
            prompt_tokens: Some(11),
            cost: Some(0.25),
            overhead: Duration::from_micros(210),
            duration: Duration::from_micros(352_125),
            ..AccessLine::default()
        };
        let parsed: Value = serde_json::from_str(&written(Form::Json, &line)).unwrap();
        assert_eq!(
            parsed,
            json!({
                "timestamp": "2025-11-21T08:00:00.000001Z", "level": "INFO", "target": "access", "message": "request",
                "method": "POST", "path": "/v1/chat/completions", "status": 502,
                "attempts": [
                    { "endpoint": "aoi-1", "deployment": "gpt4", "outcome": "throttled", "status": 429, "ms": 12 },
                    { "endpoint": "aoi-2", "deployment": "gpt-4o", "outcome": "connect", "ms": 340 },
                ],
                "prompt_tokens": 11, "cost": 0.25, "bytes": 0, "overhead_ms": 0.21, "duration_ms": 352.125,
            })
        );
        assert_eq!(
            written(Form::Logfmt, &line),
            "timestamp=2025-11-21T08:00:00.000001Z level=INFO target=access message=request method=POST \
             path=/v1/chat/completions status=502 attempts=\"aoi-1 gpt4 throttled 429 12ms, aoi-2 gpt-4o connect 340ms\" \
             prompt_tokens=11 cost=0.25 bytes=0 overhead_ms=0.210 duration_ms=352.125\n"
        );
    }
}
