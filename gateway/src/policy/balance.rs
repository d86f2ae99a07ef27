//! Spreads requests over the admitted members of one priority group by weight. Pure: the position of the round
//! robin and the random number are arguments.

use serde::{Deserialize, Deserializer, Serialize};

use super::select::MemberIndex;

/// Smooth weighted round robin: weights 5:1:1 give `a a b a c a a`, not `a a a a a b c`. Each round every
/// admitted member gains its weight, the highest is taken and pays the sum, so the shares hold exactly also
/// while members come and go, and nobody is overrun when one returns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SmoothRoundRobin {
    #[serde(deserialize_with = "small_numbers")]
    credit: Vec<i64>,
}

impl SmoothRoundRobin {
    /// `members` are indices into `weights`; one of them is returned, or none if there are none.
    pub fn pick(&mut self, weights: &[u32], members: &[MemberIndex]) -> Option<MemberIndex> {
        if self.credit.len() != weights.len() {
            self.credit = vec![0; weights.len()];
        }
        let mut total = 0;
        let mut best: Option<MemberIndex> = None;
        for &member in members {
            let weight = i64::from(weights[member]);
            total += weight;
            self.credit[member] += weight;
            if best.is_none_or(|best| self.credit[member] > self.credit[best]) {
                best = Some(member);
            }
        }
        if let Some(best) = best {
            self.credit[best] -= total;
        }
        best
    }
}

/// A credit is never much more than the weights together: one beyond this was not written by us, and sums with it
/// could overflow.
fn small_numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i64>, D::Error> {
    let credit = Vec::<i32>::deserialize(deserializer)?;
    Ok(credit.into_iter().map(i64::from).collect())
}

/// Weighted random; `draw` is uniform over all of `u64`.
#[must_use]
pub fn weighted_random(weights: &[u32], members: &[MemberIndex], draw: u64) -> Option<MemberIndex> {
    let total: u64 = members
        .iter()
        .map(|&member| u64::from(weights[member]))
        .sum();
    // Multiply and shift instead of a remainder: no bias towards the first members.
    let mut point =
        u64::try_from((u128::from(draw) * u128::from(total)) >> 64).expect("below total");
    for &member in members {
        let weight = u64::from(weights[member]);
        if point < weight {
            return Some(member);
        }
        point -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(
        weights: &[u32],
        mut pick: impl FnMut() -> Option<usize>,
        rounds: usize,
    ) -> Vec<usize> {
        let mut counts = vec![0; weights.len()];
        for _ in 0..rounds {
            counts[pick().unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn shares_follow_the_weights_exactly_in_every_round() {
        let weights = [5, 1, 1];
        let mut wheel = SmoothRoundRobin::default();
        let order: Vec<usize> = (0..7)
            .map(|_| wheel.pick(&weights, &[0, 1, 2]).unwrap())
            .collect();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(
            counts(&weights, || wheel.pick(&weights, &[0, 1, 2]), 700),
            [500, 100, 100]
        );
    }

    #[test]
    fn shares_hold_among_those_that_are_left() {
        let weights = [3, 1, 2];
        let mut wheel = SmoothRoundRobin::default();
        assert_eq!(
            counts(&weights, || wheel.pick(&weights, &[0, 2]), 500),
            [300, 0, 200]
        );
        assert_eq!(
            counts(&weights, || wheel.pick(&weights, &[0, 1, 2]), 600),
            [300, 100, 200]
        );
    }

    #[test]
    fn random_shares_follow_the_weights() {
        let weights = [1, 10];
        let mut state = 7_u64;
        let draw = || {
            // SplitMix64: a fixed sequence, so that the test cannot flake.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let mut draw = draw;
        let seen = counts(
            &weights,
            || weighted_random(&weights, &[0, 1], draw()),
            11_000,
        );
        assert!((930..1_070).contains(&seen[0]), "{seen:?}");
        assert_eq!(weighted_random(&weights, &[0, 1], 0), Some(0));
        assert_eq!(weighted_random(&weights, &[0, 1], u64::MAX), Some(1));
    }

    #[test]
    fn nobody_is_picked_from_nobody() {
        assert_eq!(SmoothRoundRobin::default().pick(&[1], &[]), None);
        assert_eq!(weighted_random(&[1], &[], 3), None);
        assert_eq!(weighted_random(&[0], &[0], 3), None);
    }
}
