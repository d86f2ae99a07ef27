//! An issuer changes its keys, or goes away, while the gateway serves. The gateway asks again at most every half a
//! minute, so these tests last longer than that; they run beside each other.

use futures_util::future::join_all;
use simulator::Door;
use tokio::time::sleep;

use super::*;

/// Between two fetches of a key set.
const PAUSE: Duration = Duration::from_secs(30);
/// Time that passes between what the gateway does and what the test sees of it.
const SLACK: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(200);

/// Signed by somebody, in the name of a key that nobody has heard of.
fn of_unknown_key(stage: &Stage) -> String {
    let kid = format!("{:016x}", fastrand::u64(..));
    let header = but(header(&stage.issuer()), json!({ "kid": kid }));
    forge::sign(&header, &claims(&stage.issuer()), forge::Key::Rsa(2))
}

/// Shows tokens until one is answered with `status`.
async fn until(stage: &Stage, token: impl Fn() -> String, status: u16) {
    let deadline = Instant::now() + PAUSE + PATIENCE;
    loop {
        let seen = stage.show(&token()).await;
        if seen.status == status {
            return;
        }
        assert_eq!(seen.status, 401, "{}", seen.text());
        assert!(Instant::now() < deadline, "not {status}: {}", seen.text());
        sleep(TICK).await;
    }
}

async fn a_new_key_is_fetched_and_an_old_one_is_forgotten() {
    let stage = Stage::new().await;
    let (issuer, began) = (stage.issuer(), Instant::now());
    let (old, kept) = (stage.token(), stage.token());
    assert_eq!(stage.status(&old).await, 200);
    issuer.rotate();
    issuer.forget_old_keys();
    let new = stage.token();
    until(&stage, || new.clone(), 200).await;
    assert!(began.elapsed() + SLACK >= PAUSE, "{:?}", began.elapsed());
    assert_eq!(issuer.requests(Door::Keys), 2);
    // One of them was remembered.
    for token in [old, kept] {
        let seen = stage.show(&token).await;
        assert_refused(&seen, 401, "invalid_token", INVALID_TOKEN, "the old key");
    }
    // The next one has to wait for its turn.
    issuer.rotate();
    assert_eq!(stage.status(&stage.token()).await, 401);
    assert_eq!(stage.status(&new).await, 200);
    assert_eq!(issuer.requests(Door::Keys), 2);
}

async fn a_storm_of_unknown_keys_makes_one_fetch() {
    let stage = Stage::new().await;
    let (issuer, began) = (stage.issuer(), Instant::now());
    let storm = async || {
        let tokens: Vec<String> = (0..200).map(|_| of_unknown_key(&stage)).collect();
        for status in join_all(tokens.iter().map(|token| stage.status(token))).await {
            assert_eq!(status, 401);
        }
    };
    storm().await;
    assert_eq!(issuer.requests(Door::Keys), 1, "it has just been asked");
    // Long enough for all of them to come while it is asked.
    issuer.inject(
        Door::Keys,
        simulator::IdentityFault::late(Duration::from_secs(2)),
    );
    sleep(PAUSE.saturating_sub(began.elapsed())).await;
    while issuer.requests(Door::Keys) == 1 {
        assert!(began.elapsed() < PAUSE + PATIENCE, "it is not asked again");
        storm().await;
    }
    storm().await;
    assert_eq!(issuer.requests(Door::Keys), 2);
    assert_eq!(stage.status(&stage.token()).await, 200);
}

async fn known_keys_go_on_without_the_issuer_and_unknown_ones_are_not_judged() {
    let mut stage = Stage::new().await;
    let (remembered, new) = (stage.token(), stage.token());
    assert_eq!(stage.status(&remembered).await, 200);
    stage.issuer.stop().await;
    until(&stage, || of_unknown_key(&stage), 503).await;
    let seen = stage.show(&of_unknown_key(&stage)).await;
    assert_refused(&seen, 503, "identity_unavailable", None, "an unknown key");
    assert!(seen.wait().is_some_and(|wait| wait >= 1.0), "{seen:?}");
    for token in [remembered, new, stage.token()] {
        assert_eq!(stage.status(&token).await, 200);
    }
    assert_eq!(stage.ask(&[("api-key", KEY)]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_and_issuers_go_away_while_it_serves() {
    tokio::join!(
        a_new_key_is_fetched_and_an_old_one_is_forgotten(),
        a_storm_of_unknown_keys_makes_one_fetch(),
        known_keys_go_on_without_the_issuer_and_unknown_ones_are_not_judged(),
    );
}
