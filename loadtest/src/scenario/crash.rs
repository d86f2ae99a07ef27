//! How long does a crash last? The gateway is killed and started again at once, as systemd does with
//! `Restart=always`, and asked until it answers.

use std::time::Duration;

use anyhow::bail;

use super::mix::simulator;
use crate::{
    clock::{now, sleep},
    connection::Connection,
    report::Report,
    sample::Spread,
    service::{Program, Service},
    stop::Stop,
};

const MEDIAN_MAX_MS: f64 = 300.0;
const ASK_EVERY: Duration = Duration::from_millis(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Kills, one after the other
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: u32,
    #[command(flatten)]
    program: Program,
}

pub(crate) fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    let simulators = [simulator("aoi-1")?];
    let mut service = Service::start(&options.program, &simulators, "", stop)?;
    let mut took = Vec::new();
    for _ in 0..options.times {
        let killed = now();
        service.crash()?;
        while !answers(&service, stop) {
            if stop.is_set() || now() - killed > ANSWER_WITHIN {
                bail!("no answer within {ANSWER_WITHIN:?} of a crash");
            }
            sleep(ASK_EVERY);
        }
        took.push((now() - killed).as_secs_f64() * 1e3);
    }
    let median = Spread::of(took.clone()).map_or(f64::INFINITY, |spread| spread.median);
    let mut report = Report::new("crash");
    report.spread("from kill -9 to the first 200, ms", took);
    report.promise(
        &format!("median at most {MEDIAN_MAX_MS} ms"),
        median <= MEDIAN_MAX_MS,
    );
    Ok(report)
}

fn answers(service: &Service, stop: &Stop) -> bool {
    let target = &service.front.http1;
    Connection::open(&target.authority, stop)
        .and_then(|mut connection| connection.exchange(&target.short(), |_| {}))
        .is_ok_and(|answer| answer.status == 200)
}
