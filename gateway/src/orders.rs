//! What an operator can ask a running gateway for, and the desk where it is asked. Orders come from signals and from
//! the admin socket; `upkeep` carries them out, one after the other.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::config::diff::Diff;

/// Orders that may wait; a person gives one at a time.
const WAITING_MAX: usize = 16;

/// One order, and where its result goes.
pub enum Order {
    Reload(oneshot::Sender<Result<Applied, String>>),
    HandOver(oneshot::Sender<Result<u32, String>>),
    Compare(Draft, oneshot::Sender<Result<Diff, String>>),
}

/// A configuration that is not yet in use.
/// Not `Debug`: the text may contain secrets.
#[derive(Serialize, Deserialize)]
pub struct Draft {
    /// The file's name, for messages.
    pub file: PathBuf,
    pub text: String,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub diff: Diff,
    /// What is doubtful in the new configuration.
    pub warnings: Vec<String>,
}

impl Applied {
    /// What changed, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let changes = self.diff.changes.iter();
        changes.map(|change| change.text.clone()).collect()
    }
}

/// How the last reload went; a refused one changes nothing.
#[derive(Debug, Clone)]
pub struct LastReload {
    /// Unix time.
    pub at: Duration,
    /// What changed, line by line, or why it was refused.
    pub result: Result<Vec<String>, String>,
}

/// Takes orders; cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk(mpsc::Sender<Order>);

impl Desk {
    /// The desk, and where its orders arrive.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Order>) {
        let (sender, orders) = mpsc::channel(WAITING_MAX);
        (Self(sender), orders)
    }

    /// Gives an order and waits for its result; `None` if the process is stopping.
    pub async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (reply, result) = oneshot::channel();
        self.0.send(order(reply)).await.ok()?;
        result.await.ok()
    }
}
