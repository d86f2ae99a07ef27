//! Keys of clients: several for each, with an end, and what is no key.

use super::*;
use crate::support::h2_client;

const SECOND: &str = "canary-of-team-a-second";
const PAST: &str = "canary-of-team-a-past";
const FUTURE: &str = "canary-of-team-a-future";
const SOON: &str = "canary-of-team-a-soon";

async fn stage(soon: u64) -> Stage {
    let end = jiff::Timestamp::from_second(i64::try_from(soon).unwrap()).unwrap();
    let config = format!(
        "clients:\n  team-a:\n    keys:\n      - {}\n      - {}\n      \
         - {{ hash: \"{}\", not_after: 2020-01-31 }}\n      \
         - {{ hash: \"{}\", not_after: 2099-01-31T12:00:00Z }}\n      \
         - {{ hash: \"{}\", not_after: {end} }}\n  team-b: {{ keys: [ {} ] }}\n",
        hash(KEY),
        hash(SECOND),
        hash(PAST),
        hash(FUTURE),
        hash(SOON),
        hash("canary-of-team-b"),
    );
    let fleet = Fleet::start(&config).await;
    Stage::of(fleet, issuer(IdentityOptions::default()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_a_client_is_good_until_its_end() {
    let soon = unix_secs() + 6;
    let mut stage = stage(soon).await;
    for (key, owner) in [
        (KEY, "team-a"),
        (SECOND, "team-a"),
        (FUTURE, "team-a"),
        (SOON, "team-a"),
        ("canary-of-team-b", "team-b"),
    ] {
        assert!(unix_secs() < soon, "this machine is too slow for this test");
        assert_eq!(stage.ask(&[("api-key", key)]).await.status, 200, "{key}");
        assert_eq!(stage.client_in_the_log(), owner);
        assert_eq!(stage.status(key).await, 200, "{key} as a token");
        assert_eq!(stage.client_in_the_log(), owner);
    }
    let served = stage.served();
    let deadline = Instant::now() + PATIENCE;
    while stage.ask(&[("api-key", SOON)]).await.status == 200 {
        assert!(Instant::now() < deadline, "it does not end");
    }
    assert!(unix_secs() >= soon, "it has ended too early");
    for key in [PAST, SOON] {
        for headers in [
            [("api-key", key.to_owned())],
            [("authorization", format!("Bearer {key}"))],
        ] {
            let headers = headers.each_ref().map(|(name, value)| (*name, &**value));
            let seen = stage.ask(&headers).await;
            assert_refused(&seen, 401, "expired_api_key", BEARER, key);
        }
    }
    assert_eq!(stage.ask(&[("api-key", KEY)]).await.status, 200);
    assert!(stage.served() > served);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_is_refused_and_nobody_learns_how_close_it_was() {
    let stage = stage(unix_secs() + 60).await;
    let (start, longer) = (&KEY[..KEY.len() - 1], format!("{KEY}0"));
    let upper = KEY.to_uppercase();
    let hash = hash(KEY);
    let mut answers = Vec::new();
    for wrong in [
        "wrong",
        start,
        &longer,
        &upper,
        &hash,
        &hash[7..],
        "*",
        "null",
        "undefined",
        "team-a",
    ] {
        let bearer = format!("Bearer {wrong}");
        for headers in [[("api-key", wrong)], [("authorization", &*bearer)]] {
            let seen = stage.ask(&headers).await;
            assert_refused(&seen, 401, "invalid_api_key", BEARER, wrong);
            answers.push(seen.text());
        }
    }
    for odd in [
        KEY,
        "Bearer",
        "Bearer ",
        "bearer: x",
        "Basic a2V5OmtleQ==",
        "",
        &format!("Bearer\t{KEY}"),
        &format!("Bearer {KEY}, Bearer {KEY}"),
        &format!("Bearer {KEY} {KEY}"),
        &format!("Bearer \"{KEY}\""),
        &format!("Token {KEY}"),
    ] {
        let seen = stage.ask(&[("authorization", odd)]).await;
        assert_refused(&seen, 401, "invalid_api_key", BEARER, odd);
        answers.push(seen.text());
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    for headers in [&[][..], &[("api-key", "")], &[("x-api-key", KEY)]] {
        let seen = stage.ask(headers).await;
        assert_refused(
            &seen,
            401,
            "missing_api_key",
            BEARER,
            &format!("{headers:?}"),
        );
    }
    let url = stage.fleet.chat_url(GPT) + "&api-key=" + KEY;
    let seen = Seen::read(stage.client.post(url).body(CHAT).send().await.unwrap()).await;
    assert_refused(&seen, 401, "missing_api_key", BEARER, "in the query");
    assert_eq!(stage.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_are_one_or_nobodys() {
    let stage = stage(unix_secs() + 60).await;
    let bearer = format!("Bearer {KEY}");
    let second = format!("Bearer {SECOND}");
    let refused: [&[(&str, &str)]; 7] = [
        &[("api-key", KEY), ("authorization", &second)],
        &[("api-key", "wrong"), ("authorization", &bearer)],
        &[("api-key", KEY), ("authorization", "Bearer wrong")],
        &[("api-key", KEY), ("api-key", KEY)],
        &[("api-key", KEY), ("api-key", "")],
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("authorization", &bearer), ("authorization", &second)],
    ];
    let gateway = &stage.fleet.gateway;
    let ways = [
        (client(), gateway.url(PATH)),
        (h2_client(), gateway.h2c_url(PATH)),
    ];
    for headers in refused {
        for (client, url) in &ways {
            let mut request = client.post(url).body(CHAT);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let seen = Seen::read(request.send().await.unwrap()).await;
            let case = format!("{headers:?}");
            assert_refused(&seen, 400, "conflicting_credentials", None, &case);
        }
    }
    assert_eq!(stage.served(), 0);
    let same = [("api-key", KEY), ("authorization", &*bearer)];
    assert_eq!(stage.ask(&same).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_reload_removes_stops_at_once_and_a_new_one_works_at_once() {
    let mut stage = stage(unix_secs() + 60).await;
    let bearer = format!("Bearer {SECOND}");
    let ways: [&[(&str, &str)]; 2] = [&[("api-key", SECOND)], &[("authorization", &bearer)]];
    for headers in ways {
        assert_eq!(stage.ask(headers).await.status, 200);
    }
    let (old, new) = (hash(SECOND), hash("canary-of-team-a-new"));
    stage.fleet.gateway.reload(&[(&old, &new)]);
    // On the connection that was good a moment ago.
    for headers in ways {
        let seen = stage.ask(headers).await;
        assert_refused(&seen, 401, "invalid_api_key", BEARER, "removed");
    }
    for key in [KEY, "canary-of-team-a-new"] {
        assert_eq!(stage.ask(&[("api-key", key)]).await.status, 200, "{key}");
    }
    // A configuration that is wrong opens nothing and closes nothing.
    stage
        .fleet
        .gateway
        .rewrite(&[("team-b: {", "team-b: { kyes: [],")]);
    stage.fleet.gateway.signal(rustix::process::Signal::HUP);
    stage
        .fleet
        .gateway
        .next_event(|event| event["level"] == "ERROR");
    let seen = stage.ask(&[("api-key", SECOND)]).await;
    assert_refused(&seen, 401, "invalid_api_key", BEARER, "removed");
    assert_eq!(stage.ask(&[("api-key", KEY)]).await.status, 200);
}
