//! A load generator for the gateway: it speaks HTTP and knows nothing of the gateway's inside. Every run is bounded
//! in time and count, and whatever it starts ends with it, also when it is interrupted.

mod clock;
mod connection;
mod fleet;
mod load;
mod process;
mod report;
mod request;
mod sample;
mod scenario;
mod stop;

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};

use crate::{
    report::Report,
    scenario::{failover, overhead, stream},
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
    /// Many event streams at the same time
    Stream(stream::Options),
    /// One of two endpoints answers 429 now and then; fails if a client sees it
    Failover(failover::Options),
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
        Scenario::Stream(options) => stream::run(options, stop),
        Scenario::Failover(options) => failover::run(options, stop),
    }?;
    report.fact("load average of the machine before the run", load);
    Ok(report)
}
