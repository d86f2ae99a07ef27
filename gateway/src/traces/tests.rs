use http::{HeaderName, Method};
use tokio::net::TcpListener;

use super::*;
use crate::{api::trace_context::TraceContext, clock::Timestamp, secret::Secret};

fn config(url: String) -> compiled::Traces {
    compiled::Traces {
        url: url.into(),
        sample_percent: 10,
        headers: vec![(
            HeaderName::from_static("authorization"),
            Secret::new("hunter2".to_owned()),
        )],
        service_name: "tokenweir".into(),
    }
}

fn leave_spans(traces: &Traces) {
    let trace = TraceContext::begin(1, 2, true);
    traces.request(&Ended {
        trace: &trace,
        method: &Method::GET,
        path: "/v1/models",
        status: 200,
        cut: false,
        client: None,
        wanted: None,
        attempts: smallvec::SmallVec::new(),
        usage: None,
        started: Timestamp::from_micros(1),
        ended: Timestamp::from_micros(2),
        unix_ended: Duration::from_secs(1),
    });
}

#[test]
fn as_many_traces_are_recorded_as_configured() {
    for (percent, recorded) in [(0, 0), (10, 10), (100, 100)] {
        let traces = Traces {
            sample_percent: percent,
            queue: mpsc::channel(1).0,
            dropped: Metrics::new().spans_dropped().clone(),
        };
        let count = (0..100).filter(|&draw| traces.samples(draw)).count();
        assert_eq!(count, recorded);
    }
}

#[test]
fn the_headers_for_the_collector_are_not_shown() {
    let config = config("http://127.0.0.1:4318/v1/traces".to_owned());
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[tokio::test]
async fn what_finds_no_place_in_the_queue_is_dropped_and_counted() {
    // It accepts nobody.
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", collector.local_addr().unwrap());
    let metrics = Metrics::new();
    let exports = Exports::new(&metrics);
    let traces = exports.link(&config(url));
    // The exporter does not run before this test waits for something.
    for _ in 0..QUEUE_REQUESTS_MAX {
        leave_spans(&traces);
    }
    assert_eq!(metrics.spans_dropped().get(), 0);
    for _ in 0..5 {
        leave_spans(&traces);
    }
    assert_eq!(metrics.spans_dropped().get(), 5);
}

#[tokio::test]
async fn what_nobody_takes_is_dropped_and_counted() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", collector.local_addr().unwrap());
    drop(collector);
    let metrics = Metrics::new();
    let exports = Exports::new(&metrics);
    let traces = exports.link(&config(url));
    for _ in 0..3 {
        leave_spans(&traces);
    }
    exports.finish().await;
    assert_eq!(metrics.spans_dropped().get(), 3);
    // After a stop nothing is taken any more.
    leave_spans(&traces);
    assert_eq!(metrics.spans_dropped().get(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_export_ends_when_its_configuration_is_gone() {
    let metrics = Metrics::new();
    let exports = Exports::new(&metrics);
    drop(exports.link(&config("http://127.0.0.1:1/v1/traces".to_owned())));
    exports.tasks.close();
    exports.tasks.wait().await;
}
