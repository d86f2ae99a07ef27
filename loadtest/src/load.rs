//! Sends requests and measures. Open loop: arrivals follow a fixed schedule whatever the answers do, and a request's
//! time counts from the moment it was due, so one that had to wait for a free connection is not made to look fast
//! (no coordinated omission). Closed loop: each connection sends its next request when it has its answer.

use std::{
    sync::{
        Barrier, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    clock::{now, sleep, sleep_until},
    connection::{Answer, Connection},
    process,
    sample::{Sample, Timing},
    stop::Stop,
};

/// Requests that each connection sends before anything is measured.
const WARM_UP: usize = 3;
const STACK_BYTES: usize = 256 * 1024;
/// From the last warm-up answer to the first arrival.
const LEAD: Duration = Duration::from_millis(20);
const WATCH_EVERY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Open loop, arrivals per second.
    PerSecond(u32),
    /// Closed loop.
    FlatOut,
}

/// What is sent. Ends when `requests` were sent or `limit` has passed, whichever is first.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// `host:port`
    pub(crate) authority: &'a str,
    pub(crate) request: &'a [u8],
    /// Sent before anything is measured, by each connection.
    pub(crate) warm_up: &'a [u8],
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) requests: u64,
    pub(crate) limit: Duration,
    /// The process whose time and memory are taken.
    pub(crate) process: Option<u32>,
}

/// # Errors
/// A connection cannot be opened, the warm-up is not answered with 200, or the run was interrupted.
pub(crate) fn run(plan: &Plan<'_>, stop: &Stop) -> anyhow::Result<Sample> {
    let schedule = Schedule {
        next: AtomicU64::new(0),
        start: OnceLock::new(),
        // The workers and this thread.
        ready: Barrier::new(plan.connections + 1),
    };
    let mut total = Sample::default();
    thread::scope(|scope| {
        let mut workers = Vec::with_capacity(plan.connections);
        for _ in 0..plan.connections {
            let worker = || work(plan, &schedule, stop);
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            workers.push(
                builder
                    .spawn_scoped(scope, worker)
                    .expect("a thread more can be started"),
            );
        }
        schedule.ready.wait();
        let before = plan.process.map(process::cpu).transpose();
        let _ = schedule.start.set(now() + LEAD);
        schedule.ready.wait();
        loop {
            let resident = plan.process.and_then(|id| process::resident_bytes(id).ok());
            total.resident_bytes_max = total.resident_bytes_max.max(resident.unwrap_or(0));
            if workers.iter().all(|worker| worker.is_finished()) {
                break;
            }
            sleep(WATCH_EVERY);
        }
        if let Some(before) = before? {
            let after = plan.process.map(process::cpu).transpose()?;
            total.cpu = after.map(|after| after.saturating_sub(before));
        }
        for worker in workers {
            total.add(&worker.join().expect("a worker does not panic")?);
        }
        if stop.is_set() {
            bail!("interrupted");
        }
        Ok(total)
    })
}

struct Schedule {
    next: AtomicU64,
    start: OnceLock<Instant>,
    ready: Barrier,
}

fn work(plan: &Plan<'_>, schedule: &Schedule, stop: &Stop) -> anyhow::Result<Sample> {
    let warm = warm(plan, stop);
    // Also where the warm-up failed: the others wait here.
    schedule.ready.wait();
    schedule.ready.wait();
    let mut connection = Some(warm?);
    let start = *schedule.start.get().expect("set between the two waits");
    let end = start + plan.limit;
    let mut sample = Sample::default();
    while !stop.is_set() {
        let index = schedule.next.fetch_add(1, Ordering::Relaxed);
        if index >= plan.requests {
            break;
        }
        let due = match plan.pace {
            Pace::PerSecond(rate) => {
                start + Duration::from_secs_f64(index as f64 / f64::from(rate))
            }
            Pace::FlatOut => now().max(start),
        };
        sleep_until(due);
        if now() >= end {
            if matches!(plan.pace, Pace::PerSecond(_)) {
                sample.unsent += 1;
                continue;
            }
            break;
        }
        let mut events = Events::default();
        let answer = send(&mut connection, plan, stop, &mut events);
        let timing = Timing {
            start,
            due,
            end: now(),
        };
        sample.record(answer.ok().as_ref(), timing, events.count);
    }
    Ok(sample)
}

fn warm(plan: &Plan<'_>, stop: &Stop) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(plan.authority, stop)
        .with_context(|| format!("{}: no connection", plan.authority))?;
    for _ in 0..WARM_UP {
        let mut body = Vec::new();
        let answer = connection
            .exchange(plan.warm_up, |piece| body.extend_from_slice(piece))
            .with_context(|| format!("{}: no answer", plan.authority))?;
        if answer.status != 200 {
            let (status, body) = (answer.status, String::from_utf8_lossy(&body));
            bail!("{}: answered {status}: {body}", plan.authority);
        }
    }
    Ok(connection)
}

/// On a fresh connection where the last one broke.
fn send(
    connection: &mut Option<Connection>,
    plan: &Plan<'_>,
    stop: &Stop,
    events: &mut Events,
) -> std::io::Result<Answer> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(plan.authority, stop)?,
    };
    let answer = open.exchange(plan.request, |piece| events.feed(piece))?;
    *connection = Some(open);
    Ok(answer)
}

/// Counts server-sent events by the blank line at their end.
#[derive(Default)]
struct Events {
    count: u64,
    line_end: bool,
}

impl Events {
    fn feed(&mut self, piece: &[u8]) {
        for &byte in piece {
            let line_end = byte == b'\n';
            self.count += u64::from(line_end && self.line_end);
            self.line_end = line_end && !self.line_end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_however_they_are_cut() {
        let mut events = Events::default();
        for piece in [&b"data: a\n"[..], b"\ndata: b\n\n", b"data: [DONE]\n\n"] {
            events.feed(piece);
        }
        assert_eq!(events.count, 3);
    }
}
