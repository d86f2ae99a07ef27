//! The issuer is not there, or not itself, when the gateway starts or gets another configuration.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use simulator::{Door, IdentityFault};
use tokio::time::timeout;

use super::*;

async fn start(issuer: RunningIdentity, config: &str) -> Stage {
    let trust = trust(&issuer.control(), BY_ROLE);
    let config = format!("{config}{}jwt:\n{trust}", clients());
    Stage::of(Fleet::start(&config).await, issuer)
}

/// The answer to a token that cannot be judged.
fn assert_unjudged(seen: &Seen, case: &str) {
    assert_refused(seen, 503, "identity_unavailable", None, case);
    assert!(
        seen.wait().is_some_and(|wait| wait >= 1.0),
        "{case}: {seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nobody_is_accused_and_the_issuer_is_found_when_it_comes() {
    let mut issuer = issuer(IdentityOptions::default()).await;
    issuer.stop().await;
    let mut stage = start(issuer, "").await;
    assert_eq!(stage.ask(&[("api-key", KEY)]).await.status, 200);
    let control = stage.issuer();
    let forged = forge::sign(&header(&control), &claims(&control), forge::Key::Rsa(2));
    for (case, token) in [("good", stage.token()), ("forged", forged)] {
        assert_unjudged(&stage.show(&token).await, case);
    }
    // What is wrong whatever the keys are is known without them.
    let unsigned = json!({"alg": "none", "kid": control.current_kid()});
    let cases = [
        forge::sign(&unsigned, &claims(&control), forge::Key::None),
        control.issue(but(claims(&control), json!({"aud": "api://other"}))),
        control.issue(but(
            claims(&control),
            json!({"iss": "https://evil.example"}),
        )),
        control.issue(but(claims(&control), json!({"nbf": null}))),
    ];
    for token in cases {
        let seen = stage.show(&token).await;
        assert_refused(&seen, 401, "invalid_token", INVALID_TOKEN, &token);
    }
    assert_eq!(stage.served(), 1);
    assert_eq!(control.requests(Door::Discovery), 0);

    let token = stage.token();
    stage.issuer.restart().await.unwrap();
    stage.until(&token, 200, PATIENCE).await;
    assert_eq!(control.requests(Door::Keys), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_does_not_answer_keeps_no_key_from_being_served() {
    let issuer = issuer(IdentityOptions::default()).await;
    let hour = IdentityFault::late(Duration::from_secs(3600));
    issuer.control().inject(Door::Discovery, hour);
    let stage = start(issuer, "").await;
    let began = Instant::now();
    assert_eq!(stage.ask(&[("api-key", KEY)]).await.status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    assert_unjudged(&stage.show(&stage.token()).await, "it waits no longer");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_not_itself_says_nothing() {
    let (issuer, evil) = (
        issuer(IdentityOptions::default()).await,
        issuer(IdentityOptions::default()).await,
    );
    evil.control().rotate();
    evil.control().forget_old_keys();
    let document = json!({
        "issuer": "https://evil.example/",
        "jwks_uri": evil.control().jwks_url(),
    });
    let faults = [
        IdentityFault::answer(&document.to_string()),
        IdentityFault::status(302).header("location", &evil.control().discovery_url()),
    ];
    for fault in faults {
        issuer.control().inject(Door::Discovery, fault.times(1));
    }
    let stage = start(issuer, "").await;
    let token = stage.token();
    assert_unjudged(&stage.show(&token).await, "another issuer's document");
    stage.until(&token, 200, PATIENCE).await;
    assert_eq!(stage.issuer().requests(Door::Discovery), 3);
    let doors = [Door::Keys, Door::Discovery];
    assert_eq!(doors.map(|door| evil.control().requests(door)), [0; 2]);
    assert_eq!(
        stage
            .status(&evil.control().issue(claims(&evil.control())))
            .await,
        401
    );
}

/// The file of the state directory that keys are kept in, once it is there.
async fn kept(directory: &Path) -> PathBuf {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut files = fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().path());
        if let Some(file) = files.find(|file| file.extension().is_some_and(|end| end == "json")) {
            return file;
        }
        assert!(Instant::now() < deadline, "nothing is kept");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_starts_with_the_keys_of_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("state_directory: {}\n", directory.path().display());
    let first = start(issuer(IdentityOptions::default()).await, &config).await;
    let token = first.token();
    assert_eq!(first.status(&token).await, 200);
    let file = kept(directory.path()).await;
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let good = fs::read_to_string(&file).unwrap();

    let Stage {
        fleet, mut issuer, ..
    } = first;
    drop(fleet);
    issuer.stop().await;
    let mut second = start(issuer, &config).await;
    for token in [token, second.token()] {
        assert_eq!(second.status(&token).await, 200);
    }
    let unknown = but(header(&second.issuer()), json!({"kid": "unknown"}));
    let unknown = forge::sign(&unknown, &claims(&second.issuer()), forge::Key::Rsa(2));
    assert_unjudged(&second.show(&unknown).await, "unknown key");
    let header = header(&second.issuer());
    let forged = forge::sign(&header, &claims(&second.issuer()), forge::Key::Rsa(2));
    assert_eq!(second.status(&forged).await, 401);
    let logged = second.fleet.gateway.logged();
    assert!(logged.contains("the keys of an earlier process are used"));

    // What cannot be read, or is of another issuer, is not used and stops nothing.
    let mut issuer = second.issuer;
    drop(second.fleet);
    for spoilt in [
        good[..good.len() / 2].to_owned(),
        good.replacen("127.0.0.1", "127.0.0.2", 1),
        good.replacen("RSA", "oct", 1).replacen("EC", "oct", 1),
    ] {
        fs::write(&file, &spoilt).unwrap();
        let third = start(issuer, &config).await;
        assert_unjudged(&third.show(&third.token()).await, &spoilt);
        assert_eq!(third.ask(&[("api-key", KEY)]).await.status, 200);
        issuer = third.issuer;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_needs_no_issuer_and_keeps_its_keys() {
    let mut stage = Stage::new().await;
    let token = stage.token();
    assert_eq!(stage.status(&token).await, 200);
    assert_eq!(stage.client_in_the_log(), "team-a");
    stage.issuer.stop().await;
    let rule = ("client: team-a, roles", "client: team-b, roles");
    stage.fleet.gateway.reload(&[rule]);
    for token in [token, stage.token()] {
        assert_eq!(stage.status(&token).await, 200);
        assert_eq!(stage.client_in_the_log(), "team-b");
    }
    let stranger = but(claims(&stage.issuer()), json!({"roles": ["Other"]}));
    assert_eq!(stage.status(&stage.issuer().issue(stranger)).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_an_issuer_that_has_long_been_silent() {
    let issuer = issuer(IdentityOptions::default()).await;
    let hour = IdentityFault::late(Duration::from_secs(3600));
    issuer.control().inject(Door::Discovery, hour);
    let mut stage = start(issuer, "").await;
    // The first time was in vain; the next one is under way.
    let asked_again = stage.issuer();
    let asked_again = asked_again.requested(Door::Discovery, 2);
    timeout(PATIENCE, asked_again).await.expect("another fetch");
    let began = Instant::now();
    let unknown = but(header(&stage.issuer()), json!({"kid": "unknown"}));
    let unknown = forge::sign(&unknown, &claims(&stage.issuer()), forge::Key::Rsa(2));
    for (case, token) in [("good", stage.token()), ("unknown key", unknown)] {
        assert_unjudged(&stage.show(&token).await, case);
    }
    stage.fleet.gateway.reload(&[("Chat.Use", "Chat.Other")]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_hands_its_keys_over() {
    let mut stage = Stage::new().await;
    let token = stage.token();
    assert_eq!(stage.status(&token).await, 200);
    stage.issuer.stop().await;
    // The second process has them from the first, and not from the issuer.
    for generation in 2..4 {
        stage.fleet.gateway.signal(Signal::USR2);
        stage.fleet.gateway.handed_over();
        // Not on a connection of the old process.
        stage.client = client();
        for token in [&token, &stage.token()] {
            let seen = stage.show(token).await;
            assert_eq!(seen.status, 200, "process {generation}: {}", seen.text());
        }
        let forged = header(&stage.issuer());
        let forged = forge::sign(&forged, &claims(&stage.issuer()), forge::Key::Rsa(2));
        assert_eq!(stage.status(&forged).await, 401);
    }
    assert_eq!(stage.issuer().requests(Door::Keys), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_gets_another_name_keeps_its_keys() {
    let mut stage = Stage::with("log: { level: debug }\n", BY_ROLE).await;
    let token = stage.token();
    assert_eq!(stage.status(&token).await, 200);
    stage.issuer.stop().await;
    let names = format!("\"{}\" ]", stage.issuer().issuer_v1());
    let more = names.replace(" ]", ", \"https://other.example/\" ]");
    let changes: [&[(&str, &str)]; 2] = [&[(&names, &more)], &[]];
    for change in changes {
        stage.fleet.gateway.reload(change);
        for token in [&token, &stage.token()] {
            let seen = stage.show(token).await;
            assert_eq!(seen.status, 200, "{change:?}: {}", seen.text());
        }
        // What only the configuration before knew is forgotten then.
        stage.fleet.gateway.forgets_the_old_configuration();
    }
    assert_eq!(stage.issuer().requests(Door::Keys), 1);
}
