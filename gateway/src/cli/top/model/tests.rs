use serde_json::{Value, json};

use super::{Board, History, Rates, left_without};
use crate::cli::{shown::Status, top::sample};

fn status(value: Value) -> Status {
    serde_json::from_value(value).expect("the contract of /status")
}

/// Of the deployment on `aoi-1`, whose counters begin at `before` and go to `after` in `seconds`.
fn rates(before: [f64; 3], after: [f64; 3], seconds: f64) -> Rates {
    let at = |now: f64, [ok, failed, tokens]: [f64; 3]| {
        let mut value = sample::status(now);
        let deployment = &mut value["pools"][0]["deployments"][1];
        deployment["attempts"] = json!({ "ok": ok, "client": 1, "failed": failed });
        deployment["tokens"] = json!({ "prompt": tokens, "completion": 5 });
        status(value)
    };
    let (before, after) = (at(100.0, before), at(100.0 + seconds, after));
    let board = Board::of(Some(&before), &after);
    board
        .members()
        .find(|member| member.deployment.endpoint == "aoi-1")
        .expect("it is in the sample")
        .rates
}

#[test]
fn rates_are_what_was_added_per_second() {
    let known = |requests, failed, tokens| Rates {
        requests: Some(requests),
        failed: Some(failed),
        tokens: Some(tokens),
    };
    for (before, after, seconds, expected) in [
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 1.0, known(0.0, 0.0, 0.0)),
        (
            [5.0, 1.0, 100.0],
            [9.0, 2.0, 700.0],
            1.0,
            known(5.0, 1.0, 600.0),
        ),
        (
            [5.0, 1.0, 100.0],
            [9.0, 2.0, 700.0],
            2.0,
            known(2.5, 0.5, 300.0),
        ),
        // Counters that went back are new ones: nothing is known to have happened, and nothing is negative.
        (
            [5.0, 1.0, 100.0],
            [0.0, 0.0, 0.0],
            1.0,
            known(0.0, 0.0, 0.0),
        ),
        (
            [5.0, 1.0, 100.0],
            [3.0, 4.0, 0.0],
            1.0,
            known(1.0, 3.0, 0.0),
        ),
        // No time has passed, or the clock was set back.
        ([0.0, 0.0, 0.0], [9.0, 9.0, 9.0], 0.0, Rates::default()),
        ([0.0, 0.0, 0.0], [9.0, 9.0, 9.0], -5.0, Rates::default()),
    ] {
        let seen = rates(before, after, seconds);
        assert_eq!(seen, expected, "{before:?} to {after:?} in {seconds} s");
    }
}

#[test]
fn totals_are_the_sums_and_unknown_without_an_earlier_look() {
    let (before, after) = (status(sample::status(10.0)), status(sample::status(12.0)));
    let board = Board::of(Some(&before), &after);
    assert_eq!(board.rates.requests, Some(10.0));
    assert_eq!(board.rates.tokens, Some(1000.0));
    assert_eq!(board.error_ratio(), Some(0.0));
    assert_eq!(board.in_flight, 8);
    let board = Board::of(None, &after);
    assert_eq!(board.rates, Rates::default());
    assert_eq!(board.error_ratio(), None);
}

#[test]
fn a_deployment_that_was_not_there_before_has_no_rate_yet() {
    let after = status(sample::status(12.0));
    let mut before = status(sample::status(10.0));
    before.pools[0]
        .deployments
        .retain(|it| it.endpoint != "aoi-1");
    before.pools.remove(1);
    let board = Board::of(Some(&before), &after);
    assert_eq!(board.pools[0].members[0].rates, Rates::default());
    assert_eq!(board.pools[1].rates.requests, None);
    assert_eq!(board.rates.requests, Some(10.0), "of what is known");
}

#[test]
fn rates_are_over_the_last_seconds_and_begin_anew_with_another_process() {
    let mut history = History::default();
    let mut look = |now: f64, started: f64, requests: f64| {
        let mut value = sample::status(now);
        value["started"] = json!(started);
        value["pools"][0]["requests"] = json!(requests);
        history.add(status(value));
        history.board().expect("there was a look").rates.requests
    };
    assert_eq!(look(100.0, 0.0, 0.0), None);
    assert_eq!(look(101.0, 0.0, 50.0), Some(50.0));
    assert_eq!(look(105.0, 0.0, 50.0), Some(10.0));
    assert_eq!(
        look(106.0, 0.3, 50.0),
        Some(0.0),
        "the burst was six seconds ago"
    );
    assert_eq!(look(107.0, 106.5, 70.0), None, "a new process");
    assert_eq!(look(108.0, 106.5, 73.0), Some(3.0));
}

#[test]
fn rows_are_by_priority_and_clients_by_tokens_per_second() {
    let (before, after) = (status(sample::status(10.0)), status(sample::status(11.0)));
    let board = Board::of(Some(&before), &after);
    let endpoints: Vec<_> = board
        .members()
        .map(|member| member.deployment.endpoint.as_str())
        .collect();
    assert_eq!(endpoints, ["aoi-1", "aoi-2", "openai-spare", "aoi-2"]);
    let names = |board: &Board<'_>| -> Vec<String> {
        let names = board.clients.iter().map(|row| row.client.name.clone());
        names.collect()
    };
    assert_eq!(names(&board), ["team-busy", "team-idle"]);
    let first_look = Board::of(None, &after);
    assert_eq!(
        names(&first_look),
        ["team-idle", "team-busy"],
        "by all tokens"
    );
}

#[test]
fn a_filter_and_trouble_narrow_the_rows_and_not_the_sums() {
    for (filter, only_trouble, expected) in [
        ("", false, &["aoi-1", "aoi-2", "openai-spare", "aoi-2"][..]),
        ("AOI-1", false, &["aoi-1"]),
        ("embedding", false, &["aoi-2"]),
        ("gpt-4", false, &["aoi-1", "aoi-2", "openai-spare"]),
        ("throttl", false, &["aoi-2"]),
        ("nobody", false, &[]),
        // One attempt of aoi-1 fails every second.
        ("", true, &["aoi-1", "aoi-2", "openai-spare", "aoi-2"]),
        ("spare", true, &["openai-spare"]),
    ] {
        let (before, after) = (status(sample::status(10.0)), status(sample::status(11.0)));
        let board = Board::of(Some(&before), &after).narrowed(filter, only_trouble);
        let seen: Vec<_> = board
            .members()
            .map(|member| member.deployment.endpoint.as_str())
            .collect();
        assert_eq!(seen, expected, "{filter:?}, only trouble: {only_trouble}");
        assert_eq!(board.rates.requests, Some(10.0));
    }
    let healthy = Board::of(None, &status(sample::status(10.0)))
        .narrowed("", true)
        .members()
        .any(|member| member.deployment.endpoint == "aoi-1");
    assert!(!healthy);
}

#[test]
fn it_is_known_whom_a_model_would_be_left_without() {
    let status = status(sample::status(10.0));
    assert_eq!(left_without(&status, "aoi-1"), ["gpt-4o"]);
    assert_eq!(left_without(&status, "aoi-2"), ["text-embedding-3-large"]);
    assert!(left_without(&status, "openai-spare").is_empty());
}
