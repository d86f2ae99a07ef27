//! `tokenweir serve`: the gateway until it is told to stop. SIGHUP reloads, SIGUSR2 hands over to a new process; SIGTERM
//! and SIGINT finish the running requests, a second one stops at once.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigFile, EX_CONFIG, EX_SOFTWARE, EX_UNAVAILABLE, check, complain};
use crate::{
    config::{self, Compiled},
    hand_over::{Predecessor, Program, Successor},
    log::Log,
    notify,
    orders::Desk,
    server::{self, Remembered, Running, sockets::Inherited},
    upkeep::{self, Upkeep},
};

/// What was there before this process.
#[derive(Default)]
struct Estate {
    predecessor: Option<Predecessor>,
    sockets: Inherited,
    remembered: Remembered,
}

/// # Errors
/// The runtime cannot be made, or the gateway that this one was to take over from is lost.
pub fn run(options: &ConfigFile, take_over: bool) -> anyhow::Result<ExitCode> {
    let program = Program::current().context("cannot tell which program this is")?;
    let estate = if take_over {
        let (predecessor, sockets, remembered) =
            Predecessor::meet().context("`--take-over` is for the gateway's own use")?;
        Estate {
            predecessor: Some(predecessor),
            sockets,
            remembered,
        }
    } else {
        Estate {
            sockets: Inherited::from_systemd(),
            ..Estate::default()
        }
    };
    let config = match config::from_file(&options.config) {
        Ok(loaded) => {
            check::warn(options, &loaded);
            loaded.compiled
        }
        Err(report) => return Ok(fail(estate.predecessor, EX_CONFIG, &report.to_string())),
    };
    let (log, _flushed_at_the_end) = match Log::start(&config.log) {
        Ok(started) => started,
        Err(error) => return Ok(fail(estate.predecessor, EX_CONFIG, &error.to_string())),
    };
    let runtime = runtime(config.threads)?;
    let code = runtime.block_on(serve(options, config, program, estate, log))?;
    // Whatever is still running was cut by the drain's deadline; waiting for it would undo that.
    runtime.shutdown_background();
    Ok(code)
}

/// The one who can act on it is told why this process does not serve.
fn fail(predecessor: Option<Predecessor>, code: u8, reason: &str) -> ExitCode {
    match predecessor {
        Some(predecessor) => predecessor.decline(reason),
        None => complain(reason),
    }
    ExitCode::from(code)
}

pub(super) fn runtime(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder
        .enable_all()
        .thread_name("tokenweir")
        .build()
        .context("cannot start the worker threads")
}

async fn serve(
    options: &ConfigFile,
    config: Compiled,
    program: Program,
    estate: Estate,
    log: Log,
) -> anyhow::Result<ExitCode> {
    // Before anything else: SIGHUP and SIGUSR2 kill a process that has no handler.
    let (desk, orders) = Desk::new();
    let upkeep = Upkeep::new(options.config.clone(), program, orders)?;
    let mut stop = Stop::new()?;

    let Estate {
        mut predecessor,
        sockets,
        remembered,
    } = estate;
    let file = std::path::absolute(&options.config).ok();
    let mut running = match server::prepare(config, file, sockets, remembered, desk, log).await {
        Ok(running) => running,
        Err(error) => return Ok(fail(predecessor, EX_UNAVAILABLE, &error.to_string())),
    };
    if let Some(predecessor) = &mut predecessor {
        tokio::task::block_in_place(|| predecessor.await_turn())
            .context("the old process has given up")?;
    }
    if let Err(error) = running.open() {
        let reason = format!("cannot accept connections: {error}");
        return Ok(fail(predecessor, EX_UNAVAILABLE, &reason));
    }
    if let Some(predecessor) = predecessor
        && let Err(error) = tokio::task::block_in_place(|| predecessor.relieve())
    {
        tracing::warn!(%error, "the old process was lost while this one took over");
    }
    announce(&running);
    notify::ready(&upkeep::status(&running, true));
    let watchdog = tokio::spawn(notify::watchdog());

    let successor = tokio::select! {
        successor = upkeep.run(&running) => Some(successor),
        () = stop.asked() => None,
    };
    match successor {
        None => notify::stopping("finishing the running requests"),
        Some(successor) => {
            // Signs of life of this process would hide that the other one is stuck.
            watchdog.abort();
            if let Some(code) = retire(&mut running, successor, &mut stop).await {
                return Ok(code);
            }
        }
    }
    tokio::select! {
        () = drain(&mut running) => {}
        () = stop.asked() => tracing::warn!("stopped at once by a second signal"),
    }
    Ok(ExitCode::SUCCESS)
}

fn announce(running: &Running) {
    for address in &running.addresses {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = running.admin {
        tracing::info!(%address, "admin listening");
    }
}

/// Lets the successor serve and ends with the last connection: then there is an exit code. Without one this process
/// has been told to stop.
async fn retire(running: &mut Running, successor: Successor, stop: &mut Stop) -> Option<ExitCode> {
    let pid = successor.pid();
    tracing::info!(
        requests = running.under_way(),
        "no longer accepting; finishing what runs"
    );
    tokio::select! {
        () = running.retire() => {
            tracing::info!("all connections have ended");
            Some(ExitCode::SUCCESS)
        }
        status = successor.failed() => {
            // Nobody serves now. The service manager starts it afresh once this process has gone, too.
            tracing::error!(pid, %status, "the process that had taken over has ended");
            Some(ExitCode::from(EX_SOFTWARE))
        }
        () = stop.asked() => None,
    }
}

async fn drain(running: &mut Running) {
    let limit = running.shared.snapshot.load().config.drain_timeout;
    tracing::info!(
        requests = running.under_way(),
        "no longer accepting; finishing the running requests"
    );
    match running.drain(limit).await {
        0 => tracing::info!("all requests have ended"),
        cut => tracing::warn!(cut, "requests were cut at the end of `drain_timeout`"),
    }
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
