//! What the gateway remembers about the world: health and load of every deployment and endpoint, position and
//! retry budget of every pool. It outlives configuration snapshots; the [`Registry`] hands the same state to
//! whatever is still the same thing after a reload. Decisions are made in `policy`; here they meet atomics and
//! short locks (never held over an await).

mod health;
mod lease;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

pub use self::{
    health::Health,
    lease::{Changed, Lease},
};
use crate::{
    clock::{Clock, Timestamp},
    config::compiled::EndpointUrl,
    ids::{CredentialName, DeploymentName, ModelName},
    policy::{balance::SmoothRoundRobin, budget::Budget, params::RetryParams, select::Standing},
};

/// State of one deployment at one endpoint.
#[derive(Debug, Default)]
pub struct DeploymentState {
    pub health: Health,
    in_flight: AtomicU32,
}

impl DeploymentState {
    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// State of a whole resource: what concerns its connection and its credential.
#[derive(Debug, Default)]
pub struct EndpointState {
    pub health: Health,
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
        let due = last == 0 || now.since(Timestamp::from_micros(last)) >= LET_THROUGH_EVERY;
        due && self
            .let_through
            .compare_exchange(last, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

/// What owns a quota. Name, priority and weight are not part of it: changing them loses no state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    pub url: EndpointUrl,
    pub credential: CredentialName,
}

/// Every state by its identity.
#[derive(Debug, Default)]
pub struct Registry {
    clock: Clock,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    endpoints: HashMap<EndpointKey, Arc<EndpointState>>,
    deployments: HashMap<(EndpointKey, DeploymentName), Arc<DeploymentState>>,
    pools: HashMap<ModelName, Arc<PoolState>>,
    wheels: HashMap<(ModelName, u32), Arc<Mutex<SmoothRoundRobin>>>,
}

impl Registry {
    /// The clock that all deadlines in this registry are measured by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_a_second_is_let_through_and_no_more() {
        let pool = PoolState::default();
        let at = |ms: u64| Timestamp::from_micros(ms * 1_000);
        assert!(pool.try_let_through(at(5)));
        assert!(!pool.try_let_through(at(5)));
        assert!(!pool.try_let_through(at(1_004)));
        assert!(pool.try_let_through(at(1_005)));
    }
}
