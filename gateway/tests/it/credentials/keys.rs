//! Two keys while they are being changed.

use simulator::{Fault, Resource};

use super::{
    Endpoint, GPT, KEY, chat, chats, credentials, finish, identity, options, route, served_by,
    standing, start, takes_key, until_served_by,
};
use crate::support::{Fleet, Seen, client, post};

const PRIMARY: &str = "canary-primary";
const SECONDARY: &str = "canary-secondary";
const PAIR: &str = "pair: { api_key: { primary: { value: canary-primary }, secondary: { value: canary-secondary } } }";

/// Before an endpoint that takes `keys`, and another one.
async fn fleet(keys: &[&str]) -> Fleet {
    let mut resource = Resource::new("resource");
    resource.api_keys = keys.iter().map(|&key| key.to_owned()).collect();
    let endpoints: Vec<Endpoint<'_>> = vec![("pair", resource), ("key", takes_key(KEY))];
    start(&identity(options()).await, PAIR, endpoints).await
}

/// Requests at the first endpoint, and those of them that it refused.
fn asked(fleet: &Fleet) -> (u64, u64) {
    let counts = fleet.aoi(1).counts(GPT);
    let refused = counts.statuses.get(&401).copied();
    (counts.requests, refused.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_left_for_the_other_in_the_same_request_and_for_good() {
    let mut fleet = fleet(&[SECONDARY]).await;
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-1", "1"));
    assert_eq!(asked(&fleet), (2, 1));
    assert_eq!(
        credentials(&fleet.aoi(1).last(GPT).unwrap()),
        [("api-key", SECONDARY)]
    );
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-1", "1"));
    assert_eq!(asked(&fleet), (3, 1));
    // Another configuration with the same keys.
    fleet.gateway.reload(&[("priority: 2", "priority: 3")]);
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-1", "1"));
    assert_eq!(asked(&fleet), (4, 1));
    let message = "an endpoint refused one of two keys";
    let said = fleet.gateway.logged_events(message);
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["now_used"], "secondary");
    assert_eq!(
        fleet.gateway.deployment("aoi-1", GPT).await["state"],
        "healthy"
    );
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_all_find_the_good_key() {
    let fleet = fleet(&[SECONDARY]).await;
    for seen in chats(&fleet, 50).await {
        assert_eq!(route(&seen), ("aoi-1", "1"));
    }
    let (requests, refused) = asked(&fleet);
    assert_eq!(requests, 50 + refused);
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-1", "1"));
    assert_eq!(asked(&fleet), (requests + 1, refused));
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_with_the_wrong_key_is_sent_whole_with_the_right_one() {
    let fleet = fleet(&[SECONDARY]).await;
    let content = "long ".repeat(400_000);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{content}"}}]}}"#);
    let request = client().post(fleet.chat_url(GPT)).body(body.clone());
    let answer = request
        .header("content-type", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(fleet.aoi(1).last(GPT).unwrap().body, body);
    assert_eq!(asked(&fleet), (2, 1));
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_body_is_gone_the_next_request_has_the_other_key() {
    let fleet = fleet(&[SECONDARY]).await;
    // Without a length, and too long to be kept.
    let chunks = (0..100).map(|_| Ok::<_, std::io::Error>(" ".repeat(10_000)));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let refused = post(&fleet.chat_url(GPT), body).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(Seen::read(refused).await.code(), "upstream_auth_failed");
    assert_eq!(asked(&fleet), (1, 1));
    until_served_by(&fleet, "aoi-1").await;
    assert_eq!(asked(&fleet), (2, 1));
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_wrong_keys_are_tried_once_each() {
    let fleet = fleet(&["canary-of-nobody"]).await;
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-2", "2"));
    assert_eq!(asked(&fleet), (2, 2));
    let now = fleet.gateway.deployment("aoi-1", GPT).await;
    assert_eq!(
        (&now["state"], &now["reason"]),
        (&"error".into(), &"auth".into())
    );
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-2", "1"));
    assert_eq!(asked(&fleet), (2, 2));
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_do_this_is_not_left() {
    let fleet = fleet(&[PRIMARY, SECONDARY]).await;
    fleet.aoi(1).inject(Fault::status(403).times(1));
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-2", "2"));
    assert_eq!(asked(&fleet), (1, 0));
    let last = fleet.aoi(1).last(GPT).unwrap();
    assert_eq!(credentials(&last), [("api-key", PRIMARY)]);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_swap_their_places_go_on() {
    let mut fleet = fleet(&[PRIMARY]).await;
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-1", "1"));
    assert_eq!(asked(&fleet), (1, 0));
    // What an operator does after the first key was renewed: the new first is the old second.
    fleet.gateway.reload(&[
        (
            "primary: { value: canary-primary }",
            "primary: { value: canary-new }",
        ),
        (
            "secondary: { value: canary-secondary }",
            "secondary: { value: canary-primary }",
        ),
    ]);
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-1", "1"));
    assert_eq!(asked(&fleet), (3, 1));
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_keeps_the_one_of_two_keys_that_it_takes() {
    let endpoints = vec![("pair", takes_key(PRIMARY)), ("pair", takes_key(SECONDARY))];
    let mut fleet = start(&identity(options()).await, PAIR, endpoints).await;
    // So that both are asked.
    fleet.gateway.reload(&[("priority: 2", "priority: 1")]);
    let counts = || {
        [1, 2].map(|number| {
            let counts = fleet.aoi(number).counts(GPT);
            let refused = counts.statuses.get(&401).copied();
            (counts.requests, refused.unwrap_or_default())
        })
    };
    for _ in 0..10 {
        served_by(&chat(&fleet, GPT).await);
    }
    let before = counts();
    assert_eq!(before.map(|(_, refused)| refused), [0, 1]);
    for _ in 0..20 {
        assert_eq!(route(&chat(&fleet, GPT).await).1, "1");
    }
    let after = counts();
    assert_eq!(after.map(|(_, refused)| refused), [0, 1]);
    for (before, after) in before.iter().zip(&after) {
        assert!(after.0 > before.0, "one of them is not asked: {after:?}");
    }
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_corrected_is_used_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "canary-wrong").unwrap();
    let credential = format!("own: {{ api_key: {{ file: {} }} }}", file.display());
    let endpoints = vec![("own", takes_key(PRIMARY)), ("key", takes_key(KEY))];
    let mut fleet = start(&identity(options()).await, &credential, endpoints).await;
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-2", "2"));
    // Nothing has changed, or nothing about the key: it is as wrong as before.
    let unchanged: [&[(&str, &str)]; 2] = [&[], &[("priority: 2", "priority: 3")]];
    for replacements in unchanged {
        fleet.gateway.reload(replacements);
        assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-2", "1"));
        assert_eq!(standing(&fleet).await.1, "auth");
    }
    assert_eq!(asked(&fleet), (1, 1));
    std::fs::write(&file, PRIMARY).unwrap();
    fleet.gateway.reload(&[("priority: 2", "priority: 3")]);
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-1", "1"));
    assert_eq!(asked(&fleet), (2, 1));
    finish(fleet).await;
}
