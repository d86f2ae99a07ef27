//! What somebody without a right to get in tries. Everything is refused, nothing is remembered as good, and nobody is
//! asked whom the attacker names.

use simulator::Door;

use super::{attacker::Attacker, *};
use crate::support::h2_client;

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_token_gets_in_and_none_is_remembered() {
    let options = IdentityOptions {
        odd_keys: true,
        ..IdentityOptions::default()
    };
    let issuer = issuer(options).await;
    let config = format!("{}jwt:\n{}", clients(), trust(&issuer.control(), BY_ROLE));
    let stage = Stage::of(Fleet::start(&config).await, issuer);
    let attacker = Attacker::new(&stage).await;
    assert_eq!(stage.status(&attacker.good).await, 200);
    let mut good = 1;
    for (name, token) in attacker.attacks() {
        for _ in 0..2 {
            let seen = stage.show(&token).await;
            let (code, challenge) = match &*seen.code() {
                "invalid_api_key" => ("invalid_api_key", BEARER),
                _ => ("invalid_token", INVALID_TOKEN),
            };
            assert_refused(&seen, 401, code, challenge, &name);
            assert!(!seen.text().contains(&token), "{name}");
        }
        good += 1;
        assert_eq!(stage.status(&attacker.good).await, 200, "after {name}");
        assert_eq!(stage.served(), good, "after {name}");
    }
    assert_eq!(stage.status(&stage.token()).await, 200, "a new one");

    let site = attacker.site.control();
    let doors = [Door::Keys, Door::Discovery, Door::Token];
    assert_eq!(doors.map(|door| site.requests(door)), [0; 3]);
    // Only its own documents: at the start, and again at most every half a minute, whatever was named.
    let asked = stage.issuer().requests(Door::Keys);
    assert!((1..=4).contains(&asked), "{asked}");
    let documents = stage.issuer().last(Door::Discovery).unwrap();
    assert!(
        documents.target.ends_with("openid-configuration"),
        "{documents:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_no_head_of_a_request_is_refused_before_it_is_read() {
    let stage = Stage::new().await;
    let long = |bytes: usize| {
        let claims = but(
            claims(&stage.issuer()),
            json!({"x": "x".repeat(bytes / 4 * 3)}),
        );
        stage.issuer().issue(claims)
    };
    let seen = stage.show(&long(20_000)).await;
    assert_refused(&seen, 401, "invalid_token", INVALID_TOKEN, "20 KB");
    let seen = stage.show(&long(100_000)).await;
    assert!([400, 431].contains(&seen.status), "{seen:?}");
    assert_eq!(stage.served(), 0);
    assert_eq!(stage.status(&stage.token()).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_speaks_for_its_own_rules_only() {
    let first = issuer(IdentityOptions::default()).await;
    let options = IdentityOptions {
        tenant: "11111111-0000-4000-8000-000000000002".to_owned(),
        ..IdentityOptions::default()
    };
    let second = issuer(options).await;
    let (one, two) = (first.control(), second.control());
    two.rotate();
    two.forget_old_keys();
    let other_rules = "    rules: [ { client: team-b, roles: Other.Use } ]\n";
    let trusts = [trust(&one, BY_ROLE), trust(&two, other_rules)].concat();
    let fleet = Fleet::start(&format!("{}jwt:\n{trusts}", clients())).await;
    let mut stage = Stage::of(fleet, first);

    let of_two = |changes| two.issue(but(claims(&two), changes));
    assert_eq!(stage.status(&stage.token()).await, 200);
    assert_eq!(stage.client_in_the_log(), "team-a");
    let token = of_two(json!({"roles": ["Other.Use"]}));
    assert_eq!(stage.status(&token).await, 200);
    assert_eq!(stage.client_in_the_log(), "team-b");

    let denied = of_two(json!({"roles": [ROLE]}));
    let borrowed_name = of_two(json!({"iss": one.issuer_v2()}));
    let borrowed_v1 = of_two(json!({"iss": one.issuer_v1()}));
    let borrowed_kid = forge::sign(&header(&one), &claims(&one), forge::Key::Rsa(1));
    // The same key signs for every tenant of a cloud.
    let stranger = "https://login.microsoftonline.com/22222222-0000-4000-8000-000000000003/v2.0";
    let same_key = one.issue(but(claims(&one), json!({"iss": stranger})));
    let its_own_name = one.issue(but(claims(&two), json!({"roles": ["Other.Use"]})));
    let cases = [
        ("the role of the other's rule", denied, 403),
        ("the name of the other", borrowed_name, 401),
        ("the older name of the other", borrowed_v1, 401),
        ("name and kid of the other", borrowed_kid, 401),
        ("another tenant", same_key, 401),
        ("another issuer's key", its_own_name, 401),
    ];
    for (name, token, status) in cases {
        for _ in 0..2 {
            let seen = stage.show(&token).await;
            assert_eq!(seen.status, status, "{name}: {}", seen.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_told_apart_over_http_2_as_well() {
    let stage = Stage::new().await;
    let attacker = Attacker::new(&stage).await;
    let (client, url) = (h2_client(), stage.fleet.gateway.h2c_url(PATH));
    let show = async |token: &str| {
        let request = client.post(&url).bearer_auth(token).body(CHAT).send();
        Seen::read(request.await.unwrap()).await
    };
    for (name, token) in attacker.attacks().iter().step_by(5) {
        let seen = show(token).await;
        assert_eq!(seen.status, 401, "{name}: {}", seen.text());
        assert_eq!(show(&attacker.good).await.status, 200, "after {name}");
    }
}
