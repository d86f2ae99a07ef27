//! What went wrong lately with one deployment or endpoint, so that people learn why it is left out. Written when a
//! failure is recorded, never on the way of a request that is served.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;

use crate::{
    clock::Timestamp,
    policy::{
        cause::Cause,
        outcome::{BreakerSignal, Effect, Outcome},
    },
};

/// As many are kept.
const TROUBLES_MAX: usize = 5;

/// One failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    pub at: Timestamp,
    pub cause: Cause,
    pub status: Option<u16>,
    /// The cool-down that followed.
    pub wait: Option<Duration>,
    /// A breaker counted it.
    pub counts: bool,
}

impl Trouble {
    /// `None` for what says nothing about who was tried.
    pub(super) fn of(outcome: &Outcome, effect: &Effect, at: Timestamp) -> Option<Self> {
        let cause = outcome.cause?;
        match cause {
            Cause::ClientGone | Cause::BadRequest | Cause::ContentFilter | Cause::Gateway => None,
            Cause::Auth
            | Cause::Throttled
            | Cause::Absent
            | Cause::Server
            | Cause::Connect
            | Cause::Tls
            | Cause::Dns
            | Cause::Timeout
            | Cause::Stall => Some(Self {
                at,
                cause,
                status: outcome.status,
                wait: effect.cool_down,
                counts: effect.breaker == BreakerSignal::Failure,
            }),
        }
    }
}

/// The last few, newest first.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<VecDeque<Trouble>>);

impl Troubles {
    pub(super) fn add(&self, trouble: Trouble) {
        let mut troubles = self.0.lock();
        troubles.truncate(TROUBLES_MAX - 1);
        troubles.push_front(trouble);
    }

    /// Of a deployment and its endpoint together.
    #[must_use]
    pub fn both(&self, other: &Self) -> Vec<Trouble> {
        let mut troubles: Vec<_> = self.0.lock().iter().copied().collect();
        troubles.extend(other.0.lock().iter());
        troubles.sort_by_key(|trouble| std::cmp::Reverse(trouble.at));
        troubles.truncate(TROUBLES_MAX);
        troubles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        outcome::effect,
        params::{BreakerParams, CoolDownParams},
    };

    fn trouble(seconds: u64, status: u16) -> Option<Trouble> {
        let at = Timestamp::from_micros(seconds * 1_000_000);
        let outcome = Outcome::of_answer(status, None, None);
        let params = (BreakerParams::default(), CoolDownParams::default());
        Trouble::of(&outcome, &effect(&outcome, &params.0, &params.1), at)
    }

    #[test]
    fn the_last_five_are_kept_newest_first_and_nothing_that_is_the_clients() {
        let (deployment, endpoint) = (Troubles::default(), Troubles::default());
        for (seconds, status) in (1..=7).zip([500, 500, 400, 429, 503, 404, 500]) {
            if let Some(trouble) = trouble(seconds, status) {
                deployment.add(trouble);
            }
        }
        endpoint.add(trouble(6, 401).expect("a failure"));
        let both = deployment.both(&endpoint);
        let seen: Vec<_> = both
            .iter()
            .map(|trouble| (trouble.at.as_secs(), trouble.status))
            .collect();
        let expected = [(7, 500), (6, 401), (5, 503), (4, 429), (2, 500)];
        assert_eq!(seen, expected.map(|(at, status)| (at, Some(status))));
    }
}
