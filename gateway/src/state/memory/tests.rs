use std::num::NonZeroU32;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    config::compiled::EndpointUrl,
    ids::CredentialName,
    policy::{
        outcome::Outcome,
        params::{BreakerParams, CoolDownParams, RetryParams},
        select::Standing,
    },
    state::{Lease, standing},
};

const ENDPOINTS: u8 = 2;
const DEPLOYMENTS: u8 = 2;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn key(endpoint: u8) -> EndpointKey {
    EndpointKey {
        url: EndpointUrl {
            tls: true,
            host: format!("aoi-{endpoint}.example.com").into(),
            port: 443,
            base_path: "/eu".into(),
        },
        credential: CredentialName::new("fleet").unwrap(),
    }
}

fn name(deployment: u8) -> DeploymentName {
    DeploymentName::new(&format!("gpt-4o-{deployment}")).unwrap()
}

fn model() -> ModelName {
    ModelName::new("gpt-4o").unwrap()
}

/// As a hand-over carries it.
fn successor(old: &Registry, now: Timestamp) -> Registry {
    let memory = old.memory(now);
    let text = serde_json::to_string(&memory).unwrap();
    let read: Memory = serde_json::from_str(&text).unwrap();
    assert_eq!(read, memory);
    let new = Registry::default();
    let restored = new.restore(read, now);
    assert_eq!(restored.dropped, 0);
    assert_eq!(restored.facts, memory.facts.len());
    new
}

/// One thing that happens: which, where, and a number for the rest.
type Event = (u8, u8, u8, u64);

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..10_u8, 0..ENDPOINTS, 0..DEPLOYMENTS, 0..12_000_000_u64);
    prop::collection::vec(event, 0..80)
}

/// Lets it happen, and says what a user of the registry saw of it.
fn happen(
    registry: &Registry,
    (kind, endpoint, deployment, number): Event,
    now: Timestamp,
) -> String {
    let endpoint_state = registry.endpoint(&key(endpoint));
    let state = registry.deployment(&key(endpoint), &name(deployment));
    let breaker = BreakerParams {
        failures: NonZeroU32::new(2).unwrap(),
        ..BreakerParams::default()
    };
    let attempt = |outcome: &Outcome| {
        let lease = Lease::take(&endpoint_state, &state, now);
        let changed = lease.map(|mut lease| {
            (
                lease.is_probe(),
                lease.record(outcome, &breaker, &CoolDownParams::default(), now),
            )
        });
        format!("{changed:?}")
    };
    let (pool, retry) = (registry.pool(&model()), RetryParams::default());
    let seen = match kind {
        0..=2 => attempt(&Outcome::of_answer(200, None, None)),
        3 => attempt(&Outcome::of_answer(500, None, None)),
        4 => attempt(&Outcome::without_answer(Cause::Connect)),
        5 => attempt(&Outcome::of_answer(
            429,
            None,
            Some(Duration::from_micros(number)),
        )),
        6 => format!("{:?}", pool.deposit(now)),
        7 => format!("{:?}", [(); 20].map(|()| pool.withdraw(&retry, now))),
        8 => format!("{}", pool.try_let_through(now)),
        _ => {
            let members: &[usize] = if number % 3 == 0 { &[0, 2] } else { &[0, 1, 2] };
            let wheel = registry.wheel(&model(), u32::from(endpoint));
            format!("{:?}", wheel.lock().pick(&[5, 1, 2], members))
        }
    };
    let stands: Vec<_> = (0..ENDPOINTS)
        .flat_map(|endpoint| (0..DEPLOYMENTS).map(move |deployment| (endpoint, deployment)))
        .map(|(endpoint, deployment)| {
            let endpoint_state = registry.endpoint(&key(endpoint));
            let state = registry.deployment(&key(endpoint), &name(deployment));
            let due = [
                endpoint_state.health.is_probe_due(now),
                state.health.is_probe_due(now),
            ];
            (standing(&endpoint_state, &state, now), due)
        })
        .collect();
    format!("{seen} {stands:?}")
}

proptest! {
    #[test]
    fn a_successor_picks_and_refuses_as_its_predecessor_would_have(before in events(), after in events()) {
        let old = Registry::default();
        let mut now = at(100_000);
        for event in before {
            now = now.saturating_add(Duration::from_micros(event.3));
            happen(&old, event, now);
        }
        let new = successor(&old, now);
        for event in after {
            prop_assert_eq!(happen(&old, event, now), happen(&new, event, now));
            now = now.saturating_add(Duration::from_micros(event.3));
        }
    }
}

#[test]
fn only_what_still_matters_is_told() {
    let registry = Registry::default();
    let state = registry.deployment(&key(1), &name(1));
    state.health.cool_down(at(20), Cause::Throttled, at(1));
    registry.endpoint(&key(1));
    registry.wheel(&model(), 1);
    registry.pool(&model()).deposit(at(11));
    assert!(registry.pool(&model()).try_let_through(at(19)));
    for (now, facts) in [(19, 3), (20, 1), (21, 0)] {
        assert_eq!(registry.memory(at(now)).facts.len(), facts, "at {now} s");
    }
}

#[test]
fn a_probe_stays_with_the_process_that_makes_it() {
    let old = Registry::default();
    let (endpoint, state) = (old.endpoint(&key(1)), old.deployment(&key(1), &name(1)));
    let take = |now| Lease::take(&endpoint, &state, now);
    let params = BreakerParams::default();
    for _ in 0..params.failures.get() {
        let error = Outcome::of_answer(500, None, None);
        take(at(1))
            .unwrap()
            .record(&error, &params, &CoolDownParams::default(), at(1));
    }
    let probe = take(at(40)).unwrap();
    assert!(probe.is_probe() && take(at(40)).is_none());
    let new = successor(&old, at(40));
    let (endpoint, state) = (new.endpoint(&key(1)), new.deployment(&key(1), &name(1)));
    assert_eq!(state.in_flight(), 0);
    let own = Lease::take(&endpoint, &state, at(40)).unwrap();
    assert!(
        own.is_probe(),
        "the outcome of the other one is not heard of here"
    );
    assert!(Lease::take(&endpoint, &state, at(40)).is_none());
}

#[test]
fn a_fact_that_is_not_understood_is_dropped_and_the_others_stay() {
    let endpoint = json!({
        "url": { "tls": true, "host": "aoi-1.example.com", "port": 443, "base_path": "/eu", "zone": 1 },
        "credential": "fleet",
    });
    let of = json!({ "deployment": { "endpoint": endpoint, "name": "gpt-4o-1" } });
    let cool_down = |cause: &str, until: serde_json::Value| json!({ "cool_down": { "of": of, "until": until, "cause": cause, "since": 3 } });
    let memory = json!([
        cool_down("throttled", json!(50_000_000)),
        cool_down("tired", json!(70_000_000)),
        cool_down("auth", json!("later")),
        cool_down("auth", json!(-1)),
        { "cool_down": { "of": { "region": "eu" }, "until": 70_000_000, "cause": "auth" } },
        { "cool_down": { "of": { "endpoint": { "url": endpoint["url"], "credential": "a b" } },
                         "until": 70_000_000, "cause": "auth" } },
        { "breaker": { "of": of, "breaker": { "phase": "melted", "failures": [] } } },
        { "budget": { "model": "gpt-4o", "budget": { "seconds": [] } } },
        { "wheel": { "model": "gpt-4o", "priority": 1, "wheel": { "credit": [u64::MAX] } } },
        { "latency": { "model": "gpt-4o" } },
        null,
    ]);
    let read: Memory = serde_json::from_value(memory).unwrap();
    let registry = Registry::default();
    assert_eq!(
        registry.restore(read, at(1)),
        Restored {
            facts: 1,
            dropped: 10
        }
    );
    let state = registry.deployment(&key(1), &name(1));
    let cooling = Standing::Cooling {
        until: at(50),
        cause: Cause::Throttled,
    };
    assert_eq!(state.health.standing(at(1)), cooling);
    for text in ["{}", "null", "7", r#""yes""#] {
        let read: Memory = serde_json::from_str(text).unwrap();
        assert_eq!((read.facts.len(), read.dropped), (0, 1), "{text}");
    }
}

#[test]
fn impossible_times_hold_nobody_back_for_ever() {
    let far = Timestamp::from_micros(u64::MAX);
    let of = Subject::Endpoint(key(1));
    let open = json!({ "phase": { "open": { "until": far, "trip": { "secs": u64::MAX, "nanos": 0 } } },
                       "failures": [] });
    let memory = Memory {
        facts: vec![
            Fact::CoolDown {
                of: of.clone(),
                until: far,
                cause: Cause::Auth,
            },
            Fact::Breaker {
                of,
                breaker: serde_json::from_value(open).unwrap(),
            },
            Fact::LetThrough {
                model: model(),
                at: far,
            },
        ],
        dropped: 0,
    };
    let registry = Registry::default();
    registry.restore(memory, at(10));
    let health = &registry.endpoint(&key(1)).health;
    let latest = at(10).saturating_add(HOLD_MAX);
    assert_eq!(health.cooling(at(10)), Some((latest, Cause::Auth)));
    assert!(health.is_probe_due(latest));
    assert!(registry.pool(&model()).try_let_through(at(11)));
}

#[test]
fn a_cool_down_that_is_restored_shortens_none() {
    let registry = Registry::default();
    let state = registry.endpoint(&key(1));
    state.health.cool_down(at(20), Cause::Throttled, at(1));
    let memory = registry.memory(at(1));
    state.health.cool_down(at(30), Cause::Auth, at(1));
    registry.restore(memory, at(1));
    assert_eq!(state.health.cooling(at(1)), Some((at(30), Cause::Auth)));
}

#[test]
fn a_switch_is_told_and_kept_unless_it_is_as_a_new_one() {
    let registry = Registry::default();
    for (name, switch) in [
        ("kept", Switch::Disabled),
        ("back", Switch::Drained),
        ("back", Switch::Enabled),
    ] {
        registry
            .switch(&EndpointName::new(name).unwrap())
            .turn(switch, at(1));
    }
    registry.prune(at(1));
    let memory = registry.memory(at(1));
    assert_eq!(memory.facts.len(), 1, "{memory:?}");
    let new = successor(&registry, at(2));
    let kept = new.switch(&EndpointName::new("kept").unwrap());
    assert_eq!(
        (kept.position(), kept.since()),
        (Switch::Disabled, Some(at(1)))
    );
}

/// Another version of the program reads this: a change loses what the old one remembered.
#[test]
fn it_is_written_in_words_that_hold_for_all_versions() {
    let endpoint = json!({
        "url": { "tls": true, "host": "aoi-1.example.com", "port": 443, "base_path": "/eu" },
        "credential": "fleet",
    });
    let on = json!({ "endpoint": endpoint });
    let of = json!({ "deployment": { "endpoint": endpoint, "name": "gpt-4o-1" } });
    let trip = json!({ "secs": 30, "nanos": 0 });
    let breaker = |phase| json!({ "breaker": { "of": of, "breaker": { "phase": phase, "failures": [7, 8] } } });
    let second = json!({ "number": 7, "requests": 2, "retries": 1 });
    let written = json!([
        { "cool_down": { "of": on, "until": 20_000_000, "cause": "throttled" } },
        breaker(json!("closed")),
        breaker(json!({ "open": { "until": 9, "trip": trip } })),
        breaker(json!({ "half_open": { "until": 9, "trip": trip } })),
        breaker(json!({ "ramp": { "step": 1, "since": 9, "successes": 2 } })),
        { "budget": { "model": "gpt-4o", "budget": { "seconds": vec![second; 10] } } },
        { "let_through": { "model": "gpt-4o", "at": 9 } },
        { "wheel": { "model": "gpt-4o", "priority": 1, "wheel": { "credit": [-3, 1, 2] } } },
        { "switch": { "endpoint": "aoi-1", "switch": "drained" } },
        { "switch": { "endpoint": "aoi-1", "switch": "drained", "since": 9 } },
    ]);
    let read: Memory = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(read.dropped, 0);
    assert_eq!(serde_json::to_value(read).unwrap(), written);
    for cause in Cause::ALL {
        assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
    }
}
