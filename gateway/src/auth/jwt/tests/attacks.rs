//! Tokens that must not be accepted, each with the reason that it is refused for.

use proptest::prelude::*;

use super::*;

/// A verifier whose issuer publishes `one` (RSA), `curve` (P-256) and `secret` (a shared secret).
struct Stage {
    one: Signer,
    other: Signer,
    curve: Signer,
    verifier: Verifier,
}

fn stage() -> Stage {
    let [one, other] = [RSA_ONE, RSA_TWO].map(Signer::rsa);
    let curve = Signer::p256();
    let secret = json!({"kty": "oct", "kid": "secret", "alg": "HS256", "k": base64url(b"secret")});
    let issuer_side = Fake::publishing(vec![one.jwk("one"), curve.jwk("curve"), secret]);
    let set = issuer_side.key_set();
    let both = Issuer {
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
        ..issuer()
    };
    Stage {
        one,
        other,
        curve,
        verifier: verifier_of(vec![both], &set),
    }
}

fn hmac(secret: &[u8], header: &Value) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let [header, claims] = [header, &claims()].map(|part| base64url(part.to_string().as_bytes()));
    let message = format!("{header}.{claims}");
    let tag = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64url(tag.as_ref()))
}

/// Every one is refused for its reason, and none is remembered.
async fn all_are_refused(stage: &Stage, cases: Vec<(&str, String, Denied)>) {
    for (name, token, expected) in cases {
        let remembered = stage.verifier.cache.len();
        let denied = verify(&stage.verifier, &token).await;
        assert_eq!(denied, Err(expected), "{name}");
        assert_eq!(known(&stage.verifier, &token), None, "{name}");
        assert_eq!(stage.verifier.cache.len(), remembered, "{name}");
    }
}

#[tokio::test]
async fn a_good_token_shows_its_client_and_is_remembered() {
    let stage = stage();
    let es256 = json!({"alg": "ES256", "kid": "curve", "typ": "at+jwt"});
    let azure = |audience: &str| but(claims(), json!({"aud": audience}));
    let slash = but(
        claims(),
        json!({"aud": "https://cognitiveservices.azure.com/"}),
    );
    let sts = but(claims(), json!({"iss": "https://sts.example/tenant-1/"}));
    let several = but(claims(), json!({"aud": ["api://other", AUDIENCE]}));
    let with_url = but(
        rs256("one"),
        json!({"jku": "https://evil.example/", "typ": "jwt"}),
    );
    let for_azure = Verified {
        for_azure: true,
        ..TEAM_B
    };
    let cases = [
        (stage.one.token(&rs256("one"), &claims()), TEAM_B),
        (stage.curve.token(&es256, &claims()), TEAM_B),
        (stage.one.token(&rs256("one"), &sts), TEAM_B),
        (stage.one.token(&rs256("one"), &several), TEAM_B),
        (stage.one.token(&with_url, &claims()), TEAM_B),
        (
            stage
                .one
                .token(&rs256("one"), &azure("https://cognitiveservices.azure.com")),
            for_azure,
        ),
    ];
    for (token, expected) in cases {
        assert_eq!(known(&stage.verifier, &token), None);
        assert_eq!(verify(&stage.verifier, &token).await, Ok(expected));
        assert_eq!(known(&stage.verifier, &token), Some(expected));
        let after = unix_now() + Duration::from_secs(3601);
        assert_eq!(stage.verifier.known(&sha256(&token), after), None, "over");
    }
    // The audience is compared as it is written: with the slash it is another, until it is configured.
    let token = stage.one.token(&rs256("one"), &slash);
    let denied = verify(&stage.verifier, &token).await;
    assert_eq!(denied, Err(Reason::Audience.into()));
}

#[tokio::test]
async fn forged_signatures_and_keys_are_refused() {
    let stage = stage();
    let Stage {
        one, other, curve, ..
    } = &stage;
    let header = |changes| but(rs256("one"), changes);
    let good = one.token(&rs256("one"), &claims());
    assert_eq!(verify(&stage.verifier, &good).await, Ok(TEAM_B));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (start, payload) = message.split_once('.').unwrap();
    let admin = but(claims(), json!({"roles": ["Use", "Admin"]})).to_string();
    let later = one.token(&rs256("one"), &but(claims(), json!({"oid": "o-2"})));
    let (_, foreign) = later.rsplit_once('.').unwrap();
    let jwk = other.jwk("one");
    let modulus = one.jwk("one")["n"].as_str().unwrap().to_owned();
    let none = |alg: &str| {
        let header = base64url(header(json!({"alg": alg})).to_string().as_bytes());
        format!("{header}.{payload}.")
    };
    let hs256 = |kid: &str| json!({"typ": "JWT", "alg": "HS256", "kid": kid});
    let es256 = |kid: &str| json!({"typ": "JWT", "alg": "ES256", "kid": kid});
    let signature_of = |header: Value| other.token(&header, &claims());
    let key_of = |kid: &str| one.token(&rs256(kid), &claims());
    let url = "https://evil.example/keys";
    use Reason::{Algorithm, Malformed, Signature, UnknownKey};
    let cases = vec![
        ("no algorithm", none("none"), Algorithm),
        ("no algorithm in capitals", none("NONE"), Algorithm),
        (
            "HS256 with the PEM",
            hmac(RSA_ONE, &hs256("one")),
            Algorithm,
        ),
        (
            "HS256 with n",
            hmac(modulus.as_bytes(), &hs256("one")),
            Algorithm,
        ),
        (
            "HS256 with an oct key",
            hmac(b"secret", &hs256("secret")),
            Algorithm,
        ),
        (
            "RS384",
            one.token(&header(json!({"alg": "RS384"})), &claims()),
            Algorithm,
        ),
        (
            "PS256",
            one.token(&header(json!({"alg": "PS256"})), &claims()),
            Algorithm,
        ),
        (
            "alg in small letters",
            one.token(&header(json!({"alg": "rs256"})), &claims()),
            Algorithm,
        ),
        (
            "no alg",
            one.token(&header(json!({"alg": null})), &claims()),
            Malformed,
        ),
        (
            "ES256 with an RSA key",
            curve.token(&es256("one"), &claims()),
            Algorithm,
        ),
        ("RS256 with a P-256 key", key_of("curve"), Algorithm),
        (
            "another key, same start as a good one",
            signature_of(rs256("one")),
            Signature,
        ),
        ("jku", signature_of(header(json!({"jku": url}))), Signature),
        ("x5u", signature_of(header(json!({"x5u": url}))), Signature),
        ("jwk", signature_of(header(json!({"jwk": jwk}))), Signature),
        (
            "jwk of its own name",
            signature_of(but(rs256("own"), json!({"jwk": jwk}))),
            UnknownKey,
        ),
        ("kid of an oct key", key_of("secret"), UnknownKey),
        ("kid that climbs", key_of("../../x"), UnknownKey),
        ("kid of SQL", key_of("' or 1=1 --"), UnknownKey),
        ("kid of nothing", key_of(""), UnknownKey),
        ("kid in capitals", key_of("ONE"), UnknownKey),
        ("kid of unicode", key_of("оne"), UnknownKey),
        (
            "no kid",
            one.token(&header(json!({"kid": null})), &claims()),
            UnknownKey,
        ),
        (
            "kid that is a number",
            one.token(&header(json!({"kid": 1})), &claims()),
            Malformed,
        ),
        (
            "signature of another token",
            format!("{message}.{foreign}"),
            Signature,
        ),
        (
            "other payload",
            format!("{start}.{}.{signature}", base64url(admin.as_bytes())),
            Signature,
        ),
        ("no signature", format!("{message}."), Signature),
        (
            "half a signature",
            format!("{message}.{}", &signature[..100]),
            Signature,
        ),
        (
            "zeros",
            format!("{message}.{}", base64url(&[0; 256])),
            Signature,
        ),
    ];
    let denied = cases
        .into_iter()
        .map(|(name, token, reason)| (name, token, reason.into()));
    all_are_refused(&stage, denied.collect()).await;
}

#[tokio::test]
async fn tokens_that_are_none_or_cannot_be_read_are_refused() {
    let stage = stage();
    let one = &stage.one;
    let good = one.token(&rs256("one"), &claims());
    assert_eq!(verify(&stage.verifier, &good).await, Ok(TEAM_B));
    let parts: Vec<&str> = good.split('.').collect();
    let typed = |typ: &str| one.token(&but(rs256("one"), json!({"typ": typ})), &claims());
    let raw = |claims: &str| one.raw_token(&rs256("one").to_string(), claims);
    let header = |header: &str| one.raw_token(header, &claims().to_string());
    let twice = claims()
        .to_string()
        .replacen('{', r#"{"iss":"https://evil.example/","#, 1);
    let nested = one.raw_token(&but(rs256("one"), json!({"cty": "JWT"})).to_string(), &good);
    let crit = json!({"crit": ["exp"], "exp": 1});
    use Reason::{CriticalHeader, Malformed, TooLarge, Type};
    let not_tokens = [
        "",
        ".",
        "..",
        "...",
        "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
        "tw-key.a.b",
        "eyJ",
    ];
    let mut cases: Vec<(&str, String, Denied)> = not_tokens
        .map(|text| (text, text.to_owned(), Denied::NotAToken))
        .to_vec();
    let unreadable = [
        ("one dot", format!("{}.{}", parts[0], parts[1]), Malformed),
        ("four parts", format!("{good}.{}", parts[2]), Malformed),
        (
            "five parts",
            format!("{good}.{}.{}", parts[1], parts[2]),
            Malformed,
        ),
        ("empty parts", "ey..".to_owned(), Malformed),
        (
            "no claims",
            format!("{}..{}", parts[0], parts[2]),
            Malformed,
        ),
        (
            "same start as a good one",
            format!("{}{}", &good[..20], "A.".repeat(2)),
            Malformed,
        ),
        (
            "padding",
            format!("{}.{}=.{}", parts[0], parts[1], parts[2]),
            Malformed,
        ),
        ("padded signature", format!("{good}=="), Malformed),
        ("space at the end", format!("{good} "), Malformed),
        (
            "line in the middle",
            good.replacen('.', ".\n", 1),
            Malformed,
        ),
        (
            "other alphabet",
            format!("{}.{}+/.{}", parts[0], parts[1], parts[2]),
            Malformed,
        ),
        (
            "unicode",
            format!("{}.{}é.{}", parts[0], parts[1], parts[2]),
            Malformed,
        ),
        ("100 KB", format!("{good}{}", "A".repeat(100_000)), TooLarge),
        (
            "100 KB of dots",
            format!("ey{}", ".".repeat(100_000)),
            TooLarge,
        ),
        (
            "a header twice",
            header(r#"{"alg":"none","alg":"RS256","kid":"one"}"#),
            Malformed,
        ),
        (
            "critical header",
            one.token(&but(rs256("one"), crit), &claims()),
            CriticalHeader,
        ),
        (
            "null for crit",
            header(r#"{"alg":"RS256","kid":"one","crit":null}"#),
            CriticalHeader,
        ),
        ("typ of encryption", typed("JWE"), Type),
        ("typ of a proof", typed("dpop+jwt"), Type),
        ("typ of a logout", typed("logout+jwt"), Type),
        ("token in a token", nested, Malformed),
        ("claims of a list", raw("[1]"), Malformed),
        (
            "claims and more",
            raw(&format!("{} {{}}", claims())),
            Malformed,
        ),
        ("deep claims", raw(&"[".repeat(5_000)), Malformed),
        ("iss twice", raw(&twice), Malformed),
    ];
    cases.extend(unreadable.map(|(name, token, reason)| (name, token, reason.into())));
    cases.push(("a header of a list", header("[]"), Denied::NotAToken));
    all_are_refused(&stage, cases).await;
}

#[tokio::test]
async fn claims_that_are_missing_or_wrong_are_refused() {
    let stage = stage();
    let of = |changes: Value| stage.one.token(&rs256("one"), &but(claims(), changes));
    let now = unix_now().as_secs();
    let huge = claims().to_string();
    let huge = |text: &str| {
        let exp = claims()["exp"].to_string();
        let claims = huge.replace(&format!("\"exp\":{exp}"), &format!("\"exp\":{text}"));
        assert!(claims.contains(&format!("\"exp\":{text}")), "{claims}");
        stage.one.raw_token(&rs256("one").to_string(), &claims)
    };
    use Reason::{Audience, Expired, Malformed, MissingClaim, NotYetValid, UnknownIssuer};
    let cases = vec![
        ("no exp", of(json!({"exp": null})), MissingClaim("exp")),
        ("no nbf", of(json!({"nbf": null})), MissingClaim("nbf")),
        ("no iss", of(json!({"iss": null})), MissingClaim("iss")),
        ("no aud", of(json!({"aud": null})), MissingClaim("aud")),
        (
            "other iss",
            of(json!({"iss": "https://evil.example/"})),
            UnknownIssuer,
        ),
        (
            "iss with a slash",
            of(json!({"iss": format!("{ISSUER}/")})),
            UnknownIssuer,
        ),
        ("iss in a list", of(json!({"iss": [ISSUER]})), Malformed),
        ("other aud", of(json!({"aud": "api://other"})), Audience),
        (
            "longer aud",
            of(json!({"aud": format!("{AUDIENCE}/x")})),
            Audience,
        ),
        ("no aud in a list", of(json!({"aud": []})), Audience),
        ("aud of a number", of(json!({"aud": 1})), Audience),
        ("expired", of(json!({"exp": now - 61})), Expired),
        ("not yet valid", of(json!({"nbf": now + 70})), NotYetValid),
        ("exp of zero", of(json!({"exp": 0})), Expired),
        ("exp below zero", of(json!({"exp": -1})), Malformed),
        ("exp with a fraction", of(json!({"exp": 1.5})), Malformed),
        ("exp of text", of(json!({"exp": "9999999999"})), Malformed),
        (
            "exp in milliseconds",
            of(json!({"exp": (now + 60) * 1000})),
            Malformed,
        ),
        ("largest exp", huge("18446744073709551615"), Malformed),
        (
            "exp that does not fit",
            huge("18446744073709551616"),
            Malformed,
        ),
        ("exp without end", huge("1e999"), Malformed),
        ("nbf of text", of(json!({"nbf": "now"})), Malformed),
    ];
    let cases = cases
        .into_iter()
        .map(|(name, token, reason)| (name, token, reason.into()));
    all_are_refused(&stage, cases.collect()).await;

    let missing = "rule 1 (client team-b): roles has none of Use".to_owned();
    let no_rule = of(json!({"roles": ["Other"]}));
    all_are_refused(
        &stage,
        vec![("no rule", no_rule, Denied::NoRule { missing })],
    )
    .await;
}

#[tokio::test]
async fn within_the_leeway_a_token_is_good_but_is_not_remembered_once_it_has_expired() {
    let stage = stage();
    let now = unix_now().as_secs();
    let expired = but(claims(), json!({"exp": now - 20}));
    let early = but(claims(), json!({"nbf": now + 20}));
    for (claims, remembered) in [(expired, None), (early, Some(TEAM_B))] {
        let token = stage.one.token(&rs256("one"), &claims);
        assert_eq!(verify(&stage.verifier, &token).await, Ok(TEAM_B));
        assert_eq!(known(&stage.verifier, &token), remembered);
    }
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_is_not_configured_for_is_refused() {
    let curve = Signer::p256();
    let set = Fake::publishing(vec![curve.jwk("curve")]).key_set();
    let verifier = verifier_of(vec![issuer()], &set);
    let token = curve.token(&json!({"alg": "ES256", "kid": "curve"}), &claims());
    let denied = verify(&verifier, &token).await;
    assert_eq!(denied, Err(Reason::Algorithm.into()));
}

#[tokio::test]
async fn issuers_that_share_a_name_are_told_apart_by_audience_and_tried_in_order() {
    let one = Signer::rsa(RSA_ONE);
    let set = Fake::publishing(vec![one.jwk("one")]).key_set();
    let rule = |client, role: &str| Rule {
        client,
        roles: vec![role.into()],
        ..issuer().rules[0].clone()
    };
    let entry = |audience: &str, rule| Issuer {
        audiences: vec![audience.into()],
        rules: vec![rule],
        ..issuer()
    };
    let issuers = vec![
        entry("api://a", rule(0, "Use")),
        entry("api://b", rule(1, "Use")),
        entry("api://b", rule(0, "Admin")),
    ];
    let verifier = verifier_of(issuers, &set);
    let decide = async |audience: &str, role: &str| {
        let claims = but(claims(), json!({"aud": audience, "roles": [role]}));
        let token = one.token(&rs256("one"), &claims);
        verify(&verifier, &token).await.map(|good| good.client)
    };
    assert_eq!(decide("api://a", "Use").await, Ok(0));
    assert_eq!(decide("api://b", "Use").await, Ok(1));
    assert_eq!(decide("api://b", "Admin").await, Ok(0));
    assert!(matches!(
        decide("api://b", "None").await,
        Err(Denied::NoRule { .. })
    ));
    assert_eq!(decide("api://c", "Use").await, Err(Reason::Audience.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_token_with_anything_changed_is_never_accepted(
        place in any::<prop::sample::Index>(),
        text in "\\PC|[A-Za-z0-9_.-]{1,3}|",
        removed in 0_usize..3,
    ) {
        thread_local! {
            static STAGE: (tokio::runtime::Runtime, Stage, String) = {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let stage = runtime.block_on(async { stage() });
                let token = stage.one.token(&rs256("one"), &claims());
                (runtime, stage, token)
            };
        }
        STAGE.with(|(runtime, stage, good)| {
            let start = place.index(good.len());
            let end = (start + removed).min(good.len());
            let changed = format!("{}{text}{}", &good[..start], &good[end..]);
            let result = runtime.block_on(verify(&stage.verifier, &changed));
            assert_eq!(result.is_ok(), changed == *good, "{changed}");
        });
    }
}
