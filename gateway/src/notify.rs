//! What systemd is told (sd_notify(3)). Outside of systemd nothing is sent.

use std::{io, time::Duration};

use sd_notify::NotifyState;

/// It serves. `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    // The time tells systemd 253 and later which reload this is.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => unsent(&error),
    }
}

pub fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Which process the service is.
pub fn main_process(pid: u32) {
    send(&[NotifyState::MainPid(pid)]);
}

/// Tells systemd's watchdog, if there is one, that the runtime still turns: each sign of life comes from a task that
/// was spawned for it, so it needs a worker that takes new work and a timer that fires.
pub async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        let _ = tokio::spawn(async { send(&[NotifyState::Watchdog]) }).await;
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        unsent(&error);
    }
}

fn unsent(error: &io::Error) {
    tracing::warn!(%error, "systemd was not told");
}
