//! Who may call what, what goes on and what stays here.

mod framing;

use std::process::Command;

use sha2::{Digest as _, Sha256};
use simulator::{Action, Control, Deployment, Fault, Kind, LastRequest, Resource};

use crate::support::{CHAT, Fleet, Seen, client, in_order};

const GPT: &str = "gpt-4o";
const MINI: &str = "gpt-4o-mini";
const PATH: &str = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";
const KEY: &str = "canary-of-team-a-0123456789";
const OTHER_KEY: &str = "canary-of-team-b-0123456789";

/// Path, body, headers, and the status and code that follow.
type Refused<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16, &'a str);

/// Two clients: one for gpt-4o only, one for all models.
fn clients() -> String {
    let hash = |key: &str| -> String {
        let digest = Sha256::digest(key.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    format!(
        "clients:\n  team-a:\n    keys: [ \"sha256:{}\" ]\n    models: [gpt-4o]\n    default_model: gpt-4o\n  \
         team-b:\n    keys: [ \"sha256:{}\" ]\n",
        hash(KEY),
        hash(OTHER_KEY)
    )
}

async fn ask(fleet: &Fleet, path: &str, body: &str, headers: &[(&str, &str)]) -> Seen {
    let mut request = client().post(fleet.gateway.url(path)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Seen::read(request.send().await.unwrap()).await
}

/// Connections that all resources together have seen.
fn connections(fleet: &Fleet) -> u64 {
    let all = (1..=3).map(|number| fleet.aoi(number).stats().connections);
    all.sum()
}

/// The whole request, for searching.
fn everything(last: &LastRequest) -> String {
    format!("{last:?} {}", String::from_utf8_lossy(&last.body))
}

fn last(control: &Control) -> LastRequest {
    control.last(GPT).expect("it got a request")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_known_key_and_an_allowed_model_get_through() {
    let fleet = Fleet::start(&clients()).await;
    let bearer = format!("Bearer {KEY}");
    let other = format!("Bearer {OTHER_KEY}");
    let mini = PATH.replace(GPT, MINI);
    let v1 = r#"{"model":"gpt-4o-mini","messages":[]}"#;
    let nobody = r#"{"model":"gpt-9","messages":[]}"#;
    let short = &KEY[..KEY.len() - 1];
    let refused: [Refused<'_>; 13] = [
        (PATH, CHAT, &[], 401, "missing_api_key"),
        (PATH, CHAT, &[("api-key", "wrong")], 401, "invalid_api_key"),
        (PATH, CHAT, &[("api-key", short)], 401, "invalid_api_key"),
        (
            PATH,
            CHAT,
            &[("api-key", "key-of-aoi-1")],
            401,
            "invalid_api_key",
        ),
        (
            PATH,
            CHAT,
            &[("authorization", "Bearer wrong")],
            401,
            "invalid_api_key",
        ),
        (
            PATH,
            CHAT,
            &[("authorization", "Basic d3Jvbmc6d3Jvbmc=")],
            401,
            "invalid_api_key",
        ),
        (
            PATH,
            CHAT,
            &[("api-key", KEY), ("authorization", &other)],
            400,
            "conflicting_credentials",
        ),
        (
            PATH,
            CHAT,
            &[("api-key", KEY), ("api-key", OTHER_KEY)],
            400,
            "conflicting_credentials",
        ),
        (&mini, CHAT, &[("api-key", KEY)], 403, "model_not_allowed"),
        (
            "/v1/chat/completions",
            v1,
            &[("authorization", &bearer)],
            403,
            "model_not_allowed",
        ),
        (
            "/v1/chat/completions",
            nobody,
            &[("authorization", &bearer)],
            404,
            "model_not_found",
        ),
        (
            "/openai/deployments/gpt-9/chat/completions?api-version=2024-10-21",
            CHAT,
            &[("api-key", KEY)],
            404,
            "model_not_found",
        ),
        (&mini, CHAT, &[("api-key", "wrong")], 401, "invalid_api_key"),
    ];
    for (path, body, headers, status, code) in refused {
        let seen = ask(&fleet, path, body, headers).await;
        assert_eq!(
            (seen.status, &*seen.code()),
            (status, code),
            "{path} {headers:?}"
        );
        assert!(
            status != 404 || seen.text().contains("gpt-9"),
            "it names the model"
        );
        assert!(!seen.text().contains(KEY));
    }
    assert_eq!(connections(&fleet), 0);

    for headers in [
        &[("api-key", KEY)][..],
        &[("authorization", &bearer)],
        &[("api-key", KEY), ("authorization", &bearer)],
        &[("api-key", OTHER_KEY)],
    ] {
        assert_eq!(
            ask(&fleet, PATH, CHAT, headers).await.status,
            200,
            "{headers:?}"
        );
    }
    let auto = PATH.replace(GPT, "auto");
    assert_eq!(
        ask(&fleet, &auto, CHAT, &[("api-key", KEY)]).await.status,
        200
    );
    assert_eq!(
        ask(&fleet, &mini, CHAT, &[("api-key", OTHER_KEY)])
            .await
            .status,
        200
    );

    let models = client()
        .get(fleet.gateway.url("/v1/models"))
        .bearer_auth(KEY);
    let models = models.send().await.unwrap().text().await.unwrap();
    assert!(models.contains(GPT) && !models.contains(MINI), "{models}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_ever_seen_where_it_does_not_belong() {
    search_for_keys("info").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_logged_by_somebody_who_looks_closer() {
    search_for_keys("trace").await;
}

async fn search_for_keys(log_level: &str) {
    // Every endpoint is back at once, so that every fault is met.
    let config = format!(
        "log: {{ level: {log_level} }}\ndefaults:\n  circuit_breaker: off\n  \
         cool_down: {{ min: 1ms, default: 1ms, auth: 1ms, absent: 1ms }}\n{}",
        clients()
    );
    let mut fleet = Fleet::with(&config, |_, resource| resource, in_order).await;
    let bearer = format!("Bearer {KEY}");
    let with_query = format!("{PATH}&api-key={KEY}&x=1");
    let mut answers = Vec::new();
    for (status, path) in [
        (200, PATH),
        (200, &*with_query),
        (429, PATH),
        (500, PATH),
        (401, PATH),
        (404, PATH),
    ] {
        if status != 200 {
            fleet.aoi(1).inject(Fault::status(status).on(GPT));
        }
        for headers in [
            &[("api-key", KEY)][..],
            &[
                ("authorization", &bearer),
                ("x-ms-client-request-id", "c-1"),
            ],
            &[
                ("api-key", KEY),
                ("authorization", &bearer),
                ("cookie", KEY),
                ("ocp-apim-subscription-key", KEY),
                ("proxy-authorization", KEY),
            ],
        ] {
            let seen = ask(&fleet, path, CHAT, headers).await;
            assert_eq!(seen.status, 200, "{status} {path}");
            answers.push(format!("{:?} {}", seen.headers, seen.text()));
        }
        fleet.aoi(1).clear_faults();
    }
    // Everything fails, for a reason that is the gateway's own.
    for number in 1..=3 {
        fleet.aoi(number).inject(Fault::status(401).on(GPT));
    }
    for _ in 0..3 {
        let seen = ask(&fleet, PATH, CHAT, &[("api-key", KEY)]).await;
        assert_eq!(seen.status, 503, "{}", seen.text());
        answers.push(format!("{:?} {}", seen.headers, seen.text()));
    }
    let _ = fleet.gateway.next_access();
    for number in 1..=3 {
        let last = last(&fleet.aoi(number));
        let everything = everything(&last);
        assert!(!everything.contains("canary"), "{everything}");
        let credentials = last
            .headers
            .iter()
            .filter(|(_, value)| value.contains("key-of-"));
        let credentials: Vec<_> = credentials
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(credentials, [("api-key", &*format!("key-of-aoi-{number}"))]);
    }
    let pages = [
        fleet.gateway.admin_page("/metrics").await,
        fleet.gateway.admin_page("/status").await,
        fleet.gateway.admin_page("/readyz").await,
        fleet.gateway.logged(),
        answers.join("\n"),
    ];
    for page in pages {
        let shown = page
            .lines()
            .find(|line| line.contains("key-of-") || line.contains("canary"));
        assert_eq!(shown, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_pass_both_ways_except_those_of_one_connection() {
    let fleet = Fleet::in_order("").await;
    let sent = [
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "keep-alive"),
        ("x-tokenweir-endpoint", "aoi-9"),
        ("expect", ""),
    ];
    let kept = [
        ("x-custom", "caf\u{e9}"),
        ("x-stainless-retry-count", "0"),
        ("x-ms-client-request-id", "c-1"),
        ("x-request-id", "r-1"),
        ("openai-beta", "assistants=v2"),
        ("user-agent", "test/1.0"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
    ];
    let all = [&sent[..7], &kept[..]].concat();
    assert_eq!(ask(&fleet, PATH, CHAT, &all).await.status, 200);
    let got = last(&fleet.aoi(1));
    for (name, _) in sent {
        assert_eq!(got.header(name), None, "{name}");
    }
    for (name, value) in kept {
        let values: Vec<_> = got.headers.iter().filter(|(key, _)| key == name).collect();
        assert_eq!(values, [&(name.to_owned(), value.to_owned())], "{name}");
    }
    assert_eq!(
        got.header("host"),
        Some(&*fleet.simulators[0].addr().to_string())
    );

    let headers = [
        ("x-custom-answer", "yes"),
        ("x-ratelimit-remaining-tokens", "7"),
        ("azure-openai-deployment-utilization", "37.1%"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("x-tokenweir-endpoint", "aoi-9"),
        ("x-tokenweir-attempts", "9"),
        ("set-cookie", "a=b"),
    ];
    let fault = Action::Status {
        status: 400,
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        body: None,
    };
    fleet.aoi(1).inject(Fault::new(fault));
    let seen = ask(&fleet, PATH, CHAT, &[]).await;
    assert_eq!(seen.status, 400);
    for (name, value) in &headers[..3] {
        assert_eq!(seen.header(name), Some(*value));
    }
    for name in ["keep-alive", "proxy-authenticate", "set-cookie"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-tokenweir-endpoint"), Some("aoi-1"));
    assert_eq!(seen.header("x-tokenweir-attempts"), Some("1"));
    assert!(seen.header("x-request-id").is_some() && seen.header("apim-request-id").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_about_the_route_can_be_switched_off() {
    let fleet = Fleet::in_order("response_headers: false").await;
    for _ in 0..2 {
        let seen = ask(&fleet, PATH, CHAT, &[]).await;
        assert_eq!(seen.header("x-tokenweir-endpoint"), None);
        assert_eq!(seen.header("x-tokenweir-attempts"), None);
        for number in 1..=3 {
            fleet
                .aoi(number)
                .inject(Fault::new(Action::ResetBeforeHeaders).on(GPT));
        }
    }
}

#[test]
fn without_client_keys_it_does_not_start_unless_it_is_told_to_be_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conf.yaml");
    let rest = "version: 1\nlisten: [{ address: \"127.0.0.1:0\" }]\nadmin: off\n\
                endpoints: { a: { url: \"http://127.0.0.1:1\", credential: none, deployments: { m: {} } } }\n";
    let run = |text: &str, arguments: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokenweir"));
        command
            .args(arguments)
            .arg("--config")
            .arg(&path)
            .output()
            .unwrap()
    };
    let closed = run(rest, &[]);
    assert_eq!(closed.status.code(), Some(78));
    let said = String::from_utf8_lossy(&closed.stderr).into_owned();
    assert!(
        said.contains("clients") && said.contains("open: true"),
        "{said}"
    );
    assert_eq!(run(rest, &["check"]).status.code(), Some(78));

    let open = run(&format!("open: true\n{rest}"), &["check"]);
    assert_eq!(open.status.code(), Some(0));
    let table = String::from_utf8_lossy(&open.stdout).into_owned();
    assert!(table.contains("MODEL") && table.contains('m'), "{table}");
    let misspelt = run(
        &format!("open: true\n{}", rest.replace("url", "ulr")),
        &["check"],
    );
    assert_eq!(misspelt.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&misspelt.stderr).contains("`url`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openai_server_in_the_pool_gets_its_own_shape_of_every_request() {
    let shape = |name: &str, resource: Resource| match name {
        "aoi-1" => Resource {
            kind: Kind::Openai,
            deployments: vec![
                Deployment::new("llama", GPT),
                Deployment::new("e5", "embedding-3-small"),
            ],
            ..resource
        },
        _ => resource,
    };
    let lines = |name: &str| {
        match name {
        "aoi-1" => "    kind: openai\n    deployments: { gpt-4o: { deployment: llama }, embedding-3-small: { deployment: e5 } }\n".to_owned(),
        _ => "    priority: 2\n".to_owned(),
    }
    };
    let fleet = Fleet::with("", shape, lines).await;
    let first = fleet.aoi(1);
    let in_body = r#"{"messages":[],"model":"gpt-4o"}"#;
    for (path, body, expected) in [
        (
            PATH,
            r#"{"messages":[]}"#,
            r#"{"model":"llama","messages":[]}"#,
        ),
        (
            PATH,
            r#"{"messages":[],"model":"x"}"#,
            r#"{"messages":[],"model":"llama"}"#,
        ),
        (PATH, "{}", r#"{"model":"llama"}"#),
        (
            "/v1/chat/completions",
            in_body,
            r#"{"messages":[],"model":"llama"}"#,
        ),
        (
            "/openai/v1/chat/completions?api-version=preview",
            in_body,
            r#"{"messages":[],"model":"llama"}"#,
        ),
    ] {
        let _ = ask(&fleet, path, body, &[("api-key", "the client's")]).await;
        let last = first.last("llama").expect("it got it");
        assert_eq!(
            (&*last.path, last.query.as_deref()),
            ("/v1/chat/completions", None),
            "{path}"
        );
        assert_eq!(String::from_utf8_lossy(&last.body), expected);
        assert_eq!(last.header("authorization"), Some("Bearer key-of-aoi-1"));
        assert_eq!(last.header("api-key"), None);
    }
    let embeddings = "/openai/deployments/embedding-3-small/embeddings?api-version=2024-10-21";
    assert_eq!(
        ask(&fleet, embeddings, r#"{"input":"x"}"#, &[])
            .await
            .status,
        200
    );
    assert_eq!(first.last("e5").unwrap().path, "/v1/embeddings");

    // The same client request, at an Azure resource after the first has failed.
    first.inject(Fault::status(429));
    assert_eq!(ask(&fleet, PATH, CHAT, &[]).await.status, 200);
    let azure = [2, 3]
        .into_iter()
        .find_map(|number| fleet.aoi(number).last(GPT))
        .unwrap();
    assert_eq!(
        (&*azure.path, &*azure.body),
        (
            "/openai/deployments/gpt-4o/chat/completions",
            CHAT.as_bytes()
        )
    );
    assert!(azure.query.unwrap().contains("api-version=2024-10-21"));
}
