//! Secrets stay where they belong. Every secret that the gateway holds or is shown is a word found nowhere else; after
//! every fault, every kind of refusal, a reload, a refused reload and a hand-over at log levels `trace` and `debug`, each is looked
//! for in everything that came out.

use std::{fs::File, time::Duration};

use gateway::config::client_key::{format_key_hash, key_hash};
use rustix::process::Signal;
use serde_json::json;
use simulator::{
    Action, Deployment, Door, Fault, Identity, IdentityClient, IdentityFault, IdentityOptions,
    Kind, Resource, Running, RunningIdentity, Simulator,
};

use crate::support::{CHAT, Gateway, Seen, client, raw};

const MODEL: &str = "gpt-4o";
/// What the gateway shows to each resource: two keys, a fixed token, a fetched token. The last one gets the caller's.
const PRIMARY: &str = "canary-primary-key";
const SECONDARY: &str = "canary-secondary-key";
const BEARER: &str = "canary-bearer";
const CLIENT_SECRET: &str = "canary-client-secret";
/// For a collector that is not there.
const COLLECTOR_HEADER: &str = "Basic canary-collector";
const APP_SERVICE_HEADER: &str = "canary-app-service-header";
/// What callers show.
const KEY: &str = "canary-key-of-a-client";
const WRONG_KEY: &str = "canary-key-of-nobody";
const PROMPT: &str = "canary-prompt";

struct World {
    gateway: Gateway,
    resources: Vec<Running>,
    identity: RunningIdentity,
    /// Everything a client was answered.
    answers: Vec<String>,
    folder: tempfile::TempDir,
}

/// Each resource's name, and what belongs there.
const RESOURCES: [(&str, &[&str]); 5] = [
    ("pair", &[PRIMARY, SECONDARY]),
    ("fixed", &[BEARER]),
    ("registration", &[]),
    ("app-service", &[]),
    ("callers", &[]),
];

impl World {
    async fn start() -> Self {
        let identity = Identity::start(IdentityOptions {
            clients: vec![
                IdentityClient::new("registered", "o-1").secret(CLIENT_SECRET),
                IdentityClient::new("system", "o-2").system_assigned(),
            ],
            app_service_header: APP_SERVICE_HEADER.to_owned(),
            ..IdentityOptions::default()
        })
        .await
        .unwrap();
        let azure = "https://cognitiveservices.azure.com";
        let mut resources = Vec::new();
        let mut endpoints = String::from("endpoints:\n");
        for (name, _) in RESOURCES {
            let mut resource = Resource::new(name).deployment(Deployment::new(MODEL, MODEL));
            let mut kind = "azure";
            match name {
                // The primary one is refused.
                "pair" => resource = resource.api_key(SECONDARY),
                "fixed" => {
                    kind = "openai";
                    resource.kind = Kind::Openai;
                    resource.bearer_tokens.push(BEARER.to_owned());
                }
                _ => resource = resource.token_audience(azure),
            }
            let running = Simulator::start(resource).await.unwrap();
            let credential = if name == "callers" { "caller" } else { name };
            endpoints += &format!(
                "  {name}: {{ url: '{}', kind: {kind}, credential: {credential}, deployments: {{ {MODEL}: {{}} }} }}\n",
                running.url()
            );
            resources.push(running);
        }
        let control = identity.control();
        let config = format!(
            "log: {{ level: debug }}
traces: {{ otlp: 'http://127.0.0.1:1', sample: 100%, headers: {{ authorization: {{ env: COLLECTOR_HEADER }} }} }}
credentials:
  pair: {{ api_key: {{ primary: {{ env: PRIMARY }}, secondary: {{ env: SECONDARY }} }} }}
  fixed: {{ bearer: {{ env: BEARER }} }}
  registration: {{ client_secret: {{ tenant_id: {tenant}, client_id: registered, secret: {{ env: CLIENT_SECRET }}, authority: '{url}' }} }}
  app-service: {{ managed_identity: {{ source: app_service }} }}
{endpoints}
defaults:
  timeouts: {{ read: 300ms, read_stream: 300ms }}
  retry: {{ budget: 100% }}
  circuit_breaker: off
  cool_down: {{ min: 0s, max: 1ms, default: 1ms, auth: 1ms, absent: 1ms }}
clients:
  team-a: {{ keys: ['{hash}'] }}
jwt:
  - {{ issuer: ['{v2}', '{v1}'], jwks_uri: '{keys}', audience: 'api://tokenweir', accept_azure_audience: true, rules: [{{ client: team-a, roles: Chat.Use }}] }}
",
            tenant = identity.tenant(),
            url = identity.url(),
            hash = format_key_hash(&key_hash(KEY)),
            v2 = control.issuer_v2(),
            v1 = control.issuer_v1(),
            keys = control.jwks_url(),
        );
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::start_with(&config, |command| {
            command.envs([
                ("PRIMARY", PRIMARY),
                ("SECONDARY", SECONDARY),
                ("BEARER", BEARER),
                ("CLIENT_SECRET", CLIENT_SECRET),
                ("COLLECTOR_HEADER", COLLECTOR_HEADER),
                (
                    "IDENTITY_ENDPOINT",
                    &format!("{}/msi/token", identity.url()),
                ),
                ("IDENTITY_HEADER", APP_SERVICE_HEADER),
                ("RUST_BACKTRACE", "full"),
            ]);
            let errors = File::create(folder.path().join("stderr")).unwrap();
            command.stderr(errors);
        });
        Self {
            gateway,
            resources,
            identity,
            answers: Vec::new(),
            folder,
        }
    }

    fn token(&self, audience: &str, role: &str) -> String {
        let control = self.identity.control();
        let mut claims = control.claims_v1(audience);
        claims["roles"] = json!([role]);
        claims["canary"] = json!("canary-claim");
        control.issue(claims)
    }

    async fn ask(&mut self, headers: &[(&str, &str)]) -> u16 {
        let url = self.gateway.url(&format!(
            "/openai/deployments/{MODEL}/chat/completions?api-version=2024-10-21&api-key={WRONG_KEY}"
        ));
        let body = CHAT.replace("hello", PROMPT);
        let request = headers
            .iter()
            .fold(client().post(url).body(body), |request, (name, value)| {
                request.header(*name, *value)
            });
        let seen = Seen::read(request.send().await.unwrap()).await;
        self.answers
            .push(format!("{:?} {}", seen.headers, seen.text()));
        seen.status
    }

    /// Every credential that a caller can show, and what nobody should.
    async fn ask_as_everybody(&mut self) {
        let tokens = [
            self.token("api://tokenweir", "Chat.Use"),
            self.token("https://cognitiveservices.azure.com", "Chat.Use"),
            self.token("api://tokenweir", "Other"),
            self.token("api://other", "Chat.Use"),
        ];
        for token in &tokens {
            let bearer = format!("Bearer {token}");
            let forged = format!("Bearer {}x", &token[..token.len() - 8]);
            self.ask(&[("authorization", &bearer)]).await;
            self.ask(&[("authorization", &forged)]).await;
        }
        let bearer = format!("Bearer {KEY}");
        for headers in [
            &[("api-key", KEY)][..],
            &[("authorization", &bearer)],
            &[("api-key", WRONG_KEY)],
            &[("api-key", WRONG_KEY), ("authorization", &bearer)],
            &[("authorization", "Basic canary-key-of-nobody")],
            &[("api-key", KEY), ("x-custom", "fine")],
        ] {
            self.ask(headers).await;
        }
    }

    /// What came out, each with where it may be found.
    async fn look_for_canaries(&mut self) {
        let issued: Vec<String> = self
            .resources
            .iter()
            .filter_map(|resource| resource.control().last(MODEL))
            .flat_map(|last| last.headers)
            .filter_map(|(_, value)| value.strip_prefix("Bearer ey").map(str::to_owned))
            .collect();
        assert!(!issued.is_empty(), "no token went upstream");
        let secrets = [
            PRIMARY,
            SECONDARY,
            BEARER,
            CLIENT_SECRET,
            APP_SERVICE_HEADER,
            KEY,
            WRONG_KEY,
            PROMPT,
            "canary",
        ];
        // The second part of a token is its claims, the third one makes it good.
        let parts = issued.iter().flat_map(|token| token.split('.').skip(1));
        let secrets: Vec<&str> = secrets.into_iter().chain(parts).collect();
        let stderr = std::fs::read_to_string(self.folder.path().join("stderr")).unwrap();
        let mut pages = vec![
            ("the log", self.gateway.logged()),
            ("standard error", stderr),
            ("answers", self.answers.join("\n")),
        ];
        for path in [
            "/metrics",
            "/status",
            "/identity",
            "/readyz",
            "/healthz",
            "/config",
            "/explain?model=gpt-4o",
            "/openapi.json",
            "/nothing",
        ] {
            pages.push((path, self.gateway.admin_page(path).await));
        }
        for (page, text) in pages {
            assert!(page == "standard error" || !text.is_empty(), "{page}");
            for secret in &secrets {
                let found = text.lines().find(|line| line.contains(secret));
                assert_eq!(found, None, "`{secret}` is in {page}");
            }
        }
        self.look_upstream();
    }

    /// Each resource got its own credential and the prompt, and of no other's.
    fn look_upstream(&self) {
        for ((name, own), resource) in RESOURCES.iter().zip(&self.resources) {
            let Some(last) = resource.control().last(MODEL) else {
                continue;
            };
            let query = last.query.clone().unwrap_or_default();
            assert!(!query.contains("canary"), "{name}: {query}");
            for (header, value) in &last.headers {
                let mut value = value.clone();
                for own in *own {
                    value = value.replace(own, "");
                }
                assert!(!value.contains("canary"), "{name}: {header}: {value}");
            }
            let credentials = last
                .headers
                .iter()
                .filter(|(header, _)| matches!(&**header, "authorization" | "api-key"));
            assert_eq!(credentials.count(), 1, "{name}: {:?}", last.headers);
        }
    }
}

fn faults() -> Vec<Action> {
    let status = |status| Action::Status {
        status,
        headers: [("retry-after-ms".to_owned(), "1".to_owned())].into(),
        body: None,
    };
    let mut faults: Vec<Action> = [400, 401, 403, 404, 408, 429, 500, 503].map(status).into();
    faults.extend([
        Action::ResetBeforeHeaders,
        Action::CloseBeforeHeaders,
        Action::ResetAfterHeaders,
        Action::HangBeforeHeaders,
        Action::CutMidStream { after_events: 0 },
        Action::Garbage,
        Action::EarlyStatus { status: 429 },
    ]);
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_secret_comes_out_whatever_goes_wrong() {
    let mut world = World::start().await;
    // The deepest level there is, and while it runs.
    world.gateway.reload(&[("level: debug", "level: trace")]);
    world.ask_as_everybody().await;
    assert!(
        world
            .answers
            .iter()
            .any(|answer| answer.contains("chat.completion")),
        "nobody was served: {:?}",
        world.answers
    );
    // Whoever gives tokens fails from now on, and sends back what it was sent.
    let echo = json!({ "error": "invalid_client", "error_description": CLIENT_SECRET });
    let control = world.identity.control();
    let echo = IdentityFault::answer(&echo.to_string());
    control.inject(Door::Token, echo.times(0));
    control.inject(Door::AppService, IdentityFault::not_json().times(0));
    for action in faults() {
        for resource in &world.resources {
            resource
                .control()
                .inject(Fault::new(action.clone()).times(2));
        }
        world.ask(&[("api-key", KEY)]).await;
        world.ask_as_everybody().await;
    }
    for resource in &world.resources {
        resource.control().clear_faults();
    }
    world
        .gateway
        .next_event(|event| event["level"] == "WARN" && event.to_string().contains("registration"));
    malformed(&mut world).await;
    // A reload, one that is refused, and a hand-over.
    world.gateway.reload(&[("budget: 100%", "budget: 99%")]);
    world.gateway.rewrite(&[(
        "bearer: { env: BEARER }",
        &format!("bearer: '{BEARER}', api_key: {{ value: '{PRIMARY}', env: '{SECONDARY}' }}"),
    )]);
    world.gateway.signal(Signal::HUP);
    world
        .gateway
        .next_event(|event| event["level"] == "ERROR" && event.to_string().contains("fixed"));
    world.gateway.rewrite(&[]);
    world.gateway.signal(Signal::USR2);
    world.gateway.handed_over();
    assert_eq!(world.ask(&[("api-key", KEY)]).await, 200);
    world.look_for_canaries().await;
}

/// Heads that no HTTP library sends.
async fn malformed(world: &mut World) {
    for head in [
        format!(
            "GET / HTTP/1.1\r\nhost: a\r\napi-key: {WRONG_KEY}\r\nbad header\x01: {KEY}\r\n\r\n"
        ),
        format!("GET /x HTTP/1.1\r\napi-key: {KEY}\r\n\r\n"),
        format!(
            "GET /v1/realtime?model={MODEL}&api-key={WRONG_KEY} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\n\
                 upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-protocol: realtime, openai-insecure-api-key.{WRONG_KEY}\r\n\r\n"
        ),
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-length: 9\r\n\
                 content-type: application/json\r\n\r\n{{\"model\":"
        ),
    ] {
        let answer = raw(world.gateway.address, head.as_bytes(), |text| {
            text.contains("\r\n\r\n")
        });
        let answer = tokio::time::timeout(Duration::from_secs(2), answer).await;
        if let Ok(answer) = answer {
            world.answers.push(answer);
        }
    }
}

#[test]
fn what_holds_a_secret_does_not_show_it() {
    use gateway::{config, secret::Secret};
    let text = "version: 1\nopen: true\nlisten: [{ address: 127.0.0.1:1 }]\ncredentials: { a: { bearer: { value: canary } } }\n\
                endpoints: { a: { url: https://a, credential: a, deployments: { m: {} } } }\n";
    let loaded = config::from_text(std::path::Path::new("x.yaml"), text.to_owned()).unwrap();
    assert!(!format!("{loaded:?} {loaded:#?}").contains("canary"));
    let secret = Secret::new("canary".to_owned());
    assert!(!format!("{secret:?} {secret}").contains("canary"));
}
