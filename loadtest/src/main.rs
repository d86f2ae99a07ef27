//! A load generator for the gateway: it speaks HTTP and knows nothing of the gateway's inside. Every run is bounded
//! in time and count, and whatever it starts ends with it, also when it is interrupted.

mod client;
mod clock;
mod connection;
mod fleet;
mod http2;
mod load;
mod process;
mod report;
mod request;
mod sample;
mod scenario;
mod service;
mod stop;
mod tally;

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};

use crate::{
    report::Report,
    scenario::{certificates, crash, failover, hand_over, observe, overhead, reload, stream},
    stop::Stop,
};

/// Measures the gateway against simulated resources, each a process of its own on this machine.
///
/// Build first: cargo build --release -p gateway -p simulator -p loadtest
#[derive(Debug, Parser)]
#[command(name = "loadtest", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
    /// Print JSON in place of tables
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Latency and processor time that the gateway adds to a small request
    Overhead(overhead::Options),
    /// Processor time that it costs to see everything: log, metrics, console, traces
    Observe(observe::Options),
    /// Many event streams at the same time
    Stream(stream::Options),
    /// One of two endpoints answers 429 now and then; fails if a client sees it
    Failover(failover::Options),
    /// The configuration is read again and again under load; fails if a client sees it
    #[command(after_help = tally::COUNTED)]
    Reload(reload::Options),
    /// The process is replaced again and again under load; fails if a client sees it
    #[command(after_help = tally::COUNTED)]
    HandOver(hand_over::Options),
    /// Certificates are renewed again and again under load; fails if a client sees it
    #[command(after_help = tally::COUNTED)]
    Certificates(certificates::Options),
    /// A stop with streams under way, with idle connections, and with a stream that never ends
    #[command(after_help = tally::COUNTED)]
    Stop(scenario::stop::Options),
    /// A kill, and how soon there is an answer again
    Crash(crash::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = Stop::default();
    let mut running = {
        let stop = stop.clone();
        spawn_blocking(move || run(&arguments.scenario, &stop))
    };
    let report = loop {
        tokio::select! {
            report = &mut running => break report??,
            _ = interrupt.recv() => stop.set(),
            _ = terminate.recv() => stop.set(),
        }
    };
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{:#}", report.json())?;
    } else {
        write!(out, "{}", report.text())?;
    }
    Ok(if report.kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run(scenario: &Scenario, stop: &Stop) -> anyhow::Result<Report> {
    let load = process::load_average()?;
    let mut report = match scenario {
        Scenario::Overhead(options) => overhead::run(options, stop),
        Scenario::Observe(options) => observe::run(options, stop),
        Scenario::Stream(options) => stream::run(options, stop),
        Scenario::Failover(options) => failover::run(options, stop),
        Scenario::Reload(options) => reload::run(options, stop),
        Scenario::HandOver(options) => hand_over::run(options, stop),
        Scenario::Certificates(options) => certificates::run(options, stop),
        Scenario::Stop(options) => scenario::stop::run(options, stop),
        Scenario::Crash(options) => crash::run(options, stop),
    }
    .map_err(|error| {
        // What fails then fails because of it.
        if stop.is_set() {
            error.context("interrupted")
        } else {
            error
        }
    })?;
    report.fact("load average of the machine before the run", load);
    Ok(report)
}
