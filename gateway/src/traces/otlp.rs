//! Writes what a collector is sent: OTLP 1, as protobuf. Knows of a request nothing but its spans.
//!
//! Spans are written when the request ends, and only bytes wait to be sent: a message of protobuf may have its fields in
//! any order, so a batch is what its requests have written, one after the other. The messages are opentelemetry-proto's;
//! the SDK's spans before them, and freeing them on another thread, would double the work.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceResponse,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{self as proto, ScopeSpans, SpanFlags, Status, span::SpanKind, status::StatusCode},
};
use prost::Message as _;

use crate::api::trace_context::{SpanId, TraceContext};

/// The spans of a request, in the making.
#[derive(Debug)]
pub(super) struct Spans(Vec<proto::Span>);

/// Ready to be sent.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// `ScopeSpans.spans`
    pub(super) bytes: Vec<u8>,
    pub(super) count: usize,
}

/// What a span is besides its attributes.
pub(super) struct Span<'a> {
    pub(super) kind: SpanKind,
    pub(super) trace: &'a TraceContext,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) parent_is_remote: bool,
    /// In pieces.
    pub(super) name: [&'a str; 3],
    /// From when to when, in Unix time.
    pub(super) times: (Duration, Duration),
    pub(super) failed: bool,
}

#[derive(Debug)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Spans {
    pub(super) fn with_room_for(spans: usize) -> Self {
        Self(Vec::with_capacity(spans))
    }

    pub(super) fn push(&mut self, span: &Span<'_>, attributes: impl FnOnce(&mut Attributes)) {
        /// Few spans have more.
        const ATTRIBUTES: usize = 12;
        let id = |id: SpanId| id.as_u64().to_be_bytes().to_vec();
        let mut told = Attributes(Vec::with_capacity(ATTRIBUTES));
        attributes(&mut told);
        let mut flags = u32::from(span.trace.flags()) | SpanFlags::ContextHasIsRemoteMask as u32;
        if span.parent_is_remote {
            flags |= SpanFlags::ContextIsRemoteMask as u32;
        }
        let code = if span.failed {
            StatusCode::Error
        } else {
            StatusCode::Unset
        };
        self.0.push(proto::Span {
            trace_id: span.trace.trace_id.as_u128().to_be_bytes().to_vec(),
            span_id: id(span.id),
            parent_span_id: span.parent.map(id).unwrap_or_default(),
            flags,
            name: span.name.concat(),
            kind: span.kind.into(),
            start_time_unix_nano: nanos(span.times.0),
            end_time_unix_nano: nanos(span.times.1),
            attributes: told.0,
            status: Some(Status {
                code: code.into(),
                ..Status::default()
            }),
            ..proto::Span::default()
        });
    }

    pub(super) fn write(self) -> Written {
        let count = self.0.len();
        let scope_spans = ScopeSpans {
            spans: self.0,
            ..ScopeSpans::default()
        };
        Written {
            bytes: scope_spans.encode_to_vec(),
            count,
        }
    }
}

fn nanos(unix: Duration) -> u64 {
    u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX)
}

impl Attributes {
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.0.push(pair(key, Value::StringValue(value.to_owned())));
    }

    pub(super) fn number(&mut self, key: &str, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.0.push(pair(key, Value::IntValue(value)));
    }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// What stands around the spans of a batch.
pub(super) struct Envelope {
    resource: Resource,
    /// A `ScopeSpans` without spans.
    scope: Vec<u8>,
}

impl Envelope {
    pub(super) fn new(service_name: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let text = |text: &str| Value::StringValue(text.to_owned());
        let scope = ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "tokenweir".to_owned(),
                version: version.to_owned(),
                ..InstrumentationScope::default()
            }),
            ..ScopeSpans::default()
        };
        Self {
            // Not the SDK's detectors: they read the environment.
            resource: Resource {
                attributes: vec![
                    pair("service.name", text(service_name)),
                    pair("service.version", text(version)),
                ],
                ..Resource::default()
            },
            scope: scope.encode_to_vec(),
        }
    }

    /// An `ExportTraceServiceRequest`.
    pub(super) fn around(&self, batch: &[Written]) -> Vec<u8> {
        let spans = batch.iter().map(|written| written.bytes.as_slice());
        let parts: Vec<&[u8]> = [self.scope.as_slice()].into_iter().chain(spans).collect();
        let request = Request {
            resource_spans: Some(ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: parts.concat(),
            }),
        };
        request.encode_to_vec()
    }
}

/// `ExportTraceServiceRequest` with one resource.
#[derive(prost::Message)]
struct Request {
    #[prost(message, optional, tag = "1")]
    resource_spans: Option<ResourceSpans>,
}

/// `ResourceSpans` whose one `ScopeSpans` is written already: bytes and messages look alike.
#[derive(prost::Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(bytes = "vec", tag = "2")]
    scope_spans: Vec<u8>,
}

/// How many spans the collector did not want, by its `ExportTraceServiceResponse`.
pub(super) fn rejected(answer: Bytes) -> usize {
    let read = ExportTraceServiceResponse::decode(answer).ok();
    let partial = read.and_then(|read| read.partial_success);
    partial.map_or(0, |partial| {
        usize::try_from(partial.rejected_spans).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests;
