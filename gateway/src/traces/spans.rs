//! What a request looks like in a trace: one span of the gateway as a server, and below it one of the gateway as a
//! client for each attempt. Made of names, numbers and words of the configuration; never of prompts, answers, keys or
//! queries.
//!
//! Names and attributes are those of OpenTelemetry's semantic conventions: HTTP 1.23 (stable), and for generative AI
//! what came with 1.37 (`gen_ai.provider.name` in place of `gen_ai.system`) and later (`cache_read`, `reasoning`), which
//! are in development and may still change. What they have no word for begins with `tokenweir.`. Tokens stand on the
//! server's span only, so that whoever adds them up counts none twice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use smallvec::SmallVec;

use crate::{
    api::{
        answer::Usage,
        operation::Operation,
        trace_context::{SpanId, TraceContext},
    },
    clock::Timestamp,
    config::compiled::{Endpoint, EndpointKind},
    course::Tried,
    ids::{ClientName, DeploymentName, ModelName},
    policy::cause::Cause,
};

/// A path can be as long as a head may be.
const PATH_BYTES_MAX: usize = 256;

/// A request that is over.
pub struct Ended<'a> {
    pub trace: &'a TraceContext,
    pub method: &'a Method,
    pub path: &'a str,
    pub status: u16,
    /// The answer broke off after it had begun.
    pub cut: bool,
    pub client: Option<&'a ClientName>,
    /// `None`: it ended before that was known.
    pub wanted: Option<(Operation, &'a ModelName)>,
    /// In their order.
    pub attempts: SmallVec<[Attempt<'a>; 2]>,
    pub usage: Option<Usage>,
    pub started: Timestamp,
    pub ended: Timestamp,
    /// Unix time at `ended`.
    pub unix_ended: Duration,
}

pub struct Attempt<'a> {
    pub endpoint: &'a Endpoint,
    pub deployment: &'a DeploymentName,
    pub tried: &'a Tried,
}

/// What makes one span differ from the others of its request.
struct Part {
    kind: SpanKind,
    id: SpanId,
    parent: Option<SpanId>,
    parent_is_remote: bool,
    /// From when to when.
    times: (Timestamp, Timestamp),
    attributes: Vec<KeyValue>,
    failed: bool,
}

impl Ended<'_> {
    /// The server's span, then those of the attempts.
    pub(super) fn spans(&self) -> Vec<SpanData> {
        let scope = InstrumentationScope::builder("tokenweir")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let mut spans = Vec::with_capacity(1 + self.attempts.len());
        spans.push(self.span(self.server(), scope.clone()));
        for (index, attempt) in self.attempts.iter().enumerate() {
            spans.push(self.span(self.client(index + 1, attempt), scope.clone()));
        }
        spans
    }

    fn server(&self) -> Part {
        let mut attributes = vec![
            KeyValue::new("http.request.method", self.method.as_str().to_owned()),
            KeyValue::new("url.path", self.path().to_owned()),
            KeyValue::new("http.response.status_code", i64::from(self.status)),
        ];
        attributes.extend(self.generation());
        if let Some(client) = self.client {
            attributes.push(KeyValue::new("tokenweir.client", text(client.as_str())));
        }
        let last = self.attempts.last();
        if let Some(Attempt { endpoint, .. }) = last {
            attributes.push(provider(endpoint));
            attributes.push(KeyValue::new(
                "tokenweir.endpoint",
                text(endpoint.name.as_str()),
            ));
        }
        if let Some(usage) = &self.usage {
            attributes.extend(tokens(usage));
        }
        let failed = self.cut || self.status >= 500;
        if failed {
            let cause = last.and_then(|last| last.tried.cause).map(Cause::as_str);
            let kind = cause.map_or_else(|| text(&self.status.to_string()), Value::from);
            attributes.push(KeyValue::new("error.type", kind));
        }
        let parent = self.trace.parent;
        Part {
            kind: SpanKind::Server,
            id: self.trace.span_id,
            parent,
            parent_is_remote: parent.is_some(),
            times: (self.started, self.ended),
            attributes,
            failed,
        }
    }

    fn client(&self, number: usize, attempt: &Attempt<'_>) -> Part {
        let Attempt {
            endpoint,
            deployment,
            tried,
        } = attempt;
        let mut attributes = vec![
            provider(endpoint),
            KeyValue::new("server.address", text(&endpoint.url.host)),
            KeyValue::new("server.port", i64::from(endpoint.url.port)),
            KeyValue::new("tokenweir.endpoint", text(endpoint.name.as_str())),
            KeyValue::new("tokenweir.deployment", text(deployment.as_str())),
        ];
        attributes.extend(self.generation());
        if let Some(status) = tried.status {
            attributes.push(KeyValue::new(
                "http.response.status_code",
                i64::from(status),
            ));
        }
        if let Some(cause) = tried.cause {
            attributes.push(KeyValue::new("error.type", cause.as_str()));
        }
        // A client that left is nobody's failure.
        let failed = tried.cause.is_some_and(|cause| cause != Cause::ClientGone);
        Part {
            kind: SpanKind::Client,
            id: self.trace.attempt(number),
            parent: Some(self.trace.span_id),
            parent_is_remote: false,
            times: (tried.started, tried.ended),
            attributes,
            failed,
        }
    }

    fn span(&self, part: Part, scope: InstrumentationScope) -> SpanData {
        let Part {
            kind,
            id,
            parent,
            parent_is_remote,
            times: (started, ended),
            attributes,
            failed,
        } = part;
        SpanData {
            span_context: SpanContext::new(
                self.trace.trace_id.as_u128().into(),
                id.as_u64().into(),
                TraceFlags::new(self.trace.flags()),
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent.map_or(0, SpanId::as_u64).into(),
            parent_span_is_remote: parent_is_remote,
            span_kind: kind,
            name: self.name().into(),
            start_time: self.time(started),
            end_time: self.time(ended),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            // What kind of failure it is says `error.type`.
            status: if failed {
                Status::error("")
            } else {
                Status::Unset
            },
            instrumentation_scope: scope,
        }
    }

    /// `chat gpt-4o`; the method alone where it never got that far.
    fn name(&self) -> String {
        match self.wanted {
            Some((operation, model)) => format!("{} {model}", word(operation)),
            None => self.method.to_string(),
        }
    }

    fn path(&self) -> &str {
        self.path.get(..PATH_BYTES_MAX).unwrap_or(self.path)
    }

    /// What is asked of a model.
    fn generation(&self) -> impl Iterator<Item = KeyValue> {
        self.wanted.into_iter().flat_map(|(operation, model)| {
            [
                KeyValue::new("gen_ai.operation.name", word(operation)),
                KeyValue::new("gen_ai.request.model", text(model.as_str())),
            ]
        })
    }

    fn time(&self, at: Timestamp) -> SystemTime {
        UNIX_EPOCH + self.unix_ended.saturating_sub(self.ended.since(at))
    }
}

fn text(text: &str) -> Value {
    text.to_owned().into()
}

fn provider(endpoint: &Endpoint) -> KeyValue {
    let name = match endpoint.kind {
        EndpointKind::Azure => "azure.ai.openai",
        EndpointKind::OpenAi => "openai",
    };
    KeyValue::new("gen_ai.provider.name", name)
}

fn tokens(usage: &Usage) -> impl Iterator<Item = KeyValue> {
    let Usage {
        prompt,
        completion,
        cached,
        reasoning,
    } = *usage;
    // The parts are 0 where a provider does not speak of them.
    let cached = (cached > 0).then_some(("gen_ai.usage.cache_read.input_tokens", cached));
    let reasoning = (reasoning > 0).then_some(("gen_ai.usage.reasoning.output_tokens", reasoning));
    [
        Some(("gen_ai.usage.input_tokens", prompt)),
        Some(("gen_ai.usage.output_tokens", completion)),
        cached,
        reasoning,
    ]
    .into_iter()
    .flatten()
    .map(|(key, tokens)| KeyValue::new(key, i64::try_from(tokens).unwrap_or(i64::MAX)))
}

/// The conventions' word where they have one; the Responses API is a chat to them.
const fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::ChatCompletions | Operation::Responses => "chat",
        Operation::Completions => "text_completion",
        Operation::Embeddings => "embeddings",
        Operation::ImagesGenerations
        | Operation::ImagesEdits
        | Operation::AudioTranscriptions
        | Operation::AudioTranslations
        | Operation::AudioSpeech
        | Operation::Moderations
        | Operation::Realtime => operation.path(),
    }
}

#[cfg(test)]
mod tests;
