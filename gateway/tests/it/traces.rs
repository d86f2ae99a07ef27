//! Traces from the client to the attempts, and their export to a collector that is a part of the test.

mod hand_over;

use std::time::Duration;

use bytes::Bytes;
use gateway::config::client_key::{format_key_hash, key_hash};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use rustix::process::Signal;
use simulator::{Action, Fault, LastRequest};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::support::{CHAT, Fleet, PATIENCE, client};

const GPT: &str = "gpt-4o";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const STATE: &str = "congo=t61rcWkgMzE";
/// A stop gives the collector one second, an export ten.
const SOON: Duration = Duration::from_secs(3);

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// What a collector was sent at one time.
struct Export {
    path: String,
    key: Option<String>,
    content_type: Option<String>,
    spans: Vec<ResourceSpans>,
}

struct Collector {
    config: String,
    exports: mpsc::UnboundedReceiver<Export>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config(&listener);
        let (sender, exports) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                let service = service_fn(move |request| take(request, sender.clone()));
                let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(served);
            }
        });
        Self { config, exports }
    }

    async fn next(&mut self) -> Export {
        let export = timeout(PATIENCE, self.exports.recv()).await;
        export.expect("spans are exported").unwrap()
    }

    async fn spans(&mut self) -> Vec<Span> {
        let scopes = self.next().await.spans.into_iter();
        let scopes = scopes.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

/// The lines of the configuration for a collector that listens there.
fn config(listener: &TcpListener) -> String {
    let address = listener.local_addr().unwrap();
    format!(
        "traces: {{ otlp: 'http://{address}', sample: 0%, headers: {{ x-key: {{ env: KEY_AOI_3 }} }} }}\n"
    )
}

async fn take(
    request: Request<Incoming>,
    exports: mpsc::UnboundedSender<Export>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
    let _ = exports.send(Export {
        path: head.uri.path().to_owned(),
        key: header("x-key"),
        content_type: header("content-type"),
        spans: ExportTraceServiceRequest::decode(body)
            .unwrap()
            .resource_spans,
    });
    Ok(Response::new(Full::default()))
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let pair = attributes.iter().find(|pair| pair.key == key)?;
    Some(match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    })
}

/// Asks for a chat with these headers, each as often as it stands here.
async fn chat(fleet: &Fleet, headers: &[(&str, &str)]) {
    let mut request = client().post(fleet.chat_url(GPT)).body(CHAT);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap();
}

fn seen(fleet: &Fleet, number: usize) -> LastRequest {
    fleet.aoi(number).last(GPT).expect("it was asked")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_over_is_one_trace_from_the_client_to_each_attempt() {
    let mut collector = Collector::start().await;
    let fleet = Fleet::in_order(&collector.config).await;
    let throttled = Action::Status {
        status: 429,
        headers: [("retry-after".to_owned(), "1".to_owned())].into(),
        body: None,
    };
    fleet.aoi(1).inject(Fault::new(throttled).on(GPT).times(1));
    let headers = [
        ("traceparent", traceparent("01")),
        ("tracestate", STATE.to_owned()),
    ];
    let headers = headers.each_ref().map(|(name, value)| (*name, &**value));
    chat(&fleet, &headers).await;

    let export = collector.next().await;
    assert_eq!(export.path, "/v1/traces");
    assert_eq!(
        export.content_type.as_deref(),
        Some("application/x-protobuf")
    );
    assert_eq!(export.key.as_deref(), Some("key-of-aoi-3"));
    let [resource] = export.spans.as_slice() else {
        panic!("{:?}", export.spans)
    };
    let service = &resource.resource.as_ref().unwrap().attributes;
    assert_eq!(
        attribute(service, "service.name").as_deref(),
        Some("tokenweir")
    );
    let [server, first, second] = resource.scope_spans[0].spans.as_slice() else {
        panic!("{resource:#?}")
    };
    assert_eq!(server.kind, i32::from(SpanKind::Server));
    assert_eq!(hex::encode(&server.parent_span_id), PARENT);
    assert_eq!(
        attribute(&server.attributes, "http.response.status_code").as_deref(),
        Some("200")
    );
    // Without the query, in which a key may stand.
    assert_eq!(
        attribute(&server.attributes, "url.path").as_deref(),
        Some("/openai/deployments/gpt-4o/chat/completions")
    );
    for (number, span, cause) in [(1, first, Some("throttled")), (2, second, None)] {
        assert_eq!(hex::encode(&span.trace_id), TRACE);
        assert_eq!(span.kind, i32::from(SpanKind::Client));
        assert_eq!(span.parent_span_id, server.span_id);
        let status = span.status.as_ref().map_or(0, |status| status.code);
        assert_eq!(status == i32::from(StatusCode::Error), cause.is_some());
        assert_eq!(
            attribute(&span.attributes, "error.type").as_deref(),
            cause,
            "{span:?}"
        );
        let endpoint = attribute(&span.attributes, "tokenweir.endpoint");
        assert_eq!(endpoint.unwrap(), format!("aoi-{number}"));
        assert!(server.start_time_unix_nano <= span.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= server.end_time_unix_nano);
        // Its own span is what the endpoint was told.
        let sent = seen(&fleet, number);
        let expected = format!("00-{TRACE}-{}-01", hex::encode(&span.span_id));
        assert_eq!(sent.header("traceparent"), Some(expected.as_str()));
        assert_eq!(sent.header("tracestate"), Some(STATE));
    }
    assert!(first.end_time_unix_nano <= second.start_time_unix_nano);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_passes_as_it_came_where_no_spans_are_exported() {
    let fleet = Fleet::in_order("").await;
    let (sampled, newer, broken) = (
        traceparent("01"),
        format!("cc-{TRACE}-{PARENT}-01-more"),
        format!("00-{TRACE}-0000000000000000-01"),
    );
    for (sent, passed) in [
        (vec![], None),
        (vec![&sampled], Some(&sampled)),
        (vec![&newer], Some(&newer)),
        (vec![&broken], None),
        (vec![&sampled, &sampled], None),
    ] {
        let mut headers = vec![("tracestate", STATE)];
        headers.extend(sent.iter().map(|value| ("traceparent", value.as_str())));
        chat(&fleet, &headers).await;
        let got = seen(&fleet, 1);
        let passed = passed.map(String::as_str);
        assert_eq!(got.header("traceparent"), passed, "{sent:?}");
        // It means nothing without the other one.
        let state = passed.map(|_| STATE);
        assert_eq!(got.header("tracestate"), state, "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_not_sampled_goes_on_and_is_not_exported() {
    let mut collector = Collector::start().await;
    let fleet = Fleet::in_order(&collector.config).await;
    chat(&fleet, &[("traceparent", &traceparent("00"))]).await;
    let sent = seen(&fleet, 1);
    let sent = sent.header("traceparent").unwrap();
    assert!(sent.starts_with(&format!("00-{TRACE}-")), "{sent}");
    assert!(sent.ends_with("-00") && !sent.contains(PARENT), "{sent}");
    // One that begins here says that its id is random.
    let broken = [("traceparent", "00-0-0-01"), ("tracestate", STATE)];
    for headers in [&[][..], &broken[..]] {
        chat(&fleet, headers).await;
        let sent = seen(&fleet, 1);
        assert!(sent.header("traceparent").unwrap().ends_with("-02"));
        assert_eq!(sent.header("tracestate"), None);
    }
    // The first that is exported is the only one.
    chat(&fleet, &[("traceparent", &traceparent("01"))]).await;
    let spans = collector.spans().await;
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert_eq!(hex::encode(&spans[0].parent_span_id), PARENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_nobody_is_not_recorded() {
    let mut collector = Collector::start().await;
    let hash = format_key_hash(&key_hash("a-key"));
    let clients = format!("clients: {{ team-a: {{ keys: ['{hash}'] }} }}\n");
    let fleet = Fleet::in_order(&format!("{}{clients}", collector.config)).await;
    let sampled = traceparent("01");
    let refused = client()
        .post(fleet.chat_url(GPT))
        .header("traceparent", &sampled)
        .body(CHAT);
    assert_eq!(refused.send().await.unwrap().status(), 401);
    chat(&fleet, &[("traceparent", &sampled), ("api-key", "a-key")]).await;
    let spans = collector.spans().await;
    assert_eq!(spans.len(), 2, "{spans:?}");
    let name = attribute(&spans[0].attributes, "tokenweir.client");
    assert_eq!(name.as_deref(), Some("team-a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_begins_and_ends_the_export_and_a_stop_sends_what_is_left() {
    let mut collector = Collector::start().await;
    let traced = collector.config.replace("0%", "100%");
    let mut fleet = Fleet::in_order("traces: off\n").await;
    chat(&fleet, &[]).await;
    fleet.gateway.reload(&[("traces: off\n", &traced)]);
    chat(&fleet, &[]).await;
    assert_eq!(collector.spans().await.len(), 2);
    chat(&fleet, &[]).await;
    fleet.gateway.reload(&[]);
    chat(&fleet, &[]).await;
    assert_eq!(seen(&fleet, 1).header("traceparent"), None);
    assert_eq!(collector.spans().await.len(), 2);

    fleet.gateway.reload(&[("traces: off\n", &traced)]);
    chat(&fleet, &[]).await;
    fleet.gateway.signal(Signal::TERM);
    assert!(fleet.gateway.ended().await.success());
    assert_eq!(collector.spans().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_slows_neither_requests_nor_a_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut fleet = Fleet::in_order(&config(&listener).replace("0%", "100%")).await;
    chat(&fleet, &[]).await;
    let (mut stuck, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert_ne!(stuck.read(&mut [0; 1024]).await.unwrap(), 0);
    // From here on an answer is waited for that does not come.
    let start = Instant::now();
    for _ in 0..20 {
        chat(&fleet, &[]).await;
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    let start = Instant::now();
    fleet.gateway.signal(Signal::TERM);
    assert!(fleet.gateway.ended().await.success());
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}
