//! The gateway's tokens toward Azure. Decides when they are fetched; what a request does with one is not known here.
//!
//! A request reads an [`ArcSwapOption`](arc_swap::ArcSwapOption) and never waits. Each source of tokens has one task,
//! so there is one fetch at a time however many ask. It renews a token at half of its life ([`schedule`]); if that
//! fails, the token is used until it expires, and a failure is never kept in place of one. Tokens outlive
//! configurations: a reload that changes nothing about a source fetches nothing, and neither does a successor process.
//!
//! The flows are written out instead of being taken from `azure_identity` (1.0.0, 2026-05), because there
//! - a token is refreshed when it has 5 minutes left, by the request that comes then, under a write lock that stops all
//!   others, while the Instance Metadata Service is retried for up to 72 s; and if that fails the error is returned,
//!   although the old token is still good;
//! - the address of the Instance Metadata Service is a constant and an authority must be https, so that nothing can be
//!   tested on loopback;
//! - Azure Arc is not supported;
//! - 90 to 134 more crates would be built, another HTTP pipeline among them, for five requests.

mod answer;
mod claims;
mod entra;
mod fetch;
mod keep;
mod kept;
mod managed_identity;
pub mod schedule;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::{task::JoinHandle, time::timeout};

pub use self::{
    answer::Unusable,
    claims::{PublicClaims, public_claims},
    fetch::{FetchError, Fetched, fetch},
    keep::Report,
    kept::Kept,
};
use self::{
    keep::{Cell, World, keep},
    kept::Fingerprint,
};
use crate::{clock::Timestamp, config::compiled::TokenSource, ids::CredentialName};

/// Keeps a token of every source that a configuration has mentioned, until it is [pruned](Tokens::prune).
#[derive(Default)]
pub struct Tokens {
    by_source: Mutex<HashMap<Fingerprint, Arc<Token>>>,
    /// From the predecessor, not asked for yet.
    restored: Mutex<HashMap<Fingerprint, Kept>>,
    world: World,
}

impl Tokens {
    /// The token of `source`. Must be called inside a tokio runtime: a source that is new gets a task that fetches it,
    /// at once and then again and again. `name` is for the log.
    pub fn token(&self, name: &CredentialName, source: &TokenSource) -> Arc<Token> {
        let fingerprint = Fingerprint::of(source);
        let mut by_source = self.by_source.lock();
        let token = by_source.entry(fingerprint.clone()).or_insert_with(|| {
            let kept = self.restored.lock().remove(&fingerprint);
            let cell = Arc::new(Cell::new(name.clone(), source.clone(), kept));
            let task = tokio::spawn(keep(cell.clone(), self.world.clone()));
            Arc::new(Token { cell, task })
        });
        token.clone()
    }

    /// Waits until every token is there or has been tried to get, at most `limit`: so that the first requests find one,
    /// and a reload does not wait for what has long been failing.
    pub async fn warm_up(&self, limit: Duration) {
        let standings: Vec<_> = self
            .by_source
            .lock()
            .values()
            .map(|token| token.cell.standing.subscribe())
            .collect();
        let all = async {
            for mut standing in standings {
                // The error says that the token was pruned meanwhile.
                let _ = standing.wait_for(|standing| standing.is_settled).await;
            }
        };
        let _ = timeout(limit, all).await;
    }

    /// Forgets the tokens that nobody uses any more, and fetches them no longer.
    pub fn prune(&self) {
        self.by_source
            .lock()
            .retain(|_, token| Arc::strong_count(token) > 1);
        self.restored.lock().clear();
    }

    /// The tokens that are still good, for a successor process.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        let now = (self.world.now)();
        let by_source = self.by_source.lock();
        by_source
            .iter()
            .filter_map(|(fingerprint, token)| token.cell.kept(fingerprint, now))
            .collect()
    }

    /// What the predecessor had: a source that is [asked for](Tokens::token) later begins with it, and is not fetched
    /// before its time.
    pub fn restore(&self, kept: Vec<Kept>) {
        let now = (self.world.now)();
        let good = kept.into_iter().filter(|kept| kept.expires > now);
        self.restored
            .lock()
            .extend(good.map(|kept| (kept.source.clone(), kept)));
    }
}

/// A token that is renewed in the background, for as long as somebody holds it.
pub struct Token {
    cell: Arc<Cell>,
    /// Holds the cell and not the token: who holds the token are the registry and those who use it.
    task: JoinHandle<()>,
}

impl Token {
    /// `Bearer …`, or `None` before the first token. The last one is given out after its end, too: a request for which
    /// it was [ready](Token::is_ready) a moment ago must not go out with nothing.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        self.cell.header()
    }

    /// Whether there is a token that has not expired.
    #[must_use]
    pub fn is_ready(&self, now: Timestamp) -> bool {
        self.cell.left(now).is_some()
    }

    /// A provider answered 401 to what was `sent`, so the token is fetched again before its time: at most once in 30 s,
    /// and not while fetching fails. Returns whether there is, or will soon be, another one to show.
    pub fn refused(&self, sent: &HeaderValue, now: Timestamp) -> bool {
        self.cell.refused(sent, now)
    }

    /// How it stands, for people.
    #[must_use]
    pub fn report(&self, now: Timestamp) -> Report {
        self.cell.report(now)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}
