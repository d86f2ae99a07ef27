//! Keeps one token fresh: the task that fetches it, and what others see of it meanwhile.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use super::{
    fetch::{FetchError, Fetched, fetch},
    kept::{Fingerprint, Kept},
    schedule,
};
use crate::{
    clock::{self, Timestamp},
    config::compiled::TokenSource,
    ids::CredentialName,
    secret::Secret,
};

/// Between two fetches because a provider refused the token: refused for another reason, it would be fetched for ever.
const FORCED_EVERY: Duration = Duration::from_secs(30);

type Fetching = Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send>>;

/// What the task takes from outside.
#[derive(Clone)]
pub(super) struct World {
    pub(super) now: fn() -> Timestamp,
    pub(super) draw: fn() -> f64,
    pub(super) fetch: Arc<dyn Fn(Arc<TokenSource>) -> Fetching + Send + Sync>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            now: clock::now,
            draw: fastrand::f64,
            fetch: Arc::new(|source| Box::pin(async move { fetch(&source).await })),
        }
    }
}

/// How a token stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `None` if there is no token.
    pub expires_in: Option<Duration>,
    /// Since it was fetched.
    pub age: Option<Duration>,
    /// Why the last fetch failed; `None` if it did not.
    pub error: Option<String>,
    /// Failed fetches since the last good one.
    pub failures: u32,
    /// Zero while a fetch is under way.
    pub next_try_in: Duration,
}

pub(super) struct Cell {
    name: CredentialName,
    source: Arc<TokenSource>,
    held: ArcSwapOption<Held>,
    pub(super) standing: watch::Sender<Standing>,
    /// When a fetch was last forced, a [`Timestamp`].
    forced: AtomicU64,
    wake: Notify,
}

struct Held {
    header: HeaderValue,
    token: Secret,
    /// When it came: what was refused before that was another one.
    fetched: Timestamp,
    expires: Timestamp,
    refresh_at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The first fetch is over.
    pub(super) is_settled: bool,
    failures: u32,
    error: Option<String>,
    next_try: Timestamp,
}

impl Cell {
    pub(super) fn new(name: CredentialName, source: TokenSource, kept: Option<Kept>) -> Self {
        let held = kept.and_then(|kept| {
            Some(Arc::new(Held {
                header: bearer(&kept.token)?,
                token: kept.token,
                fetched: kept.fetched,
                expires: kept.expires,
                refresh_at: kept.refresh_at,
            }))
        });
        let standing = Standing {
            is_settled: held.is_some(),
            next_try: held
                .as_ref()
                .map_or(Timestamp::default(), |it| it.refresh_at),
            ..Standing::default()
        };
        Self {
            name,
            source: Arc::new(source),
            held: ArcSwapOption::new(held),
            standing: watch::Sender::new(standing),
            forced: AtomicU64::new(0),
            wake: Notify::new(),
        }
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        let held = self.held.load();
        held.as_ref().map(|held| held.header.clone())
    }

    /// How long the token is good for, if it is.
    pub(super) fn left(&self, now: Timestamp) -> Option<Duration> {
        let held = self.held.load();
        let left = held.as_ref()?.expires.since(now);
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn refused(&self, sent: &HeaderValue, now: Timestamp) -> bool {
        let held = self.held.load();
        let Some(held) = held.as_ref().filter(|held| held.header == sent) else {
            // Another one has taken its place already.
            return true;
        };
        let last = self.forced.load(Relaxed);
        if held.fetched.as_micros() < last {
            return true;
        }
        let is_due = last == 0 || now.since(Timestamp::from_micros(last)) >= FORCED_EVERY;
        let exchanged = || {
            let forced = &self.forced;
            forced.compare_exchange(last, now.as_micros(), Relaxed, Relaxed)
        };
        if is_due && exchanged().is_ok() {
            self.wake.notify_one();
        }
        is_due
    }

    pub(super) fn report(&self, now: Timestamp) -> Report {
        let expires_in = self.left(now);
        let held = self.held.load();
        let standing = self.standing.borrow();
        Report {
            expires_in,
            age: expires_in.and_then(|_| Some(now.since(held.as_ref()?.fetched))),
            error: standing.error.clone(),
            failures: standing.failures,
            next_try_in: standing.next_try.since(now),
        }
    }

    pub(super) fn kept(&self, source: &Fingerprint, now: Timestamp) -> Option<Kept> {
        let held = self.held.load();
        let good = held.as_ref().filter(|held| held.expires > now)?;
        Some(Kept {
            source: source.clone(),
            token: good.token.clone(),
            fetched: good.fetched,
            expires: good.expires,
            refresh_at: good.refresh_at,
        })
    }
}

/// Fetches the token when it is time to, for ever.
pub(super) async fn keep(cell: Arc<Cell>, world: World) {
    let mut tried = Timestamp::default();
    loop {
        rest(&cell, world.now, tried).await;
        let begun = (world.now)();
        let result = (world.fetch)(cell.source.clone()).await;
        tried = (world.now)();
        match result {
            Ok(fetched) => succeeded(&cell, fetched, [begun, tried], (world.draw)()),
            Err(error) => failed(&cell, &error, tried, (world.draw)()),
        }
    }
}

/// Waits for the next try, or for a provider that refuses the token. While fetching fails, the latter changes nothing:
/// a service that asked to be left alone is left alone.
async fn rest(cell: &Cell, now: fn() -> Timestamp, tried: Timestamp) {
    let (failures, next_try) = {
        let standing = cell.standing.borrow();
        (standing.failures, standing.next_try)
    };
    let mut time = pin!(sleep(next_try.since(now())));
    loop {
        tokio::select! {
            () = &mut time => return,
            () = cell.wake.notified() => {
                // What was refused during the last fetch was the token before it.
                if failures == 0 && cell.forced.load(Relaxed) > tried.as_micros() {
                    return;
                }
            }
        }
    }
}

/// When in between it was issued is not known, so its life is counted from when the fetch was begun.
fn succeeded(cell: &Cell, fetched: Fetched, [begun, ended]: [Timestamp; 2], draw: f64) {
    let header = bearer(&fetched.token).expect("`answer::grant` lets visible ASCII through");
    let wait = schedule::after_success(fetched.lifetime, fetched.refresh_in, draw);
    let refresh_at = begun.saturating_add(wait);
    let before = cell.held.swap(Some(Arc::new(Held {
        header,
        token: fetched.token,
        fetched: ended,
        expires: begun.saturating_add(fetched.lifetime),
        refresh_at,
    })));
    let failures = cell.standing.borrow().failures;
    cell.standing.send_replace(Standing {
        is_settled: true,
        next_try: refresh_at,
        ..Standing::default()
    });
    let credential = &cell.name;
    let by = &fetched.answered_by;
    let (lifetime_s, next_s) = (fetched.lifetime.as_secs(), wait.as_secs());
    if before.is_none() || failures > 0 {
        tracing::info!(%credential, by, lifetime_s, next_s, failures, "token fetched");
    } else {
        tracing::debug!(%credential, by, lifetime_s, next_s, "token renewed");
    }
}

fn failed(cell: &Cell, error: &FetchError, now: Timestamp, draw: f64) {
    let left = cell.left(now);
    let retry = error.retry();
    let before = cell.standing.borrow().failures;
    let failures = before.saturating_add(1);
    let wait = schedule::after_failure(retry, failures, left, draw);
    cell.standing.send_modify(|standing| {
        standing.is_settled = true;
        standing.failures = failures;
        standing.error = Some(error.to_string());
        standing.next_try = now.saturating_add(wait);
    });
    let credential = &cell.name;
    let next_ms = wait.as_millis();
    match left {
        Some(left) => tracing::warn!(
            %credential, %error, failures, next_ms, left_s = left.as_secs(),
            "token not renewed; the old one is still used"
        ),
        None => tracing::error!(%credential, %error, failures, next_ms, "no token"),
    }
}

/// `None` if the token does not fit into a header.
fn bearer(token: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}
