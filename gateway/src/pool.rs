//! A model's pool, linked to live state: picks the next deployment for an attempt, and tells who would be picked. The
//! decision is made by `policy::select` on one [`Reason`] for each member; this is where it meets the state of each
//! member, the shared round-robin position and the probe of a half-open breaker.

mod decision;

use std::sync::Arc;

use parking_lot::Mutex;

pub use self::decision::{Chosen, Decision, Skipped};
use crate::{
    clock::Timestamp,
    config::compiled::Model,
    ids::DeploymentName,
    metrics::DeploymentMetrics,
    policy::{
        balance::{SmoothRoundRobin, weighted_random},
        cause::Cause,
        params::Balance,
        prospect::{Prospect, prospect},
        reason::{Reason, Service},
        select::{Blocked, Group, MemberIndex, Selection, Standing, select},
    },
    state::{DeploymentState, EndpointState, Lease, PoolState, SwitchState, since, standing},
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
    /// Of its endpoint.
    pub switch: Arc<SwitchState>,
    pub metrics: DeploymentMetrics,
}

impl Member {
    fn standing(&self, now: Timestamp) -> Standing {
        standing(&self.endpoint_state, &self.state, now)
    }

    /// Whether the next attempt finds out if an open breaker may close.
    #[must_use]
    pub fn is_probe_due(&self, now: Timestamp) -> bool {
        self.state.health.is_probe_due(now) || self.endpoint_state.health.is_probe_due(now)
    }
}

/// A deployment's condition, in the words shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// `healthy`, `throttling`, `error`, `recovering` or `disabled`.
    pub state: &'static str,
    /// Why it is not healthy.
    pub reason: Option<&'static str>,
    pub since: Option<Timestamp>,
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
    /// Whether the endpoint (by its place) can serve this at all.
    pub serves: F,
    pub now: Timestamp,
}

/// Every member and what becomes of the next requests, as a pick at the same moment would find it.
#[derive(Debug)]
pub struct Explanation {
    /// Preferred first.
    pub members: Vec<(Place, Reason)>,
    /// Nobody would be picked, and why.
    pub prospect: Result<Prospect, Blocked>,
}

impl Explanation {
    /// A member's part of the next requests, from 0 to 1.
    #[must_use]
    pub fn share(&self, place: Place) -> f64 {
        self.prospect
            .as_ref()
            .map_or(0.0, |prospect| prospect.shares[place.tier][place.member])
    }
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

    /// What speaks for or against a member: the one function behind every choice and every explanation.
    pub fn reason<F: Fn(usize) -> Service>(&self, place: Place, wanted: &Wanted<'_, F>) -> Reason {
        let member = self.member(place);
        Reason::of(
            member.switch.position(),
            self.weight(place),
            wanted.tried.contains(&place),
            || (wanted.serves)(member.endpoint),
            || self.standing(place, wanted.now),
        )
    }

    /// `decision` becomes that of this pick, also if there is none.
    ///
    /// # Errors
    /// Why there is nobody to send to.
    pub fn pick<F: Fn(usize) -> Service>(
        &self,
        wanted: &Wanted<'_, F>,
        decision: &mut Decision,
    ) -> Result<Pick, Blocked> {
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
            *decision = Decision::default();
            let (tier, members) = match self.select(wanted, decision) {
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
                decision.settle(tier, &members, self.tiers[tier].priority);
                return Ok(Pick { place, lease });
            }
            blocked.soonest = Some(wanted.now);
        }
        Err(blocked)
    }

    /// Who would be picked, and why nobody else.
    pub fn explain<F: Fn(usize) -> Service>(&self, wanted: &Wanted<'_, F>) -> Explanation {
        let of_tier = |(tier, group): (usize, &Tier)| {
            let reason = |member| self.reason(Place { tier, member }, wanted);
            (0..group.members.len()).map(reason).collect()
        };
        let reasons: Vec<Vec<Reason>> = self.tiers.iter().enumerate().map(of_tier).collect();
        Explanation {
            prospect: prospect(&self.tiers, &reasons),
            members: self.places().zip(reasons.into_iter().flatten()).collect(),
        }
    }

    /// The preferred deployment of those that could serve but for their health: for the one request a second that
    /// may find out whether a pool that cools down still must.
    pub fn preferred<F: Fn(usize) -> Service>(&self, wanted: &Wanted<'_, F>) -> Option<Pick> {
        self.places()
            .find(|&place| self.reason(place, wanted).usable_at(wanted.now).is_some())
            .map(|place| {
                let member = self.member(place);
                Pick {
                    place,
                    lease: Lease::beyond(&member.endpoint_state, &member.state),
                }
            })
    }

    /// The soonest time at which somebody who could serve the request is usable; now, if somebody is.
    pub fn soonest_recovery<F: Fn(usize) -> Service>(
        &self,
        wanted: &Wanted<'_, F>,
    ) -> Option<Timestamp> {
        self.places()
            .filter_map(|place| self.reason(place, wanted).usable_at(wanted.now))
            .min()
    }

    /// How a member is doing, for people. `reason`: for a request that could be any.
    #[must_use]
    pub fn condition(&self, place: Place, reason: Reason, now: Timestamp) -> Condition {
        let member = self.member(place);
        let since = match reason {
            Reason::Disabled | Reason::Drained => member.switch.since(),
            Reason::Ready
            | Reason::Recovering { .. }
            | Reason::BreakerOpen { .. }
            | Reason::CoolingDown { .. } => since(&member.endpoint_state, &member.state, now),
            Reason::WeightZero
            | Reason::NoCredential
            | Reason::OperationUnavailable
            | Reason::Tried => None,
        };
        let (state, reason, until) = match reason {
            Reason::Disabled => ("disabled", Some("disabled by operator"), None),
            Reason::Drained => ("disabled", Some("drained by operator"), None),
            Reason::WeightZero => ("disabled", Some("weight 0"), None),
            Reason::NoCredential => ("error", Some("credential"), None),
            Reason::Ready if member.is_probe_due(now) => ("recovering", Some("probe due"), None),
            Reason::Ready => ("healthy", None, None),
            Reason::Recovering { .. } => ("recovering", Some("breaker"), None),
            Reason::BreakerOpen { until } => ("error", Some("breaker"), Some(until)),
            Reason::CoolingDown { until, cause } => {
                let state = if cause == Cause::Throttled {
                    "throttling"
                } else {
                    "error"
                };
                (state, Some(cause.as_str()), Some(until))
            }
            Reason::OperationUnavailable | Reason::Tried => ("healthy", None, None),
        };
        Condition {
            state,
            reason,
            since,
            until,
        }
    }

    /// Every member, preferred first.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.tiers.iter().enumerate().flat_map(|(tier, group)| {
            (0..group.members.len()).map(move |member| Place { tier, member })
        })
    }

    fn select<F: Fn(usize) -> Service>(
        &self,
        wanted: &Wanted<'_, F>,
        decision: &mut Decision,
    ) -> Selection {
        let reason = |tier: usize, member: MemberIndex| {
            let place = Place { tier, member };
            let reason = self.reason(place, wanted);
            decision.note(place, reason);
            reason
        };
        select(&self.tiers, reason, fastrand::u8(0..100))
    }

    fn balance(&self, tier: usize, members: &[MemberIndex]) -> Option<MemberIndex> {
        let tier = &self.tiers[tier];
        match self.model.balance {
            Balance::RoundRobin => tier.wheel.lock().pick(&tier.weights, members),
            Balance::Random => weighted_random(&tier.weights, members, fastrand::u64(..)),
        }
    }
}

#[cfg(test)]
mod tests;
