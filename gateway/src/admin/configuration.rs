//! The configuration in use, without its secrets, and how the last reload went.

use serde::Serialize;

use super::moment::seconds;
use crate::{orders::LastReload, server::Shared, snapshot::Snapshot};

#[derive(Serialize)]
pub(super) struct Shown<'a> {
    hash: &'a str,
    file: Option<String>,
    /// YAML.
    text: &'a str,
    loaded: f64,
    last_reload: Option<Reload>,
}

/// Times are Unix time in seconds.
#[derive(Serialize)]
pub(super) struct Reload {
    at: f64,
    ok: bool,
    error: Option<String>,
    changes: Vec<String>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(shared: &Shared, snapshot: &'a Snapshot) -> Self {
        let effective = snapshot.effective();
        Self {
            hash: &effective.hash,
            file: shared.file.as_ref().map(|file| file.display().to_string()),
            text: &effective.text,
            loaded: seconds(snapshot.loaded),
            last_reload: Reload::last(shared),
        }
    }
}

impl Reload {
    /// `None` if there was none since the start.
    pub(super) fn last(shared: &Shared) -> Option<Self> {
        let LastReload { at, result } = shared.last_reload.lock().clone()?;
        let (error, changes) = match result {
            Ok(changes) => (None, changes),
            Err(reason) => (Some(reason), Vec::new()),
        };
        Some(Self {
            at: seconds(at),
            ok: error.is_none(),
            error,
            changes,
        })
    }
}
