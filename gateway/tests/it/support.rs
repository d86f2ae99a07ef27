//! What the socket tests share: the real gateway binary on free ports, simulated resources beside it, and the
//! lines it logs. Everything stops when it is dropped.

pub(crate) mod process;
pub(crate) mod provider;
pub(crate) mod tls;

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::fs::symlink,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use simulator::{Control, Deployment, Resource, Running, Simulator};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

/// Longer than anything that is waited for; a test that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = "tokenweir.yaml";
const ADMIN_SOCKET: &str = "admin.sock";
const PROGRAM: &str = "tokenweir";

/// A line of a configuration whose admin listener is to ask for [`ADMIN_TOKEN`].
pub(crate) const WITH_ADMIN_TOKEN: &str = "# with admin token\n";
pub(crate) const ADMIN_TOKEN: &str = "token-of-the-operators";

/// A chat request for any shape.
pub(crate) const CHAT: &str = r#"{"messages":[{"role":"user","content":"hello"}]}"#;

/// The gateway binary, serving.
pub(crate) struct Gateway {
    child: Child,
    /// A process that has taken over from the one we started.
    successors: Vec<Pid>,
    log: Receiver<Value>,
    seen: Vec<Value>,
    pub(crate) address: SocketAddr,
    /// HTTP/2 without TLS.
    pub(crate) h2c: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// With the configuration, the admin socket and the program, a link.
    folder: tempfile::TempDir,
    config: String,
}

impl Gateway {
    /// Starts it with `config` plus listeners on free ports.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(config, |_| {})
    }

    /// `prepare` changes how it is started.
    pub(crate) fn start_with(config: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join(ADMIN_SOCKET);
        let listen = if config.contains("listen:") {
            ""
        } else {
            "listen: [{ address: \"127.0.0.1:0\" }, { address: \"127.0.0.1:0\", h2c: true }]\n"
        };
        let token = if config.contains(WITH_ADMIN_TOKEN) {
            ", token: { env: ADMIN_TOKEN }"
        } else {
            ""
        };
        let config = format!(
            "version: 1\n{listen}admin: {{ address: \"127.0.0.1:0\", socket: {}{token} }}\n{config}",
            socket.display()
        );
        std::fs::write(folder.path().join(CONFIG), &config).expect("the folder is ours");
        let program = folder.path().join(PROGRAM);
        symlink(env!("CARGO_BIN_EXE_tokenweir"), &program).expect("the folder is ours");
        let mut command = Command::new(program);
        command.current_dir(folder.path());
        prepare(&mut command);
        let mut child = command
            .arg("--config")
            .arg(folder.path().join(CONFIG))
            .envs(SEED.map(|(name, _)| (key_variable(name), format!("key-of-{name}"))))
            .env("ADMIN_TOKEN", ADMIN_TOKEN)
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
            successors: Vec::new(),
            log,
            seen: Vec::new(),
            address: nowhere,
            h2c: nowhere,
            admin: nowhere,
            folder,
            config,
        };
        gateway.address = gateway.listening("listening");
        if listen.is_empty() {
            gateway.h2c = gateway.address;
        } else {
            gateway.h2c = gateway.listening("listening");
        }
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
        // Also where it logs other things all the time.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .log
                .recv_timeout(left)
                .expect("the gateway logs what is waited for");
            self.seen.push(event.clone());
            if fits(&event) {
                return event;
            }
        }
    }

    /// The access line of the next request.
    pub(crate) fn next_access(&mut self) -> Value {
        self.next_event(|event| event["target"] == "access")
    }

    /// Everything it has logged so far, the lines not waited for included.
    pub(crate) fn logged(&mut self) -> String {
        self.seen.extend(self.log.try_iter());
        self.seen.iter().map(|line| format!("{line}\n")).collect()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The same on the listener for HTTP/2.
    pub(crate) fn h2c_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.h2c)
    }

    /// A page of the admin listener.
    pub(crate) async fn admin_page(&self, path: &str) -> String {
        let page = client().get(format!("http://{}{path}", self.admin)).send();
        let page = page.await.expect("admin answers");
        page.text().await.expect("text")
    }

    /// Polls the state of a deployment until it is `state`.
    pub(crate) async fn until(&self, endpoint: &str, model: &str, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.deployment(endpoint, model).await;
            if now["state"] == state {
                return;
            }
            assert!(Instant::now() < deadline, "not {state}: {now}");
            tokio::task::yield_now().await;
        }
    }

    /// The value of a metric without labels, or with exactly these: `name{a="b"}`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.admin_page("/metrics").await;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no metric {name} in:\n{text}"))
    }

    /// State of one deployment as the admin listener shows it.
    pub(crate) async fn deployment(&self, endpoint: &str, model: &str) -> Value {
        let page = self.admin_page("/status").await;
        let status: Value = serde_json::from_str(&page).expect("JSON");
        let pools = status["pools"].as_array().expect("a list of pools");
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
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for &successor in &self.successors {
            let _ = kill_process(successor, Signal::KILL);
        }
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

/// Where a resource's key is handed to the gateway.
fn key_variable(name: &str) -> String {
    format!("KEY_{}", name.to_uppercase().replace('-', "_"))
}

impl Fleet {
    /// `config` is added to the endpoints of the seed, which are open to everybody unless it says otherwise.
    pub(crate) async fn start(config: &str) -> Self {
        Self::with(config, |_, resource| resource, |_| String::new()).await
    }

    /// `shape` changes a resource before it starts, `endpoint` adds lines (indented by four) to its endpoint;
    /// `url`, `credential` and `deployments` among them replace its own, and `ADDRESS` stands for the resource's address.
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
            let lines = endpoint(name).replace("ADDRESS", &running.addr().to_string());
            let unless_given = |key: &str, line: String| {
                if lines.contains(&format!("    {key}: ")) {
                    String::new()
                } else {
                    line
                }
            };
            let url = unless_given("url", format!("    url: {}\n", running.url()));
            let credential = unless_given("credential", format!("    credential: {name}\n"));
            let models: Vec<_> = models
                .iter()
                .map(|model| format!("{model}: {{}}"))
                .collect();
            let deployments = unless_given(
                "deployments",
                format!("    deployments: {{ {} }}\n", models.join(", ")),
            );
            endpoints += &format!("  {name}:\n{url}{credential}{lines}{deployments}");
            simulators.push(running);
        }
        let credentials: String = SEED
            .iter()
            .map(|(name, _)| {
                format!(
                    "  {name}: {{ api_key: {{ env: {} }} }}\n",
                    key_variable(name)
                )
            })
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

    /// The resources in strict order: the second is used when the first cannot serve, and so on.
    pub(crate) async fn in_order(config: &str) -> Self {
        Self::with(config, |_, resource| resource, in_order).await
    }

    /// How many requests for a model each resource got.
    pub(crate) fn requests(&self, model: &str) -> [u64; 3] {
        [1, 2, 3].map(|number| self.aoi(number).counts(model).requests)
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

/// The lines for [`Fleet::with`] that give an endpoint its number as priority.
pub(crate) fn in_order(name: &str) -> String {
    format!("    priority: {}\n", &name[4..])
}

/// An answer as the client got it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body ended as its framing promised.
    pub(crate) complete: bool,
}

impl Seen {
    pub(crate) async fn read(mut answer: reqwest::Response) -> Self {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body = Vec::new();
        let complete = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Self {
            status,
            headers,
            body,
            complete,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `error.code` of the body, empty if there is none.
    pub(crate) fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or("").to_owned()
    }

    /// `retry-after-ms` in seconds, checked against `retry-after`, which is rounded up.
    pub(crate) fn wait(&self) -> Option<f64> {
        let number = |name| {
            self.header(name)
                .map(|text| text.parse::<u64>().expect(name))
        };
        let (seconds, millis) = (number("retry-after"), number("retry-after-ms"));
        assert_eq!(seconds, millis.map(|ms| ms.div_ceil(1000)), "{self:?}");
        millis.map(|ms| Duration::from_millis(ms).as_secs_f64())
    }
}

/// Sends bytes on a connection of its own and returns all that comes back until the gateway closes it, or
/// `enough` is satisfied.
pub(crate) async fn raw(
    address: SocketAddr,
    bytes: &[u8],
    enough: impl Fn(&str) -> bool,
) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // The gateway may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            answer.extend_from_slice(&chunk[..read]);
            if enough(&String::from_utf8_lossy(&answer)) {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("the gateway answers or closes")
}

/// Tries all cases, eight at a time, and fails with everything that is wrong with any of them.
pub(crate) async fn try_all<C, F>(cases: Vec<C>, wrong: impl Fn(C) -> F)
where
    F: Future<Output = Option<String>>,
{
    let all = cases.len();
    let wrong = stream::iter(cases).map(wrong).buffer_unordered(8);
    let wrong: Vec<String> = wrong.filter_map(std::future::ready).collect().await;
    assert!(
        wrong.is_empty(),
        "{} of {all}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// HTTP/2 without TLS and without asking first.
pub(crate) fn h2_client() -> reqwest::Client {
    client_builder()
        .http2_prior_knowledge()
        .build()
        .expect("a client")
}

/// No proxy of the environment, and no connection shared with another test.
pub(crate) fn client() -> reqwest::Client {
    client_builder().build().expect("a client")
}

pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    // It fails where another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}
