//! What all connections of an identity simulator share.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use super::claims::{self, Version};
use super::control::Seen;
use super::doors::Door;
use super::faults::{IdentityFault, Queue};
use super::options::{IdentityClient, IdentityOptions};
use super::signing::{self, Signing};

pub(super) struct State {
    pub(super) options: IdentityOptions,
    /// `http://127.0.0.1:<port>`.
    pub(super) url: String,
    pub(super) lifetime: Mutex<Duration>,
    pub(super) signing: Mutex<Signing>,
    doors: Mutex<BTreeMap<Door, DoorState>>,
    /// What Azure Arc's callers have been asked to read and have not shown yet.
    challenges: Mutex<Vec<Challenge>>,
    /// Wakes whoever waits for calls.
    pub(super) called: Notify,
}

#[derive(Default)]
struct DoorState {
    requests: u64,
    last: Option<Seen>,
    faults: Queue,
}

struct Challenge {
    file: std::path::PathBuf,
    content: String,
}

impl State {
    pub(super) fn new(options: IdentityOptions, url: String) -> Self {
        Self {
            lifetime: Mutex::new(options.token_lifetime),
            options,
            url,
            signing: Mutex::new(Signing::new()),
            doors: Mutex::default(),
            challenges: Mutex::default(),
            called: Notify::new(),
        }
    }

    /// Counts and keeps a call, and tells what is to go wrong with it.
    pub(super) fn called(&self, door: Door, parts: &Parts, body: &[u8]) -> Option<IdentityFault> {
        let mut doors = self.doors.lock();
        let state = doors.entry(door).or_default();
        state.requests += 1;
        state.last = Some(Seen::new(parts, body));
        let fault = state.faults.take();
        drop(doors);
        self.called.notify_waiters();
        fault
    }

    pub(super) fn inject(&self, door: Door, fault: IdentityFault) {
        self.doors.lock().entry(door).or_default().faults.add(fault);
    }

    pub(super) fn clear(&self) {
        for state in self.doors.lock().values_mut() {
            state.faults.clear();
        }
    }

    pub(super) fn requests(&self, door: Door) -> u64 {
        self.doors
            .lock()
            .get(&door)
            .map_or(0, |state| state.requests)
    }

    pub(super) fn counts(&self) -> BTreeMap<Door, u64> {
        let doors = self.doors.lock();
        doors
            .iter()
            .map(|(door, state)| (*door, state.requests))
            .collect()
    }

    pub(super) fn last(&self, door: Door) -> Option<Seen> {
        self.doors.lock().get(&door)?.last.clone()
    }

    /// A token for `client`, and how long it is good.
    pub(super) fn token(&self, client: &IdentityClient, audience: &str) -> (String, Duration) {
        let lifetime = *self.lifetime.lock();
        let version = Version::of(audience);
        let tenant = &self.options.tenant;
        let claims = claims::filled_in(version, tenant, client, audience, lifetime);
        (self.signed(&claims), lifetime)
    }

    pub(super) fn signed(&self, claims: &Value) -> String {
        let current = self.signing.lock().current();
        signing::signed(current, claims)
    }

    /// Writes a file that a caller must be able to read, and returns its place.
    pub(super) fn challenge(&self, directory: &Path) -> std::io::Result<String> {
        let file = directory.join(format!("{:032x}.key", fastrand::u128(..)));
        let content = format!("{:064x}", fastrand::u128(..));
        std::fs::write(&file, &content)?;
        let place = file.display().to_string();
        self.challenges.lock().push(Challenge { file, content });
        Ok(place)
    }

    /// Whether the caller shows the content of a file it was asked to read. Each is good for once.
    pub(super) fn redeem(&self, headers: &HeaderMap) -> bool {
        let shown = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
        let mut challenges = self.challenges.lock();
        let asked = |challenge: &Challenge| Some(challenge.content.as_str()) == shown;
        let Some(index) = challenges.iter().position(asked) else {
            return false;
        };
        let challenge = challenges.swap_remove(index);
        drop(challenges);
        // Whoever took it away has done the work.
        drop(std::fs::remove_file(challenge.file));
        true
    }
}
