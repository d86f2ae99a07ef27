//! Real fetches from an issuer on this machine, and which of the keys that it publishes count.

use std::net::SocketAddr;

use http_body_util::Full;
use hyper::{
    Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;

use super::{fetch::Remote, *};

/// Answers each path with a status and a body; `{here}` in a body is its own address.
async fn serve(paths: Vec<(&'static str, u16, String)>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    let paths = Arc::new(paths);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let paths = paths.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let found = paths
                    .iter()
                    .find(|(path, ..)| *path == request.uri().path());
                let (status, body) = found.map_or((404, String::new()), |(_, status, body)| {
                    (*status, body.replace("{here}", &format!("http://{here}")))
                });
                let answer = Response::builder()
                    .status(status)
                    .header("location", format!("http://{here}/keys"))
                    .body(Full::new(Bytes::from(body)))
                    .unwrap();
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    here
}

async fn fetch(at: KeysAt) -> Result<usize, String> {
    let names = vec![Arc::from(ISSUER)];
    let keys = Remote { at, names }.keys().await;
    keys.map(|keys| keys.len())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn keys_come_from_the_set_that_is_named_or_that_the_discovery_document_names() {
    let keys = json!({"keys": [Signer::rsa(RSA_ONE).jwk("one")]}).to_string();
    let discovery = |issuer: &str, uri: &str| {
        json!({"issuer": issuer, "jwks_uri": uri, "other": [1]}).to_string()
    };
    let here = serve(vec![
        ("/keys", 200, keys),
        ("/good", 200, discovery(ISSUER, "{here}/keys")),
        (
            "/other",
            200,
            discovery("https://evil.example/", "{here}/keys"),
        ),
        (
            "/plain",
            200,
            discovery(ISSUER, "http://login.example/keys"),
        ),
        ("/file", 200, discovery(ISSUER, "file:///etc/passwd")),
        ("/nowhere", 200, discovery(ISSUER, "{here}/none")),
        ("/moved", 302, String::new()),
        ("/broken", 503, String::new()),
        ("/html", 200, "<html>sign in</html>".to_owned()),
        ("/empty", 200, r#"{"keys": []}"#.to_owned()),
        (
            "/huge",
            200,
            format!("{{\"keys\": [\"{}\"]}}", "x".repeat(1024 * 1024)),
        ),
    ])
    .await;
    let discover =
        async |path: &str| fetch(KeysAt::Discovery(format!("http://{here}{path}").into())).await;
    let get = async |path: &str| fetch(KeysAt::Jwks(format!("http://{here}{path}").into())).await;
    assert_eq!(discover("/good").await, Ok(1));
    assert_eq!(get("/keys").await, Ok(1));
    let failures = [
        (discover("/other").await, "`https://evil.example/`"),
        (discover("/plain").await, "is not https"),
        (discover("/file").await, "is not https"),
        (discover("/nowhere").await, "answered 404"),
        (discover("/keys").await, "missing field `issuer`"),
        (get("/moved").await, "answered 302"),
        (get("/broken").await, "answered 503"),
        (get("/html").await, "not the JSON document"),
        (get("/empty").await, "no key"),
        (get("/huge").await, "/huge: "),
        (
            fetch(KeysAt::Jwks("http://login.example/".into())).await,
            "is not https",
        ),
        (
            fetch(KeysAt::Jwks("http://127.0.0.1.example/".into())).await,
            "is not https",
        ),
        (fetch(KeysAt::Jwks("keys".into())).await, "is not https"),
    ];
    for (result, expected) in failures {
        let error = result.expect_err(expected);
        assert!(error.contains(expected), "{expected} in {error}");
    }
}

#[test]
fn only_public_signature_keys_that_are_long_enough_and_have_a_name_count() {
    let one = Signer::rsa(RSA_ONE).jwk("one");
    let curve = Signer::p256().jwk("curve");
    let n = one["n"].as_str().unwrap();
    let x = curve["x"].as_str().unwrap();
    let long = |first: u8, len: usize| base64url(&[&[first][..], &vec![1; len - 1]].concat());
    let rsa = |changes| but(one.clone(), changes);
    let ec = |changes| but(curve.clone(), changes);
    let cases = [
        (rsa(json!({})), 1),
        (rsa(json!({"use": null})), 1),
        (rsa(json!({"use": "enc"})), 0),
        (
            rsa(json!({"alg": "RS256", "key_ops": ["verify"], "x5t": "x"})),
            1,
        ),
        (rsa(json!({"alg": "RS512"})), 0),
        (rsa(json!({"alg": "HS256"})), 0),
        (rsa(json!({"key_ops": ["encrypt"]})), 0),
        (rsa(json!({"kid": null})), 0),
        (rsa(json!({"kid": 1})), 0),
        (rsa(json!({"kty": "oct", "k": n})), 0),
        (rsa(json!({"kty": "rsa"})), 0),
        (rsa(json!({"n": null})), 0),
        (rsa(json!({"n": format!("{n}=")})), 0),
        (rsa(json!({"n": long(0x80, 256)})), 1),
        (rsa(json!({"n": long(0x7f, 256)})), 0),
        (rsa(json!({"n": long(0x80, 128)})), 0),
        (rsa(json!({"n": long(0x01, 257)})), 1),
        (rsa(json!({"n": long(0x00, 256)})), 0),
        (rsa(json!({"n": long(0x80, 1024)})), 1),
        (rsa(json!({"n": long(0x80, 1025)})), 0),
        (rsa(json!({"e": "AA"})), 0),
        (ec(json!({})), 1),
        (ec(json!({"alg": "ES256"})), 1),
        (ec(json!({"alg": "RS256"})), 0),
        (ec(json!({"crv": "P-384"})), 0),
        (ec(json!({"x": &x[..20]})), 0),
        (ec(json!({"y": null})), 0),
        (
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "o", "x": x}),
            0,
        ),
        (json!("one"), 0),
        (json!(null), 0),
    ];
    for (published, expected) in cases {
        let counted = keys::usable(std::slice::from_ref(&published)).len();
        assert_eq!(counted, expected, "{published}");
    }
    let odd = [json!({"kty": "AKP"}), json!(1), one];
    assert_eq!(keys::usable(&odd).len(), 1, "an odd key spoils no other");
}

#[tokio::test]
async fn a_modulus_with_a_sign_byte_and_a_key_of_the_right_tenant_verify() {
    let signer = Signer::rsa(RSA_ONE);
    let Signer::Rsa(pair) = &signer else {
        unreachable!("it is RSA")
    };
    let public = ring_signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
    let signed = base64url(&[&[0][..], &public.n].concat());
    let wrong = Err(Reason::UnknownKey.into());
    let cases = [
        (json!({"n": signed}), Ok(TEAM_B)),
        (json!({"issuer": ISSUER}), Ok(TEAM_B)),
        (
            json!({"issuer": "https://login.example/{tenantid}/v2.0"}),
            Ok(TEAM_B),
        ),
        (
            json!({"issuer": "https://sts.example/tenant-1/"}),
            Ok(TEAM_B),
        ),
        (
            json!({"issuer": "https://login.example/consumers/v2.0"}),
            wrong.clone(),
        ),
        (json!({"issuer": "https://login.example"}), wrong),
    ];
    for (changes, expected) in cases {
        let jwk = but(signer.jwk("one"), changes.clone());
        let verifier = verifier_of(vec![issuer()], &Fake::publishing(vec![jwk]).key_set());
        let token = signer.token(&rs256("one"), &claims());
        assert_eq!(verify(&verifier, &token).await, expected, "{changes}");
    }
}
