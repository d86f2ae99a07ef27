//! Decides which deployment of a pool is tried next. Pure: what speaks for and against each member, and randomness,
//! are arguments. Never returns a member that cools down, or that anything but its breaker speaks against.
//!
//! The lowest priority number that has a ready member wins, whatever its load; inside it the balancing
//! algorithm decides. Only when nobody is ready do two last resorts follow, because the breaker is a guess
//! about the future and a guess must not take a model away: first the recovering members whose share was used
//! up, then those that the breaker holds back.

use smallvec::SmallVec;

use super::{cause::Cause, reason::Reason};
use crate::clock::Timestamp;

/// One member's place in its group, in the order of the configuration.
pub type MemberIndex = usize;

/// What the health of a member allows at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Ready,
    /// Recovering: this percentage of its share.
    Recovering {
        percent: u8,
    },
    /// Held back by the breaker alone.
    Ejected {
        until: Timestamp,
    },
    /// Asked for a pause, or cannot serve anybody for a while.
    Cooling {
        until: Timestamp,
        cause: Cause,
    },
}

/// A priority group as the selection sees it.
pub trait Group {
    fn weights(&self) -> &[u32];
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// One of these members of that group, by the balancing algorithm.
    Among {
        group: usize,
        members: SmallVec<[MemberIndex; 8]>,
    },
    Nobody(Blocked),
}

/// Why there is nobody, over all members that could serve the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blocked {
    /// The soonest time at which a member is usable again; `None` if no member could serve the request at all.
    pub soonest: Option<Timestamp>,
    /// Some member is only being throttled: it will serve again.
    pub throttled: bool,
}

/// `draw` is a random number below 100.
pub fn select<G: Group>(
    groups: &[G],
    mut reason: impl FnMut(usize, MemberIndex) -> Reason,
    draw: u8,
) -> Selection {
    let mut blocked = Blocked::default();
    let mut beyond_share: Option<Selection> = None;
    let mut ejected: Option<Selection> = None;
    for (group, weights) in groups.iter().map(Group::weights).enumerate() {
        let mut ready = SmallVec::new();
        for member in 0..weights.len() {
            match reason(group, member) {
                Reason::Ready => ready.push(member),
                Reason::Recovering { percent } if draw < percent => ready.push(member),
                Reason::Recovering { .. } => add(&mut beyond_share, group, member),
                Reason::BreakerOpen { until } => {
                    blocked.soonest = earlier(blocked.soonest, until);
                    add(&mut ejected, group, member);
                }
                Reason::CoolingDown { until, cause } => {
                    blocked.soonest = earlier(blocked.soonest, until);
                    blocked.throttled |= cause == Cause::Throttled;
                }
                Reason::Disabled
                | Reason::Drained
                | Reason::WeightZero
                | Reason::OperationUnavailable
                | Reason::NoCredential
                | Reason::Tried => {}
            }
        }
        if !ready.is_empty() {
            return Selection::Among {
                group,
                members: ready,
            };
        }
    }
    beyond_share
        .or(ejected)
        .unwrap_or(Selection::Nobody(blocked))
}

/// Keeps the members of the first group that has any.
fn add(selection: &mut Option<Selection>, group: usize, member: MemberIndex) {
    match selection {
        Some(Selection::Among {
            group: first,
            members,
        }) if *first == group => members.push(member),
        Some(_) => {}
        None => {
            *selection = Some(Selection::Among {
                group,
                members: SmallVec::from_slice(&[member]),
            })
        }
    }
}

fn earlier(soonest: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(soonest.map_or(other, |soonest| soonest.min(other)))
}

#[cfg(test)]
mod tests;
