//! Does a stop wait for what is under way, and for nothing else? With streams under way, with idle connections only,
//! and with a stream that never ends.

use std::time::Duration;

use anyhow::bail;
use serde_json::json;

use super::mix::{Clients, prove, simulator};
use crate::{
    clock::{now, sleep},
    fleet::MODEL,
    process::Signal,
    report::Report,
    service::{Program, Service, says},
    stop::Stop,
    tally::{Fate, Tally},
};

/// From the end of the last stream to the end of the process.
const AFTER_LAST_STREAM_MAX_MS: f64 = 100.0;
/// From the signal to the end of a process that has nothing to do.
const IDLE_MAX_MS: f64 = 50.0;
const SIGNAL_AFTER: Duration = Duration::from_secs(1);
const STREAM_SECONDS: u64 = 5;
const STREAMS: (usize, usize) = (24, 6);
const IDLE: (usize, usize) = (10, 10);
/// Until connections are as idle as can be.
const REST: Duration = Duration::from_millis(300);
const DRAIN: Duration = Duration::from_secs(2);
/// By which an end at the deadline may be late.
const DRAIN_LATE_MAX_MS: f64 = 100.0;
const CONFIG_STUCK: &str = "drain_timeout: 2s\n";
const EXIT_WITHIN: Duration = Duration::from_secs(20);
const SAYS_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds of each kind of stop
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    program: Program,
}

pub(crate) fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    let (mut with_streams, mut idle, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tallies, mut told) = (Vec::new(), true);
    for _ in 0..options.rounds {
        let (delay, tally) = with_streams_under_way(options, stop)?;
        with_streams.push(delay);
        tallies.push(tally);
        idle.push(with_idle_connections(options, stop)?);
        let (time, says_one) = with_a_stuck_stream(options, stop)?;
        stuck.push(time);
        told &= says_one;
        if stop.is_set() {
            bail!("interrupted");
        }
    }
    let mut report = Report::new("stop");
    let (rounds, (http1, http2)) = (options.rounds, STREAMS);
    prove(
        &mut report,
        &format!(
            "SIGTERM during {} streams of {STREAM_SECONDS} s, {http2} of them over HTTP/2, {rounds} rounds",
            http1 + http2
        ),
        tallies,
    );
    let at_most = |values: &[f64], max: f64| values.iter().all(|&value| value <= max);
    let kept = [
        at_most(&with_streams, AFTER_LAST_STREAM_MAX_MS),
        at_most(&idle, IDLE_MAX_MS),
    ];
    let drain_ms = DRAIN.as_secs_f64() * 1e3;
    let in_time =
        stuck.iter().all(|&ms| ms >= drain_ms) && at_most(&stuck, drain_ms + DRAIN_LATE_MAX_MS);
    report.spread(
        "from the end of the last stream to the exit, ms",
        with_streams,
    );
    report.promise(&format!("at most {AFTER_LAST_STREAM_MAX_MS} ms"), kept[0]);
    report.spread(
        "with idle connections only, from SIGTERM to the exit, ms",
        idle,
    );
    report.promise(&format!("at most {IDLE_MAX_MS} ms"), kept[1]);
    report.spread(
        "with a stream that never ends, from SIGTERM to the exit, ms",
        stuck,
    );
    report.promise(
        &format!("at the end of a drain timeout of {DRAIN:?}"),
        in_time,
    );
    report.promise("its log says that one request was cut", told);
    Ok(report)
}

/// From the end of the last stream to the exit, ms.
fn with_streams_under_way(options: &Options, stop: &Stop) -> anyhow::Result<(f64, Tally)> {
    let simulators = [simulator("aoi-1")?, simulator("aoi-2")?];
    let mut service = Service::start(&options.program, &simulators, "", stop)?;
    let clients = Clients::new(&service, stop)?;
    let (http1, http2) = STREAMS;
    let streams = clients.streams(http1, http2, STREAM_SECONDS)?;
    sleep(SIGNAL_AFTER);
    service.signal(Signal::TERM)?;
    let exit = service.wait_exit(EXIT_WITHIN)?;
    let (tally, end) = streams.end()?;
    Ok((
        exit.saturating_duration_since(end).as_secs_f64() * 1e3,
        tally,
    ))
}

/// From the signal to the exit, ms.
fn with_idle_connections(options: &Options, stop: &Stop) -> anyhow::Result<f64> {
    let simulators = [simulator("aoi-1")?];
    let mut service = Service::start(&options.program, &simulators, "", stop)?;
    let clients = Clients::new(&service, stop)?;
    let (http1, http2) = IDLE;
    let _idle = clients.idle(http1, http2);
    sleep(REST);
    let sent = now();
    service.signal(Signal::TERM)?;
    Ok((service.wait_exit(EXIT_WITHIN)? - sent).as_secs_f64() * 1e3)
}

/// From the signal to the exit, ms, and whether the log counts the one request and its client the one cut.
fn with_a_stuck_stream(options: &Options, stop: &Stop) -> anyhow::Result<(f64, bool)> {
    let simulators = [simulator("aoi-1")?];
    let stall = json!({
        "deployment": MODEL,
        "count": 1,
        "action": { "stall_mid_stream": { "after_events": 3 } },
    });
    simulators[0].fail(&stall, stop)?;
    let mut service = Service::start(&options.program, &simulators, CONFIG_STUCK, stop)?;
    let clients = Clients::new(&service, stop)?;
    let streams = clients.streams(1, 0, STREAM_SECONDS)?;
    let sent = now();
    service.signal(Signal::TERM)?;
    let exit = service.wait_exit(EXIT_WITHIN)?;
    let said = service.wait_for(&[says::CUT], SAYS_WITHIN)?;
    let (tally, _) = streams.end()?;
    let one = said["cut"] == 1 && tally.of(Fate::Cut) == 1;
    Ok(((exit - sent).as_secs_f64() * 1e3, one))
}
