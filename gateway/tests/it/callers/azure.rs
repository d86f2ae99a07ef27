//! Tokens for Azure itself: accepted where that is configured, and handed on to endpoints that take the caller's own.

use simulator::{Fault, Resource};

use super::*;
use crate::support::in_order;

const AZURE: &str = "https://cognitiveservices.azure.com";
const LINES: &str =
    "    accept_azure_audience: true\n    rules: [ { client: team-b, roles: Chat.Use } ]\n";

/// The endpoints of these names take the caller's own token; the first endpoint is the first choice.
async fn stage(of_callers: &[&str]) -> Stage {
    let issuer = issuer(IdentityOptions::default()).await;
    let shape = |name: &str, resource: Resource| {
        if of_callers.contains(&name) {
            Resource {
                api_keys: Vec::new(),
                ..resource
            }
            .token_audience(AZURE)
        } else {
            resource
        }
    };
    let lines = |name: &str| {
        let credential = if of_callers.contains(&name) {
            "    credential: caller\n"
        } else {
            ""
        };
        in_order(name) + credential
    };
    let trust = trust(&issuer.control(), LINES);
    let config = format!("{}jwt:\n{trust}", clients());
    Stage::of(Fleet::with(&config, shape, lines).await, issuer)
}

impl Stage {
    fn token_for(&self, audience: &str) -> String {
        let claims = but(self.issuer().claims_v1(audience), json!({"roles": [ROLE]}));
        self.issuer().issue(claims)
    }

    /// `authorization` and `api-key` of the last request at a resource.
    fn shown_to(&self, number: usize) -> [Option<String>; 2] {
        let last = self.fleet.aoi(number).last(GPT).expect("it got a request");
        ["authorization", "api-key"].map(|name| last.header(name).map(str::to_owned))
    }
}

fn endpoint(seen: &Seen) -> &str {
    assert_eq!(seen.status, 200, "{}", seen.text());
    seen.header("x-tokenweir-endpoint").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_azure_is_handed_on_and_one_for_the_gateway_never() {
    let mut stage = stage(&["aoi-1"]).await;
    let [azure, own] = [AZURE, AUDIENCE].map(|audience| stage.token_for(audience));
    let key_of_two = [None, Some("key-of-aoi-2".to_owned())];
    for _ in 0..2 {
        assert_eq!(endpoint(&stage.show(&azure).await), "aoi-1");
        assert_eq!(stage.shown_to(1), [Some(format!("Bearer {azure}")), None]);
        assert_eq!(stage.client_in_the_log(), "team-b");
        assert_eq!(endpoint(&stage.show(&own).await), "aoi-2");
        assert_eq!(stage.shown_to(2), key_of_two);
        assert_eq!(stage.client_in_the_log(), "team-b");
        let seen = stage.ask(&[("api-key", KEY)]).await;
        assert_eq!(endpoint(&seen), "aoi-2");
        assert_eq!(stage.client_in_the_log(), "team-a");
    }
    // It does not travel with a request that goes on to somebody else.
    stage.fleet.aoi(1).inject(Fault::status(503).times(1));
    assert_eq!(endpoint(&stage.show(&azure).await), "aoi-2");
    assert_eq!(stage.shown_to(2), key_of_two);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_azure_refuses_is_its_callers_affair_alone() {
    let stage = stage(&["aoi-1"]).await;
    let refused = stage.token_for(AZURE);
    stage.fleet.aoi(1).refuse_tokens(true);
    for _ in 0..5 {
        let seen = stage.show(&refused).await;
        assert_eq!(seen.status, 401, "{}", seen.text());
        assert_eq!(seen.header("x-tokenweir-endpoint"), Some("aoi-1"));
    }
    // Nobody else is turned away for it.
    let good = stage.token_for(AZURE);
    assert_eq!(endpoint(&stage.show(&good).await), "aoi-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_for_azure_is_told_so_where_only_such_a_one_is_taken() {
    let stage = stage(&["aoi-1", "aoi-2", "aoi-3"]).await;
    let [azure, own] = [AZURE, AUDIENCE].map(|audience| stage.token_for(audience));
    let bearer = format!("Bearer {own}");
    for headers in [[("authorization", &*bearer)], [("api-key", KEY)]] {
        let seen = stage.ask(&headers).await;
        assert_refused(
            &seen,
            403,
            "azure_token_required",
            None,
            "no token for Azure",
        );
    }
    assert_eq!(stage.served(), 0);
    assert_eq!(endpoint(&stage.show(&azure).await), "aoi-1");

    // A token for Azure opens no door by itself.
    let issuer = stage.issuer();
    let stranger = "https://sts.windows.net/22222222-0000-4000-8000-000000000003/";
    let of_azure = |changes| {
        let claims = but(issuer.claims_v1(AZURE), json!({"roles": [ROLE]}));
        but(claims, changes)
    };
    let foreign = issuer.issue(of_azure(json!({"iss": stranger})));
    let without_role = issuer.issue(of_azure(json!({"roles": null})));
    let forged = forge::sign(&header(&issuer), &of_azure(json!({})), forge::Key::Rsa(2));
    let served = stage.served();
    for (token, status) in [(foreign, 401), (without_role, 403), (forged, 401)] {
        for _ in 0..2 {
            assert_eq!(stage.status(&token).await, status);
        }
    }
    assert_eq!(stage.served(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_audience_of_azure_is_accepted_as_it_is_written() {
    let stage = stage(&[]).await;
    for (audience, status) in [
        (AZURE, 200),
        ("https://cognitiveservices.azure.com/", 200),
        ("https://ai.azure.com", 200),
        ("https://ai.azure.com/", 200),
        ("https://cognitiveservices.azure.com//", 401),
        ("https://management.azure.com", 401),
        ("https://cognitiveservices.azure.com.evil.example", 401),
    ] {
        assert_eq!(
            stage.status(&stage.token_for(audience)).await,
            status,
            "{audience}"
        );
    }
}
