//! What does a streamed answer cost? Many server-sent event streams at the same time, at the pace of a model.

use std::time::Duration;

use super::{Field, Running, added, figures};
use crate::{
    load::{Pace, Plan},
    report::{Column, Report},
    request::Target,
    sample::Sample,
    stop::Stop,
};

/// Longest time for all of them to begin, which they do one after the other within a second, so that they are at
/// different places later.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Streams at the same time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=2000))]
    streams: u16,
    /// Tokens of each stream, one event each
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tokens: u32,
    /// Tokens per second of each stream
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pace: u32,
    /// Rounds over all targets
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Worker threads of the gateway; 0 = one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    running: Running,
}

pub(crate) fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    let (tokens, pace) = (options.tokens, options.pace);
    let behaviour = [
        "--answer-tokens",
        &tokens.to_string(),
        "--tokens-per-second",
        &pace.to_string(),
    ]
    .map(str::to_owned);
    let mut field = Field::start(&options.running, &behaviour, options.threads, stop)?;
    let streams = options.streams;
    let plan = Plan {
        authority: "",
        request: &[],
        warm_up: &[],
        connections: usize::from(streams),
        pace: Pace::PerSecond(u32::from(streams)),
        requests: u64::from(streams),
        limit: BEGIN_WITHIN,
        process: None,
    };
    // One connection that only warms up: what a process holds that has begun to work.
    let begun = Plan {
        connections: 1,
        requests: 0,
        ..plan
    };
    field.round(&begun, Target::streamed, stop)?;
    let begun = field.take();
    for _ in 0..options.rounds {
        field.round(&plan, Target::streamed, stop)?;
    }
    let measured = field.take();
    let rounds = options.rounds;
    let mut report = Report::new("stream");
    report.table(
        &format!("{streams} streams of {tokens} tokens, {pace} tokens/s each, {rounds} rounds"),
        &COLUMNS,
        figures(&measured),
    );
    let at = |quantile: f64| {
        move |sample: &Sample| sample.first_byte.value_at_quantile(quantile) as f64 / 1e3
    };
    for (figure, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        report.added(
            &format!("{figure} to the first byte, ms"),
            added(&measured, at(quantile)),
        );
    }
    let resident = |samples: &[Sample]| samples.iter().map(|s| s.resident_bytes_max).max();
    for ((name, samples), (_, begun)) in measured.iter().zip(&begun) {
        if let (Some(begun @ 1..), Some(peak)) = (resident(begun), resident(samples)) {
            let kib = peak.saturating_sub(begun) as f64 / 1024.0 / f64::from(streams);
            report.fact(&format!("{name}: RSS per stream, KiB"), kib);
        }
    }
    Ok(report)
}

const COLUMNS: [Column; 8] = [
    Column("streams", |f| Some(f.requests.to_string())),
    Column("errors", |f| Some(f.errors.to_string())),
    Column("events/s", |f| Some(format!("{:.0}", f.events_per_second))),
    Column("first byte p50 ms", |f| {
        Some(format!("{:.2}", f.first_byte_ms.p50))
    }),
    Column("p99 ms", |f| Some(format!("{:.2}", f.first_byte_ms.p99))),
    Column("whole p50 ms", |f| Some(format!("{:.0}", f.whole_ms.p50))),
    Column("CPU µs/event", |f| {
        f.cpu_us_per_event.map(|us| format!("{us:.1}"))
    }),
    Column("RSS MiB", |f| f.resident_mib.map(|mib| format!("{mib:.1}"))),
];
