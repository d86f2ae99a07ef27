use proptest::prelude::*;

use super::*;

struct Weights(Vec<u32>);

impl Group for Weights {
    fn weights(&self) -> &[u32] {
        &self.0
    }
}

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn pool(groups: &[&[(u32, Reason)]]) -> (Vec<Weights>, Vec<Vec<Reason>>) {
    let weights = groups
        .iter()
        .map(|g| Weights(g.iter().map(|m| m.0).collect()))
        .collect();
    let reasons = groups
        .iter()
        .map(|g| g.iter().map(|m| m.1).collect())
        .collect();
    (weights, reasons)
}

fn choose(groups: &[&[(u32, Reason)]], draw: u8) -> Selection {
    let (weights, reasons) = pool(groups);
    let reason = |g: usize, m: usize| match weights[g].0[m] {
        0 => Reason::WeightZero,
        _ => reasons[g][m],
    };
    select(&weights, reason, draw)
}

fn among(group: usize, members: &[usize]) -> Selection {
    Selection::Among {
        group,
        members: SmallVec::from_slice(members),
    }
}

const COOLING: Reason = Reason::CoolingDown {
    until: Timestamp::from_micros(50),
    cause: Cause::Throttled,
};
const EJECTED: Reason = Reason::BreakerOpen {
    until: Timestamp::from_micros(70),
};
const TENTH: Reason = Reason::Recovering { percent: 10 };
use Reason::{Ready, Tried};

#[test]
fn the_lowest_priority_number_with_a_ready_member_gets_everything() {
    assert_eq!(
        choose(&[&[(1, Ready), (1, Ready)], &[(9, Ready)]], 0),
        among(0, &[0, 1])
    );
    assert_eq!(
        choose(&[&[(1, COOLING), (1, Ready)], &[(9, Ready)]], 0),
        among(0, &[1])
    );
    assert_eq!(
        choose(&[&[(1, COOLING), (1, EJECTED)], &[(9, Ready)]], 0),
        among(1, &[0])
    );
    assert_eq!(
        choose(&[&[(1, Tried)], &[(1, EJECTED)], &[(1, Ready)]], 0),
        among(2, &[0])
    );
}

#[test]
fn a_recovering_member_gets_its_share_and_the_next_group_the_rest() {
    let groups: &[&[_]] = &[&[(1, TENTH)], &[(1, Ready)]];
    assert_eq!(choose(groups, 9), among(0, &[0]));
    assert_eq!(choose(groups, 10), among(1, &[0]));
}

#[test]
fn the_breaker_alone_never_takes_the_last_deployment() {
    assert_eq!(
        choose(&[&[(1, EJECTED)], &[(1, EJECTED)]], 0),
        among(0, &[0])
    );
    assert_eq!(
        choose(&[&[(1, EJECTED)], &[(1, TENTH)]], 99),
        among(1, &[0])
    );
    assert_eq!(
        choose(&[&[(1, COOLING)], &[(1, EJECTED)]], 0),
        among(1, &[0])
    );
}

#[test]
fn nobody_names_the_soonest_recovery_and_whether_it_is_throttling() {
    let auth = Reason::CoolingDown {
        until: at(30),
        cause: Cause::Auth,
    };
    let blocked = |soonest, throttled| Selection::Nobody(Blocked { soonest, throttled });
    assert_eq!(
        choose(&[&[(1, COOLING)], &[(1, auth)]], 0),
        blocked(Some(at(30)), true)
    );
    assert_eq!(
        choose(&[&[(1, auth)], &[(1, Tried)]], 0),
        blocked(Some(at(30)), false)
    );
    assert_eq!(choose(&[&[(1, Tried)]], 0), blocked(None, false));
    assert_eq!(choose(&[], 0), blocked(None, false));
}

#[test]
fn what_more_than_health_speaks_against_is_never_chosen_not_even_as_a_last_resort() {
    for reason in [
        Reason::WeightZero,
        Reason::Disabled,
        Reason::Drained,
        Reason::OperationUnavailable,
        Reason::NoCredential,
        Tried,
    ] {
        let nobody = Selection::Nobody(Blocked::default());
        assert_eq!(choose(&[&[(1, reason)]], 0), nobody, "{reason:?}");
    }
}

fn any_reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        Just(Ready),
        (0_u8..=100).prop_map(|percent| Reason::Recovering { percent }),
        (1_u64..100).prop_map(|t| Reason::BreakerOpen { until: at(t) }),
        (1_u64..100).prop_map(|t| Reason::CoolingDown {
            until: at(t),
            cause: Cause::Throttled
        }),
        Just(Tried),
    ]
}

proptest! {
    #[test]
    fn never_an_excluded_or_cooling_member_and_never_past_a_ready_group(
        groups in prop::collection::vec(prop::collection::vec((0_u32..4, any_reason()), 0..5), 0..5),
        draw in 0_u8..100,
    ) {
        let views: Vec<&[(u32, Reason)]> = groups.iter().map(Vec::as_slice).collect();
        match choose(&views, draw) {
            Selection::Among { group, members } => {
                prop_assert!(!members.is_empty());
                for &member in &members {
                    let (weight, reason) = groups[group][member];
                    prop_assert!(weight > 0);
                    let blocked = matches!(reason, Tried | Reason::CoolingDown { .. });
                    prop_assert!(!blocked);
                }
                let chosen_is_ready = matches!(groups[group][members[0]].1, Ready);
                let earlier_ready = groups[..group].iter().flatten().any(|m| m.0 > 0 && m.1 == Ready);
                prop_assert!(!earlier_ready);
                let any_ready = groups.iter().flatten().any(|m| m.0 > 0 && m.1 == Ready);
                if any_ready && !chosen_is_ready {
                    let in_share = matches!(groups[group][members[0]].1,
                        Reason::Recovering { percent } if draw < percent);
                    prop_assert!(in_share);
                }
            }
            Selection::Nobody(_) => {
                let any_ready = groups.iter().flatten().any(|m| m.0 > 0 && m.1 == Ready);
                prop_assert!(!any_ready);
            }
        }
    }
}
