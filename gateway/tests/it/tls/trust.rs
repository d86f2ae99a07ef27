//! What a listener's authority of clients is worth to connections that are open already, and while it is exchanged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gateway::{
    clock::unix_now,
    config::client_key::{format_key_hash, key_hash},
};
use reqwest::Client;
use simulator::{Door, Identity, IdentityFault, IdentityOptions, Issued, TestAuthority};
use tokio::time::{Instant, timeout};

use crate::support::{
    CHAT, Fleet, PATIENCE, Seen,
    tls::{NAMES, Trust},
};

const PATH: &str = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";

/// Knows its client by the certificate.
fn clients() -> String {
    let hash = format_key_hash(&key_hash("tw-of-team-a"));
    format!("clients: {{ team-a: {{ keys: [\"{hash}\"], certificates: [\"cn:team-a\"] }} }}\n")
}

/// Status and code; `None` if the connection is refused.
async fn ask(client: &Client, url: &str) -> Option<(u16, String)> {
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .body(CHAT);
    let answer = timeout(PATIENCE, request.send()).await;
    let seen = Seen::read(answer.expect("an answer in time").ok()?).await;
    Some((seen.status, seen.code()))
}

fn served() -> Option<(u16, String)> {
    Some((200, String::new()))
}

fn unknown() -> Option<(u16, String)> {
    Some((401, "unknown_certificate".to_owned()))
}

struct Guarded {
    trust: Trust,
    fleet: Fleet,
    url: String,
}

impl Guarded {
    /// Certificates are required. `access` says who may call; without it everybody may.
    async fn start(access: &str) -> Self {
        let trust = Trust::new();
        let listen = trust.listen(&trust.clients("required"));
        let fleet = Fleet::start(&format!("{listen}{access}")).await;
        let url = fleet.gateway.https_url(PATH);
        Self { trust, fleet, url }
    }

    /// Each keeps its connection.
    fn both(&self, issued: &Issued) -> [Client; 2] {
        let client = || self.trust.client(Some(issued));
        [client(), client().http1_only()].map(|client| client.build().unwrap())
    }

    /// Puts a new certificate in the place of the listener's, and waits until it is in use.
    fn renew(&mut self, is_watched: bool) {
        let issued = self.trust.authority.server(&NAMES);
        self.trust.put("listener", &issued);
        let gateway = &mut self.fleet.gateway;
        if is_watched {
            gateway.next_event(|event| event["message"] == "a new certificate is in use");
        } else {
            gateway.reload(&[]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchanged_authority_ends_what_the_old_one_has_let_in() {
    for (access, is_watched) in [(clients(), false), (String::new(), true)] {
        let case = format!("watched: {is_watched}");
        let mut guarded = Guarded::start(&access).await;
        let old = guarded.trust.authority.client("team-a", &[]);
        let kept = guarded.both(&old);
        for client in &kept {
            assert_eq!(ask(client, &guarded.url).await, served(), "{case}");
        }
        // Of the same authority.
        guarded.renew(is_watched);
        for client in &kept {
            assert_eq!(ask(client, &guarded.url).await, served(), "{case}");
        }
        // And of another one beside it.
        let other = TestAuthority::new();
        let both = guarded.trust.authority.certificate_pem() + &other.certificate_pem();
        std::fs::write(guarded.trust.ca(), both).unwrap();
        guarded.renew(is_watched);
        for client in &kept {
            assert_eq!(ask(client, &guarded.url).await, served(), "{case}");
        }
        other.write(guarded.trust.folder(), "ca").unwrap();
        guarded.renew(is_watched);
        for client in &kept {
            assert_eq!(ask(client, &guarded.url).await, unknown(), "{case}");
        }
        for client in &guarded.both(&other.client("team-a", &[])) {
            assert_eq!(ask(client, &guarded.url).await, served(), "{case}");
        }
        for client in &guarded.both(&old) {
            assert_eq!(ask(client, &guarded.url).await, None, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_while_its_connection_is_open_is_good_no_longer() {
    const LIFETIME: Duration = Duration::from_secs(6);
    let guarded =
        [clients(), String::new()].map(|access| async move { Guarded::start(&access).await });
    let [known, open] = guarded;
    for guarded in [known.await, open.await] {
        let issued_at = unix_now();
        let authority = &guarded.trust.authority;
        let short = guarded.both(&authority.client_for("team-a", &[], LIFETIME));
        let long = guarded.both(&authority.client("team-a", &[]));
        for client in short.iter().chain(&long) {
            assert_eq!(ask(client, &guarded.url).await, served());
        }
        let deadline = Instant::now() + PATIENCE;
        let mut answer = served();
        while answer == served() {
            assert!(Instant::now() < deadline, "it does not end");
            answer = ask(&short[0], &guarded.url).await;
        }
        assert!(
            unix_now() + Duration::from_secs(1) > issued_at + LIFETIME,
            "too early"
        );
        assert_eq!(answer, unknown());
        assert_eq!(ask(&short[1], &guarded.url).await, unknown());
        for client in &long {
            assert_eq!(ask(client, &guarded.url).await, served());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_in_without_a_certificate_must_show_one_when_it_is_required() {
    let mut guarded = Guarded::start("").await;
    let required = guarded.trust.clients("required");
    let optional = guarded.trust.clients("optional");
    for before in ["", &optional] {
        let keys = [("open: true\n", &*clients()), (&*required, before)];
        guarded.fleet.gateway.reload(&keys);
        // HTTP/2: its connection stays open after a refusal, too.
        let client = guarded.trust.client(None).build().unwrap();
        let missing = Some((401, "missing_api_key".to_owned()));
        assert_eq!(ask(&client, &guarded.url).await, missing);
        guarded.renew(false);
        assert_eq!(ask(&client, &guarded.url).await, unknown());
        assert_eq!(guarded.fleet.requests("gpt-4o"), [0; 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_no_moment_of_a_reload_is_somebody_let_in_who_shows_nothing() {
    let mut guarded = Guarded::start("").await;
    // The reload waits for its token.
    let machine = Identity::start(IdentityOptions::default()).await.unwrap();
    let hour = IdentityFault::late(Duration::from_secs(3600));
    machine.control().inject(Door::Imds, hour);
    let hanging = format!(
        "credentials:\n  hanging: {{ managed_identity: {{ url: \"{}\" }} }}\n",
        machine.url()
    );

    let once = guarded.trust.client(None).pool_max_idle_per_host(0);
    let (stranger, url) = (once.build().unwrap(), guarded.url.clone());
    let enough = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (stranger, url, enough) = (stranger.clone(), url.clone(), enough.clone());
        async move {
            let mut answers = Vec::new();
            while !enough.load(Relaxed) {
                answers.push(ask(&stranger, &url).await.map(|(status, _)| status));
            }
            answers
        }
    });
    assert_eq!(ask(&stranger, &url).await, None);
    let required = guarded.trust.clients("required");
    guarded.fleet.gateway.reload(&[
        ("open: true\n", &clients()),
        (&required, ""),
        ("credentials:\n", &hanging),
        ("credential: aoi-3", "credential: hanging"),
    ]);
    assert_eq!(machine.control().requests(Door::Imds), 1);
    let missing = Some((401, "missing_api_key".to_owned()));
    assert_eq!(ask(&stranger, &url).await, missing);
    enough.store(true, Relaxed);
    let answers = asking.await.unwrap();
    assert!(answers.len() > 10, "asked {} times", answers.len());
    let let_in = answers
        .iter()
        .find(|answer| ![None, Some(401)].contains(answer));
    assert_eq!(let_in, None);
}
