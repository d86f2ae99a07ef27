//! Good tokens: which client they mean, and what is said when they mean none.

use super::*;

const EVERY_CLAIM: &str = r"    algorithms: [RS256, ES256]
    rules:
      - { client: team-a, roles: [Chat.Use, Chat.Admin], oid: person-1 }
      - { client: team-b, roles: Chat.Use }
      - { client: team-c, scp: chat }
      - { client: team-b, azp: application-2 }
      - { client: team-c, oid: [person-2, person-3] }
      - { client: team-b, groups: group-2 }
";

/// Changes to a token's claims, and the client that they mean.
fn meanings() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"roles": ["Chat.Use"], "oid": "person-1"}), "team-a"),
        (
            json!({"roles": ["x", "Chat.Admin"], "oid": "person-1"}),
            "team-a",
        ),
        (json!({"roles": ["Chat.Use"]}), "team-b"),
        (json!({"roles": "Chat.Use"}), "team-b"),
        (json!({"roles": ["Chat.Use"], "oid": "person-2"}), "team-b"),
        (json!({"scp": "openid chat profile"}), "team-c"),
        (json!({"azp": "application-2"}), "team-b"),
        (json!({"azp": null, "appid": "application-2"}), "team-b"),
        (json!({"oid": "person-3"}), "team-c"),
        (json!({"groups": ["group-1", "group-2"]}), "team-b"),
        (
            json!({"aud": ["api://other", AUDIENCE], "scp": "chat"}),
            "team-c",
        ),
        (json!({"exp": unix_secs() - 30, "scp": "chat"}), "team-c"),
        (json!({"nbf": unix_secs() + 30, "scp": "chat"}), "team-c"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_means_the_client_of_the_first_rule_that_fits() {
    let mut stage = Stage::with("", EVERY_CLAIM).await;
    let issuer = stage.issuer();
    let v1 = issuer.claims_v1(AUDIENCE);
    let v2 = issuer.claims_v2(AUDIENCE);
    let ec = json!({"typ": "at+jwt", "alg": "ES256", "kid": forge::ec_kid()});
    for (changes, client) in meanings() {
        // The version says only which of two claims is there, which changes do not take away.
        let takes_away = changes.get("azp").is_some();
        let versions = [&v2, &v1].into_iter().take(if takes_away { 1 } else { 2 });
        for claims in versions {
            let claims = but(claims.clone(), changes.clone());
            let tokens = [
                issuer.issue(claims.clone()),
                forge::sign(&ec, &claims, forge::Key::Ec),
            ];
            for token in tokens {
                // The second time it is remembered.
                for _ in 0..2 {
                    let seen = stage.show(&token).await;
                    // A model that team-a may not use.
                    assert_eq!(seen.status, 200, "{claims}: {}", seen.text());
                    assert_eq!(stage.client_in_the_log(), client, "{claims}");
                }
            }
        }
    }
    let requests = [simulator::Door::Keys, simulator::Door::Discovery];
    assert_eq!(requests.map(|door| issuer.requests(door)), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_what_its_client_may_and_is_no_key() {
    let mut stage = Stage::with("", EVERY_CLAIM).await;
    let issuer = stage.issuer();
    let of = |changes| issuer.issue(but(issuer.claims_v2(AUDIENCE), changes));
    let team_a = of(json!({"roles": ["Chat.Use"], "oid": "person-1"}));
    let team_b = of(json!({"roles": ["Chat.Use"]}));
    let [a, b] = [&team_a, &team_b].map(|token| format!("Bearer {token}"));
    let cases = [(GPT, &a, 200), (MINI, &a, 403), (MINI, &b, 200)];
    for (model, bearer, status) in cases {
        for _ in 0..2 {
            let seen = stage.ask_for(model, &[("authorization", bearer)]).await;
            assert_eq!(seen.status, status, "{}", seen.text());
            if status == 403 {
                assert_refused(&seen, 403, "model_not_allowed", None, model);
                assert_eq!(stage.client_in_the_log(), "team-a", "it is known who it is");
            } else {
                let _ = stage.client_in_the_log();
            }
        }
    }
    let models = stage.client.get(stage.fleet.gateway.url("/v1/models"));
    let models = models.header("authorization", &*a).send().await.unwrap();
    let models = models.text().await.unwrap();
    assert!(models.contains(GPT) && !models.contains(MINI), "{models}");

    let served = stage.served();
    for headers in [
        &[("api-key", &*team_a)][..],
        &[("authorization", &*team_a)],
        &[("api-key", &*a)],
    ] {
        let seen = stage.ask(headers).await;
        assert_refused(&seen, 401, "invalid_api_key", BEARER, "a token as a key");
    }
    let with_key = [("authorization", &*a), ("api-key", KEY)];
    let seen = stage.ask(&with_key).await;
    assert_refused(&seen, 400, "conflicting_credentials", None, "key and token");
    assert_eq!(stage.served(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_means_nobody_is_told_so_and_only_the_log_says_why() {
    let rules = r"    rules:
      - { client: team-a, roles: [Chat.Use, Chat.Admin], oid: person-1 }
      - { client: team-b, groups: group-2 }
";
    let mut stage = Stage::with("log: { level: debug }\n", rules).await;
    let issuer = stage.issuer();
    let of = |changes| issuer.issue(but(issuer.claims_v2(AUDIENCE), changes));
    let cases = [
        (
            of(json!({"roles": ["Hostile.Role"]})),
            "rule 1 (client team-a): roles has none of Chat.Use Chat.Admin, oid has none of person-1; \
             rule 2 (client team-b): groups is not in the token",
        ),
        (
            of(json!({"oid": null, "roles": ["Chat.Use"], "groups": ["hostile-group"]})),
            "rule 1 (client team-a): oid is not in the token; \
             rule 2 (client team-b): groups has none of group-2",
        ),
        (
            of(json!({
                "roles": ["Chat.Use"], "oid": "Hostile.Role",
                "_claim_names": {"groups": "src1"},
                "_claim_sources": {"src1": {"endpoint": "https://hostile.example"}},
            })),
            "groups are too many to be in the token (overage)",
        ),
    ];
    for (token, reason) in cases {
        for _ in 0..2 {
            let seen = stage.show(&token).await;
            let challenge = Some(r#"Bearer error="insufficient_scope""#);
            assert_refused(&seen, 403, "access_denied", challenge, reason);
            let told = format!("{:?} {}", seen.headers, seen.text());
            for word in ["Chat.", "team-", "person-1", "group-2", "rule", "ostile"] {
                assert!(!told.contains(word), "{word} in {told}");
            }
            let event = stage
                .fleet
                .gateway
                .next_event(|event| event["message"] == "a caller is refused");
            assert_eq!(event["code"], "access_denied");
            let logged = event["reason"].as_str().unwrap();
            assert!(logged.contains(reason), "{logged}");
            let line = stage.fleet.gateway.next_access();
            assert_eq!(line["error"], "access_denied");
            assert_eq!(line["client"], Value::Null);
        }
        let (message, signature) = token.rsplit_once('.').unwrap();
        let logged = stage.fleet.gateway.logged();
        for secret in [message, signature, "ostile"] {
            assert!(!logged.contains(secret), "{secret} in {logged}");
        }
    }
    assert_eq!(stage.served(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_at_once_what_a_remembered_token_may() {
    let mut stage = Stage::new().await;
    let token = stage.token();
    assert_eq!(stage.status(&token).await, 200);
    assert_eq!(stage.client_in_the_log(), "team-a");
    let rule = ("client: team-a,", "client: team-b,");
    stage.fleet.gateway.reload(&[rule]);
    assert_eq!(stage.status(&token).await, 200);
    assert_eq!(stage.client_in_the_log(), "team-b");

    stage
        .fleet
        .gateway
        .reload(&[("roles: Chat.Use", "roles: Chat.Other")]);
    assert_eq!(stage.status(&token).await, 403);
    stage.fleet.gateway.reload(&[(AUDIENCE, "api://other")]);
    assert_eq!(stage.status(&token).await, 401);
    let issuer = stage.issuer().issuer_v2();
    stage
        .fleet
        .gateway
        .reload(&[(&issuer, "https://other.example")]);
    assert_eq!(stage.status(&token).await, 401);

    stage
        .fleet
        .gateway
        .reload(&[("models: [gpt-4o]", "models: [gpt-4o-mini]")]);
    assert_eq!(stage.status(&token).await, 403);
    stage.fleet.gateway.reload(&[]);
    assert_eq!(stage.status(&token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_many_groups_is_read_up_to_the_limit() {
    let rules = "    rules: [ { client: team-a, groups: group-0150 } ]\n";
    let stage = Stage::with("", rules).await;
    let issuer = stage.issuer();
    let with_groups = |count: usize| {
        let groups: Vec<String> = (0..count)
            .map(|n| format!("group-{n:04}-0000-4000-8000-000000000000"))
            .chain(["group-0150".to_owned()])
            .collect();
        let claims = but(issuer.claims_v2(AUDIENCE), json!({ "groups": groups }));
        issuer.issue(claims)
    };
    let fits = with_groups(270);
    assert!((14_000..16_384).contains(&fits.len()), "{}", fits.len());
    assert_eq!(stage.status(&fits).await, 200);
    let too_long = with_groups(330);
    assert!(
        (16_385..24_000).contains(&too_long.len()),
        "{}",
        too_long.len()
    );
    let seen = stage.show(&too_long).await;
    assert_refused(&seen, 401, "invalid_token", INVALID_TOKEN, "too long");
}
