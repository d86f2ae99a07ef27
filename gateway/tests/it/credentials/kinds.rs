//! Every kind of token, from who gives it to who takes it.

use std::{fs, path::Path};

use simulator::{
    Deployment, Door, IdentityClient, IdentityOptions, Resource, RunningIdentity, forge,
};

use super::{
    AUDIENCE, FLEET, GPT, KEY, chat, credentials, finish, identity, options, requested, served_by,
    start, start_with, takes_key, takes_tokens, token_at, until, until_served_by,
};

const SECRET: &str = "canary-client-secret";
const HEADER: &str = "canary-identity-header";
const ASSERTIONS: [&str; 2] = ["canary-assertion-1", "canary-assertion-2"];

/// A machine with an identity of its own and three that it was given, which are applications too.
async fn machine(folder: &Path) -> RunningIdentity {
    let given = |n: u8| IdentityClient::new(&format!("client-{n}"), &format!("object-{n}"));
    let mut options = options();
    options.clients.extend([
        given(1),
        given(2),
        given(3).resource_id("/subscriptions/1/id-3"),
        given(4).secret(SECRET),
    ]);
    identity(IdentityOptions {
        app_service_header: HEADER.to_owned(),
        arc_key_directory: Some(folder.to_owned()),
        federated_tokens: ASSERTIONS.map(str::to_owned).to_vec(),
        ..options
    })
    .await
}

fn workload(file: &Path) -> String {
    format!(
        "{{ workload_identity: {{ authority: \"IDENTITY\", tenant_id: TENANT, client_id: client-2, token_file: {} }} }}",
        file.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_token_reaches_the_endpoint_and_nothing_of_the_client_does() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path()).await;
    let file = folder.path().join("federated");
    fs::write(&file, format!("{}\n", ASSERTIONS[0])).unwrap();
    let imds = |id: &str| format!("{{ managed_identity: {{ url: \"IDENTITY\"{id} }} }}");
    let app_service = |id: &str| format!("{{ managed_identity: {{ source: app_service{id} }} }}");
    let client_secret = "{ client_secret: { authority: \"IDENTITY\", tenant_id: TENANT, client_id: client-4, \
                         secret: { env: CLIENT_SECRET } } }";
    let arc = format!(
        "{{ managed_identity: {{ source: arc, url: \"IDENTITY/arc/metadata/identity/oauth2/token\", key_directory: {} }} }}",
        folder.path().display()
    );
    let cases = [
        (imds(""), "client-0"),
        (imds(", client_id: client-1"), "client-1"),
        (imds(", object_id: object-2"), "client-2"),
        (imds(", resource_id: /subscriptions/1/id-3"), "client-3"),
        (app_service(""), "client-0"),
        (app_service(", client_id: client-1"), "client-1"),
        (app_service(", object_id: object-2"), "client-2"),
        (
            app_service(", resource_id: /subscriptions/1/id-3"),
            "client-3",
        ),
        (arc, "client-0"),
        (workload(&file), "client-2"),
        (client_secret.to_owned(), "client-4"),
    ];
    let named = (1..).zip(&cases);
    let lines: Vec<String> = named.map(|(n, case)| format!("c{n}: {}", case.0)).collect();
    let names: Vec<String> = (1..=cases.len()).map(|n| format!("c{n}")).collect();
    let endpoints = names.iter().map(|name| {
        let resource = takes_tokens().deployment(Deployment::new(name, name));
        (name.as_str(), resource)
    });
    let endpoint = format!("{}/msi/token", machine.url());
    let fleet = start_with(
        &machine,
        &lines.join("\n"),
        endpoints.collect(),
        "",
        |command| {
            command.env("IDENTITY_ENDPOINT", endpoint);
            command.env("IDENTITY_HEADER", HEADER);
            command.env("CLIENT_SECRET", SECRET);
        },
    )
    .await;
    for ((number, name), (credential, expected)) in (1..).zip(&names).zip(&cases) {
        until(&fleet, name, |seen| seen.status == 200).await;
        let (_, claims) = forge::decode(&token_at(&fleet, number, name)).expect("a JWT");
        assert_eq!(claims["appid"], *expected, "{credential}");
        assert_eq!(claims["aud"], AUDIENCE, "{credential}");
    }
    // What the agent of Arc wanted to see is a secret too, which nobody chose.
    let proof = machine.control().last(Door::Arc).unwrap();
    let proof = proof.header("authorization").unwrap().to_owned();
    let proof = proof.strip_prefix("Basic ").unwrap();
    let mut fleet = fleet;
    assert!(!fleet.gateway.logged().contains(proof));
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_file_is_read_for_the_next_token() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path()).await;
    let file = folder.path().join("federated");
    fs::write(&file, ASSERTIONS[0]).unwrap();
    let credential = format!("cluster: {}", workload(&file));
    let endpoints = vec![("cluster", takes_tokens()), ("key", takes_key(KEY))];
    let fleet = start(&machine, &credential, endpoints).await;
    until_served_by(&fleet, "aoi-1").await;
    let assertion = || {
        let last = machine.control().last(Door::Token);
        last.and_then(|seen| seen.form("client_assertion"))
    };
    assert_eq!(assertion().as_deref(), Some(ASSERTIONS[0]));

    fs::write(&file, ASSERTIONS[1]).unwrap();
    fleet.aoi(1).refuse_tokens(true);
    assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-2");
    requested(&machine, Door::Token, 2).await;
    assert_eq!(assertion().as_deref(), Some(ASSERTIONS[1]));
    until_served_by(&fleet, "aoi-1").await;
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_as_the_configuration_says_and_only_once_for_two_endpoints() {
    let machine = identity(options()).await;
    let scope = "guid/.default";
    let credentials =
        format!("{FLEET}\nother: {{ managed_identity: {{ url: \"IDENTITY\", scope: {scope} }} }}");
    let names = ["one", "two", "other"];
    let endpoint = |name, credential, audience| {
        let resource = Resource::new(name).token_audience(audience);
        (credential, resource.deployment(Deployment::new(name, name)))
    };
    let endpoints = vec![
        endpoint(names[0], "fleet", AUDIENCE),
        endpoint(names[1], "fleet", AUDIENCE),
        endpoint(names[2], "other", "guid"),
    ];
    let fleet = start(&machine, &credentials, endpoints).await;
    for name in names {
        until(&fleet, name, |seen| seen.status == 200).await;
    }
    assert_eq!(token_at(&fleet, 1, "one"), token_at(&fleet, 2, "two"));
    assert_ne!(token_at(&fleet, 1, "one"), token_at(&fleet, 3, "other"));
    assert_eq!(machine.control().requests(Door::Imds), 2);
    finish(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_token_is_sent_as_the_endpoint_wants_it() {
    let nobody = identity(options()).await;
    let bearer = "bearer: { bearer: { value: canary-bearer } }";
    let mut vllm = Resource::new("vllm");
    vllm.bearer_tokens.push("canary-bearer".to_owned());
    let cases = [
        ("key", takes_key(KEY), Some(("api-key", KEY))),
        (
            "bearer",
            vllm,
            Some(("authorization", "Bearer canary-bearer")),
        ),
        ("none", Resource::new("open"), None),
    ];
    for (credential, resource, expected) in cases {
        let fleet = start(&nobody, bearer, vec![(credential, resource)]).await;
        assert_eq!(served_by(&chat(&fleet, GPT).await), "aoi-1");
        let last = fleet.aoi(1).last(GPT).unwrap();
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(credentials(&last), expected, "{credential}");
        finish(fleet).await;
    }
}
