//! A model's pool, linked to live state: picks the next deployment for an attempt. The decision is made by
//! `policy::select`; this is where it meets the state of each member, the shared round-robin position and the
//! probe of a half-open breaker.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    clock::Timestamp,
    config::compiled::Model,
    ids::DeploymentName,
    metrics::DeploymentMetrics,
    policy::{
        balance::{SmoothRoundRobin, weighted_random},
        cause::Cause,
        params::Balance,
        select::{Blocked, Group, MemberIndex, Selection, Standing, select},
    },
    state::{DeploymentState, EndpointState, Lease, PoolState, standing},
};

#[derive(Debug)]
pub struct Pool {
    pub model: Model,
    pub state: Arc<PoolState>,
    pub tiers: Vec<Tier>,
}

/// A priority group.
#[derive(Debug)]
pub struct Tier {
    pub priority: u32,
    pub weights: Vec<u32>,
    pub members: Vec<Member>,
    pub wheel: Arc<Mutex<SmoothRoundRobin>>,
}

impl Group for Tier {
    fn weights(&self) -> &[u32] {
        &self.weights
    }
}

/// One deployment as a member of a pool.
#[derive(Debug)]
pub struct Member {
    /// Place of its endpoint in the snapshot.
    pub endpoint: usize,
    pub deployment: DeploymentName,
    pub endpoint_state: Arc<EndpointState>,
    pub state: Arc<DeploymentState>,
    pub metrics: DeploymentMetrics,
}

impl Member {
    fn standing(&self, now: Timestamp) -> Standing {
        standing(&self.endpoint_state, &self.state, now)
    }
}

/// A deployment's condition, in the words shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// `healthy`, `throttling`, `error`, `recovering` or `disabled`.
    pub state: &'static str,
    /// Why it is not healthy.
    pub reason: Option<&'static str>,
    pub until: Option<Timestamp>,
}

/// A member's place in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub tier: usize,
    pub member: MemberIndex,
}

/// A chosen deployment and the right to try it.
#[derive(Debug)]
pub struct Pick {
    pub place: Place,
    pub lease: Lease,
}

/// What a request asks of a pick, beside the pool.
pub struct Wanted<'a, F> {
    /// Places tried before in this request.
    pub tried: &'a [Place],
    /// Whether the endpoint (by its place) can serve this operation at all.
    pub serves: F,
    pub now: Timestamp,
}

impl Pool {
    #[must_use]
    pub fn member(&self, place: Place) -> &Member {
        &self.tiers[place.tier].members[place.member]
    }

    /// A member's share inside its group; 0 = drained.
    #[must_use]
    pub fn weight(&self, place: Place) -> u32 {
        self.tiers[place.tier].weights[place.member]
    }

    /// Where a member stands. What a breaker holds back, which other models may share, is ready for a model that
    /// has none.
    #[must_use]
    pub fn standing(&self, place: Place, now: Timestamp) -> Standing {
        match self.member(place).standing(now) {
            Standing::Ejected { .. } | Standing::Recovering { .. }
                if !self.model.breaker.enabled =>
            {
                Standing::Ready
            }
            standing => standing,
        }
    }

    /// # Errors
    /// Why there is nobody to send to.
    pub fn pick<F: Fn(usize) -> bool>(&self, wanted: &Wanted<'_, F>) -> Result<Pick, Blocked> {
        // Two requests can see the same half-open breaker; one becomes its probe, the other looks again and
        // finds it taken. That converges at once, the bound only makes it plain.
        let rounds = self
            .tiers
            .iter()
            .map(|tier| tier.members.len())
            .sum::<usize>()
            + 1;
        let mut blocked = Blocked::default();
        for _ in 0..rounds {
            let (tier, members) = match self.select(wanted) {
                Selection::Among { group, members } => (group, members),
                Selection::Nobody(why) => return Err(why),
            };
            let Some(member) = self.balance(tier, &members) else {
                return Err(blocked);
            };
            let place = Place { tier, member };
            let chosen = self.member(place);
            let lease = match self.standing(place, wanted.now) {
                Standing::Ready => Lease::take(&chosen.endpoint_state, &chosen.state, wanted.now),
                _ => Some(Lease::beyond(&chosen.endpoint_state, &chosen.state)),
            };
            if let Some(lease) = lease {
                return Ok(Pick { place, lease });
            }
            blocked.soonest = Some(wanted.now);
        }
        Err(blocked)
    }

    /// The preferred deployment whatever its standing: for the one request a second that may find out whether
    /// a pool that cools down still must.
    #[must_use]
    pub fn preferred<F: Fn(usize) -> bool>(&self, serves: F) -> Option<Pick> {
        self.places()
            .find(|&place| self.weight(place) > 0 && serves(self.member(place).endpoint))
            .map(|place| {
                let member = self.member(place);
                Pick {
                    place,
                    lease: Lease::beyond(&member.endpoint_state, &member.state),
                }
            })
    }

    /// The soonest time at which somebody who could serve the request is usable; now, if somebody is.
    pub fn soonest_recovery<F: Fn(usize) -> bool>(
        &self,
        serves: F,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.places()
            .filter(|&place| self.weight(place) > 0 && serves(self.member(place).endpoint))
            .map(|place| match self.standing(place, now) {
                Standing::Cooling { until, .. } | Standing::Ejected { until } => until.max(now),
                Standing::Ready | Standing::Recovering { .. } | Standing::Excluded => now,
            })
            .min()
    }

    /// How a member is doing, for people.
    #[must_use]
    pub fn condition(&self, place: Place, now: Timestamp) -> Condition {
        let member = self.member(place);
        let probe_due = || {
            member.state.health.is_probe_due(now) || member.endpoint_state.health.is_probe_due(now)
        };
        let (state, reason, until) = match self.standing(place, now) {
            _ if self.weight(place) == 0 => ("disabled", Some("weight 0"), None),
            Standing::Ready if probe_due() => ("recovering", Some("probe due"), None),
            Standing::Ready => ("healthy", None, None),
            Standing::Recovering { .. } => ("recovering", Some("breaker"), None),
            Standing::Ejected { until } => ("error", Some("breaker"), Some(until)),
            Standing::Cooling {
                until,
                cause: Cause::Throttled,
            } => ("throttling", Some(Cause::Throttled.as_str()), Some(until)),
            Standing::Cooling { until, cause } => ("error", Some(cause.as_str()), Some(until)),
            Standing::Excluded => ("error", None, None),
        };
        Condition {
            state,
            reason,
            until,
        }
    }

    /// Every member, preferred first.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.tiers.iter().enumerate().flat_map(|(tier, group)| {
            (0..group.members.len()).map(move |member| Place { tier, member })
        })
    }

    fn select<F: Fn(usize) -> bool>(&self, wanted: &Wanted<'_, F>) -> Selection {
        let standing = |tier: usize, member: MemberIndex| {
            let place = Place { tier, member };
            if wanted.tried.contains(&place) || !(wanted.serves)(self.member(place).endpoint) {
                return Standing::Excluded;
            }
            self.standing(place, wanted.now)
        };
        select(&self.tiers, standing, fastrand::u8(0..100))
    }

    fn balance(&self, tier: usize, members: &[MemberIndex]) -> Option<MemberIndex> {
        let tier = &self.tiers[tier];
        match self.model.balance {
            Balance::RoundRobin => tier.wheel.lock().pick(&tier.weights, members),
            Balance::Random => weighted_random(&tier.weights, members, fastrand::u64(..)),
        }
    }
}
