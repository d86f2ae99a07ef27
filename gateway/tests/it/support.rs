//! What the socket tests share: the real gateway binary on free ports, simulated resources beside it, and the
//! lines it logs. Everything stops when it is dropped.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use serde_json::Value;
use simulator::{Control, Deployment, Resource, Running, Simulator};

/// Longer than anything that is waited for; a test that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A chat request for any shape.
pub(crate) const CHAT: &str = r#"{"messages":[{"role":"user","content":"hello"}]}"#;

/// The gateway binary, serving.
pub(crate) struct Gateway {
    child: Child,
    log: Receiver<Value>,
    seen: Vec<Value>,
    pub(crate) address: SocketAddr,
    /// HTTP/2 without TLS.
    pub(crate) h2c: SocketAddr,
    pub(crate) admin: SocketAddr,
    _config: tempfile::TempDir,
}

impl Gateway {
    /// Starts it with `config` plus listeners on free ports.
    pub(crate) fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tokenweir.yaml");
        let listen = "version: 1\n\
                      listen: [{ address: \"127.0.0.1:0\" }, { address: \"127.0.0.1:0\", h2c: true }]\n\
                      admin: { address: \"127.0.0.1:0\" }\n";
        std::fs::write(&path, format!("{listen}{config}")).expect("the folder is ours");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tokenweir"))
            .arg("--config")
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let stdout = child.stdout.take().expect("it is piped");
        let (lines, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else {
                    continue;
                };
                if lines.send(event).is_err() {
                    return;
                }
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut gateway = Self {
            child,
            log,
            seen: Vec::new(),
            address: nowhere,
            h2c: nowhere,
            admin: nowhere,
            _config: folder,
        };
        gateway.address = gateway.listening("listening");
        gateway.h2c = gateway.listening("listening");
        gateway.admin = gateway.listening("admin listening");
        gateway
    }

    fn listening(&mut self, message: &str) -> SocketAddr {
        let event = self.next_event(|event| event["message"] == message);
        event["address"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("an address")
    }

    /// The next log event that fits; waits for it.
    pub(crate) fn next_event(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self
                .log
                .recv_timeout(PATIENCE)
                .expect("the gateway logs what is waited for");
            self.seen.push(event.clone());
            if fits(&event) {
                return event;
            }
        }
    }

    /// The access line of the next request, its `attempts` parsed.
    pub(crate) fn next_access(&mut self) -> Value {
        let mut line = self.next_event(|event| event["target"] == "access");
        let attempts = line["attempts"]
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok());
        line["attempts"] = attempts.unwrap_or(Value::Null);
        line
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The value of a metric without labels, or with exactly these: `name{a="b"}`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = reqwest::get(format!("http://{}/metrics", self.admin))
            .await
            .expect("admin answers");
        let text = text.text().await.expect("text");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no metric {name} in:\n{text}"))
    }

    /// State of one deployment as the admin listener shows it.
    pub(crate) async fn deployment(&self, endpoint: &str, model: &str) -> Value {
        let url = format!("http://{}/status", self.admin);
        let status: Value = reqwest::get(url)
            .await
            .expect("admin answers")
            .json()
            .await
            .expect("JSON");
        let pools = status.as_array().expect("a list of pools");
        let pool = pools
            .iter()
            .find(|pool| pool["model"] == model)
            .expect("the model has a pool");
        let deployments = pool["deployments"].as_array().expect("deployments");
        deployments
            .iter()
            .find(|d| d["endpoint"] == endpoint)
            .expect("it is in the pool")
            .clone()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The three resources of the seed, and the gateway in front of them.
pub(crate) struct Fleet {
    pub(crate) gateway: Gateway,
    pub(crate) simulators: Vec<Running>,
}

/// What each resource of the seed deploys.
pub(crate) const SEED: [(&str, &[&str]); 3] = [
    ("aoi-1", &["gpt-4o", "embedding-3-small"]),
    ("aoi-2", &["gpt-4o", "embedding-3-small", "gpt-4o-mini"]),
    ("aoi-3", &["gpt-4o", "gpt-4o-mini"]),
];

impl Fleet {
    /// `config` is added to the endpoints of the seed, which are open to everybody unless it says otherwise.
    pub(crate) async fn start(config: &str) -> Self {
        Self::with(config, |_, resource| resource, |_| String::new()).await
    }

    /// `shape` changes a resource before it starts, `endpoint` adds lines (indented by four) to its endpoint.
    pub(crate) async fn with(
        config: &str,
        shape: impl Fn(&str, Resource) -> Resource,
        endpoint: impl Fn(&str) -> String,
    ) -> Self {
        let mut simulators = Vec::new();
        let mut endpoints = String::from("endpoints:\n");
        for (name, models) in SEED {
            let mut resource = Resource::new(name).api_key(&format!("key-of-{name}"));
            for model in models {
                resource = resource.deployment(Deployment::new(model, model));
            }
            let running = Simulator::start(shape(name, resource))
                .await
                .expect("a free port");
            endpoints += &format!(
                "  {name}:\n    url: {}\n    credential: {name}\n{}    deployments: {{ {} }}\n",
                running.url(),
                endpoint(name),
                models
                    .iter()
                    .map(|model| format!("{model}: {{}}"))
                    .collect::<Vec<_>>()
                    .join(", "),
            );
            simulators.push(running);
        }
        let credentials: String = SEED
            .iter()
            .map(|(name, _)| format!("  {name}: {{ api_key: {{ value: key-of-{name} }} }}\n"))
            .collect();
        let open = if config.contains("clients:") {
            ""
        } else {
            "open: true\n"
        };
        let config = format!("{open}credentials:\n{credentials}{endpoints}{config}");
        Self {
            gateway: Gateway::start(&config),
            simulators,
        }
    }

    /// Control of a resource by its number, from 1.
    pub(crate) fn aoi(&self, number: usize) -> Control {
        self.simulators[number - 1].control()
    }

    pub(crate) fn chat_url(&self, model: &str) -> String {
        self.gateway.url(&format!(
            "/openai/deployments/{model}/chat/completions?api-version=2024-10-21"
        ))
    }

    /// Sends a chat request in the dated shape.
    pub(crate) async fn chat(&self, model: &str) -> reqwest::Response {
        post(&self.chat_url(model), CHAT).await
    }
}

pub(crate) async fn post(url: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
    client()
        .post(url)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .expect("the gateway answers")
}

/// No proxy of the environment, and no connection shared with another test.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}
