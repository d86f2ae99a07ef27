//! Tells who will get the next requests if nothing changes. It asks [`select`] itself, for every draw there is, so it
//! can promise nothing that would not be done.

use super::{
    reason::Reason,
    select::{Blocked, Group, Selection, select},
};

/// Draws that a selection knows.
const DRAWS: u8 = 100;

/// What becomes of the next requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Prospect {
    /// Of each group and member, its share of the next requests, from 0 to 1.
    pub shares: Vec<Vec<f64>>,
    /// The group that gets most of them; the preferred one of several.
    pub group: usize,
}

/// `reasons` of each group and member.
///
/// # Errors
/// Nobody gets a request, and why.
pub fn prospect<G: Group>(groups: &[G], reasons: &[Vec<Reason>]) -> Result<Prospect, Blocked> {
    let mut shares: Vec<Vec<f64>> = groups
        .iter()
        .map(|group| vec![0.0; group.weights().len()])
        .collect();
    let mut draws = vec![0_u32; groups.len()];
    for draw in 0..DRAWS {
        match select(groups, |group, member| reasons[group][member], draw) {
            // Whether there is somebody does not depend on the draw.
            Selection::Nobody(blocked) => return Err(blocked),
            Selection::Among { group, members } => {
                let weights = groups[group].weights();
                let total: u32 = members.iter().map(|&member| weights[member]).sum();
                for member in members {
                    let part = f64::from(weights[member]) / f64::from(total);
                    shares[group][member] += part / f64::from(DRAWS);
                }
                draws[group] += 1;
            }
        }
    }
    let most = draws.iter().max().copied().unwrap_or_default();
    let group = draws.iter().position(|&draws| draws == most);
    Ok(Prospect {
        shares,
        group: group.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, policy::cause::Cause};

    struct Weights(Vec<u32>);

    impl Group for Weights {
        fn weights(&self) -> &[u32] {
            &self.0
        }
    }

    fn shares(groups: &[&[(u32, Reason)]]) -> Result<(Vec<f64>, usize), Blocked> {
        let weights: Vec<_> = groups
            .iter()
            .map(|group| Weights(group.iter().map(|member| member.0).collect()))
            .collect();
        let reasons: Vec<Vec<_>> = groups
            .iter()
            .map(|group| group.iter().map(|member| member.1).collect())
            .collect();
        let prospect = prospect(&weights, &reasons)?;
        let rounded = |share: f64| (share * 1e4).round() / 1e4;
        let shares = prospect.shares.into_iter().flatten().map(rounded);
        Ok((shares.collect(), prospect.group))
    }

    const COOLING: Reason = Reason::CoolingDown {
        until: Timestamp::from_micros(50),
        cause: Cause::Throttled,
    };
    const OPEN: Reason = Reason::BreakerOpen {
        until: Timestamp::from_micros(70),
    };
    use Reason::{Ready, Recovering};

    #[test]
    fn shares_follow_weights_percentages_and_priorities() {
        let tenth = Recovering { percent: 10 };
        let half = Recovering { percent: 50 };
        for (groups, expected) in [
            (
                &[&[(1, Ready), (3, Ready)][..], &[(1, Ready)]][..],
                (vec![0.25, 0.75, 0.0], 0),
            ),
            (&[&[(1, COOLING)], &[(1, Ready)]], (vec![0.0, 1.0], 1)),
            (&[&[(1, tenth)], &[(1, Ready)]], (vec![0.1, 0.9], 1)),
            (&[&[(1, half)], &[(1, Ready)]], (vec![0.5, 0.5], 0)),
            (&[&[(1, tenth), (1, Ready)]], (vec![0.05, 0.95], 0)),
            (&[&[(1, tenth), (1, half)]], (vec![0.3, 0.7], 0)),
            // Last resorts.
            (
                &[&[(1, COOLING), (1, OPEN)], &[(1, OPEN)]],
                (vec![0.0, 1.0, 0.0], 0),
            ),
        ] {
            assert_eq!(shares(groups), Ok(expected), "{groups:?}");
        }
        let soonest = Some(Timestamp::from_micros(50));
        let blocked = Blocked {
            soonest,
            throttled: true,
        };
        assert_eq!(
            shares(&[&[(1, COOLING), (1, Reason::Disabled)]]),
            Err(blocked)
        );
    }
}
