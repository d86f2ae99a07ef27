//! What a request looks like in a trace: one span of the gateway as a server, and below it one of the gateway as a
//! client for each attempt. Made of names, numbers and words of the configuration; never of prompts, answers, keys or
//! queries.
//!
//! Names and attributes are those of OpenTelemetry's semantic conventions: HTTP 1.23 (stable), and for generative AI
//! what came with 1.37 (`gen_ai.provider.name` in place of `gen_ai.system`) and later (`cache_read`, `reasoning`), which
//! are in development and may still change. What they have no word for begins with `tokenweir.`. Tokens stand on the
//! server's span only, so that whoever adds them up counts none twice.

use std::time::Duration;

use http::Method;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use smallvec::SmallVec;

use super::otlp::{Attributes, Span, Spans, Written};
use crate::{
    api::{answer::Usage, operation::Operation, trace_context::TraceContext},
    clock::Timestamp,
    config::compiled::{Endpoint, EndpointKind},
    course::Tried,
    ids::{ClientName, DeploymentName, ModelName},
    policy::cause::Cause,
};

/// Of a path or a method: they can be as long as a head may be.
const CHOSEN_BYTES_MAX: usize = 256;

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

impl Ended<'_> {
    /// The server's span and those of the attempts.
    pub(super) fn count(&self) -> usize {
        1 + self.attempts.len()
    }

    /// In that order.
    pub(super) fn spans(&self) -> Written {
        let mut spans = Spans::with_room_for(self.count());
        self.server(&mut spans);
        for (index, attempt) in self.attempts.iter().enumerate() {
            self.client(index + 1, attempt, &mut spans);
        }
        spans.write()
    }

    fn server(&self, spans: &mut Spans) {
        let parent = self.trace.parent;
        let failed = self.cut || self.status >= 500;
        let span = Span {
            kind: SpanKind::Server,
            trace: self.trace,
            id: self.trace.span_id,
            parent,
            parent_is_remote: parent.is_some(),
            name: self.name(),
            times: (self.unix(self.started), self.unix(self.ended)),
            failed,
        };
        spans.push(&span, |attributes| {
            attributes.text("http.request.method", cut(self.method.as_str()));
            attributes.text("url.path", cut(self.path));
            attributes.number("http.response.status_code", self.status.into());
            self.generation(attributes);
            if let Some(client) = self.client {
                attributes.text("tokenweir.client", client.as_str());
            }
            let last = self.attempts.last();
            if let Some(Attempt { endpoint, .. }) = last {
                attributes.text("gen_ai.provider.name", provider(endpoint));
                attributes.text("tokenweir.endpoint", endpoint.name.as_str());
            }
            if let Some(usage) = &self.usage {
                tokens(usage, attributes);
            }
            if failed {
                match last.and_then(|last| last.tried.cause) {
                    Some(cause) => attributes.text("error.type", cause.as_str()),
                    None => attributes.text("error.type", &self.status.to_string()),
                }
            }
        });
    }

    fn client(&self, number: usize, attempt: &Attempt<'_>, spans: &mut Spans) {
        let Attempt {
            endpoint,
            deployment,
            tried,
        } = attempt;
        let span = Span {
            kind: SpanKind::Client,
            trace: self.trace,
            id: self.trace.attempt(number),
            parent: Some(self.trace.span_id),
            parent_is_remote: false,
            name: self.name(),
            times: (self.unix(tried.started), self.unix(tried.ended)),
            // A client that left is nobody's failure.
            failed: tried.cause.is_some_and(|cause| cause != Cause::ClientGone),
        };
        spans.push(&span, |attributes| {
            attributes.text("gen_ai.provider.name", provider(endpoint));
            attributes.text("server.address", &endpoint.url.host);
            attributes.number("server.port", endpoint.url.port.into());
            attributes.text("tokenweir.endpoint", endpoint.name.as_str());
            attributes.text("tokenweir.deployment", deployment.as_str());
            self.generation(attributes);
            if let Some(status) = tried.status {
                attributes.number("http.response.status_code", status.into());
            }
            if let Some(cause) = tried.cause {
                attributes.text("error.type", cause.as_str());
            }
        });
    }

    /// `chat gpt-4o`; the method alone where it never got that far.
    fn name(&self) -> [&str; 3] {
        match self.wanted {
            Some((operation, model)) => [word(operation), " ", model.as_str()],
            None => [cut(self.method.as_str()), "", ""],
        }
    }

    /// What is asked of a model.
    fn generation(&self, attributes: &mut Attributes) {
        if let Some((operation, model)) = self.wanted {
            attributes.text("gen_ai.operation.name", word(operation));
            attributes.text("gen_ai.request.model", model.as_str());
        }
    }

    fn unix(&self, at: Timestamp) -> Duration {
        self.unix_ended.saturating_sub(self.ended.since(at))
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(CHOSEN_BYTES_MAX)]
}

fn provider(endpoint: &Endpoint) -> &'static str {
    match endpoint.kind {
        EndpointKind::Azure => "azure.ai.openai",
        EndpointKind::OpenAi => "openai",
    }
}

fn tokens(usage: &Usage, attributes: &mut Attributes) {
    let Usage {
        prompt,
        completion,
        cached,
        reasoning,
    } = *usage;
    attributes.number("gen_ai.usage.input_tokens", prompt);
    attributes.number("gen_ai.usage.output_tokens", completion);
    // The parts are 0 where a provider does not speak of them.
    for (key, part) in [
        ("gen_ai.usage.cache_read.input_tokens", cached),
        ("gen_ai.usage.reasoning.output_tokens", reasoning),
    ] {
        if part > 0 {
            attributes.number(key, part);
        }
    }
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
