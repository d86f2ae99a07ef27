//! The demo's cast: a simulated resource for each endpoint of a configuration, and the gateway in front of them.

use std::{collections::BTreeSet, net::SocketAddr, path::Path};

use anyhow::Context as _;
use simulator::{Behaviour, Deployment, Kind, Resource, Simulator};

use crate::{
    config::{
        self, Compiled,
        compiled::{Access, Admin, EndpointKind, Listen},
        load,
        secrets::{SecretError, SecretSource},
    },
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
        Ok(Secret::new("demo".to_owned()))
    }

    fn file(&self, _path: &Path) -> Result<Secret, SecretError> {
        self.env("")
    }

    fn credential(&self, _name: &str) -> Result<Secret, SecretError> {
        self.env("")
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
                (source.file, source.text)
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
        });
        // Whoever tries the demo has no key of the configured clients.
        config.access = Access::Open {
            default_model: config.models.first().map(|model| model.name.clone()),
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
