//! Can the process be replaced at any time? It is told to hand over to a new one again and again, under a mix of
//! clients and with long streams under way. With `--broken` the new one cannot start, and the old one must go on.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::mix::{Clients, prove, simulator};
use crate::{
    clock::{now, sleep, sleep_until},
    fleet::Simulator,
    process::Signal,
    report::Report,
    service::{Program, Service, says},
    stop::Stop,
    tally::Tally,
};

/// Short, so that an old process goes soon; longer than a hand-over takes that fails by `hand_over_timeout`.
const CONFIG: &str = "limits: { keep_alive: 4s }\n";
const CONFIG_BROKEN: &str = "limits: { keep_alive: 4s }\nhand_over_timeout: 2s\n";
const IDLE: usize = 8;
/// Connections of each protocol that nobody uses again: an old process must not wait for their clients.
const ABANDONED: usize = 2;
const EFFECT_WITHIN: Duration = Duration::from_secs(15);
/// From the last signal until no process is left; beyond the idle time.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// SIGUSR2s, each to the process that serves
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: u32,
    /// Let each of them fail, in turns by a broken configuration, a program that ends at once, and one that hangs;
    /// one good hand-over follows
    #[arg(long)]
    broken: bool,
    /// Streams that are under way at each signal, a fifth of them over HTTP/2
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=500))]
    streams: u16,
    /// How long each of them takes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    stream_seconds: u64,
    /// Shortest time from one signal to the next
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    interval_ms: u64,
    #[command(flatten)]
    program: Program,
}

/// What the new process finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Good,
    BrokenConfiguration,
    BrokenProgram,
    HangingProgram,
}

impl Turn {
    const ALL: [Self; 4] = [
        Self::Good,
        Self::BrokenConfiguration,
        Self::BrokenProgram,
        Self::HangingProgram,
    ];

    fn prepare(self, service: &Service, simulators: &[Simulator]) -> anyhow::Result<()> {
        match self {
            Self::Good => Ok(()),
            Self::BrokenConfiguration => {
                let text = service.document(simulators.iter().map(|simulator| (simulator, -1)));
                service.configure(&text)
            }
            Self::BrokenProgram => service.break_program("exit 1"),
            Self::HangingProgram => service.break_program("exec sleep 60"),
        }
    }

    fn undo(self, service: &Service, simulators: &[Simulator]) -> anyhow::Result<()> {
        match self {
            Self::Good => Ok(()),
            Self::BrokenConfiguration => {
                let text = service.document(simulators.iter().map(|simulator| (simulator, 1)));
                service.configure(&text)
            }
            Self::BrokenProgram | Self::HangingProgram => service.restore_program(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Good => "hand-over",
            Self::BrokenConfiguration => "broken configuration",
            Self::BrokenProgram => "program that ends at once",
            Self::HangingProgram => "program that hangs",
        }
    }
}

pub(crate) fn run(options: &Options, stop: &Stop) -> anyhow::Result<Report> {
    let simulators = [simulator("aoi-1")?, simulator("aoi-2")?];
    let config = if options.broken {
        CONFIG_BROKEN
    } else {
        CONFIG
    };
    let mut service = Service::start(&options.program, &simulators, config, stop)?;
    let clients = Clients::new(&service, stop)?;
    let mix = clients.mix();
    let (mut outcomes, mut streams, mut abandoned) = (Outcomes::default(), Vec::new(), Vec::new());
    let over_http2 = usize::from(options.streams) / 5;
    let over_http1 = usize::from(options.streams) - over_http2;
    let start = now();
    for turn in turns(options) {
        let next = now() + Duration::from_millis(options.interval_ms);
        streams.push(clients.streams(over_http1, over_http2, options.stream_seconds)?);
        abandoned.push(clients.idle(ABANDONED, ABANDONED));
        let idle = clients.idle(IDLE, 0);
        outcomes.take_turn(turn, &mut service, &simulators)?;
        outcomes.tallies.push(idle.again());
        if stop.is_set() {
            bail!("interrupted");
        }
        sleep_until(next);
    }
    let span = now() - start;
    for streams in streams {
        outcomes.tallies.push(streams.end()?.0);
    }
    // At work until the last stream has ended, and first in the table.
    outcomes.tallies.splice(0..0, mix.end()?);

    let last_signal = now();
    service.signal(Signal::TERM)?;
    while !service.living()?.is_empty() && now() - last_signal < GONE_WITHIN {
        sleep(LOOK_EVERY);
    }
    let (gone, left) = (now() - last_signal, service.living()?);
    drop(abandoned);
    let (count, seconds) = (outcomes.turns.len(), span.as_secs_f64());
    let title = format!(
        "{count} times SIGUSR2 in {seconds:.1} s, each with {} streams of {} s under way",
        options.streams, options.stream_seconds
    );
    let mut report = outcomes.report(&title);
    report.fact(
        "from the last SIGTERM to the end of all processes, ms",
        gone.as_secs_f64() * 1e3,
    );
    report.promise("no process was left", left.is_empty());
    Ok(report)
}

/// What the signals came to.
#[derive(Default)]
struct Outcomes {
    /// Of each, milliseconds from the signal to its effect, and the reason that the log gives for a failure.
    turns: Vec<(Turn, f64, Option<String>)>,
    unexpected: usize,
    processes_max: usize,
    tallies: Vec<Tally>,
}

impl Outcomes {
    fn take_turn(
        &mut self,
        turn: Turn,
        service: &mut Service,
        simulators: &[Simulator],
    ) -> anyhow::Result<()> {
        turn.prepare(service, simulators)?;
        let sent = now();
        service.signal(Signal::USR2)?;
        let said = service.wait_for(&[says::HANDED_OVER, says::NOT_HANDED_OVER], EFFECT_WITHIN)?;
        let took = (now() - sent).as_secs_f64() * 1e3;
        turn.undo(service, simulators)?;
        let message = said["message"].as_str().unwrap_or_default();
        let reason = said["reason"].as_str().map(str::to_owned);
        let handed_over = message.starts_with(says::HANDED_OVER);
        if handed_over {
            let id = said["pid"].as_u64().and_then(|id| id.try_into().ok());
            service.pid = id.context("the log line has no `pid`")?;
        }
        let (living, pid) = (service.living()?, service.pid);
        ensure!(
            living.contains(&pid),
            "process {pid} is none of the gateway's: {living:?}"
        );
        let as_it_should = match turn {
            Turn::Good => handed_over,
            Turn::BrokenConfiguration | Turn::BrokenProgram | Turn::HangingProgram => {
                !handed_over && reason.is_some()
            }
        };
        self.unexpected += usize::from(!as_it_should);
        self.processes_max = self.processes_max.max(living.len());
        self.turns.push((turn, took, reason));
        Ok(())
    }

    fn report(self, title: &str) -> Report {
        let mut report = Report::new("hand-over");
        prove(&mut report, title, self.tallies);
        for kind in Turn::ALL {
            let of_kind = || self.turns.iter().filter(|(turn, ..)| *turn == kind);
            let name = kind.name();
            report.spread(
                &format!("{name}: from SIGUSR2 to its effect, ms"),
                of_kind().map(|(_, ms, _)| *ms).collect(),
            );
            if let Some((_, _, Some(reason))) = of_kind().next() {
                report.note(&format!("{name}: the log says"), reason);
            }
        }
        report.promise("each hand-over came out as it should", self.unexpected == 0);
        report.fact("most processes at a time", self.processes_max as f64);
        report
    }
}

fn turns(options: &Options) -> Vec<Turn> {
    if !options.broken {
        return (0..options.times).map(|_| Turn::Good).collect();
    }
    let [good, broken @ ..] = Turn::ALL;
    let turns = broken.into_iter().cycle().take(options.times as usize);
    turns.chain([good]).collect()
}
