//! Measures what the log costs a request: its one line, formed and handed over to the thread that writes it, to
//! `/dev/null`. Not measured: taking the values out of the request, and that thread's own work.

use std::{hint::black_box, path::Path, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use gateway::{
    config::compiled::{self, LogFormat},
    log::{AccessLine, Log, access::Attempt},
};

const ATTEMPTS: [Attempt<'static>; 2] = [
    Attempt {
        endpoint: "aoi-swedencentral-1",
        deployment: "gpt-4o",
        outcome: "throttled",
        status: Some(429),
        ms: 12,
    },
    Attempt {
        endpoint: "aoi-westeurope-2",
        deployment: "gpt-4o",
        outcome: "ok",
        status: Some(200),
        ms: 1843,
    },
];

fn line() -> AccessLine<'static> {
    AccessLine {
        method: "POST",
        path: "/openai/deployments/gpt-4o/chat/completions",
        status: 200,
        client: Some("team-a"),
        model: Some("gpt-4o"),
        endpoint: Some("aoi-westeurope-2"),
        attempts: black_box(&ATTEMPTS),
        decision: Some("priority 1"),
        events: Some(212),
        prompt_tokens: Some(1411),
        cached_tokens: Some(1024),
        completion_tokens: Some(208),
        reasoning_tokens: Some(0),
        tokens_estimated: Some(false),
        cost: Some(0.004_327_5),
        bytes: 61_482,
        first_byte: Some(Duration::from_micros(312_487)),
        to_first_token: Some(Duration::from_micros(312_487)),
        overhead: Duration::from_micros(214),
        duration: Duration::from_micros(1_856_301),
        request_id: Some("2f0e5c1c-3a1d-4c55-9b8e-0f2a64a7c3d1"),
        client_request_id: Some("0b6c3df0-5e0e-4f6b-a8a1-3a5ad2bd7a44"),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        ..AccessLine::default()
    }
}

fn log(c: &mut Criterion) {
    let config = compiled::Log {
        level: "info".to_owned(),
        format: LogFormat::Json,
        file: Some(Path::new("/dev/null").into()),
    };
    let (log, _last_lines) = Log::start(&config).expect("everybody may write there");
    let line = line();
    assert!(log.wants_access());
    c.bench_function("log, one access line", |b| {
        b.iter(|| {
            if log.wants_access() {
                log.access(black_box(&line));
            }
        });
    });

    log.control.set("info,access=off").expect("a good filter");
    c.bench_function("log, access lines switched off", |b| {
        b.iter(|| {
            if log.wants_access() {
                log.access(black_box(&line));
            }
        });
    });
}

criterion_group!(benches, log);
criterion_main!(benches);
