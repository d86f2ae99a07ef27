//! What the issuer publishes, what it signs with, and what a resource accepts.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::{Value, json};
use simulator::{IdentityOptions, Resource, Running, RunningIdentity, forge};

use super::{get, options, start};
use crate::{CHAT, ask, prompt, resource};

const AUDIENCE: &str = "https://cognitiveservices.azure.com";

async fn keys(identity: &RunningIdentity) -> Vec<Value> {
    let (status, _, answer) = get(identity, "/tenant-1/discovery/v2.0/keys", "").await;
    assert_eq!(status, 200);
    answer["keys"].as_array().expect("a key set").clone()
}

fn of_kind(keys: &[Value], kind: &str) -> Vec<Value> {
    let of_kind = keys.iter().filter(|key| key["kty"] == kind);
    of_kind.cloned().collect()
}

/// Whether the published key of the token's `kid` has signed it.
fn is_signed(keys: &[Value], token: &str) -> bool {
    let (header, _) = forge::decode(token).expect("a JWT");
    let Some(key) = keys.iter().find(|key| key["kid"] == header["kid"]) else {
        return false;
    };
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
    let number = |name: &str| decode(key[name].as_str().expect("an RSA key"));
    let (message, signature) = token.rsplit_once('.').expect("a JWT");
    let public = RsaPublicKeyComponents {
        n: number("n"),
        e: number("e"),
    };
    let algorithm = &RSA_PKCS1_2048_8192_SHA256;
    public
        .verify(algorithm, message.as_bytes(), &decode(signature))
        .is_ok()
}

#[tokio::test]
async fn both_discovery_documents_lead_to_the_keys() {
    let identity = start(options()).await;
    let control = identity.control();
    let v1 = format!(
        "{}/tenant-1/.well-known/openid-configuration",
        identity.url()
    );
    let any = format!(
        "{}/common/v2.0/.well-known/openid-configuration",
        identity.url()
    );
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned();
    let cases = [
        (control.discovery_url(), control.issuer_v2()),
        (v1, control.issuer_v1()),
        (any, template),
    ];
    for (url, issuer) in cases {
        let path = url.strip_prefix(&identity.url()).unwrap();
        let (status, _, document) = get(&identity, path, "").await;
        assert_eq!(status, 200, "{path}");
        assert_eq!(document["issuer"], issuer);
        let keys = document["jwks_uri"].as_str().unwrap();
        let path = keys.strip_prefix(&identity.url()).expect("a place here");
        assert_eq!(get(&identity, path, "").await.0, 200, "{keys}");
    }
    let (status, _, _) = get(
        &identity,
        "/nobody/v2.0/.well-known/openid-configuration",
        "",
    )
    .await;
    assert_eq!(status, 400);
    assert_eq!(
        get(&identity, "/nobody/discovery/v2.0/keys", "").await.0,
        400
    );
}

#[tokio::test]
async fn keys_are_published_as_entra_does_it() {
    let identity = start(options()).await;
    let published = keys(&identity).await;
    let rsa = of_kind(&published, "RSA");
    assert_eq!(rsa.len(), 1);
    assert_eq!(rsa[0]["use"], "sig");
    assert_eq!(rsa[0]["x5t"], rsa[0]["kid"]);
    assert_eq!(rsa[0]["e"], "AQAB");
    assert!(rsa[0].get("alg").is_none());
    assert_eq!(of_kind(&published, "EC")[0]["kid"], forge::ec_kid());
    assert_eq!(published.len(), 2);

    let odd = IdentityOptions {
        odd_keys: true,
        ..options()
    };
    let published = keys(&start(odd).await).await;
    assert_eq!(of_kind(&published, "oct")[0]["kid"], forge::OCT_KID);
    assert_eq!(of_kind(&published, "AKP").len(), 1);
    assert_eq!(published.len(), 4);
}

#[tokio::test]
async fn a_rotated_key_stays_published_until_it_is_forgotten() {
    let identity = start(options()).await;
    let control = identity.control();
    let first = control.issue(control.claims_v2("a"));
    assert!(is_signed(&keys(&identity).await, &first));
    let first_kid = control.current_kid();
    control.rotate();
    assert_ne!(control.current_kid(), first_kid);
    let second = control.issue(control.claims_v1("a"));
    let published = keys(&identity).await;
    assert!(is_signed(&published, &first) && is_signed(&published, &second));
    control.forget_old_keys();
    let published = keys(&identity).await;
    assert!(!is_signed(&published, &first) && is_signed(&published, &second));
    assert_eq!(of_kind(&published, "RSA").len(), 1);
    for _ in 0..forge::RSA_KEYS - 1 {
        control.rotate();
    }
    assert_eq!(control.current_kid(), first_kid, "the first key again");
    assert_eq!(
        of_kind(&keys(&identity).await, "RSA").len(),
        forge::RSA_KEYS
    );
}

async fn chat(resource: &Running, credential: &str) -> String {
    let (head, _) = ask(resource, "POST", CHAT, credential, &prompt("hi")).await;
    head[9..12].to_owned()
}

async fn bearer(resource: &Running, token: &str) -> String {
    chat(resource, &format!("authorization: Bearer {token}\r\n")).await
}

#[tokio::test]
async fn a_resource_accepts_tokens_that_are_meant_for_it() {
    let identity = start(options()).await;
    let control = identity.control();
    let protected = Resource {
        api_keys: vec!["key".to_owned()],
        ..resource()
    };
    let running = crate::start(protected.token_audience(AUDIENCE)).await;
    let good = control.claims_v1(AUDIENCE);
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        control.issue(claims)
    };
    let (header, _) = forge::decode(&control.issue(good.clone())).unwrap();
    let none = json!({"alg": "none"});
    let hs = json!({"alg": "HS256", "kid": control.current_kid()});
    let pem = forge::public_key_pem(0).as_bytes();
    let cut = control
        .issue(good.clone())
        .rsplit_once('.')
        .unwrap()
        .0
        .to_owned();
    let cases = [
        ("good", control.issue(good.clone()), "200"),
        (
            "a key that is not published",
            forge::sign(&header, &good, forge::Key::Rsa(2)),
            "200",
        ),
        (
            "for another",
            changed("aud", json!("https://management.azure.com")),
            "401",
        ),
        ("expired", changed("exp", json!(1)), "401"),
        (
            "unsigned",
            forge::sign(&none, &good, forge::Key::None),
            "401",
        ),
        (
            "a public key as secret",
            forge::sign(&hs, &good, forge::Key::Secret(pem)),
            "401",
        ),
        (
            "RS256 said, ES256 done",
            forge::sign(&header, &good, forge::Key::Ec),
            "401",
        ),
        ("no signature", cut, "401"),
        ("no token", "abc".to_owned(), "401"),
    ];
    for (name, token, expected) in cases {
        assert_eq!(bearer(&running, &token).await, expected, "{name}");
    }
    assert_eq!(
        chat(&running, "api-key: key\r\n").await,
        "200",
        "keys are good still"
    );
    assert_eq!(chat(&running, "").await, "401");

    let token = control.issue(good.clone());
    assert_eq!(bearer(&running, &token).await, "200");
    let last = running.control().last("gpt-4o").unwrap();
    assert_eq!(
        last.header("authorization").unwrap(),
        format!("Bearer {token}")
    );
}

#[tokio::test]
async fn only_a_later_token_is_accepted_after_all_were_refused() {
    let identity = start(options()).await;
    let control = identity.control();
    let running = crate::start(resource().token_audience(AUDIENCE)).await;
    let early = control.issue(control.claims_v1(AUDIENCE));
    assert_eq!(bearer(&running, &early).await, "200");
    running.control().refuse_tokens(true);
    assert_eq!(bearer(&running, &early).await, "401");
    let late = control.issue(control.claims_v1(AUDIENCE));
    assert_eq!(
        bearer(&running, &late).await,
        "200",
        "fetched in the same second"
    );
    running.control().refuse_tokens(false);
    assert_eq!(bearer(&running, &early).await, "200");
}

#[tokio::test]
async fn a_token_is_good_for_the_lifetime_that_was_set() {
    let identity = start(options()).await;
    let control = identity.control();
    control.set_token_lifetime(Duration::from_secs(90));
    let claims = control.claims_v2("a");
    let [issued, expires] = ["iat", "exp"].map(|name| claims[name].as_u64().unwrap());
    assert_eq!(expires - issued, 90);
}
