//! A start at which tokens are late, refused, or not to be had at all.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Deployment, Door, IdentityFault};
use tokio::time::Instant;

use super::{
    FLEET, GPT, KEY, chat, finish, identity, options, requested, served_by, standing, start,
    start_with, takes_key, takes_tokens, until_served_by, without_credential,
};

use crate::support::PATIENCE;

/// A model that nobody else has.
const ALONE: &str = "gpt-alone";

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_service_that_takes_ten_seconds_holds_up_only_who_needs_it() {
    let machine = identity(options()).await;
    let late = IdentityFault::late(Duration::from_secs(10)).times(1);
    machine.control().inject(Door::Imds, late);
    let both = [GPT, ALONE].map(|model| Deployment::new(model, model));
    let mut needs_token = takes_tokens();
    needs_token.deployments.extend(both);
    let begun = Instant::now();
    let endpoints = vec![("fleet", needs_token), ("key", takes_key(KEY))];
    let fleet = start(&machine, FLEET, endpoints).await;
    let up = begun.elapsed();
    assert!(up < Duration::from_secs(7), "up only after {up:?}");

    assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-2");
    assert_eq!(standing(&fleet).await, without_credential());
    let alone = chat(&fleet, ALONE).await;
    assert_eq!(
        (alone.status, &*alone.code()),
        (503, "upstream_unavailable")
    );
    assert!(alone.wait().is_some_and(|wait| wait > 0.0), "{alone:?}");
    let readiness = fleet.gateway.admin_page("/readyz").await;
    assert!(
        readiness.contains("\"ready\":true") && readiness.contains(ALONE),
        "{readiness}"
    );
    assert_eq!(
        fleet.aoi(1).stats().connections,
        0,
        "asked without a credential"
    );

    fleet.gateway.until("aoi-1", GPT, "healthy").await;
    assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-1");
    assert_eq!(served_by(&chat(&fleet, ALONE).await), "aoi-1");
    assert_eq!(machine.control().requests(Door::Imds), 1);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_token_goes_on_and_the_token_is_asked_for_again() {
    let status = IdentityFault::status;
    let cases = [
        (status(500), Duration::ZERO),
        (status(410), Duration::ZERO),
        (status(404), Duration::ZERO),
        (status(429).retry_after(2), Duration::from_secs(2)),
        (status(503).retry_after(2), Duration::from_secs(2)),
        (IdentityFault::reset(), Duration::ZERO),
        (IdentityFault::not_json(), Duration::ZERO),
        (
            IdentityFault::answer("{\"access_token\":\"\"}"),
            Duration::ZERO,
        ),
    ];
    for (fault, wait) in cases {
        let machine = identity(options()).await;
        machine.control().inject(Door::Imds, fault.clone().times(1));
        let begun = Instant::now();
        let endpoints = vec![("fleet", takes_tokens()), ("key", takes_key(KEY))];
        let fleet = start(&machine, FLEET, endpoints).await;
        served_by(&chat(&fleet, GPT).await);
        requested(&machine, Door::Imds, 2).await;
        assert!(begun.elapsed() >= wait, "{fault:?}: {:?}", begun.elapsed());
        until_served_by(&fleet, "aoi-1").await;
        assert_eq!(machine.control().requests(Door::Imds), 2, "{fault:?}");
        finish(fleet).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_must_set_right_first_is_said_and_not_waited_for() {
    let machine = identity(options()).await;
    let credentials = "absent: { managed_identity: { url: \"IDENTITY\", client_id: nobody } }\n\
                       wrong: { client_secret: { authority: \"IDENTITY\", tenant_id: TENANT, client_id: client-0, \
                       secret: { value: canary-wrong } } }\n\
                       folder: { workload_identity: { authority: \"IDENTITY\", tenant_id: TENANT, client_id: client-0, \
                       token_file: none } }";
    let endpoints = vec![
        ("absent", takes_tokens()),
        ("wrong", takes_tokens()),
        ("folder", takes_tokens()),
        ("key", takes_key(KEY)),
    ];
    let mut fleet = start(&machine, credentials, endpoints).await;
    assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-4");
    assert_eq!(standing(&fleet).await, without_credential());
    let errors: Vec<String> = fleet
        .gateway
        .logged_events("no token")
        .iter()
        .map(|event| format!("{} {}", event["credential"], event["error"]))
        .collect();
    for (credential, text) in [
        ("absent", "Identity not found"),
        ("absent", "correct the id"),
        ("wrong", "AADSTS7000215"),
        ("wrong", "give the value of the client secret"),
        ("folder", "the token file of the workload identity"),
    ] {
        let is_said = |error: &String| error.contains(credential) && error.contains(text);
        assert!(errors.iter().any(is_said), "no {text} in {errors:?}");
    }
    assert_eq!(machine.control().requests(Door::Imds), 1);
    assert_eq!(machine.control().requests(Door::Token), 1);
    // The same for whoever asks later.
    let page: Value = serde_json::from_str(&fleet.gateway.admin_page("/identity").await).unwrap();
    let tokens = page["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 3);
    for token in tokens {
        assert_eq!(
            (&token["ready"], &token["failures"]),
            (&json!(false), &json!(1))
        );
    }
    let status = fleet.gateway.ask(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains("credential wrong: no token: Entra at "),
        "{status}"
    );
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_secrets_back_finds_nobody_who_repeats_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("federated");
    std::fs::write(&file, "canary-assertion").unwrap();
    let machine = identity(options()).await;
    let token = machine.control().issue(machine.control().claims_v1("a"));
    let entra = "authority: \"IDENTITY\", tenant_id: TENANT, client_id: client-0";
    let cases = [
        (
            Door::Token,
            format!("{{ client_secret: {{ {entra}, secret: {{ env: SHOWN }} }} }}"),
            "canary-env",
        ),
        (
            Door::Token,
            format!(
                "{{ workload_identity: {{ {entra}, token_file: {} }} }}",
                file.display()
            ),
            "canary-assertion",
        ),
        (
            Door::AppService,
            "{ managed_identity: { source: app_service, url: \"IDENTITY/msi/token\" } }".to_owned(),
            "canary-env",
        ),
        (
            Door::Imds,
            "{ managed_identity: { url: \"IDENTITY\" } }".to_owned(),
            &token,
        ),
    ];
    for (door, credential, secret) in cases {
        let echo =
            format!(r#"{{"error":"bad {secret}","error_description":"no {secret}, {token}"}}"#);
        // A refusal, a page, and a token that cannot be used.
        let refusal = IdentityFault::status(500).body(&echo);
        let page = IdentityFault::answer(&format!("<p>{secret} {token}"));
        let unusable =
            format!(r#"{{"access_token":"{token}","token_type":"{secret}","expires_in":9}}"#);
        let control = machine.control();
        for fault in [refusal, page, IdentityFault::answer(&unusable)] {
            control.inject(door, fault.times(1));
        }
        let before = control.requests(door);
        let endpoints = vec![("echoed", takes_tokens()), ("key", takes_key(KEY))];
        let line = format!("echoed: {credential}");
        let mut fleet = start_with(&machine, &line, endpoints, "", |command| {
            command.env("SHOWN", "canary-env");
            command.env("IDENTITY_HEADER", "canary-env");
        })
        .await;
        requested(&machine, door, before + 3).await;
        served_by(&chat(&fleet, GPT).await);
        let deadline = Instant::now() + PATIENCE;
        while fleet.gateway.logged_events("no token").len() < 3 {
            assert!(Instant::now() < deadline, "{}", fleet.gateway.logged());
            tokio::task::yield_now().await;
        }
        finish(fleet).await;
    }
}
