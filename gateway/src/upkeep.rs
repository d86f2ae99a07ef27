//! Carries out orders to the process, one after the other: SIGHUP and `tokenweir reload`, SIGUSR2 and `tokenweir
//! upgrade`, `tokenweir check --diff`. Signals that come while one is carried out count as one.

use std::{future::ready, io, path::PathBuf, process, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::spawn_blocking,
};

use crate::{
    clock,
    hand_over::{self, Program, Successor},
    notify,
    orders::{Applied, Order},
    reload,
    server::Running,
};

/// What the operator can ask for while it runs.
pub struct Upkeep {
    config: PathBuf,
    program: Program,
    orders: mpsc::Receiver<Order>,
    hang_up: Signal,
    user2: Signal,
}

impl Upkeep {
    /// From now on SIGHUP and SIGUSR2 no longer kill the process. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The signals cannot be handled.
    pub fn new(
        config: PathBuf,
        program: Program,
        orders: mpsc::Receiver<Order>,
    ) -> io::Result<Self> {
        Ok(Self {
            config,
            program,
            orders,
            hang_up: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Returns when another process serves instead of this one. Orders that are still waiting are refused then, and also
    /// when this is dropped; signals are ignored from then on.
    pub async fn run(mut self, running: &Running) -> Successor {
        let successor = self.until_handed_over(running).await;
        // It may have read the configuration before this signal's change.
        tokio::select! {
            biased;
            _ = self.hang_up.recv() => successor.reload(),
            () = ready(()) => {}
        }
        successor
    }

    async fn until_handed_over(&mut self, running: &Running) -> Successor {
        loop {
            let order = tokio::select! {
                Some(order) = self.orders.recv() => Some(order),
                _ = self.hang_up.recv() => None,
                _ = self.user2.recv() => {
                    if let Ok(successor) = self.hand_over(running).await {
                        return successor;
                    }
                    continue;
                }
            };
            // Whoever gave an order may have gone away meanwhile.
            match order {
                None => {
                    let _ = self.reload(running).await;
                }
                Some(Order::Reload(reply)) => {
                    let _ = reply.send(self.reload(running).await);
                }
                Some(Order::Compare(draft, reply)) => {
                    let _ = reply.send(reload::compare(&running.shared, draft).await);
                }
                Some(Order::HandOver(reply)) => match self.hand_over(running).await {
                    Ok(successor) => {
                        let _ = reply.send(Ok(successor.pid()));
                        return successor;
                    }
                    Err(reason) => {
                        let _ = reply.send(Err(reason));
                    }
                },
            }
        }
    }

    async fn reload(&self, running: &Running) -> Result<Applied, String> {
        notify::reloading();
        // Also where the configuration turns out to be wrong: whoever moved the file away waits for this.
        let log = running.shared.log.clone();
        if let Ok(Err(error)) = spawn_blocking(move || log.reopen()).await {
            tracing::error!(%error, "cannot open `log.file` again, the old one is written on");
        }
        let begun = clock::now();
        let result = reload::reload(&running.shared, self.config.clone()).await;
        match &result {
            Ok(applied) => {
                report(applied, clock::now().since(begun));
                // After the report, which a new level might hide.
                let level = &running.shared.snapshot.load().config.log.level;
                if let Err(error) = running.shared.log.control.follow(level) {
                    tracing::error!(%error, "`log.level` stays as it was");
                }
            }
            Err(reason) => {
                tracing::error!(%reason, "the new configuration is not used, the old one stays");
            }
        }
        notify::ready(&status(running, result.is_ok()));
        result
    }

    async fn hand_over(&self, running: &Running) -> Result<Successor, String> {
        let result = if process::id() == 1 {
            Err("this process is the first of its container, which ends with it: restart the container instead".to_owned())
        } else {
            tracing::info!(program = %self.program.path().display(), "starting the process that takes over");
            let limit = running.shared.snapshot.load().config.hand_over_timeout;
            hand_over::hand_over(
                self.program.clone(),
                running.sockets.clone(),
                running.shared.remembered(clock::now()),
                limit,
            )
            .await
        };
        match &result {
            Ok(successor) => tracing::info!(pid = successor.pid(), "the new process serves"),
            Err(reason) => tracing::error!(%reason, "hand-over failed, this process serves on"),
        }
        result
    }
}

fn report(applied: &Applied, took: Duration) {
    for warning in &applied.warnings {
        tracing::warn!("{warning}");
    }
    for change in &applied.diff.changes {
        if change.needs_restart {
            tracing::warn!("{}", change.text);
        } else {
            tracing::info!("{}", change.text);
        }
    }
    for consequence in &applied.diff.consequences {
        tracing::warn!("{consequence}");
    }
    if applied.diff.changes.is_empty() {
        tracing::info!("the configuration has not changed");
    } else {
        let changes = applied.diff.changes.len();
        let ms = took.as_micros() as f64 / 1000.0;
        tracing::info!(changes, ms, "the new configuration is in use");
    }
}

/// One line for `systemctl status`.
#[must_use]
pub fn status(running: &Running, reloaded: bool) -> String {
    let snapshot = running.shared.snapshot.load();
    let reload = if reloaded {
        ""
    } else {
        "; the last reload failed, the configuration before it is in use"
    };
    format!(
        "serving {} models of {} endpoints{reload}",
        snapshot.pools.len(),
        snapshot.upstreams.len()
    )
}
