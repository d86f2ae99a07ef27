//! Failover, throttling and the circuit breaker over real sockets, as the seeds tell it.

use std::time::Duration;

use futures_util::future::join_all;
use simulator::{Action, Fault, Limits};
use tokio::time::Instant;

use crate::support::{Fleet, Gateway, PATIENCE, Seen, in_order};

const GPT: &str = "gpt-4o";
const MINI: &str = "gpt-4o-mini";

/// A 429 that asks for so many seconds.
fn throttle(seconds: u32) -> Action {
    Action::Status {
        status: 429,
        headers: [("retry-after".to_owned(), seconds.to_string())].into(),
        body: None,
    }
}

async fn seen(fleet: &Fleet, model: &str) -> Seen {
    Seen::read(fleet.chat(model).await).await
}

async fn statuses(fleet: &Fleet, model: &str, requests: usize) -> Vec<u16> {
    let all = join_all((0..requests).map(|_| seen(fleet, model))).await;
    all.iter().map(|seen| seen.status).collect()
}

async fn seconds_left(gateway: &Gateway, endpoint: &str, model: &str) -> f64 {
    let state = gateway.deployment(endpoint, model).await;
    assert_eq!(state["state"], "throttling", "{state}");
    state["seconds_left"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saturated_endpoint_is_left_alone_until_its_retry_after_and_no_client_notices() {
    let limits = Limits {
        rpm: Some(120),
        burst_window_s: Some(1),
        ..Limits::default()
    };
    let config = "defaults: { cool_down: { min: 50ms } }";
    let shape = |name: &str, mut resource: simulator::Resource| {
        if name == "aoi-1" {
            for deployment in &mut resource.deployments {
                deployment.limits = limits.clone();
            }
        }
        resource
    };
    let fleet = Fleet::with(config, shape, in_order).await;
    let counted = |status| {
        let counts = fleet.aoi(1).counts(GPT);
        counts.statuses.get(&status).copied().unwrap_or(0)
    };
    let deadline = Instant::now() + PATIENCE;
    for round in 1..=2 {
        while counted(429) < round {
            assert_eq!(fleet.chat(GPT).await.status(), 200);
            assert!(Instant::now() < deadline);
        }
        let served = counted(200);
        while counted(200) == served {
            assert_eq!(fleet.chat(GPT).await.status(), 200);
            assert!(Instant::now() < deadline, "its traffic does not return");
        }
        assert_eq!(counted(429), round, "it was asked before its time was over");
    }
    assert!(fleet.requests(GPT)[1] >= 2);
    assert_eq!(fleet.requests(GPT)[2], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_deployment_leaves_the_others_of_its_endpoint_serving() {
    let second_first = |name: &str| {
        let priority = if name == "aoi-2" { 1 } else { 2 };
        format!("    priority: {priority}\n")
    };
    let fleet = Fleet::with("", |_, resource| resource, second_first).await;
    fleet.aoi(2).inject(Fault::new(throttle(30)).on(GPT));
    for _ in 0..10 {
        assert_eq!(fleet.chat(GPT).await.status(), 200);
        assert_eq!(fleet.chat(MINI).await.status(), 200);
    }
    assert_eq!(fleet.requests(GPT)[1], 1);
    assert_eq!(fleet.requests(MINI), [0, 10, 0]);
    let left = seconds_left(&fleet.gateway, "aoi-2", GPT).await;
    assert!((20.0..=30.0).contains(&left), "{left}");
    assert_eq!(
        fleet.gateway.deployment("aoi-2", MINI).await["state"],
        "healthy"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_priority_is_used_only_when_the_earlier_one_has_nobody() {
    let two_tiers = |name: &str| {
        let priority = if name == "aoi-3" { 2 } else { 1 };
        format!("    priority: {priority}\n    weight: {}\n", &name[4..])
    };
    let fleet = Fleet::with("", |_, resource| resource, two_tiers).await;
    assert_eq!(statuses(&fleet, GPT, 30).await, [200; 30]);
    assert_eq!(fleet.requests(GPT), [10, 20, 0]);

    fleet.aoi(1).inject(Fault::new(throttle(30)).on(GPT));
    for _ in 0..20 {
        assert_eq!(fleet.chat(GPT).await.status(), 200);
    }
    assert_eq!(fleet.requests(GPT)[2], 0);

    fleet.aoi(2).inject(Fault::new(throttle(30)).on(GPT));
    for _ in 0..10 {
        assert_eq!(fleet.chat(GPT).await.status(), 200);
    }
    assert_eq!(fleet.requests(GPT)[2], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn weight_zero_gets_nothing_even_when_all_others_are_down() {
    let drained = |name: &str| {
        let weight = u8::from(name != "aoi-3");
        format!("    weight: {weight}\n")
    };
    let mut fleet = Fleet::with("", |_, resource| resource, drained).await;
    assert_eq!(statuses(&fleet, GPT, 20).await, [200; 20]);
    fleet.simulators[0].stop().await;
    fleet.simulators[1].stop().await;
    for _ in 0..20 {
        let seen = seen(&fleet, GPT).await;
        assert_eq!((seen.status, &*seen.code()), (503, "upstream_unavailable"));
    }
    assert_eq!(fleet.requests(GPT)[2], 0);
    let state = fleet.gateway.deployment("aoi-3", GPT).await;
    assert_eq!(state["state"], "disabled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_endpoints_are_down_never_reaches_one_that_does_not_have_it() {
    let mut fleet = Fleet::start("").await;
    for number in [2, 3] {
        fleet.simulators[number - 1].stop().await;
    }
    for _ in 0..20 {
        let seen = seen(&fleet, MINI).await;
        assert_eq!((seen.status, &*seen.code()), (503, "upstream_unavailable"));
        assert!(seen.wait().is_some_and(|wait| wait <= 120.0));
        assert!(seen.text().contains(MINI), "it names the model");
    }
    let stats = fleet.aoi(1).stats();
    assert_eq!((stats.resource.requests, stats.connections), (0, 0));
    assert_eq!(fleet.chat(GPT).await.status(), 200);
    for number in [2, 3] {
        fleet.simulators[number - 1].restart().await.unwrap();
        fleet.aoi(number).inject(Fault::new(throttle(20)).on(MINI));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_opens_lets_one_probe_through_and_ramps_up() {
    let config = "defaults: { circuit_breaker: { failures: 3, trip: 1s } }";
    let fleet = Fleet::in_order(config).await;
    let state = async || fleet.gateway.deployment("aoi-1", GPT).await["state"].clone();
    fleet.aoi(1).inject(Fault::status(500).on(GPT).times(4));
    for expected in ["healthy", "healthy", "error"] {
        assert_eq!(fleet.chat(GPT).await.status(), 200);
        assert_eq!(state().await, expected);
    }
    assert_eq!(statuses(&fleet, GPT, 10).await, [200; 10]);
    assert_eq!(
        fleet.requests(GPT)[0],
        3,
        "nothing is sent while it is open"
    );

    // The first probe fails: open again. No client notices.
    let deadline = Instant::now() + PATIENCE;
    while fleet.requests(GPT)[0] == 3 {
        assert_eq!(fleet.chat(GPT).await.status(), 200);
        assert!(Instant::now() < deadline, "no probe");
    }
    assert_eq!(state().await, "error");

    // The second one takes its time; nobody joins it.
    fleet
        .aoi(1)
        .inject(Fault::new(Action::SlowFirstByte { ms: 300 }).on(GPT));
    while state().await == "error" {}
    assert_eq!(statuses(&fleet, GPT, 20).await, [200; 20]);
    assert_eq!(fleet.requests(GPT)[0], 5, "more than one probe");
    fleet.aoi(1).clear_faults();

    assert_eq!(state().await, "recovering");
    let before = fleet.requests(GPT);
    while state().await != "healthy" {
        assert_eq!(fleet.chat(GPT).await.status(), 200);
        assert!(Instant::now() < deadline, "it does not recover");
    }
    let after = fleet.requests(GPT);
    assert!(after[0] - before[0] >= 3, "it gets a share");
    assert!(after[1] > before[1], "but not all at once");
    let metric = fleet.gateway.metric("tokenweir_breaker_trips_total").await;
    assert!((metric - 2.0).abs() < 0.1, "{metric}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_usable_deployment_is_not_taken_out_by_its_breaker() {
    let config = "defaults: { circuit_breaker: { failures: 1, trip: 1h } }";
    let alone = |name: &str| format!("    weight: {}\n", u8::from(name == "aoi-2"));
    let fleet = Fleet::with(config, |_, resource| resource, alone).await;
    fleet.aoi(2).inject(Fault::status(500).on(MINI).times(3));
    for expected in [500, 500, 500, 200, 200] {
        assert_eq!(seen(&fleet, MINI).await.status, expected);
    }
    assert_eq!(fleet.requests(MINI), [0, 5, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_connections_take_all_deployments_of_an_endpoint_out() {
    let config = "defaults: { circuit_breaker: { failures: 3 } }";
    let mut fleet = Fleet::in_order(config).await;
    fleet.simulators[0].stop().await;
    for _ in 0..3 {
        assert_eq!(fleet.chat(GPT).await.status(), 200);
    }
    let state = fleet.gateway.deployment("aoi-1", "embedding-3-small").await;
    assert_eq!(
        (&state["state"], &state["reason"]),
        (&"error".into(), &"breaker".into())
    );
    let state = fleet.gateway.deployment("aoi-2", GPT).await;
    assert_eq!(state["state"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_all_endpoints_is_not_amplified() {
    let status = |status| Action::Status {
        status,
        headers: [].into(),
        body: None,
    };
    let outages = [
        [status(500), status(502), status(503)],
        [status(503), status(503), status(503)],
        [const { Action::ResetBeforeHeaders }; 3],
    ];
    for outage in outages {
        let fleet = Fleet::start("").await;
        for (number, action) in (1..).zip(outage) {
            fleet.aoi(number).inject(Fault::new(action));
        }
        for _ in 0..20 {
            let statuses = statuses(&fleet, GPT, 50).await;
            assert!(statuses.iter().all(|&status| status >= 500), "{statuses:?}");
        }
        let upstream: u64 = fleet.requests(GPT).iter().sum();
        assert!(upstream <= 1_300, "{upstream} upstream requests for 1,000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_throttled_one_request_a_second_asks_and_the_others_are_told_at_once() {
    let fleet = Fleet::in_order("").await;
    for (number, seconds) in [(1, 60), (2, 40), (3, 50)] {
        fleet
            .aoi(number)
            .inject(Fault::new(throttle(seconds)).on(GPT));
    }
    let first = seen(&fleet, GPT).await;
    assert_eq!(first.status, 429);
    assert_eq!(first.header("x-tokenweir-attempts"), Some("3"));
    assert_eq!(fleet.requests(GPT), [1, 1, 1]);

    let start = Instant::now();
    let mut own = 0;
    for _ in 0..100 {
        let seen = seen(&fleet, GPT).await;
        assert_eq!(seen.status, 429);
        let wait = seen.wait().expect("both headers");
        assert!((20.0..=40.0).contains(&wait), "{wait}");
        own += usize::from(seen.code() == "upstream_throttled");
    }
    let asked = fleet.requests(GPT);
    let seconds = start.elapsed().as_secs();
    assert!(
        (2..=2 + seconds + 1).contains(&asked[0]),
        "{asked:?} in {seconds} s"
    );
    assert_eq!(asked[1..], [1, 1], "only the preferred one is asked");
    assert!(own >= 90, "{own}");

    fleet.aoi(1).clear_faults();
    while seen(&fleet, GPT).await.status != 200 {
        assert!(start.elapsed() < PATIENCE, "nobody is let through");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_throttled_answers_at_once_lose_no_mark_and_shorten_none() {
    let config = "defaults: { retry: { budget: 100%, budget_min_per_second: 1000 } }";
    let fleet = Fleet::in_order(config).await;
    fleet
        .aoi(1)
        .inject(Fault::new(throttle(50)).on(GPT).times(1));
    fleet.aoi(1).inject(Fault::new(throttle(5)).on(GPT));
    fleet.aoi(2).inject(Fault::new(throttle(20)).on(GPT));
    assert_eq!(statuses(&fleet, GPT, 200).await, [200; 200]);
    let left = seconds_left(&fleet.gateway, "aoi-1", GPT).await;
    assert!(left > 30.0, "{left}");
    let left = seconds_left(&fleet.gateway, "aoi-2", GPT).await;
    assert!((10.0..=20.0).contains(&left), "{left}");
    let before = fleet.requests(GPT);
    assert_eq!(fleet.chat(GPT).await.status(), 200);
    assert_eq!(fleet.requests(GPT), [before[0], before[1], before[2] + 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sick_endpoints_do_not_take_a_model_away_from_the_third() {
    let fleet = Fleet::start("defaults: { circuit_breaker: { failures: 3 } }").await;
    for number in [1, 2] {
        fleet.aoi(number).inject(Fault::status(500).on(GPT));
    }
    for _ in 0..20 {
        assert_eq!(fleet.chat(GPT).await.status(), 200);
    }
    let [first, second, third] = fleet.requests(GPT);
    assert!(
        first <= 4 && second <= 4,
        "{first} and {second} after both breakers should be open"
    );
    assert_eq!(third, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_endpoint_beside_a_dead_one_is_told_at_once_with_a_time() {
    let mut fleet = Fleet::start("").await;
    fleet.simulators[1].stop().await;
    fleet.aoi(3).inject(Fault::new(throttle(20)).on(MINI));
    let started = Instant::now();
    for _ in 0..10 {
        let seen = seen(&fleet, MINI).await;
        assert!(matches!(seen.status, 429 | 503), "{}", seen.text());
        assert!(seen.wait().is_some_and(|wait| wait <= 20.0));
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}
