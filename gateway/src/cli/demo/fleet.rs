//! The demo's cast: a simulated resource for each endpoint of a configuration, and the gateway in front of them.

use std::{collections::BTreeSet, net::SocketAddr, path::Path};

use anyhow::Context as _;
use serde_yaml::Value;
use simulator::{Behaviour, Deployment, Kind, Resource, Simulator};

use crate::{
    config::{
        self, Compiled,
        compiled::{Access, Admin, Credential, CredentialKind, EndpointKind, EndpointTls, Listen},
        load,
        secrets::{SecretError, SecretSource},
    },
    ids::CredentialName,
    secret::Secret,
    server::{self, Running},
};

const SEED: &str = include_str!("../../../../conf/azure.yaml");

/// A configuration whose endpoints are to be simulated.
pub(super) struct Plan {
    config: Compiled,
}

/// Everything that runs.
pub(super) struct Fleet {
    pub(super) gateway: Running,
    pub(super) address: SocketAddr,
    pub(super) pools: String,
    /// The simulated resources by endpoint name, in the order of the configuration.
    pub(super) resources: Vec<(String, simulator::Running)>,
}

/// No real key is needed, nor read.
struct NoSecrets;

impl SecretSource for NoSecrets {
    fn env(&self, _name: &str) -> Result<Secret, SecretError> {
        Ok(Secret::new("secret-of-the-demo".to_owned()))
    }

    fn file(&self, _path: &Path) -> Result<Secret, SecretError> {
        self.env("")
    }

    fn credential(&self, _name: &str) -> Result<Secret, SecretError> {
        self.env("")
    }
}

/// The text without its `tls` sections, whose files may not be here; as it is if there are none.
fn without_tls(text: String) -> String {
    let Ok(mut value) = serde_yaml::from_str::<Value>(&text) else {
        return text;
    };
    let remove = |section: &mut Value| {
        let section = section.as_mapping_mut();
        section.and_then(|section| section.remove("tls")).is_some()
    };
    let mut removed = false;
    for listen in value
        .get_mut("listen")
        .and_then(Value::as_sequence_mut)
        .into_iter()
        .flatten()
    {
        removed |= remove(listen);
    }
    for (_, endpoint) in value
        .get_mut("endpoints")
        .and_then(Value::as_mapping_mut)
        .into_iter()
        .flatten()
    {
        removed |= remove(endpoint);
    }
    match serde_yaml::to_string(&value) {
        Ok(text) if removed => text,
        Ok(_) | Err(_) => text,
    }
}

impl Plan {
    /// # Errors
    /// What is wrong with the configuration, one line a mistake.
    pub(super) fn read(file: Option<&Path>, port: u16) -> Result<Self, String> {
        let (name, text) = match file {
            None => ("conf/azure.yaml".to_owned(), SEED.to_owned()),
            Some(path) => {
                let source = load::load(path).map_err(|report| report.to_string())?;
                (source.file, without_tls(source.text))
            }
        };
        let (mut config, _warnings) = config::compile(&text, &NoSecrets).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(|error| error.render(&name)).collect();
            lines.join("\n")
        })?;
        config.listen = vec![Listen {
            tls: None,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            h2c: false,
        }];
        config.admin = Some(Admin {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            socket: None,
            token: None,
        });
        // Whoever tries the demo has no key of the configured clients.
        config.access = Access::Open {
            default_model: config.models.first().map(|model| model.name.clone()),
            explain: true,
        };
        config.response_headers = true;
        Ok(Self { config })
    }

    pub(super) async fn start(mut self) -> anyhow::Result<Fleet> {
        let mut resources = Vec::new();
        for endpoint in &mut self.config.endpoints {
            let mut resource = Resource::new(endpoint.name.as_str());
            resource.kind = match endpoint.kind {
                EndpointKind::Azure => Kind::Azure,
                EndpointKind::OpenAi => Kind::Openai,
            };
            if let Some(region) = &endpoint.region {
                resource.region = region.as_ref().to_owned();
            }
            // Two models may share a deployment.
            let mut known = BTreeSet::new();
            for deployment in &endpoint.deployments {
                if known.insert(&deployment.name) {
                    let simulated =
                        Deployment::new(deployment.name.as_str(), deployment.model.as_str());
                    resource = resource.deployment(simulated.behaviour(Behaviour {
                        ttft_ms: 20,
                        tokens_per_second: 200,
                        ..Behaviour::default()
                    }));
                }
            }
            let running = Simulator::start(resource)
                .await
                .context("cannot start a simulated resource")?;
            endpoint.credential = Credential {
                name: CredentialName::new("none").expect("a word is a name"),
                kind: CredentialKind::None,
            };
            endpoint.tls = EndpointTls::default();
            endpoint.url.tls = false;
            endpoint.url.host = "127.0.0.1".into();
            endpoint.url.port = running.addr().port();
            endpoint.url.base_path = "".into();
            resources.push((endpoint.name.as_str().to_owned(), running));
        }
        let pools = config::table::pools(&self.config);
        let gateway = server::start(self.config)
            .await
            .context("choose another port with `--port`, or any free one with `--port 0`")?;
        let address = *gateway.addresses.first().context("no listener")?;
        Ok(Fleet {
            gateway,
            address,
            pools,
            resources,
        })
    }
}
