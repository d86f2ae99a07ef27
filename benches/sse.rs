//! Measures the watching of a stream as it passes: 100 events of a chat completion with usage at the end, as an
//! Azure endpoint sends them. Not measured: reading and writing them, which costs far more.

use std::{fmt::Write as _, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway::api::sse::{End, Tap};

const EVENTS: usize = 100;
/// As much as one read of a socket brings at most.
const READ_BYTES: usize = 16 * 1024;

fn stream() -> String {
    let head = r#""created":1721948096,"id":"chatcmpl-9oXUV8XoQIbS3xEVnCmRyEV0qCLqR","model":"gpt-4o-2024-11-20","object":"chat.completion.chunk","system_fingerprint":"fp_ee1d74bde0""#;
    let mut text = String::new();
    for _ in 0..EVENTS - 2 {
        write!(
            text,
            "data: {{\"choices\":[{{\"content_filter_results\":{{\"hate\":{{\"filtered\":false,\"severity\":\"safe\"}}}},\
             \"delta\":{{\"content\":\" word\"}},\"finish_reason\":null,\"index\":0}}],{head},\"usage\":null}}\n\n"
        )
        .expect("a String takes every write");
    }
    let usage = r#""usage":{"completion_tokens":98,"prompt_tokens":11,"total_tokens":109}"#;
    write!(
        text,
        "data: {{\"choices\":[],{head},{usage}}}\n\ndata: [DONE]\n\n"
    )
    .expect("a String takes every write");
    text
}

fn watched<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Tap {
    let mut tap = Tap::default();
    for chunk in chunks {
        tap.feed(black_box(chunk));
    }
    tap
}

fn sse(c: &mut Criterion) {
    let text = stream();
    let by_event: Vec<&[u8]> = text.split_inclusive("\n\n").map(str::as_bytes).collect();
    let summary = watched(by_event.iter().copied()).summary();
    assert_eq!(
        (summary.events, summary.end),
        (EVENTS as u64, Some(End::Done))
    );

    let mut group = c.benchmark_group("sse, 100 events");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("one event a chunk", |b| {
        b.iter(|| watched(by_event.iter().copied()).summary());
    });
    group.bench_function("chunks of 16 KiB", |b| {
        b.iter(|| watched(text.as_bytes().chunks(READ_BYTES)).summary());
    });
    group.finish();
}

criterion_group!(benches, sse);
criterion_main!(benches);
