//! A gateway with everything that has a metric: TLS, tokens on both sides, prices, quotas, an endpoint that throttles
//! and one that was taken out.

use gateway::config::client_key::{format_key_hash, key_hash};
use simulator::{
    Action, Behaviour, Deployment, Fault, Identity, IdentityClient, IdentityOptions, Limits,
    Resource, Running, RunningIdentity, Simulator,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use crate::support::{CHAT, Gateway, PATIENCE, Seen, provider::STREAM, tls::Trust};

const KEY: &str = "tw-of-team-a";
const PROVIDER_KEY: &str = "key-of-the-providers";
/// What the gateway's own tokens are for, unless the configuration says otherwise.
const AUDIENCE: &str = "https://cognitiveservices.azure.com";

/// Everywhere.
const GPT: &str = "gpt-4o";
/// Answers with tokens of every kind.
const THINKS: &str = "thinks";
/// Fails always.
const BROKEN: &str = "broken";

const PRICES: &str = "models:\n  gpt-4o: { price: { prompt: 2.5, completion: 10 } }\n";

const USAGE: &str = r#"{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":100,
    "prompt_tokens_details":{"cached_tokens":60},"completion_tokens":50,
    "completion_tokens_details":{"reasoning_tokens":30},"total_tokens":150}}"#;

pub(super) struct Scene {
    pub(super) gateway: Gateway,
    client: reqwest::Client,
    /// What the gateway talks to, and its certificate.
    _beside: (Vec<Running>, RunningIdentity, Trust),
}

impl Scene {
    pub(super) async fn start() -> Self {
        let identity = Identity::start(IdentityOptions {
            clients: vec![IdentityClient::new("client-0", "object-0").system_assigned()],
            ..IdentityOptions::default()
        });
        let identity = identity.await.expect("a free port");
        let (mut running, mut endpoints) = (Vec::new(), String::new());
        for (credential, priority, resource) in resources() {
            let name = resource.name.clone();
            let deployed = resource.deployments.iter();
            let models: Vec<_> = deployed.map(|d| format!("{}: {{}}", d.name)).collect();
            let simulator = Simulator::start(resource).await.expect("a free port");
            endpoints += &format!(
                "  {name}: {{ url: \"{}\", credential: {credential}, priority: {priority}, deployments: {{ {} }} }}\n",
                simulator.url(),
                models.join(", ")
            );
            running.push(simulator);
        }
        let [throttled, serving] = [0, 1].map(|place: usize| running[place].control());
        throttled.inject(Fault::status(429));
        serving.inject(Fault::status(500).on(BROKEN));
        let usage = Action::Status {
            status: 200,
            headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
            body: Some(USAGE.to_owned()),
        };
        serving.inject(Fault::new(usage).on(THINKS));

        let trust = Trust::new();
        let config = format!(
            "{}credentials:\n  key: {{ api_key: {{ value: {PROVIDER_KEY} }} }}\n  \
             token: {{ managed_identity: {{ url: \"{}\" }} }}\nendpoints:\n{endpoints}{PRICES}\
             defaults: {{ cool_down: {{ max: 1s, default: 1s }} }}\n\
             clients: {{ team-a: {{ keys: [\"{}\"] }} }}\n\
             jwt:\n  - issuer: \"{}\"\n    discovery: \"{}\"\n    audience: api://tokenweir\n    \
             rules: [{{ client: team-a, roles: [Chat.Use] }}]\n",
            trust.listen(""),
            identity.url(),
            format_key_hash(&key_hash(KEY)),
            identity.control().issuer_v2(),
            identity.control().discovery_url(),
        );
        let gateway = Gateway::start(&config);
        order(&gateway, "/endpoints/spare/drain").await;
        Self {
            gateway,
            client: trust.client(None).build().expect("a client"),
            _beside: (running, identity, trust),
        }
    }

    /// One request of each kind.
    pub(super) async fn work(&self) {
        assert_eq!(self.ask(GPT, CHAT).await, 200);
        assert_eq!(self.ask(GPT, STREAM).await, 200);
        assert_eq!(self.ask(THINKS, CHAT).await, 200);
        assert!(self.ask(BROKEN, CHAT).await >= 500);
    }

    async fn ask(&self, model: &str, body: &'static str) -> u16 {
        let path = format!("/openai/deployments/{model}/chat/completions?api-version=2024-10-21");
        let request = self.client.post(self.gateway.https_url(&path));
        let request = request
            .header("api-key", KEY)
            .header("content-type", "application/json")
            .body(body);
        let answer = timeout(PATIENCE, request.send()).await;
        let answer = answer.expect("an answer in time").expect("an answer");
        Seen::read(answer).await.status
    }
}

/// With the credential and the priority of each. The first one, which throttles, is always preferred.
fn resources() -> [(&'static str, u8, Resource); 4] {
    let deployment = |name| {
        // A stream long enough to have a pace.
        Deployment::new(name, name).behaviour(Behaviour {
            tokens_per_second: 100,
            ..Behaviour::default()
        })
    };
    let quota = Limits {
        rpm: Some(100_000),
        tpm: Some(100_000_000),
        ..Limits::default()
    };
    let provisioned = Limits {
        tpm: Some(100_000_000),
        ptu: true,
        ..Limits::default()
    };
    let takes_key = |name| Resource::new(name).api_key(PROVIDER_KEY);
    let takes_tokens = |name| Resource::new(name).token_audience(AUDIENCE);
    let gpt = || deployment(GPT);
    [
        ("key", 1, takes_key("throttled").deployment(gpt())),
        (
            "key",
            2,
            takes_key("serving")
                .deployment(gpt().limits(quota))
                .deployment(deployment(THINKS))
                .deployment(deployment(BROKEN)),
        ),
        (
            "token",
            2,
            takes_tokens("provisioned").deployment(gpt().limits(provisioned)),
        ),
        ("key", 3, takes_key("spare").deployment(gpt())),
    ]
}

/// Gives an order on the admin socket.
async fn order(gateway: &Gateway, path: &str) {
    let talk = async {
        let mut socket = UnixStream::connect(gateway.admin_socket()).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: tokenweir\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    };
    timeout(PATIENCE, talk).await.expect("it answers");
}
