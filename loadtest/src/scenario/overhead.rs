//! What does a request cost that the gateway only passes on? The same small chat request to the simulator directly
//! and through the gateway.

use std::time::Duration;

use super::{Field, Running, added, figures};
use crate::{
    load::{Pace, Plan},
    report::{Column, Report},
    request::Target,
    sample::{Percentiles, Sample},
    stop::Stop,
};

/// Makes an answer of about 1.1 KB.
const ANSWER_TOKENS: &str = "8";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Arrivals per second of the open loop
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Rounds over all targets
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Connections of the generator
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=2000))]
    connections: u16,
    /// Worker threads of the gateway; 0 = one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    running: Running,
}

pub(crate) fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    let behaviour = ["--answer-tokens".to_owned(), ANSWER_TOKENS.to_owned()];
    let mut field = Field::start(&options.running, &behaviour, options.threads, stop)?;
    let span = Duration::from_secs(options.seconds);
    let open = Plan {
        authority: "",
        request: &[],
        warm_up: &[],
        connections: usize::from(options.connections),
        pace: Pace::PerSecond(options.rate),
        requests: u64::from(options.rate) * options.seconds,
        limit: span + span,
        process: None,
    };
    let closed = Plan {
        pace: Pace::FlatOut,
        requests: u64::MAX,
        limit: span,
        ..open
    };
    for _ in 0..options.rounds {
        field.round(&open, Target::unary, stop)?;
    }
    let paced = field.take();
    for _ in 0..options.rounds {
        field.round(&closed, Target::unary, stop)?;
    }
    let flat_out = field.take();

    let (rate, rounds, seconds) = (options.rate, options.rounds, options.seconds);
    let connections = options.connections;
    let mut report = Report::new("overhead");
    report.table(
        &format!("open loop, {rate} requests/s, {connections} connections, {rounds} rounds of {seconds} s"),
        &COLUMNS,
        figures(&paced),
    );
    let at = |quantile: f64| {
        move |sample: &Sample| sample.whole.value_at_quantile(quantile) as f64 / 1e3
    };
    for (figure, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        report.added(
            &format!("{figure} latency, ms"),
            added(&paced, at(quantile)),
        );
    }
    report.table(
        &format!("closed loop, {connections} connections, {rounds} rounds of {seconds} s"),
        &COLUMNS,
        figures(&flat_out),
    );
    Ok(report)
}

pub(super) const COLUMNS: [Column; 8] = [
    Column("requests/s", |f| {
        Some(format!("{:.0}", f.requests_per_second))
    }),
    Column("errors", |f| Some(f.errors.to_string())),
    Column("unsent", |f| Some(f.unsent.to_string())),
    Column("p50 ms", |f| Some(ms(f.whole_ms, |p| p.p50))),
    Column("p99 ms", |f| Some(ms(f.whole_ms, |p| p.p99))),
    Column("p99.9 ms", |f| Some(ms(f.whole_ms, |p| p.p999))),
    Column("CPU µs/request", |f| {
        f.cpu_us_per_request.map(|us| format!("{us:.1}"))
    }),
    Column("RSS MiB", |f| f.resident_mib.map(|mib| format!("{mib:.1}"))),
];

fn ms(percentiles: Percentiles, which: impl Fn(&Percentiles) -> f64) -> String {
    format!("{:.2}", which(&percentiles))
}
