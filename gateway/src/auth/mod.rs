//! Who somebody is: what the gateway shows to providers (`shown`, `token`), and what shows that a caller is a client
//! (`callers`, `jwt`, `certificate`). A request only looks things up here; what must be fetched is fetched in the
//! background, and outlives a change of the configuration.

pub mod callers;
pub mod certificate;
pub mod files;
pub mod http;
pub mod jwt;
pub mod shown;
pub mod token;

use std::time::Duration;

use crate::auth::{jwt::KeySets, shown::KeyPairs, token::Tokens};

/// What outlives a configuration.
#[derive(Default)]
pub struct Auth {
    pub tokens: Tokens,
    pub key_pairs: KeyPairs,
    pub key_sets: KeySets,
}

impl Auth {
    /// Returns when everything that is fetched was had, or could not be had, or after `limit`.
    pub async fn warm_up(&self, limit: Duration) {
        tokio::join!(self.tokens.warm_up(limit), self.key_sets.warm_up(limit));
    }

    /// Forgets what no configuration uses any more.
    pub fn prune(&self) {
        self.tokens.prune();
        self.key_pairs.prune();
        self.key_sets.prune();
    }
}
