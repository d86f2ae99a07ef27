//! Tokens that clients show (JWT): whether one is genuine, and which client it means.
//!
//! The configuration says which issuers, audiences and algorithms count, never the token. A token chooses among the
//! issuers by its `iss` and `aud`, and among the keys of one by its `kid`; then jsonwebtoken verifies signature, `exp`,
//! `nbf`, `iss` and `aud`, with exactly the one algorithm that belongs to the key. A token without `kid` is refused:
//! every issuer that rotates keys names them, and guessing would hide a rotation.
//!
//! What cannot be decided is refused: as [`Denied::KeysUnavailable`] if the reason is ours or the issuer's, as
//! [`Denied::Invalid`] if it is the token's. Nothing here tells what a token says.

mod cache;
mod claims;
mod crypto;
mod fetch;
mod kept;
mod key_set;
mod keys;
mod rules;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Validation, errors::ErrorKind};

use self::{
    cache::{Cache, Verdict},
    claims::{Claims, Shown},
    key_set::Unfound,
};
pub use self::{
    key_set::{KeySet, KeySets, Report},
    keys::Source,
};
use crate::{
    config::compiled::{AZURE_AUDIENCES, Algorithm, Clients, Issuer},
    ids::ClientName,
};

/// When a client may come again: by then the issuer has been asked once more, or soon will be.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Whom a token shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Place in [`Clients::list`].
    pub client: usize,
    /// The audience that matched is Azure's own, so the token may be handed on.
    pub for_azure: bool,
}

/// Why a token shows nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It does not look like one: a wrong key, perhaps.
    #[error("it is neither a key of a client nor a token")]
    NotAToken,
    #[error("the token is not accepted: {0}")]
    Invalid(#[from] Reason),
    /// The token is good, and no rule says whom it means.
    #[error("the token is good, but no rule fits it: {missing}")]
    NoRule { missing: String },
    /// Nothing is said about the token.
    #[error("the keys of the token's issuer cannot be had")]
    KeysUnavailable { retry_after: Duration },
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("it cannot be read")]
    Malformed,
    #[error("it is longer than 16 KiB")]
    TooLarge,
    #[error("its algorithm is not one that the issuer and the key are configured for")]
    Algorithm,
    #[error("its issuer (`iss`) is not configured")]
    UnknownIssuer,
    #[error("its key (`kid`) is not one that the issuer publishes")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired (`exp`)")]
    Expired,
    #[error("it is not valid yet (`nbf`)")]
    NotYetValid,
    #[error("its audience (`aud`) is not configured")]
    Audience,
    #[error("it has no `{0}`")]
    MissingClaim(&'static str),
    #[error("it has a header that must be understood (`crit`)")]
    CriticalHeader,
    #[error("it is of another type (`typ`) than JWT or at+jwt")]
    Type,
}

/// Verifies tokens for one configuration. Remembers those that were good.
pub struct Verifier {
    issuers: Vec<Trusted>,
    /// What rules call a client, for the log.
    clients: Vec<ClientName>,
    cache: Cache,
}

struct Trusted {
    issuer: Issuer,
    keys: Arc<KeySet>,
    /// One for each algorithm of the issuer.
    validations: Vec<(Algorithm, Validation)>,
}

impl Verifier {
    /// Must be called inside a tokio runtime, as [`KeySets::key_set`].
    #[must_use]
    pub fn new(clients: &Clients, key_sets: &KeySets) -> Self {
        Self::with(clients, |issuer| {
            key_sets.key_set(&issuer.keys, &issuer.names)
        })
    }

    fn with(clients: &Clients, key_set: impl Fn(&Issuer) -> Arc<KeySet>) -> Self {
        crypto::install();
        let trusted = |issuer: &Issuer| Trusted {
            keys: key_set(issuer),
            validations: issuer
                .algorithms
                .iter()
                .map(|algorithm| (*algorithm, validation(issuer, *algorithm)))
                .collect(),
            issuer: issuer.clone(),
        };
        Self {
            issuers: clients.issuers.iter().map(trusted).collect(),
            clients: clients.list.iter().map(|one| one.name.clone()).collect(),
            cache: Cache::new(),
        }
    }

    /// Whether no issuer is configured: then no token is good.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// What was found out about the token of this SHA-256, if it is still true. Does not wait or allocate.
    #[must_use]
    pub fn known(&self, sha256: &[u8; 32], unix_now: Duration) -> Option<Verified> {
        let verdict = self.cache.find(sha256, unix_now.as_secs())?;
        let issuer = self.issuers.get(verdict.issuer)?;
        (issuer.keys.generation() == Some(verdict.generation)).then_some(verdict.verified)
    }

    /// Whom the token shows, if that is not [known](Self::known). May wait for its issuer, a few seconds at most, if it
    /// names a key that is new.
    ///
    /// # Errors
    /// It shows nobody, or that cannot be found out now.
    pub async fn verify(
        &self,
        token: &str,
        sha256: &[u8; 32],
        unix_now: Duration,
    ) -> Result<Verified, Denied> {
        let shown = claims::read(token)?;
        let mut denied: Option<Denied> = None;
        for (place, trusted) in self.issuers.iter().enumerate() {
            if !trusted.is_named(&shown) || !trusted.is_meant(&shown) {
                continue;
            }
            match trusted.verify(token, &shown, &self.clients).await {
                Ok(good) => {
                    let verdict = Verdict {
                        sha256: *sha256,
                        until: good.expiry,
                        issuer: place,
                        generation: good.generation,
                        verified: good.verified,
                    };
                    self.cache.insert(verdict, unix_now.as_secs());
                    return Ok(good.verified);
                }
                Err(other) => {
                    if denied
                        .as_ref()
                        .is_none_or(|denied| weight(&other) > weight(denied))
                    {
                        denied = Some(other);
                    }
                }
            }
        }
        Err(denied.unwrap_or_else(|| {
            let is_named = self.issuers.iter().any(|trusted| trusted.is_named(&shown));
            Denied::Invalid(if is_named {
                Reason::Audience
            } else {
                Reason::UnknownIssuer
            })
        }))
    }
}

/// Where issuers share a name, the word of one that cannot say anything now counts most, then of one that knows
/// the token.
fn weight(denied: &Denied) -> u8 {
    match denied {
        Denied::NotAToken | Denied::Invalid(_) => 0,
        Denied::NoRule { .. } => 1,
        Denied::KeysUnavailable { .. } => 2,
    }
}

fn validation(issuer: &Issuer, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(match algorithm {
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
    });
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud"]);
    validation.validate_nbf = true;
    validation.set_issuer(&issuer.names);
    validation.set_audience(&issuer.audiences);
    validation.leeway = issuer.leeway.as_secs();
    validation
}

struct Good {
    verified: Verified,
    /// Seconds since 1970.
    expiry: u64,
    generation: u64,
}

impl Trusted {
    /// Whether the token says that it is of this issuer.
    fn is_named(&self, shown: &Shown) -> bool {
        self.issuer.names.iter().any(|name| **name == *shown.issuer)
    }

    /// Whether the token says that it is for this gateway.
    fn is_meant(&self, shown: &Shown) -> bool {
        self.audiences(shown).next().is_some()
    }

    fn audiences<'a>(&'a self, shown: &'a Shown) -> impl Iterator<Item = &'a str> {
        let accepted = &self.issuer.audiences;
        let audiences = shown.audience.iter();
        audiences.filter(|audience| accepted.iter().any(|accepted| **accepted == **audience))
    }

    async fn verify(
        &self,
        token: &str,
        shown: &Shown,
        clients: &[ClientName],
    ) -> Result<Good, Denied> {
        let validation = self
            .validations
            .iter()
            .find(|(algorithm, _)| *algorithm == shown.algorithm);
        let (algorithm, validation) = validation.ok_or(Reason::Algorithm)?;
        let kid = shown.kid.as_deref().ok_or(Reason::UnknownKey)?;
        let keys = self.keys.with(kid).await.map_err(|unfound| match unfound {
            Unfound::Unknown => Reason::UnknownKey.into(),
            Unfound::Unavailable => Denied::KeysUnavailable {
                retry_after: RETRY_AFTER,
            },
        })?;
        let mut reason = Reason::UnknownKey;
        for key in keys.named(kid, &shown.issuer) {
            if key.algorithm != *algorithm {
                reason = Reason::Algorithm;
                continue;
            }
            match jsonwebtoken::decode::<Claims>(token, &key.decoding, validation) {
                Ok(data) => {
                    let client = rules::client(&self.issuer.rules, &data.claims, clients)
                        .map_err(|missing| Denied::NoRule { missing })?;
                    return Ok(Good {
                        verified: Verified {
                            client,
                            for_azure: self.audiences(shown).any(is_azures),
                        },
                        expiry: data.claims.expiry(),
                        generation: keys.generation,
                    });
                }
                Err(error) => reason = Reason::of(error.kind()),
            }
        }
        Err(reason.into())
    }
}

fn is_azures(audience: &str) -> bool {
    AZURE_AUDIENCES.contains(&audience)
}

impl Reason {
    fn of(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYetValid,
            ErrorKind::InvalidIssuer => Self::UnknownIssuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Self::Algorithm,
            // The enum is not exhaustive; what else can be wrong was looked at before.
            _ => Self::Malformed,
        }
    }
}
