//! Keys that change, and issuers that do not answer. Time is paused: it moves when everybody waits.

use futures_util::future::join_all;
use tokio::time::sleep;

use super::*;

const UNAVAILABLE: Denied = Denied::KeysUnavailable {
    retry_after: RETRY_AFTER,
};
const UNKNOWN_KEY: Denied = Denied::Invalid(Reason::UnknownKey);

/// Longer than the pause between two fetches, shorter than a day.
async fn an_hour_passes() {
    sleep(Duration::from_secs(3600)).await;
}

struct Issued {
    one: Signer,
    two: Signer,
}

fn issued() -> Issued {
    let [one, two] = [RSA_ONE, RSA_TWO].map(Signer::rsa);
    Issued { one, two }
}

impl Issued {
    fn by_one(&self) -> String {
        self.one.token(&rs256("one"), &claims())
    }

    fn by_two(&self) -> String {
        self.two.token(&rs256("two"), &claims())
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_when_the_first_token_names_it() {
    let issued = issued();
    let fake = Fake::publishing(vec![issued.one.jwk("one")]);
    let verifier = verifier_of(vec![issuer()], &fake.key_set());
    assert_eq!(verify(&verifier, &issued.by_one()).await, Ok(TEAM_B));
    an_hour_passes().await;
    fake.publish(vec![issued.one.jwk("one"), issued.two.jwk("two")]);
    let old = issued.by_one();
    assert_eq!(verify(&verifier, &old).await, Ok(TEAM_B));
    assert_eq!(fake.fetches(), 1, "a known key needs no fetch");
    assert_eq!(verify(&verifier, &issued.by_two()).await, Ok(TEAM_B));
    assert_eq!(fake.fetches(), 2);
    assert_eq!(
        known(&verifier, &old),
        Some(TEAM_B),
        "its key is still there"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_with_the_key_that_it_was_signed_with() {
    let issued = issued();
    let fake = Fake::publishing(vec![issued.one.jwk("one")]);
    let set = fake.key_set();
    let verifier = verifier_of(vec![issuer()], &set);
    let old = issued.by_one();
    assert_eq!(verify(&verifier, &old).await, Ok(TEAM_B));
    fake.publish(vec![issued.two.jwk("two")]);
    an_hour_passes().await;
    assert_eq!(verify(&verifier, &issued.by_two()).await, Ok(TEAM_B));
    assert_eq!(known(&verifier, &old), None);
    assert_eq!(verify(&verifier, &old).await, Err(UNKNOWN_KEY));
    // The same name for another key is another key.
    fake.publish(vec![issued.one.jwk("two")]);
    let by_two = issued.by_two();
    assert_eq!(verify(&verifier, &by_two).await, Ok(TEAM_B));
    sleep(Duration::from_secs(30 * 3600)).await;
    assert_eq!(known(&verifier, &by_two), None);
    let denied = verify(&verifier, &by_two).await;
    assert_eq!(denied, Err(Reason::Signature.into()));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_forged_key_names_are_one_fetch_and_one_more_after_the_pause() {
    let issued = issued();
    let fake = Fake {
        delay: Duration::from_secs(1),
        ..Fake::publishing(vec![issued.one.jwk("one")])
    };
    let verifier = verifier_of(vec![issuer()], &fake.key_set());
    assert_eq!(verify(&verifier, &issued.by_one()).await, Ok(TEAM_B));
    an_hour_passes().await;
    for fetches in 2..5 {
        let forged: Vec<String> = (0..100)
            .map(|number| issued.two.token(&rs256(&format!("k{number}")), &claims()))
            .collect();
        let denied = join_all(forged.iter().map(|token| verify(&verifier, token))).await;
        assert!(denied.iter().all(|denied| *denied == Err(UNKNOWN_KEY)));
        assert_eq!(fake.fetches(), fetches);
        // Whoever comes before the pause is over is answered by what was fetched.
        for token in &forged {
            assert_eq!(verify(&verifier, token).await, Err(UNKNOWN_KEY));
        }
        sleep(Duration::from_secs(29)).await;
        assert_eq!(verify(&verifier, &forged[0]).await, Err(UNKNOWN_KEY));
        assert_eq!(fake.fetches(), fetches, "within the pause");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(fake.fetches(), fetches, "nobody asked since");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_does_not_end_the_fetch_that_others_wait_for() {
    let issued = issued();
    let fake = Fake {
        delay: Duration::from_secs(2),
        ..Fake::publishing(vec![issued.one.jwk("one")])
    };
    let verifier = verifier_of(vec![issuer()], &fake.key_set());
    let token = issued.by_one();
    let leaves = tokio::time::timeout(Duration::from_secs(1), verify(&verifier, &token));
    let (left, stayed) = tokio::join!(leaves, verify(&verifier, &token));
    assert!(left.is_err());
    assert_eq!(stayed, Ok(TEAM_B));
    assert_eq!(fake.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_there_are_no_keys_nothing_is_said_about_a_token_and_it_is_asked_for_them_soon() {
    let issued = issued();
    let fake = Fake::default();
    let set = fake.key_set();
    let verifier = verifier_of(vec![issuer()], &set);
    assert_eq!(verify(&verifier, &issued.by_one()).await, Err(UNAVAILABLE));
    let report = set.report(unix_now());
    assert_eq!((report.keys, report.source, report.age), (0, None, None));
    assert!(report.error.is_some());
    // What is wrong with the token itself is said all the same.
    let other = issued
        .one
        .token(&rs256("one"), &but(claims(), json!({"aud": "x"})));
    assert_eq!(
        verify(&verifier, &other).await,
        Err(Reason::Audience.into())
    );
    fake.publish(vec![issued.one.jwk("one")]);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(verify(&verifier, &issued.by_one()).await, Ok(TEAM_B));
    let report = set.report(unix_now());
    assert_eq!((report.keys, report.source), (1, Some(Source::Fetched)));
    assert_eq!(report.error, None);
}

#[tokio::test(start_paused = true)]
async fn while_an_issuer_is_down_its_keys_stay_and_only_unknown_ones_are_unavailable() {
    let issued = issued();
    let fake = Fake::publishing(vec![issued.one.jwk("one")]);
    let set = fake.key_set();
    let verifier = verifier_of(vec![issuer()], &set);
    assert_eq!(verify(&verifier, &issued.by_two()).await, Err(UNKNOWN_KEY));
    fake.go_down();
    an_hour_passes().await;
    assert_eq!(verify(&verifier, &issued.by_two()).await, Err(UNAVAILABLE));
    assert_eq!(verify(&verifier, &issued.by_one()).await, Ok(TEAM_B));
    let forged = issued.two.token(&rs256("one"), &claims());
    assert_eq!(
        verify(&verifier, &forged).await,
        Err(Reason::Signature.into())
    );
    assert!(set.report(unix_now()).error.is_some());
    let fetches = fake.fetches();
    an_hour_passes().await;
    let more = fake.fetches() - fetches;
    assert!((4..=12).contains(&more), "{more} fetches in an hour");
    fake.publish(vec![issued.one.jwk("one")]);
    assert_eq!(verify(&verifier, &issued.by_two()).await, Err(UNKNOWN_KEY));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_is_not_waited_for_without_end() {
    let issued = issued();
    let fake = Fake {
        delay: Duration::from_secs(600),
        ..Fake::publishing(vec![issued.one.jwk("one")])
    };
    let verifier = verifier_of(vec![issuer()], &fake.key_set());
    let answered = tokio::time::timeout(Duration::from_secs(6), async {
        verify(&verifier, &issued.by_one()).await
    });
    assert_eq!(answered.await, Ok(Err(UNAVAILABLE)));
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_about_daily_while_nobody_asks() {
    let issued = issued();
    let fake = Fake::publishing(vec![issued.one.jwk("one")]);
    let _set = fake.key_set();
    sleep(Duration::from_secs(10 * 24 * 3600)).await;
    let fetches = fake.fetches();
    assert!((8..=11).contains(&fetches), "{fetches} fetches in ten days");
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_an_earlier_process_are_used_while_the_issuer_is_down() {
    let issued = issued();
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::publishing(vec![issued.one.jwk("one")]);
    let before = fake.key_set_in(Some(directory.path()));
    let verifier = verifier_of(vec![issuer()], &before);
    assert_eq!(verify(&verifier, &issued.by_one()).await, Ok(TEAM_B));
    // The file is written before the pause begins.
    sleep(Duration::from_secs(30)).await;
    drop((before, verifier));

    let down = Fake::default();
    let after = down.key_set_in(Some(directory.path()));
    let verifier = verifier_of(vec![issuer()], &after);
    after.tried().await;
    let report = after.report(unix_now());
    assert_eq!((report.keys, report.source), (1, Some(Source::Persisted)));
    assert!(report.age.unwrap() < Duration::from_secs(60));
    assert_eq!(verify(&verifier, &issued.by_one()).await, Ok(TEAM_B));
    assert_eq!(verify(&verifier, &issued.by_two()).await, Err(UNAVAILABLE));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_are_public_members_of_usable_keys_and_a_damaged_file_is_ignored() {
    let issued = issued();
    let directory = tempfile::tempdir().unwrap();
    let private = but(
        issued.one.jwk("one"),
        json!({"d": "PRIVATE", "x5c": ["CHAIN"]}),
    );
    let secret = json!({"kty": "oct", "kid": "s", "k": "SECRET"});
    let fake = Fake::publishing(vec![private, secret]);
    let set = fake.key_set_in(Some(directory.path()));
    set.with("one").await.unwrap();
    sleep(Duration::from_secs(30)).await;
    drop(set);
    let file = directory
        .path()
        .read_dir()
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let name = file.file_name().into_string().unwrap();
    assert!(
        name.starts_with("jwks-") && name.ends_with(".json") && name.len() == 26,
        "{name}"
    );
    let bytes = crate::auth::files::read_limited(&file.path(), 10_000)
        .await
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    for word in ["PRIVATE", "CHAIN", "SECRET", "oct"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let kept: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(kept["version"], 1);
    assert_eq!(kept["jwks"]["keys"].as_array().unwrap().len(), 1);

    let others = [
        "",
        "{}",
        &text[..text.len() / 2],
        &text.replace("\"version\":1", "\"version\":2"),
        &text.replace("login.example", "other.example"),
        &text.replace("\"one\"", "1"),
    ];
    for damaged in others {
        let bytes = damaged.as_bytes().to_vec();
        crate::auth::files::write_atomically(&file.path(), bytes, 0o600)
            .await
            .unwrap();
        let set = Fake::default().key_set_in(Some(directory.path()));
        set.tried().await;
        assert_eq!(set.report(unix_now()).keys, 0, "{damaged}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_keys_that_were_never_had_and_have_failed_once() {
    let issued = issued();
    let fake = Fake {
        delay: Duration::from_secs(10),
        ..Fake::default()
    };
    let set = fake.key_set();
    let verifier = verifier_of(vec![issuer()], &set);
    set.tried().await;
    for fetches in 1..4 {
        // First after a fetch, then in the middle of one.
        let token = issued.by_one();
        let verdict = verify(&verifier, &token);
        let verdict = tokio::time::timeout(Duration::from_millis(1), verdict).await;
        assert_eq!(verdict, Ok(Err(UNAVAILABLE)), "fetch {fetches}");
        while fake.fetches() == fetches {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn a_registry_keeps_a_set_for_as_long_as_somebody_uses_it() {
    let sets = KeySets::default();
    // Nothing listens there: the fetch fails at once.
    let at = KeysAt::Jwks("http://127.0.0.1:1/keys".into());
    let names: [Arc<str>; 1] = [ISSUER.into()];
    let first = sets.key_set(&at, &names);
    assert!(Arc::ptr_eq(&first, &sets.key_set(&at, &names)));
    assert!(!Arc::ptr_eq(&first, &sets.key_set(&at, &[])));
    sets.warm_up(Duration::from_secs(10)).await;
    sets.prune();
    let reports = sets.reports(unix_now());
    assert_eq!(reports.len(), 1, "the other one was not used");
    let error = reports[0].error.clone().unwrap();
    assert!(error.contains("http://127.0.0.1:1/keys"), "{error}");
    drop(first);
    sets.prune();
    assert!(sets.reports(unix_now()).is_empty());
}
