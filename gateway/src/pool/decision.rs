//! Why the last pick of a request was as it was: kept without an allocation, and put into words only for those who
//! read them.

use smallvec::SmallVec;

use super::Place;
use crate::policy::{reason::Reason, select::MemberIndex};

/// More are counted only.
const SKIPPED_MAX: usize = 4;

#[derive(Debug, Default)]
pub struct Decision {
    pub chosen: Chosen,
    /// Those of the same or a better priority that were left out, the first few of them.
    pub skipped: SmallVec<[Skipped; SKIPPED_MAX]>,
    /// As many more.
    pub more: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chosen {
    #[default]
    Nobody,
    Priority(u32),
    /// Everybody cools down, and this request finds out whether they still must.
    LetThrough(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    pub place: Place,
    pub reason: Reason,
}

impl Decision {
    /// What the selection learnt about a member on its way.
    pub(super) fn note(&mut self, place: Place, reason: Reason) {
        if reason == Reason::Ready {
            return;
        }
        if self.skipped.len() < SKIPPED_MAX {
            self.skipped.push(Skipped { place, reason });
        } else {
            self.more += 1;
        }
    }

    /// This one may find out whether it still must be left alone.
    pub fn let_through(&mut self, place: Place, priority: u32) {
        self.settle(place.tier, &[place.member], priority);
        self.chosen = Chosen::LetThrough(priority);
    }

    /// One of these members of that tier was chosen.
    pub(super) fn settle(&mut self, tier: usize, members: &[MemberIndex], priority: u32) {
        self.chosen = Chosen::Priority(priority);
        self.skipped.retain(|skipped| {
            let Place {
                tier: other,
                member,
            } = skipped.place;
            other < tier || other == tier && !members.contains(&member)
        });
    }
}
