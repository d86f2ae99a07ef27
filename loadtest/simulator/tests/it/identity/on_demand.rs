//! What the identity simulator does when it is told to, from the same process and over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Door, IdentityFault, forge};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{FORM, IMDS, METADATA, call, get, options, raw, start};

#[tokio::test]
async fn faults_happen_one_after_the_other_at_their_door() {
    let identity = start(options()).await;
    let control = identity.control();
    control.inject(
        Door::Imds,
        IdentityFault::status(429).retry_after(7).times(2),
    );
    control.inject(Door::Imds, IdentityFault::status(410).times(1));
    control.inject(Door::Imds, IdentityFault::not_json().times(1));
    control.inject(
        Door::Imds,
        IdentityFault::answer("{}").header("x-a", "b").times(1),
    );
    control.inject(Door::Imds, IdentityFault::reset().times(1));
    control.inject(Door::Imds, IdentityFault::status(500));
    for _ in 0..2 {
        let (status, head, answer) = get(&identity, IMDS, METADATA).await;
        assert_eq!(status, 429);
        assert!(head.contains("retry-after: 7"), "{head}");
        assert_eq!(answer["error"], "too_many_requests");
    }
    assert_eq!(get(&identity, IMDS, METADATA).await.0, 410);
    let (status, head, answer) = get(&identity, IMDS, METADATA).await;
    assert_eq!((status, answer), (200, Value::Null));
    assert!(head.contains("text/html"), "{head}");
    let (status, head, answer) = get(&identity, IMDS, METADATA).await;
    assert_eq!((status, answer), (200, json!({})));
    assert!(head.contains("x-a: b"), "{head}");
    assert_eq!(
        raw(&identity, "GET", IMDS, METADATA, "").await,
        "",
        "a reset"
    );
    for _ in 0..3 {
        assert_eq!(get(&identity, IMDS, METADATA).await.0, 500, "for ever");
    }
    let keys = "/tenant-1/discovery/v2.0/keys";
    assert_eq!(get(&identity, keys, "").await.0, 200, "another door");
    control.clear();
    assert_eq!(get(&identity, IMDS, METADATA).await.0, 200);
    assert_eq!(control.requests(Door::Imds), 10, "failed calls count");

    control.inject(Door::Token, IdentityFault::status(503).times(1));
    let (status, _, answer) =
        call(&identity, "POST", "/tenant-1/oauth2/v2.0/token", FORM, "").await;
    assert_eq!(
        (status, &answer["error"]),
        (503, &json!("temporarily_unavailable"))
    );
}

#[tokio::test]
async fn a_late_answer_is_counted_when_it_is_asked_for() {
    const LATE: Duration = Duration::from_millis(100);
    let identity = start(options()).await;
    let control = identity.control();
    control.inject(Door::Imds, IdentityFault::late(LATE).times(1));
    let asked = Instant::now();
    let mut call = std::pin::pin!(get(&identity, IMDS, METADATA));
    tokio::select! {
        biased;
        () = control.requested(Door::Imds, 1) => {}
        _ = call.as_mut() => panic!("answered before it was counted"),
    }
    assert_eq!(call.await.0, 200);
    assert!(asked.elapsed() >= LATE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_stopped_simulator_refuses_and_comes_back_with_its_counts() {
    let mut identity = start(options()).await;
    assert_eq!(get(&identity, IMDS, METADATA).await.0, 200);
    let addr = identity.addr();
    identity.stop().await;
    assert!(TcpStream::connect(addr).await.is_err());
    identity.restart().await.unwrap();
    assert_eq!(identity.addr(), addr);
    assert_eq!(get(&identity, IMDS, METADATA).await.0, 200);
    assert_eq!(identity.control().requests(Door::Imds), 2);
}

#[tokio::test]
async fn everything_can_be_controlled_over_http() {
    let identity = start(options()).await;
    let fault = r#"{"status":500,"times":1,"delay_ms":1}"#;
    let first = identity.control().current_kid();
    for (method, path, body, expected) in [
        ("POST", "/_sim/faults/imds", fault, 200),
        ("POST", "/_sim/faults/door", fault, 400),
        ("POST", "/_sim/faults/imds", "{\"stat\":1}", 400),
        ("POST", "/_sim/lifetime", "{\"seconds\":60}", 200),
        ("POST", "/_sim/rotate", "", 200),
        ("DELETE", "/_sim/old-keys", "", 200),
        ("GET", "/_sim/last/imds", "", 404),
        ("GET", "/_sim/nothing", "", 404),
    ] {
        let (status, _, answer) = call(&identity, method, path, "", body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    assert_eq!(get(&identity, IMDS, METADATA).await.0, 500);
    assert_eq!(get(&identity, IMDS, METADATA).await.2["expires_in"], "60");
    let (_, _, stats) = get(&identity, "/_sim/stats", "").await;
    assert_eq!(stats["requests"], json!({"imds": 2}));
    assert_ne!(stats["kid"], first);
    let (_, _, last) = get(&identity, "/_sim/last/imds", "").await;
    assert_eq!(last["target"], IMDS);
    for (wanted, expected) in [
        (json!({"claims": {"a": 1}}), json!({"a": 1})),
        (
            json!({"audience": "api://a", "claims": {"roles": ["b"]}}),
            json!({"aud": "api://a", "ver": "1.0", "roles": ["b"]}),
        ),
        (
            json!({"audience": "api://a", "version": 2}),
            json!({"aud": "api://a", "ver": "2.0"}),
        ),
    ] {
        let (_, _, answer) = call(&identity, "POST", "/_sim/tokens", "", &wanted.to_string()).await;
        let (_, claims) = forge::decode(answer["token"].as_str().unwrap()).unwrap();
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&claims[name], value, "{wanted}");
        }
    }
}
