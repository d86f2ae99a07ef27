//! Endpoints that do not take the gateway's token.

use std::time::Duration;

use simulator::{Action, Door, Fault, Resource};
use tokio::time::Instant;

use super::{
    AUDIENCE, FLEET, GPT, KEY, chat, chats, finish, identity, options, requested, route, served_by,
    standing, start, start_with, takes_key, takes_tokens, token_at, until, until_served_by,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_token_is_replaced_once_and_its_requests_go_elsewhere() {
    let machine = identity(options()).await;
    let endpoints = vec![("fleet", takes_tokens()), ("key", takes_key(KEY))];
    let fleet = start_with(&machine, FLEET, endpoints, "", |_| {}).await;
    until_served_by(&fleet, "aoi-1").await;
    let old = token_at(&fleet, 1, GPT);

    fleet.aoi(1).refuse_tokens(true);
    // So that all are under way before the first is refused.
    let slow = Action::SlowFirstByte { ms: 1500 };
    fleet.aoi(1).inject(Fault::new(slow).times(50));
    let begun = Instant::now();
    for seen in chats(&fleet, 50).await {
        assert_eq!(route(&seen), ("aoi-2", "2"));
    }
    assert_eq!(fleet.aoi(1).counts(GPT).statuses[&401], 50);
    requested(&machine, Door::Imds, 2).await;
    let (state, reason) = standing(&fleet).await;
    assert_eq!((&*state, &*reason), ("error", "auth"));

    until_served_by(&fleet, "aoi-1").await;
    let back = begun.elapsed();
    assert!(back < Duration::from_secs(10), "back after {back:?}");
    assert_ne!(token_at(&fleet, 1, GPT), old);
    assert_eq!(fleet.aoi(1).counts(GPT).statuses[&401], 50);
    assert_eq!(machine.control().requests(Door::Imds), 2);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_takes_no_token_of_ours_is_left_alone() {
    let machine = identity(options()).await;
    let other = Resource::new("other").token_audience("https://elsewhere.example");
    let endpoints = vec![("fleet", other), ("key", takes_key(KEY))];
    let fleet = start(&machine, FLEET, endpoints).await;
    let asked = || fleet.aoi(1).counts(GPT).requests;
    // Once with the token that it had, and once with another one.
    until(&fleet, GPT, |seen| {
        assert_eq!(served_by(seen), "aoi-2");
        asked() == 2
    })
    .await;
    assert_eq!(machine.control().requests(Door::Imds), 2);
    let now = fleet.gateway.deployment("aoi-1", GPT).await;
    let left = now["seconds_left"].as_f64().unwrap_or_default();
    assert!(now["reason"] == "auth" && left > 50.0, "{now}");
    assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-2");
    assert_eq!((asked(), machine.control().requests(Door::Imds)), (2, 2));
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_else_can_serve_the_client_is_not_told_that_it_is_unauthorized() {
    let machine = identity(options()).await;
    let fleet = start(&machine, FLEET, vec![("fleet", takes_tokens())]).await;
    until_served_by(&fleet, "aoi-1").await;
    fleet.aoi(1).refuse_tokens(true);
    let seen = chat(&fleet, GPT).await;
    assert_eq!((seen.status, &*seen.code()), (503, "upstream_auth_failed"));
    assert!(seen.wait().is_some_and(|wait| wait <= 5.0), "{seen:?}");
    until(&fleet, GPT, |seen| seen.status == 200).await;
    assert_eq!(machine.control().requests(Door::Imds), 2);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_do_this_is_not_replaced() {
    let machine = identity(options()).await;
    let endpoints = vec![("fleet", takes_tokens()), ("key", takes_key(KEY))];
    let fleet = start(&machine, FLEET, endpoints).await;
    until_served_by(&fleet, "aoi-1").await;
    fleet.aoi(1).inject(Fault::status(403).times(1));
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-2", "2"));
    let now = fleet.gateway.deployment("aoi-1", GPT).await;
    let left = now["seconds_left"].as_f64().unwrap_or_default();
    assert!(now["reason"] == "auth" && left > 50.0, "{now}");
    assert_eq!(machine.control().requests(Door::Imds), 1);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_endpoint_refuses_another_may_take() {
    let machine = identity(options()).await;
    let other = Resource::new("other").token_audience("https://elsewhere.example");
    let own = Resource::new("own").token_audience(AUDIENCE);
    let fleet = start(&machine, FLEET, vec![("fleet", other), ("fleet", own)]).await;
    // With the same token, which is replaced meanwhile, and which is there all the time.
    until(&fleet, GPT, |seen| {
        assert_eq!(served_by(seen), "aoi-2");
        fleet.aoi(1).counts(GPT).requests == 2
    })
    .await;
    assert_eq!(machine.control().requests(Door::Imds), 2);
    finish(fleet).await;
}
