//! What operators see and do on the admin listeners.

mod explain;
mod level;
mod listener;
mod switches;

use std::time::Duration;

use serde_json::Value;
use simulator::{Action, Fault};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use crate::support::{Fleet, Gateway, PATIENCE, client};

const GPT: &str = "gpt-4o";
const MINI: &str = "gpt-4o-mini";
const TOKEN: &str = "canary-admin-token";

impl Gateway {
    /// A JSON page of the admin listener.
    async fn json(&self, path: &str) -> Value {
        let page = self.admin_page(path).await;
        serde_json::from_str(&page).unwrap_or_else(|_| panic!("no JSON at {path}: {page}"))
    }

    /// The status of an answer on the address.
    async fn asked(&self, method: &str, path: &str, token: Option<&str>) -> u16 {
        let method = method.parse().unwrap();
        let mut request = client().request(method, format!("http://{}{path}", self.admin));
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// The status of an answer on the socket.
    async fn asked_on_socket(&self, method: &str, path: &str) -> u16 {
        let mut socket = UnixStream::connect(self.admin_socket()).await.unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = socket.read_to_string(&mut answer);
        timeout(PATIENCE, read).await.unwrap().unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// A 429 that asks for ten minutes.
fn throttled() -> Fault {
    Fault::new(Action::Status {
        status: 429,
        headers: [("retry-after".to_owned(), "600".to_owned())].into(),
        body: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_the_token_reads_and_switches_and_nobody_else_does_either() {
    let mut fleet = Fleet::start("").await;
    let gateway = &mut fleet.gateway;
    let bearer = format!("Bearer {TOKEN}");
    let drain = "/endpoints/aoi-1/drain";
    // Without a token everybody reads.
    for (method, path, status) in [
        ("GET", "/status", 200),
        ("HEAD", "/status", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/status", 405),
        ("POST", drain, 403),
        ("POST", "/reload", 403),
        ("POST", "/nothing", 403),
    ] {
        assert_eq!(
            gateway.asked(method, path, None).await,
            status,
            "{method} {path}"
        );
    }
    let address = "admin: { address: \"127.0.0.1:0\"";
    let with_token = format!("{address}, token: {{ value: '{TOKEN}' }}");
    gateway.reload(&[(address, &with_token)]);
    let wrong = format!("Bearer {TOKEN}x");
    let basic = format!("Basic {TOKEN}");
    for (method, path, token, status) in [
        ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 200),
        ("GET", "/status", None, 401),
        ("GET", "/metrics", None, 401),
        ("GET", "/events", None, 401),
        ("GET", "/nothing", None, 401),
        ("POST", drain, None, 401),
        ("POST", "/reload", None, 401),
        ("GET", "/status", Some(&*wrong), 401),
        ("GET", "/status", Some(&*basic), 401),
        ("GET", "/status", Some("Bearer "), 401),
        ("GET", "/status", Some(&*bearer), 200),
        ("GET", "/nothing", Some(&*bearer), 404),
        ("POST", drain, Some(&*bearer), 200),
        ("POST", "/reload", Some(&*bearer), 403),
        ("POST", "/compare", Some(&*bearer), 403),
    ] {
        assert_eq!(
            gateway.asked(method, path, token).await,
            status,
            "{method} {path}"
        );
    }
    for (method, path, status) in [
        ("GET", "/status", 200),
        ("POST", drain, 200),
        ("POST", "/status", 405),
    ] {
        assert_eq!(
            gateway.asked_on_socket(method, path).await,
            status,
            "{method} {path}"
        );
    }
    assert!(!gateway.logged().contains(TOKEN));
    // The listener as a whole is closed at a restart only; that must not open it.
    gateway.reload(&[(address, "admin: { address: \"127.0.0.1:1\"")]);
    assert_eq!(
        gateway.asked("GET", "/status", None).await,
        200,
        "the token was taken out"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_events_come_at_once_and_then_every_second() {
    let fleet = Fleet::start("").await;
    let connection = client();
    let page = |path: &str| format!("http://{}{path}", fleet.gateway.admin);
    let mut events = connection.get(page("/events")).send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let read = async {
        while text.matches("\n\n").count() < 2 {
            let chunk = events.chunk().await.unwrap().expect("it goes on");
            text += std::str::from_utf8(&chunk).unwrap();
        }
    };
    timeout(PATIENCE, read).await.unwrap();
    let times: Vec<f64> = text
        .split_terminator("\n\n")
        .map(|event| {
            let data = event.strip_prefix("event: status\ndata: ").expect(event);
            let status: Value = serde_json::from_str(data).expect(data);
            assert_eq!(status["pools"][0]["model"], "embedding-3-small");
            status["now"].as_f64().unwrap()
        })
        .collect();
    let apart = Duration::from_secs_f64(times[1] - times[0]);
    assert!(apart >= Duration::from_millis(900), "{apart:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_answers_said_and_what_went_wrong() {
    let shape = |_: &str, mut resource: simulator::Resource| {
        for deployment in &mut resource.deployments {
            deployment.limits.rpm = Some(1000);
        }
        resource
    };
    let fleet = Fleet::with("", shape, crate::support::in_order).await;
    fleet.aoi(1).inject(throttled().on(GPT));
    assert_eq!(fleet.chat(GPT).await.status(), 200);
    assert_eq!(fleet.chat(MINI).await.status(), 200);
    let throttled = fleet.gateway.deployment("aoi-1", GPT).await;
    let error = &throttled["last_errors"][0];
    assert_eq!(error["cause"], "throttled");
    assert_eq!(error["status"], 429);
    assert_eq!(
        error["wait_seconds"], 60.0,
        "as much as `cool_down.max` allows"
    );
    assert_eq!(throttled["since"], error["at"]);
    let left = throttled["until"].as_f64().unwrap() - error["at"].as_f64().unwrap();
    assert!((left - 60.0).abs() < 0.01, "{throttled}");
    assert_eq!(throttled["latency_ms"]["total"], Value::Null);
    let serving = fleet.gateway.deployment("aoi-2", GPT).await;
    assert_eq!(serving["last_errors"], Value::Array(Vec::new()));
    assert!(
        serving["latency_ms"]["total"].as_f64().unwrap() > 0.0,
        "{serving}"
    );
    assert!(
        serving["latency_ms"]["first_byte"].as_f64().unwrap() > 0.0,
        "{serving}"
    );
    assert_eq!(serving["quota"]["requests"], 999);

    let status = fleet.gateway.json("/status").await;
    assert_eq!(
        (&status["ready"], &status["draining"]),
        (&true.into(), &false.into())
    );
    let pool = |model: &str| {
        let pools = status["pools"].as_array().unwrap().iter();
        pools
            .clone()
            .find(|pool| pool["model"] == model)
            .unwrap()
            .clone()
    };
    assert_eq!(pool(GPT)["usable"], 2);
    assert_eq!(pool(MINI)["usable"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_shown_without_secrets_and_with_the_last_reload() {
    let mut fleet = Fleet::start("").await;
    let before = fleet.gateway.json("/config").await;
    let text = before["text"].as_str().unwrap();
    assert!(
        text.contains("<redacted>") && text.contains("drain_timeout: 60s"),
        "{text}"
    );
    assert!(!text.contains("key-of-aoi"), "{text}");
    assert_eq!(before["last_reload"], Value::Null);
    let file = fleet.gateway.config_file().display().to_string();
    assert_eq!(before["file"], file);

    fleet
        .gateway
        .reload(&[("open: true", "open: true\ndrain_timeout: 5s")]);
    let after = fleet.gateway.json("/config").await;
    assert_ne!(after["hash"], before["hash"]);
    assert_eq!(after["last_reload"]["ok"], true);
    assert_eq!(after["last_reload"]["changes"][0], "drain_timeout 60s → 5s");
    fleet.gateway.rewrite(&[("open: true", "opne: true")]);
    assert!(!fleet.gateway.ask(&["reload"]).status.success());
    let refused = fleet.gateway.json("/config").await;
    assert_eq!(refused["hash"], after["hash"]);
    let error = refused["last_reload"]["error"].as_str().unwrap();
    assert!(error.contains("did you mean `open`?"), "{error}");
    let status = fleet.gateway.json("/status").await;
    assert_eq!(status["config"]["last_reload"], refused["last_reload"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_openapi_document_answers() {
    let fleet = Fleet::start("").await;
    let document = fleet.gateway.json("/openapi.json").await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let query = if path == "/explain" {
            "?model=gpt-4o"
        } else {
            ""
        };
        let asked = format!("{}{query}", path.replace("{name}", "aoi-1"));
        for (method, expected) in [("GET", 200), ("POST", 403)] {
            if methods.get(method.to_lowercase()).is_some() {
                let status = fleet.gateway.asked(method, &asked, None).await;
                assert_eq!(status, expected, "{method} {path}");
            }
        }
    }
}

/// Somebody can have a name of theirs resolved to this machine, and their page read what answers under it.
#[tokio::test(flavor = "multi_thread")]
async fn on_loopback_only_this_machine_is_meant() {
    let fleet = Fleet::start("").await;
    for (path, host, status) in [
        ("/status", "evil.example", 421),
        ("/status", "127.0.0.1.evil.example:9090", 421),
        ("/config", "evil.example:9090", 421),
        ("/nothing", "evil.example", 421),
        ("/healthz", "gateway.example", 200),
        ("/status", "localhost:9090", 200),
        ("/status", "127.0.0.1", 200),
        ("/status", "[::1]:9090", 200),
    ] {
        let url = format!("http://{}{path}", fleet.gateway.admin);
        let answer = client().get(url).header("host", host).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path} {host}");
    }
}
