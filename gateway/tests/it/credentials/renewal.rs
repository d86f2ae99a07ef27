//! Tokens that come to their end while requests run.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use gateway::clock;
use simulator::{Door, IdentityFault, forge};
use tokio::time::Instant;

use super::{
    FLEET, GPT, KEY, RETRIES, ask, chat, chats, finish, requested, served_by, short_lived,
    standing, start, start_with, takes_key, takes_tokens, token_at, until, until_served_by,
    without_credential,
};
use crate::support::{Fleet, client};

const LONG: Duration = Duration::from_secs(3600);

fn unix_now() -> f64 {
    clock::unix_now().as_secs_f64()
}

/// When the token expires that the first endpoint was shown last.
fn expiry(fleet: &Fleet) -> f64 {
    let (_, claims) = forge::decode(&token_at(fleet, 1, GPT)).expect("a JWT");
    claims["exp"].as_f64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_before_it_expires() {
    let machine = short_lived(6).await;
    let fleet = start(&machine, FLEET, vec![("fleet", takes_tokens())]).await;
    until(&fleet, GPT, |seen| seen.status == 200).await;
    let end = expiry(&fleet);
    machine.control().set_token_lifetime(LONG);
    while unix_now() < end + 0.5 {
        served_by(&chat(&fleet, GPT).await);
    }
    assert!(expiry(&fleet) > end + 60.0, "the old token is used");
    assert_eq!(machine.control().requests(Door::Imds), 2);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_renewed_is_used_to_its_end_and_comes_back() {
    let machine = short_lived(8).await;
    let fleet = start(&machine, FLEET, vec![("fleet", takes_tokens())]).await;
    until(&fleet, GPT, |seen| seen.status == 200).await;
    let end = expiry(&fleet);
    machine
        .control()
        .inject(Door::Imds, IdentityFault::status(500));
    requested(&machine, Door::Imds, 2).await;
    served_by(&chat(&fleet, GPT).await);

    let mut last_served = 0.0;
    let refused = loop {
        let begun = unix_now();
        let seen = chat(&fleet, GPT).await;
        if seen.status != 200 {
            break seen;
        }
        last_served = begun;
    };
    assert!(last_served > end - 1.5, "not used to its end");
    assert!(last_served < end + 0.5, "used after its end");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.wait().is_some(), "{refused:?}");
    let refused = chat(&fleet, GPT).await;
    assert_eq!(refused.code(), "upstream_unavailable");
    assert_eq!(standing(&fleet).await, without_credential());
    // At most the one that was on its way at the end.
    let statuses = fleet.aoi(1).counts(GPT).statuses;
    let expired = statuses.get(&401).copied().unwrap_or_default();
    assert!(expired <= 1, "expired tokens were sent: {statuses:?}");

    machine.control().set_token_lifetime(LONG);
    machine.control().clear();
    fleet.gateway.until("aoi-1", GPT, "healthy").await;
    served_by(&chat(&fleet, GPT).await);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_waits_for_a_renewal() {
    let machine = short_lived(8).await;
    let endpoints = vec![("fleet", takes_tokens()), ("key", takes_key(KEY))];
    let fleet = start(&machine, FLEET, endpoints).await;
    until_served_by(&fleet, "aoi-1").await;
    machine.control().set_token_lifetime(LONG);
    let late = IdentityFault::late(Duration::from_secs(10)).times(1);
    machine.control().inject(Door::Imds, late);
    let renewed = AtomicBool::new(false);
    // From before the renewal begins, over the end of the old token, until the new one is there.
    let slowest = async {
        let (client, mut slowest, mut elsewhere) = (client(), Duration::ZERO, false);
        while !renewed.load(Ordering::Relaxed) {
            let begun = Instant::now();
            elsewhere |= served_by(&ask(&fleet, &client, GPT).await) == "aoi-2";
            slowest = slowest.max(begun.elapsed());
        }
        assert!(elsewhere, "the old token has not come to its end");
        slowest
    };
    let watch = async {
        requested(&machine, Door::Imds, 2).await;
        assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-1");
        fleet.gateway.until("aoi-1", GPT, "error").await;
        fleet.gateway.until("aoi-1", GPT, "healthy").await;
        renewed.store(true, Ordering::Relaxed);
    };
    let (slowest, ()) = tokio::join!(slowest, watch);
    assert!(slowest < Duration::from_secs(2), "one took {slowest:?}");
    assert_eq!(machine.control().requests(Door::Imds), 2);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_requests_over_the_end_of_a_token_fetch_one() {
    let machine = short_lived(6).await;
    let endpoints = vec![("fleet", takes_tokens()), ("key", takes_key(KEY))];
    let fleet = start_with(&machine, FLEET, endpoints, RETRIES, |_| {}).await;
    until_served_by(&fleet, "aoi-1").await;
    machine.control().set_token_lifetime(LONG);
    let late = IdentityFault::late(Duration::from_secs(5)).times(1);
    machine.control().inject(Door::Imds, late);
    // While it is renewed, and while there is none. Some are on their way when it comes to its end, and refused: that
    // must neither fetch another one nor keep the endpoint out for longer.
    requested(&machine, Door::Imds, 2).await;
    for seen in chats(&fleet, 500).await {
        served_by(&seen);
    }
    fleet.gateway.until("aoi-1", GPT, "error").await;
    for seen in chats(&fleet, 500).await {
        served_by(&seen);
    }
    fleet.gateway.until("aoi-1", GPT, "healthy").await;
    for seen in chats(&fleet, 500).await {
        assert_eq!(served_by(&seen), "aoi-1");
    }
    assert_eq!(machine.control().requests(Door::Imds), 2);
    finish(fleet).await;
}
