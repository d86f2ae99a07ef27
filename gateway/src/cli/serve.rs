//! `tokenweir serve`: the gateway until it is told to stop. SIGHUP reloads; SIGTERM and SIGINT finish the running
//! requests, a second one stops at once.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{ConfigFile, EX_CONFIG, EX_UNAVAILABLE, check, complain};
use crate::{
    config::compiled::{Compiled, Log, LogFormat},
    reload,
    server::{self, Running},
};

/// # Errors
/// The runtime cannot be made, or a listener cannot be bound.
pub fn run(options: &ConfigFile) -> anyhow::Result<ExitCode> {
    let Some(loaded) = check::load(options) else {
        return Ok(ExitCode::from(EX_CONFIG));
    };
    let _flushed_at_the_end = log_to_stdout(&loaded.compiled.log)?;
    let runtime = runtime(loaded.compiled.threads)?;
    let code = runtime.block_on(serve(options, loaded.compiled))?;
    // Whatever is still running was cut by the drain's deadline; waiting for it would undo that.
    runtime.shutdown_background();
    Ok(code)
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

async fn serve(options: &ConfigFile, config: Compiled) -> anyhow::Result<ExitCode> {
    // Before anything else: SIGHUP kills a process that has no handler.
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let drain_timeout = config.drain_timeout;
    let running = match server::start(config).await {
        Ok(running) => running,
        Err(error) => {
            complain(&format!("tokenweir: {error}"));
            return Ok(ExitCode::from(EX_UNAVAILABLE));
        }
    };
    for address in &running.addresses {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = running.admin {
        tracing::info!(%address, "admin listening");
    }
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                reload::reload(&running.shared, options.config.clone()).await;
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tokio::select! {
        () = stop(running, drain_timeout) => {}
        _ = terminate.recv() => tracing::warn!("stopped at once by a second signal"),
        _ = interrupt.recv() => tracing::warn!("stopped at once by a second signal"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn stop(running: Running, limit: Duration) {
    tracing::info!("no longer accepting; finishing the running requests");
    match running.drain(limit).await {
        0 => tracing::info!("all requests have ended"),
        cut => tracing::warn!(cut, "requests were cut at the end of `drain_timeout`"),
    }
}

/// Lines are written by a thread of their own from a bounded queue; when nobody reads them they are dropped, and
/// requests are not slowed. The guard flushes when it is dropped.
fn log_to_stdout(log: &Log) -> anyhow::Result<tracing_appender::non_blocking::WorkerGuard> {
    let filter = EnvFilter::try_new(&log.level).context("`log.level`")?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stdout());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false);
    // Below `info` the libraries log whole heads and bodies: keys and prompts. Only our own lines go that deep.
    // Pingora's reader for the admin listener quotes a head it cannot read at any level.
    let discreet = filter_fn(|metadata| {
        let target = metadata.target();
        target.starts_with("gateway")
            || *metadata.level() <= Level::INFO && target != "pingora_core::apps::http_app"
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
    Ok(guard)
}
