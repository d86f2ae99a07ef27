//! What the gateway remembers about the world: health and load of every deployment and endpoint, position and
//! retry budget of every pool. It outlives configuration snapshots; the [`Registry`] hands the same state to
//! whatever is still the same thing after a reload. Decisions are made in `policy`; here they meet atomics and
//! short locks (never held over an await).

mod health;
mod lease;
mod memory;
mod reading;
mod switch;
mod trouble;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub use self::{
    health::Health,
    lease::{Changed, Lease},
    memory::{Memory, Restored},
    reading::{Averages, Quota, Reading},
    switch::SwitchState,
    trouble::{Trouble, Troubles},
};
use crate::{
    clock::Timestamp,
    config::compiled::EndpointUrl,
    ids::{CredentialName, DeploymentName, EndpointName, ModelName},
    policy::{
        balance::SmoothRoundRobin, budget::Budget, params::RetryParams, reason::Switch,
        select::Standing,
    },
};

/// State of one deployment at one endpoint.
#[derive(Debug, Default)]
pub struct DeploymentState {
    pub health: Health,
    pub troubles: Troubles,
    /// What its answers say about it, for people.
    pub reading: Reading,
    in_flight: AtomicU32,
    /// Microseconds; 0 = never.
    refuses_usage_until: AtomicU64,
}

/// How long a deployment that refuses to report the tokens of a stream is not asked for them.
pub const NOT_ASKED: Duration = Duration::from_secs(10 * 60);

impl DeploymentState {
    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it may be asked for the tokens of a stream.
    #[must_use]
    pub fn knows_usage(&self, now: Timestamp) -> bool {
        self.refuses_usage_until.load(Ordering::Relaxed) <= now.as_micros()
    }

    /// It refuses to be asked for them. Returns whether that is news.
    pub fn refuses_usage(&self, now: Timestamp) -> bool {
        let until = now.saturating_add(NOT_ASKED).as_micros();
        let before = self.refuses_usage_until.fetch_max(until, Ordering::Relaxed);
        before <= now.as_micros()
    }
}

/// State of a whole resource: what concerns its connection and its credential.
#[derive(Debug, Default)]
pub struct EndpointState {
    pub health: Health,
    pub troubles: Troubles,
}

/// A deployment is as usable as the worse of itself and its endpoint.
#[must_use]
pub fn standing(
    endpoint: &EndpointState,
    deployment: &DeploymentState,
    now: Timestamp,
) -> Standing {
    health::worse(
        endpoint.health.standing(now),
        deployment.health.standing(now),
    )
}

/// Since when a deployment stands as it does, where that is known.
#[must_use]
pub fn since(
    endpoint: &EndpointState,
    deployment: &DeploymentState,
    now: Timestamp,
) -> Option<Timestamp> {
    let (of_endpoint, of_deployment) = (
        endpoint.health.standing(now),
        deployment.health.standing(now),
    );
    match (of_endpoint, of_deployment) {
        (Standing::Ready, Standing::Ready) => {
            let both = endpoint.health.since(now).into_iter();
            both.chain(deployment.health.since(now)).max()
        }
        (_, _) if health::worse(of_endpoint, of_deployment) == of_deployment => {
            deployment.health.since(now)
        }
        (_, _) => endpoint.health.since(now),
    }
}

/// State of one model's pool.
#[derive(Debug, Default)]
pub struct PoolState {
    budget: Mutex<Budget>,
    /// When a request was last let through although everything cooled down.
    let_through: AtomicU64,
}

/// While a whole pool cools down, one request in this time goes through to see whether it still must.
pub const LET_THROUGH_EVERY: Duration = Duration::from_secs(1);

impl PoolState {
    pub fn deposit(&self, now: Timestamp) {
        self.budget.lock().deposit(now);
    }

    pub fn withdraw(&self, params: &RetryParams, now: Timestamp) -> bool {
        self.budget.lock().withdraw(params, now)
    }

    /// True for at most one caller in [`LET_THROUGH_EVERY`].
    pub fn try_let_through(&self, now: Timestamp) -> bool {
        let last = self.let_through.load(Ordering::Relaxed);
        is_let_through_due(last, now)
            && self
                .let_through
                .compare_exchange(last, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether it behaves as a new one at `now`.
    fn is_spent(&self, now: Timestamp) -> bool {
        is_let_through_due(self.let_through.load(Ordering::Relaxed), now)
            && self.budget.lock().is_spent(now)
    }
}

/// `last`: microseconds, 0 = never.
fn is_let_through_due(last: u64, now: Timestamp) -> bool {
    last == 0 || now.since(Timestamp::from_micros(last)) >= LET_THROUGH_EVERY
}

/// What owns a quota. Name, priority and weight are not part of it: changing them loses no state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EndpointKey {
    pub url: EndpointUrl,
    pub credential: CredentialName,
}

/// Every state by its identity.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    endpoints: HashMap<EndpointKey, Arc<EndpointState>>,
    deployments: HashMap<(EndpointKey, DeploymentName), Arc<DeploymentState>>,
    pools: HashMap<ModelName, Arc<PoolState>>,
    wheels: HashMap<(ModelName, u32), Arc<Mutex<SmoothRoundRobin>>>,
    switches: HashMap<EndpointName, Arc<SwitchState>>,
}

impl Registry {
    pub fn endpoint(&self, key: &EndpointKey) -> Arc<EndpointState> {
        self.entries
            .lock()
            .endpoints
            .entry(key.clone())
            .or_default()
            .clone()
    }

    pub fn deployment(&self, key: &EndpointKey, name: &DeploymentName) -> Arc<DeploymentState> {
        self.entries
            .lock()
            .deployments
            .entry((key.clone(), name.clone()))
            .or_default()
            .clone()
    }

    pub fn pool(&self, model: &ModelName) -> Arc<PoolState> {
        self.entries
            .lock()
            .pools
            .entry(model.clone())
            .or_default()
            .clone()
    }

    /// The round-robin position of a priority group.
    pub fn wheel(&self, model: &ModelName, priority: u32) -> Arc<Mutex<SmoothRoundRobin>> {
        self.entries
            .lock()
            .wheels
            .entry((model.clone(), priority))
            .or_default()
            .clone()
    }

    /// What an operator decided about the endpoint of this name.
    pub fn switch(&self, endpoint: &EndpointName) -> Arc<SwitchState> {
        self.entries
            .lock()
            .switches
            .entry(endpoint.clone())
            .or_default()
            .clone()
    }

    /// Forgets what nobody holds any more, if nothing is lost with it: what cools down or recovers stays until
    /// that is over, for it may be configured again.
    pub fn prune(&self, now: Timestamp) {
        let mut entries = self.entries.lock();
        entries
            .endpoints
            .retain(|_, state| is_held(state) || !state.health.is_spent(now));
        entries
            .deployments
            .retain(|_, state| is_held(state) || !state.health.is_spent(now));
        entries
            .pools
            .retain(|_, state| is_held(state) || !state.is_spent(now));
        entries.wheels.retain(|_, wheel| is_held(wheel));
        entries
            .switches
            .retain(|_, switch| is_held(switch) || switch.position() != Switch::default());
    }
}

/// By a snapshot or a lease. New ones are only handed out under the lock, so the answer holds as long as it is held.
fn is_held<T>(state: &Arc<T>) -> bool {
    Arc::strong_count(state) > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{cause::Cause, outcome::BreakerSignal, params::BreakerParams};

    #[test]
    fn one_request_a_second_is_let_through_and_no_more() {
        let pool = PoolState::default();
        let at = |ms: u64| Timestamp::from_micros(ms * 1_000);
        assert!(pool.try_let_through(at(5)));
        assert!(!pool.try_let_through(at(5)));
        assert!(!pool.try_let_through(at(1_004)));
        assert!(pool.try_let_through(at(1_005)));
    }

    #[test]
    fn who_refuses_a_question_is_asked_again_after_a_while_and_that_is_news_once() {
        let state = DeploymentState::default();
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        assert!(state.knows_usage(at(0)));
        assert!(state.refuses_usage(at(5)));
        assert!(!state.refuses_usage(at(6)), "another request at the time");
        assert!(!state.knows_usage(at(605)));
        assert!(state.knows_usage(at(606)));
        assert!(state.refuses_usage(at(606)));
    }

    fn key(credential: &str) -> EndpointKey {
        EndpointKey {
            url: EndpointUrl {
                tls: true,
                host: "a.example.com".into(),
                port: 443,
                base_path: "".into(),
            },
            credential: CredentialName::new(credential).unwrap(),
        }
    }

    #[test]
    fn what_nobody_holds_is_forgotten_when_nothing_is_lost_with_it() {
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let (registry, name) = (Registry::default(), DeploymentName::new("d").unwrap());
        let model = |name| ModelName::new(name).unwrap();
        let left = || {
            let entries = registry.entries.lock();
            [
                entries.endpoints.len(),
                entries.deployments.len(),
                entries.pools.len(),
                entries.wheels.len(),
            ]
        };
        // What a snapshot holds, and what the one before it held.
        let held = (
            registry.endpoint(&key("held")),
            registry.deployment(&key("held"), &name),
            registry.pool(&model("held")),
            registry.wheel(&model("held"), 1),
        );
        registry.endpoint(&key("gone"));
        registry.deployment(&key("gone"), &name);
        registry.pool(&model("gone"));
        registry.wheel(&model("held"), 2);
        // Their state is worth something for a while.
        let cooling = registry.endpoint(&key("cooling"));
        cooling.health.cool_down(at(20), Cause::Throttled, at(1));
        let failing = registry.deployment(&key("failing"), &name);
        let (trips, failure) = (BreakerParams::default(), BreakerSignal::Failure);
        for _ in 0..trips.failures.get() {
            failing.health.record(&trips, failure, false, None, at(1));
        }
        registry.pool(&model("retried")).deposit(at(5));
        assert!(registry.pool(&model("let-through")).try_let_through(at(10)));

        assert_eq!(left(), [3, 3, 4, 2]);
        for (now, expected) in [(10, [2, 2, 3, 1]), (14, [2, 2, 2, 1]), (15, [2, 2, 1, 1])] {
            registry.prune(at(now));
            assert_eq!(left(), expected, "at {now} s");
        }
        drop((cooling, failing));
        for (now, expected) in [
            (19, [2, 2, 1, 1]),
            (20, [1, 2, 1, 1]),
            (30, [1, 2, 1, 1]),
            (31, [1, 1, 1, 1]),
        ] {
            registry.prune(at(now));
            assert_eq!(left(), expected, "at {now} s");
        }
        drop(held);
        registry.prune(at(31));
        assert_eq!(left(), [0; 4]);
    }
}
