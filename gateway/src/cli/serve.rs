//! `tokenweir serve`: the gateway until it is told to stop. SIGHUP reloads, SIGUSR2 hands over to a new process; SIGTERM
//! and SIGINT finish the running requests, a second one stops at once.

use std::{process::ExitCode, sync::mpsc, time::Duration};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Level;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{ConfigFile, EX_CONFIG, EX_SOFTWARE, EX_UNAVAILABLE, check, complain};
use crate::{
    config::{
        self, Compiled,
        compiled::{Log, LogFormat},
    },
    hand_over::{Predecessor, Program, Successor},
    notify,
    orders::Desk,
    server::{self, Remembered, Running, sockets::Inherited},
    upkeep::{self, Upkeep},
};

/// For the last lines of the log; somebody who does not read it must not hold up a stop.
const LAST_LINES: Duration = Duration::from_millis(100);

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
    let _flushed_at_the_end = log_to_stdout(&config.log)?;
    let runtime = runtime(config.threads)?;
    let code = runtime.block_on(serve(options, config, program, estate))?;
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
    let mut running = match server::prepare(config, sockets, remembered, desk).await {
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

/// Writes what is left of the log when it is dropped; by itself the guard waits a second for a reader that is stuck.
struct LastLines(Option<WorkerGuard>);

impl Drop for LastLines {
    fn drop(&mut self) {
        let guard = self.0.take();
        let (written, done) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            drop(guard);
            drop(written);
        });
        let _ = done.recv_timeout(LAST_LINES);
    }
}

/// Lines are written by a thread of their own from a bounded queue; when nobody reads them they are dropped, and
/// requests are not slowed. The guard flushes when it is dropped.
fn log_to_stdout(log: &Log) -> anyhow::Result<LastLines> {
    let filter = EnvFilter::try_new(&log.level).context("`log.level`")?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stdout());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false);
    // Below `info` the libraries log whole heads and bodies: keys and prompts. Only our own lines go that deep.
    // Pingora's reader for the admin listener quotes a head it cannot read at any level; and what anybody can cause
    // without a credential (a connection that says nothing, an odd handshake) is no error of ours.
    let discreet = filter_fn(|metadata| {
        let target = metadata.target();
        let level = match target {
            "pingora_core::apps::http_app" | "pingora_proxy" => return false,
            _ if target.starts_with("gateway") => Level::TRACE,
            _ if target.starts_with("rustls") => Level::ERROR,
            _ => Level::INFO,
        };
        *metadata.level() <= level
    });
    match log.format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .with(discreet)
            .init(),
        LogFormat::Text => builder.finish().with(discreet).init(),
    }
    Ok(LastLines(Some(guard)))
}
