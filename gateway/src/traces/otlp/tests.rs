use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    trace::v1::{ResourceSpans, Span as Read},
};
use proptest::prelude::*;

use super::*;

/// A request whose one span has these attributes, and what is to be read of it.
fn request(trace: &TraceContext, pairs: &[(String, u64)], failed: bool) -> (Written, Read) {
    let mut spans = Spans::with_room_for(1);
    let span = Span {
        kind: SpanKind::Client,
        trace,
        id: trace.attempt(1),
        parent: Some(trace.span_id),
        parent_is_remote: true,
        name: ["chat", " ", "gpt-4o"],
        times: (Duration::from_nanos(1), Duration::MAX),
        failed,
    };
    spans.push(&span, |attributes| {
        for (text, number) in pairs {
            attributes.text(text, text);
            attributes.number("number", *number);
        }
    });
    let attributes = pairs.iter().flat_map(|(text, number)| {
        let number = i64::try_from(*number).unwrap_or(i64::MAX);
        [
            pair(text, Value::StringValue(text.clone())),
            pair("number", Value::IntValue(number)),
        ]
    });
    let read = Read {
        trace_id: trace.trace_id.as_u128().to_be_bytes().to_vec(),
        span_id: trace.attempt(1).as_u64().to_be_bytes().to_vec(),
        parent_span_id: trace.span_id.as_u64().to_be_bytes().to_vec(),
        flags: 0x300 | u32::from(trace.flags()),
        name: "chat gpt-4o".to_owned(),
        kind: 3,
        start_time_unix_nano: 1,
        end_time_unix_nano: u64::MAX,
        attributes: attributes.collect(),
        status: Some(Status {
            code: if failed { 2 } else { 0 },
            ..Status::default()
        }),
        ..Read::default()
    };
    (spans.write(), read)
}

proptest! {
    /// Whatever the lengths are, in bytes of one byte, two or three.
    #[test]
    fn a_collector_reads_what_was_written(
        trace_id: u128, span_id: u64, sampled: bool, failed: bool,
        requests in prop::collection::vec(
            prop::collection::vec((("\\PC{0,140}", 1_usize..200), any::<u64>()), 0..5), 0..5,
        ),
    ) {
        let trace = TraceContext::begin(trace_id, span_id, sampled);
        let requests = requests.into_iter().map(|pairs| {
            let pairs = pairs.into_iter().map(|((text, times), number)| (text.repeat(times), number));
            request(&trace, &pairs.collect::<Vec<_>>(), failed)
        });
        let (batch, spans): (Vec<_>, Vec<_>) = requests.unzip();
        let written = Envelope::new("east").around(&batch);
        let version = env!("CARGO_PKG_VERSION");
        let text = |text: &str| Value::StringValue(text.to_owned());
        let expected = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![
                        pair("service.name", text("east")),
                        pair("service.version", text(version)),
                    ],
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "tokenweir".to_owned(),
                        version: version.to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let read = ExportTraceServiceRequest::decode(written.as_slice()).unwrap();
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn a_collector_may_reject_spans() {
    for (rejected_spans, counted) in [(0, 0), (7, 7), (-1, 0)] {
        let answer = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans,
                error_message: "too old".to_owned(),
            }),
        };
        assert_eq!(rejected(answer.encode_to_vec().into()), counted);
    }
    for answer in ["", "{}"] {
        assert_eq!(rejected(answer.into()), 0, "{answer}");
    }
}
