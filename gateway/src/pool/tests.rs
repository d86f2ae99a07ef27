use std::{collections::BTreeSet, num::NonZeroU32, path::Path, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    auth::Auth,
    config::{
        self,
        secrets::{SecretError, SecretSource},
    },
    metrics::Metrics,
    policy::{
        outcome::Outcome,
        params::{BreakerParams, CoolDownParams},
        reason::Switch,
    },
    resolve::Resolver,
    secret::Secret,
    snapshot::Snapshot,
    state::Registry,
    traces::Exports,
};

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn env(&self, _: &str) -> Result<Secret, SecretError> {
        Err(SecretError::Absent)
    }

    fn file(&self, _: &Path) -> Result<Secret, SecretError> {
        Err(SecretError::Absent)
    }

    fn credential(&self, _: &str) -> Result<Secret, SecretError> {
        Err(SecretError::Absent)
    }
}

/// What a member's breaker and cool-down say at [`NOW`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Health {
    Fine,
    Cooling(u64, Cause),
    Open(u64),
    ProbeDue,
    Recovering,
}

/// Everything that bears on one member.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    priority: u32,
    weight: u32,
    switch: Switch,
    service: Service,
    tried: bool,
    health: Health,
}

/// Seconds.
const NOW: u64 = 1_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn snapshot(members: &[Drawn], balance: &str) -> Snapshot {
    let mut text = format!(
        "version: 1\nopen: true\nlisten: [{{ address: \"127.0.0.1:1\" }}]\ndefaults: {{ balance: {balance} }}\n\
         endpoints:\n"
    );
    for (
        index,
        Drawn {
            priority, weight, ..
        },
    ) in members.iter().enumerate()
    {
        text += &format!(
            "  e{index}: {{ url: \"http://127.0.0.1:{}\", credential: none, priority: {priority}, weight: {weight}, \
             deployments: {{ m: {{}} }} }}\n",
            1000 + index
        );
    }
    let (config, _) = config::compile(&text, &NoSecrets).unwrap();
    let (registry, resolver) = (Registry::default(), Resolver::default());
    let metrics = Metrics::new();
    Snapshot::link(
        config,
        &registry,
        &resolver,
        &Auth::default(),
        &metrics,
        &Exports::new(&metrics),
    )
}

/// Brings a member into the drawn state, by what would have happened to it.
fn put(member: &Member, drawn: Drawn) {
    member.switch.turn(drawn.switch, at(1));
    let attempt = |status, seconds, trip| {
        let params = BreakerParams {
            failures: NonZeroU32::MIN,
            trip: Duration::from_secs(trip),
            ..BreakerParams::default()
        };
        let lease = Lease::take(&member.endpoint_state, &member.state, at(seconds));
        let outcome = Outcome::of_answer(status, None, None);
        let mut lease = lease.expect("nobody else probes");
        lease.record(&outcome, &params, &CoolDownParams::default(), at(seconds));
    };
    match drawn.health {
        Health::Fine => {}
        Health::Cooling(left, cause) => {
            let health = &member.state.health;
            health.cool_down(at(NOW + left), cause, at(NOW));
        }
        Health::Open(left) => attempt(500, NOW, left),
        Health::ProbeDue => attempt(500, NOW - 10, 10),
        Health::Recovering => {
            attempt(500, NOW - 10, 10);
            attempt(200, NOW, 10);
        }
    }
}

fn any_member() -> impl Strategy<Value = Drawn> {
    let health = prop_oneof![
        3 => Just(Health::Fine),
        2 => (1_u64..50).prop_map(|left| Health::Cooling(left, Cause::Throttled)),
        1 => (1_u64..50).prop_map(|left| Health::Cooling(left, Cause::Auth)),
        2 => (1_u64..50).prop_map(Health::Open),
        1 => Just(Health::ProbeDue),
        2 => Just(Health::Recovering),
    ];
    let switch = prop_oneof![
        8 => Just(Switch::Enabled),
        1 => Just(Switch::Disabled),
        1 => Just(Switch::Drained),
    ];
    let service = prop_oneof![
        8 => Just(Service::Possible),
        1 => Just(Service::Unavailable),
        1 => Just(Service::NoCredential),
    ];
    (
        1_u32..4,
        0_u32..4,
        switch,
        service,
        prop::bool::weighted(0.1),
        health,
    )
        .prop_map(|(priority, weight, switch, service, tried, health)| Drawn {
            priority,
            weight,
            switch,
            service,
            tried,
            health,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// The explanation and the choice are one: whoever is picked was said to get requests, everybody who was said to is
    /// picked sooner or later, and where nobody is left both say the same about it.
    #[test]
    fn whoever_is_picked_was_explained_and_whoever_was_explained_is_picked(
        members in prop::collection::vec(any_member(), 1..6),
        random in any::<bool>(),
        seed in any::<u64>(),
    ) {
        fastrand::seed(seed);
        let balance = if random { "random" } else { "round_robin" };
        let snapshot = snapshot(&members, balance);
        let pool = &snapshot.pools[0];
        for place in pool.places() {
            let member = pool.member(place);
            put(member, members[member.endpoint]);
        }
        let of = |place: Place| members[pool.member(place).endpoint];
        let tried: Vec<Place> = pool.places().filter(|&place| of(place).tried).collect();
        let wanted = Wanted {
            tried: &tried,
            serves: |endpoint: usize| members[endpoint].service,
            now: at(NOW),
        };
        let explanation = pool.explain(&wanted);
        let eligible: BTreeSet<_> = pool
            .places()
            .filter(|&place| explanation.share(place) > 0.0)
            .map(|place| pool.member(place).endpoint)
            .collect();
        let mut decision = Decision::default();
        let mut picked = BTreeSet::new();
        // Enough that one who gets a thirtieth of a tenth is not missed.
        for _ in 0..4_000 {
            // As it was, should a probe be given back.
            let lease = match (pool.pick(&wanted, &mut decision), &explanation.prospect) {
                (Ok(Pick { place, lease }), Ok(prospect)) => {
                    let endpoint = pool.member(place).endpoint;
                    prop_assert!(eligible.contains(&endpoint), "{endpoint}: {explanation:?}");
                    let recovers = members.iter().any(|member| member.health == Health::Recovering);
                    prop_assert!(recovers || place.tier == prospect.group);
                    let priority = pool.tiers[place.tier].priority;
                    prop_assert_eq!(decision.chosen, Chosen::Priority(priority));
                    prop_assert!(decision.skipped.iter().all(|skipped| skipped.place.tier <= place.tier));
                    picked.insert(endpoint);
                    lease
                }
                (Err(blocked), Err(explained)) => {
                    prop_assert_eq!(blocked, *explained);
                    prop_assert_eq!(decision.chosen, Chosen::Nobody);
                    prop_assert!(eligible.is_empty());
                    break;
                }
                (picked, explained) => panic!("picked {picked:?}, explained {explained:?}"),
            };
            drop(lease);
            if picked == eligible {
                break;
            }
        }
        prop_assert_eq!(picked, eligible);
        if let Ok(prospect) = &explanation.prospect {
            let sum: f64 = prospect.shares.iter().flatten().sum();
            prop_assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        }
    }
}
