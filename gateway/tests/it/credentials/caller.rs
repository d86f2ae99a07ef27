//! Endpoints to which the caller shows itself.

use sha2::{Digest as _, Sha256};
use simulator::{Fault, IdentityOptions, Resource};

use super::{
    AUDIENCE, GPT, KEY, assert_discreet, credentials, finish, identity, options, route, start_with,
    takes_key, takes_tokens,
};
use crate::support::{CHAT, Fleet, Seen, client};

const CLIENT_KEY: &str = "canary-client-0123456789";

/// A gateway before `endpoints` that is open, unless `more` has clients.
async fn fleet(endpoints: Vec<(&str, Resource)>, more: &str) -> Fleet {
    let nobody = identity(IdentityOptions::default()).await;
    start_with(&nobody, "", endpoints, more, |_| {}).await
}

async fn send(fleet: &Fleet, headers: &[(&str, &str)]) -> Seen {
    let mut request = client().post(fleet.chat_url(GPT)).body(CHAT);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let seen = Seen::read(request.send().await.unwrap()).await;
    assert_discreet(&seen.text());
    seen
}

/// In any order.
fn assert_same(mut shown: Vec<(&str, &str)>, expected: &[(&str, &str)]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, expected);
}

fn clients() -> String {
    let digest = Sha256::digest(CLIENT_KEY.as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("clients:\n  team-a:\n    keys: [ \"sha256:{hash}\" ]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_shows_reaches_the_endpoint_and_nothing_else_does() {
    let mut resource = takes_tokens();
    resource.api_keys.push("canary-own-key".to_owned());
    let fleet = fleet(vec![("caller", resource)], "").await;
    let tenant = identity(options()).await.control();
    let bearer = format!("Bearer {}", tenant.issue(tenant.claims_v1(AUDIENCE)));
    let cases: [&[(&str, &str)]; 3] = [
        &[("authorization", &bearer)],
        &[("api-key", "canary-own-key")],
        &[("authorization", &bearer), ("api-key", "canary-own-key")],
    ];
    for shown in cases {
        let others = [
            ("cookie", "canary-cookie"),
            ("proxy-authorization", "canary"),
        ];
        let seen = send(&fleet, &[shown, &others].concat()).await;
        assert_eq!(route(&seen), ("aoi-1", "1"));
        let last = fleet.aoi(1).last(GPT).unwrap();
        assert_same(credentials(&last), shown);
    }
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_refused_is_told_so_and_the_endpoint_stays() {
    let endpoints = vec![("caller", takes_tokens()), ("key", takes_key(KEY))];
    let fleet = fleet(endpoints, "").await;
    for (status, shown) in [
        (401, &[][..]),
        (401, &[("authorization", "Bearer canary-wrong")]),
        (401, &[("api-key", "canary-wrong")]),
        (403, &[("api-key", "canary-wrong")]),
    ] {
        let theirs = if status == 403 {
            fleet.aoi(1).inject(Fault::status(403).times(1));
            None
        } else {
            Some("401")
        };
        let seen = send(&fleet, shown).await;
        assert_eq!(seen.status, status, "{}", seen.text());
        assert_eq!(seen.header("x-tokenweir-endpoint"), Some("aoi-1"));
        assert_eq!(seen.header("x-tokenweir-attempts"), Some("1"));
        if let Some(code) = theirs {
            assert_eq!(seen.code(), code, "the words of the provider");
        }
        let now = fleet.gateway.deployment("aoi-1", GPT).await;
        assert_eq!(now["state"], "healthy", "{now}");
    }
    assert_eq!(fleet.aoi(1).counts(GPT).requests, 4);
    assert_eq!(fleet.aoi(2).counts(GPT).requests, 0);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_gateway_is_not_handed_on() {
    let shown: [&[(&str, &str)]; 2] = [
        &[("api-key", CLIENT_KEY)],
        &[("authorization", &format!("Bearer {CLIENT_KEY}"))],
    ];
    let endpoints = vec![("caller", takes_key(CLIENT_KEY)), ("key", takes_key(KEY))];
    let both = fleet(endpoints, &clients()).await;
    for shown in shown {
        assert_eq!(route(&send(&both, shown).await), ("aoi-2", "1"));
    }
    assert_eq!(both.aoi(1).stats().connections, 0);
    // Nor where the other one fails.
    both.aoi(2).inject(Fault::status(500));
    assert_eq!(send(&both, shown[0]).await.status, 500);
    assert_eq!(both.aoi(1).stats().connections, 0);
    finish(both).await;

    let alone = fleet(vec![("caller", takes_key(CLIENT_KEY))], &clients()).await;
    for shown in shown {
        let seen = send(&alone, shown).await;
        assert_eq!((seen.status, &*seen.code()), (403, "azure_token_required"));
    }
    assert_eq!(alone.aoi(1).stats().connections, 0);
    finish(alone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_azure_is_handed_on_and_one_for_the_gateway_is_not() {
    let tenant = identity(options()).await;
    let control = tenant.control();
    let more = format!(
        "{}jwt:\n  - issuer: \"{}\"\n    audience: api://tokenweir\n    jwks_uri: {}\n    \
         accept_azure_audience: true\n    rules: [{{ client: team-a }}]\n",
        clients(),
        control.issuer_v1(),
        control.jwks_url()
    );
    let mut takes_both = takes_tokens();
    takes_both.api_keys.push(CLIENT_KEY.to_owned());
    let endpoints = vec![("caller", takes_both), ("key", takes_key(KEY))];
    let fleet = start_with(&tenant, "", endpoints, &more, |_| {}).await;
    for (audience, endpoint) in [(AUDIENCE, "aoi-1"), ("api://tokenweir", "aoi-2")] {
        let token = control.issue(control.claims_v1(audience));
        let bearer = format!("Bearer {token}");
        let seen = send(&fleet, &[("authorization", &bearer)]).await;
        assert_eq!(route(&seen), (endpoint, "1"), "{audience}");
    }
    let last = fleet.aoi(2).last(GPT).unwrap();
    assert_eq!(credentials(&last), [("api-key", KEY)]);
    assert_eq!(fleet.aoi(1).counts(GPT).requests, 1);
    // Its own key beside the token: not the one without the other.
    let bearer = format!("Bearer {}", control.issue(control.claims_v1(AUDIENCE)));
    let seen = send(
        &fleet,
        &[("authorization", &bearer), ("api-key", CLIENT_KEY)],
    )
    .await;
    assert_eq!(
        (seen.status, &*seen.code()),
        (400, "conflicting_credentials")
    );
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_shows_what_its_own_endpoint_wants() {
    let both = [
        ("authorization", "Bearer canary-caller"),
        ("api-key", "canary-caller"),
    ];
    for (order, caller) in [(["caller", "key"], 1), (["key", "caller"], 2)] {
        let endpoints = order.map(|credential| (credential, Resource::new("open")));
        let fleet = fleet(endpoints.into(), "").await;
        fleet.aoi(1).inject(Fault::status(429).times(1));
        assert_eq!(route(&send(&fleet, &both).await), ("aoi-2", "2"));
        let callers = fleet.aoi(caller).last(GPT).unwrap();
        assert_same(credentials(&callers), &both);
        let own = fleet.aoi(3 - caller).last(GPT).unwrap();
        assert_eq!(credentials(&own), [("api-key", KEY)]);
        finish(fleet).await;
    }
}
