//! Counts per deployment and per resource, and the ticket that keeps them right even when a caller leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

/// What happened at one deployment, or at the resource outside of any deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub requests: u64,
    /// Answers below 400 that were given completely.
    pub ok: u64,
    /// Answers begun, by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers spoilt on purpose: reset, closed, cut, garbage, an error event.
    pub faulted: u64,
    /// Requests whose caller went away, or whose simulator was stopped, before the answer was complete.
    pub cancelled: u64,
    pub in_flight: u64,
    pub in_flight_max: u64,
    /// As reported in the `usage` of complete answers.
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// The resource's name.
    pub name: String,
    /// Connections accepted since the start.
    pub connections: u64,
    pub connections_open: u64,
    /// Requests that reached no deployment: unknown names and paths, lists, stored responses.
    pub resource: Counts,
    pub deployments: BTreeMap<String, Counts>,
}

/// Tokens as `usage` reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

impl Usage {
    pub(crate) fn total(self) -> u64 {
        self.prompt + self.completion
    }
}

/// The counts of one deployment; every change wakes the waiters.
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    changed: Arc<Notify>,
}

impl Tally {
    pub(crate) fn new(changed: Arc<Notify>) -> Self {
        Self {
            counts: Mutex::default(),
            changed,
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().clone()
    }

    fn update(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock());
        self.changed.notify_waiters();
    }
}

/// One request in flight. Dropped without an end, it counts as cancelled.
pub(crate) struct Ticket {
    tally: Arc<Tally>,
    ended: bool,
}

impl Ticket {
    pub(crate) fn open(tally: &Arc<Tally>) -> Self {
        tally.update(|counts| {
            counts.requests += 1;
            counts.in_flight += 1;
            counts.in_flight_max = counts.in_flight_max.max(counts.in_flight);
        });
        Self {
            tally: Arc::clone(tally),
            ended: false,
        }
    }

    /// The answer begins.
    pub(crate) fn answering(&self, status: u16) {
        self.tally
            .update(|counts| *counts.statuses.entry(status).or_default() += 1);
    }

    /// The answer is complete.
    pub(crate) fn complete(mut self, status: u16, usage: Usage) {
        self.ended = true;
        self.tally.update(|counts| {
            counts.ok += u64::from(status < 400);
            counts.prompt_tokens += usage.prompt;
            counts.completion_tokens += usage.completion;
            counts.in_flight -= 1;
        });
    }

    /// The answer was spoilt on purpose.
    pub(crate) fn faulted(mut self) {
        self.ended = true;
        self.tally.update(|counts| {
            counts.faulted += 1;
            counts.in_flight -= 1;
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.ended {
            self.tally.update(|counts| {
                counts.cancelled += 1;
                counts.in_flight -= 1;
            });
        }
    }
}
