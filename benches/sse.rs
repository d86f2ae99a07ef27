//! Measures what looks at answers as they pass: at a stream of 100 events of a chat completion with usage at the end,
//! as an Azure endpoint sends them, and at unary answers. Not measured: reading and writing them, which costs far
//! more.

use std::{fmt::Write as _, hint::black_box};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway::api::{
    sse::{End, Tap, unasked::Unasked},
    unary,
};

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

/// Bytes that go on to a client who did not ask for usage.
fn passed(chunks: &[Bytes]) -> usize {
    let mut unasked = Unasked::default();
    let bytes = chunks
        .iter()
        .map(|chunk| unasked.pass(black_box(chunk.clone())).len());
    bytes.sum()
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

    let events: Vec<Bytes> = by_event
        .iter()
        .map(|event| Bytes::copy_from_slice(event))
        .collect();
    let unasked = EVENTS - 2;
    let usage_event = events[unasked].len();
    let expected = text.len() - unasked * r#","usage":null"#.len() - usage_event;
    assert_eq!(passed(&events), expected);
    group.bench_function("unasked, one event a chunk", |b| {
        b.iter(|| passed(&events));
    });
    let reads: Vec<Bytes> = text
        .as_bytes()
        .chunks(READ_BYTES)
        .map(Bytes::copy_from_slice)
        .collect();
    group.bench_function("unasked, chunks of 16 KiB", |b| {
        b.iter(|| passed(&reads));
    });
    group.finish();
}

/// An answer of several vectors.
fn embeddings(vector: &str) -> String {
    const VECTORS: usize = 16;
    let item = format!(r#"{{"object":"embedding","index":0,"embedding":{vector}}}"#);
    let items = vec![item; VECTORS].join(",");
    format!(
        r#"{{"object":"list","data":[{items}],"model":"m","usage":{{"prompt_tokens":8,"total_tokens":8}}}}"#
    )
}

fn unary(c: &mut Criterion) {
    const DIMENSIONS: usize = 1536;
    let chat = format!(
        r#"{{"choices":[{{"content_filter_results":{{"hate":{{"filtered":false,"severity":"safe"}}}},"finish_reason":"stop","index":0,"message":{{"content":"{}","role":"assistant"}}}}],"created":1721948096,"id":"chatcmpl-9oXUV8XoQIbS3xEVnCmRyEV0qCLqR","model":"gpt-4o-2024-11-20","usage":{{"completion_tokens":98,"completion_tokens_details":{{"reasoning_tokens":0}},"prompt_tokens":8,"total_tokens":106}}}}"#,
        "Some words. ".repeat(30)
    );
    let floats = format!("[{}]", vec!["-0.025512695"; DIMENSIONS].join(","));
    let base64 = format!("\"{}\"", "AbCd".repeat(DIMENSIONS * 4 / 3));
    let mut group = c.benchmark_group("unary");
    for (name, answer) in [
        ("chat", chat),
        ("embeddings, floats", embeddings(&floats)),
        ("embeddings, base64", embeddings(&base64)),
    ] {
        group.throughput(Throughput::Bytes(answer.len() as u64));
        let usage = || {
            let mut tap = unary::Tap::default();
            for chunk in answer.as_bytes().chunks(READ_BYTES) {
                tap.feed(black_box(chunk));
            }
            tap.usage()
        };
        assert_eq!(usage().map(|usage| usage.prompt), Some(8), "{name}");
        group.bench_function(name, |b| b.iter(usage));
    }
    group.finish();
}

criterion_group!(benches, sse, unary);
criterion_main!(benches);
