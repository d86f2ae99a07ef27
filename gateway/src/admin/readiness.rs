//! Whether a balancer in front should send requests here.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    clock::Timestamp,
    policy::reason::{Reason, Switch},
    pool::Pool,
    snapshot::Snapshot,
};

#[derive(Serialize)]
pub(super) struct Readiness<'a> {
    pub(super) ready: bool,
    draining: bool,
    /// Models that nobody can serve at this moment.
    unserved: Vec<&'a str>,
    /// Endpoints that an operator has switched.
    switched: BTreeMap<&'a str, Switch>,
}

impl<'a> Readiness<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, draining: bool, now: Timestamp) -> Self {
        let unserved: Vec<&str> = snapshot
            .pools
            .iter()
            .filter(|pool| usable(snapshot, pool, now) == 0)
            .map(|pool| pool.model.name.as_str())
            .collect();
        let switched = snapshot.upstreams.iter().filter_map(|upstream| {
            let switch = upstream.switch.position();
            (switch != Switch::Enabled).then_some((upstream.endpoint.name.as_str(), switch))
        });
        Self {
            ready: !draining && unserved.len() < snapshot.pools.len(),
            draining,
            unserved,
            switched: switched.collect(),
        }
    }
}

/// Deployments that would get requests, of themselves.
pub(super) fn usable(snapshot: &Snapshot, pool: &Pool, now: Timestamp) -> usize {
    let anything = snapshot.anything(now);
    let is_usable = |&place: &_| {
        matches!(
            pool.reason(place, &anything),
            Reason::Ready | Reason::Recovering { .. }
        )
    };
    pool.places().filter(is_usable).count()
}
