//! Tokens outlive a configuration and a process, for as long as somebody uses them.

use std::time::Duration;

use rustix::process::Signal;
use simulator::{Door, IdentityFault};

use super::{
    FLEET, GPT, KEY, chat, finish, identity, options, requested, route, served_by, short_lived,
    standing, start, takes_key, takes_tokens, token_at, until, until_served_by, without_credential,
};
use crate::support::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_begins_with_the_token_of_the_old_one() {
    let mut machine = identity(options()).await;
    let mut fleet = start(&machine, FLEET, vec![("fleet", takes_tokens())]).await;
    until_served_by(&fleet, "aoi-1").await;
    let token = token_at(&fleet, 1, GPT);
    for is_down in [false, true] {
        if is_down {
            machine.stop().await;
        }
        fleet.gateway.signal(Signal::USR2);
        fleet.gateway.handed_over();
        assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-1");
        assert_eq!(token_at(&fleet, 1, GPT), token);
    }
    assert_eq!(machine.control().requests(Door::Imds), 1);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_renews_the_token_that_it_was_given() {
    let machine = short_lived(6).await;
    let mut fleet = start(&machine, FLEET, vec![("fleet", takes_tokens())]).await;
    until_served_by(&fleet, "aoi-1").await;
    let token = token_at(&fleet, 1, GPT);
    machine
        .control()
        .set_token_lifetime(Duration::from_secs(3600));
    fleet.gateway.signal(Signal::USR2);
    fleet.gateway.handed_over();
    assert!(fleet.gateway.ended().await.success());
    requested(&machine, Door::Imds, 2).await;
    until(&fleet, GPT, |seen| {
        assert_eq!(served_by(seen), "aoi-1");
        token_at(&fleet, 1, GPT) != token
    })
    .await;
    assert_eq!(machine.control().requests(Door::Imds), 2);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_fetches_what_is_new_and_nothing_else() {
    let machine = identity(options()).await;
    let endpoints = vec![("fleet", takes_tokens()), ("key", takes_key(KEY))];
    let mut fleet = start(&machine, FLEET, endpoints).await;
    until_served_by(&fleet, "aoi-1").await;
    let token = token_at(&fleet, 1, GPT);
    let renamed = [
        ("fleet: {", "renamed: {"),
        ("credential: fleet", "credential: renamed"),
    ];
    let changes: [&[(&str, &str)]; 4] = [
        &[],
        &[("priority: 2", "priority: 3")],
        &[("credential: key", "credential: fleet")],
        &renamed,
    ];
    for change in changes {
        fleet.gateway.reload(change);
        assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-1");
        assert_eq!(token_at(&fleet, 1, GPT), token, "{change:?}");
    }
    assert_eq!(machine.control().requests(Door::Imds), 1);
    // Another identity is another token. The reload waits for it.
    let named = format!("url: \"{}\", client_id: client-0", machine.url());
    let unnamed = format!("url: \"{}\"", machine.url());
    fleet.gateway.reload(&[(&unnamed, &named)]);
    assert_eq!(machine.control().requests(Door::Imds), 2);
    assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-1");
    assert_ne!(token_at(&fleet, 1, GPT), token);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_whose_new_token_cannot_be_had_takes_nothing_from_the_others() {
    let machine = identity(options()).await;
    let endpoints = vec![("key", takes_key(KEY)), ("key", takes_tokens())];
    let mut fleet = start(&machine, FLEET, endpoints).await;
    assert_eq!(machine.control().requests(Door::Imds), 0, "nobody uses it");
    let late = IdentityFault::late(Duration::from_secs(10)).times(1);
    machine.control().inject(Door::Imds, late);
    let second = format!("url: {}\n    credential: key", fleet.simulators[1].url());
    let now = second.replace("key", "fleet");
    fleet.gateway.reload(&[(&second, &now)]);
    assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-1");
    fleet.gateway.until("aoi-2", GPT, "healthy").await;
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_waits_for_what_is_new_and_not_for_what_fails_already() {
    let (mut machine, other) = (identity(options()).await, identity(options()).await);
    machine.stop().await;
    let credentials = format!(
        "{FLEET}\nother: {{ managed_identity: {{ url: \"{}\" }} }}",
        other.url()
    );
    let endpoints = vec![("fleet", takes_tokens()), ("key", takes_tokens())];
    let mut fleet = start(&machine, &credentials, endpoints).await;
    assert_eq!(standing(&fleet).await, without_credential());
    fleet.gateway.reload(&[("priority: 2", "priority: 3")]);
    let ms = milliseconds(&mut fleet);
    assert!(ms < 1000.0, "it took {ms} ms");

    let late = IdentityFault::late(Duration::from_millis(500)).times(1);
    other.control().inject(Door::Imds, late);
    fleet
        .gateway
        .reload(&[("credential: key", "credential: other")]);
    let ms = milliseconds(&mut fleet);
    assert!((500.0..2500.0).contains(&ms), "it took {ms} ms");
    assert_eq!(route(&chat(&fleet, GPT).await), ("aoi-2", "1"));
    finish(fleet).await;
}

/// How long the last reload took.
fn milliseconds(fleet: &mut Fleet) -> f64 {
    let events = fleet
        .gateway
        .logged_events("the new configuration is in use");
    let last = events.last().expect("there was a reload");
    last["ms"].as_f64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_uses_any_more_is_not_fetched() {
    let (machine, other) = (short_lived(5).await, short_lived(5).await);
    let credentials = format!(
        "{FLEET}\nother: {{ managed_identity: {{ url: \"{}\" }} }}",
        other.url()
    );
    let endpoints = vec![("fleet", takes_tokens()), ("other", takes_tokens())];
    let mut fleet = start(&machine, &credentials, endpoints).await;
    until_served_by(&fleet, "aoi-1").await;
    fleet
        .gateway
        .reload(&[("credential: fleet", "credential: other")]);
    fleet.gateway.forgets_the_old_configuration();
    let fetched = machine.control().requests(Door::Imds);
    // Twice the life of its last token passes.
    let so_far = other.control().requests(Door::Imds);
    requested(&other, Door::Imds, so_far + 2).await;
    assert_eq!(machine.control().requests(Door::Imds), fetched);
    finish(fleet).await;
}
