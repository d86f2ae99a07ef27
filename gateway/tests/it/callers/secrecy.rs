//! Nothing of what callers show is written anywhere.

use super::*;

/// Whoever sees one of these in a log can use it.
fn secrets_of(token: &str) -> Vec<String> {
    token
        .split('.')
        .skip(1)
        .map(|part| part.chars().take(40).collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_token_or_claim_is_seen_by_somebody_who_looks_closer() {
    let config = "log: { level: trace }\n";
    let mut stage = Stage::with(config, BY_ROLE).await;
    let issuer = stage.issuer();
    let of = |changes| {
        let claims = but(
            claims(&issuer),
            json!({"oid": "canary-oid", "upn": "canary@example.com"}),
        );
        issuer.issue(but(claims, changes))
    };
    let good = of(json!({}));
    let (message, _) = good.rsplit_once('.').unwrap();
    let unknown = but(header(&issuer), json!({"kid": "canary-kid"}));
    let tokens = [
        (good.clone(), 200),
        (good.clone(), 200),
        (of(json!({"roles": ["canary-role"]})), 403),
        (of(json!({"exp": 1})), 401),
        (of(json!({"iss": "https://canary.example"})), 401),
        (of(json!({"aud": "api://canary"})), 401),
        (of(json!({"exp": "canary"})), 401),
        (of(json!({"x": "x".repeat(16_000)})), 401),
        (
            format!("{message}.Y2FuYXJ5LXNpZ25hdHVyZS1vZi1ub2JvZHktaW4tcGFydGljdWxhcg"),
            401,
        ),
        (
            forge::sign(&unknown, &claims(&issuer), forge::Key::Rsa(2)),
            401,
        ),
    ];
    let mut secrets: Vec<String> = tokens
        .iter()
        .flat_map(|(token, _)| secrets_of(token))
        .collect();
    secrets.push("canary".to_owned());
    let mut answers = Vec::new();
    for (token, status) in &tokens {
        let seen = stage.show(token).await;
        assert_eq!(seen.status, *status, "{}", seen.text());
        answers.push(format!("{:?} {}", seen.headers, seen.text()));
    }
    let bearer = format!("Bearer {good}");
    for (headers, status) in [
        (&[("api-key", KEY)][..], 200),
        (&[("api-key", "canary-wrong")], 401),
        (&[("api-key", KEY), ("authorization", &bearer)], 400),
        (&[("api-key", &*good), ("authorization", &bearer)], 200),
        (
            &[("authorization", &bearer), ("authorization", &bearer)],
            400,
        ),
        (&[("authorization", "Canary canary-scheme")], 401),
    ] {
        let seen = stage.ask(headers).await;
        assert_eq!(seen.status, status, "{}", seen.text());
        answers.push(format!("{:?} {}", seen.headers, seen.text()));
    }
    // The provider gets the gateway's own credential alone.
    for number in 1..=3 {
        if let Some(last) = stage.fleet.aoi(number).last(GPT) {
            answers.push(format!("{last:?}"));
        }
    }
    stage.issuer.stop().await;
    stage.fleet.gateway.reload(&[("Chat.Use", "Chat.Other")]);
    let gateway = &mut stage.fleet.gateway;
    let pages = [
        gateway.admin_page("/metrics").await,
        gateway.admin_page("/status").await,
        gateway.admin_page("/readyz").await,
        String::from_utf8(gateway.ask(&["status"]).stdout).unwrap(),
        gateway.logged(),
        answers.join("\n"),
    ];
    for page in pages {
        for secret in &secrets {
            let shown = page.lines().find(|line| line.contains(&**secret));
            assert_eq!(shown, None, "{secret}");
        }
    }
    assert!(
        gateway.logged().contains("a caller is refused"),
        "there was something to log"
    );
}
