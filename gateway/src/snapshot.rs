//! The configuration linked to live state: what a request sees. Immutable, index-linked, swapped as a whole; a
//! request takes it once and keeps it. All that can be prepared is prepared here, so the request path sorts,
//! formats and looks up nothing that does not depend on the request.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::HeaderValue;
use pingora::upstreams::peer::{ALPN, HttpPeer};

use crate::{
    auth::{Auth, callers::Callers, shown::Shown},
    clock::{self, Timestamp},
    config::{
        compiled::{Access, Client, Compiled, Endpoint, Model},
        effective::Effective,
    },
    ids::{EndpointName, ModelName},
    metrics::{Accounts, EndpointMetrics, Metrics, ModelMetrics},
    policy::reason::Service,
    pool::{Member, Pool, Tier, Wanted},
    resolve::{Addresses, Resolver},
    state::{EndpointKey, Registry, SwitchState},
    traces::{Exports, Traces},
    upstream_tls,
};

/// Kept shorter than what Azure's front ends keep, so that it is we who close an idle connection.
const UPSTREAM_IDLE: Duration = Duration::from_secs(60);
/// Finds a peer that vanished without a word: below the four minutes after which Azure's balancers forget.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Concurrent requests on one HTTP/2 connection to an endpoint; pingora's default is 1.
const H2_STREAMS_MAX: usize = 100;
/// What the name `auto` stands for, as deployment or as model: the client's default model.
const AUTO: &str = "auto";

#[derive(Debug)]
pub struct Snapshot {
    pub config: Compiled,
    /// In the order of the configuration.
    pub upstreams: Vec<Upstream>,
    /// In the order of `config.models`.
    pub pools: Vec<Pool>,
    pub model_metrics: Vec<ModelMetrics>,
    /// For requests that have no pool.
    pub other_metrics: ModelMetrics,
    pub accounts: Accounts,
    /// `None` where everybody may call.
    pub callers: Option<Callers>,
    /// `None` where no spans are exported.
    pub traces: Option<Traces>,
    /// When it was linked, Unix time.
    pub loaded: Duration,
    effective: OnceLock<Effective>,
    by_model: HashMap<ModelName, usize>,
}

/// An endpoint, ready to be connected to.
pub struct Upstream {
    pub endpoint: Endpoint,
    pub host: HeaderValue,
    /// Its name, as answers carry it.
    pub name: HeaderValue,
    pub shown: Shown,
    pub addresses: Addresses,
    pub metrics: EndpointMetrics,
    pub switch: Arc<SwitchState>,
    /// What every connection to it has in common; the address is filled in at each attempt.
    peer: HttpPeer,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// The peer for one attempt, or `None` while the endpoint's name has no address.
    #[must_use]
    pub fn peer(&self, connect: Duration, read: Duration) -> Option<Box<HttpPeer>> {
        let address = self.addresses.next()?;
        let mut peer = Box::new(self.peer.clone());
        peer._address = address.into();
        // TCP, TLS and the HTTP/2 preface each and together: the operator's `connect` is the whole of it.
        peer.options.connection_timeout = Some(connect);
        peer.options.total_connection_timeout = Some(connect);
        peer.options.read_timeout = Some(read);
        peer.options.write_timeout = Some(read);
        Some(peer)
    }

    /// Whether there is something to show to it, if it wants something. `hands_on`: the caller showed something that
    /// may be handed on.
    #[must_use]
    pub fn is_credible(&self, hands_on: bool, now: Timestamp) -> bool {
        match &self.shown {
            Shown::Caller => hands_on,
            shown => shown.is_ready(now),
        }
    }

    /// What it can do for a request. `offered`: it has the operation.
    #[must_use]
    pub fn service(&self, offered: bool, hands_on: bool, now: Timestamp) -> Service {
        if !offered {
            Service::Unavailable
        } else if self.is_credible(hands_on, now) {
            Service::Possible
        } else {
            Service::NoCredential
        }
    }
}

/// Why a name means no model to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoModel {
    Unknown,
    NotAllowed,
}

impl Snapshot {
    /// Must be called inside a tokio runtime (new host names start being resolved, new tokens and key sets fetched,
    /// spans exported).
    #[must_use]
    pub fn link(
        config: Compiled,
        registry: &Registry,
        resolver: &Resolver,
        auth: &Auth,
        metrics: &Metrics,
        exports: &Exports,
    ) -> Self {
        let upstreams: Vec<Upstream> = config
            .endpoints
            .iter()
            .map(|endpoint| upstream(endpoint, registry, resolver, auth, metrics))
            .collect();
        let pools: Vec<Pool> = config
            .models
            .iter()
            .map(|model| pool(model, &config.endpoints, registry, metrics))
            .collect();
        let by_model = config
            .models
            .iter()
            .enumerate()
            .flat_map(|(index, model)| {
                std::iter::once(&model.name)
                    .chain(&model.aliases)
                    .map(move |name| (name.clone(), index))
            })
            .collect();
        auth.key_sets.set_directory(config.state_directory.clone());
        let callers = match &config.access {
            Access::Open { .. } => None,
            Access::Clients(clients) => Some(Callers::link(clients, auth)),
        };
        let model_metrics = config
            .models
            .iter()
            .map(|model| metrics.model(Some(&model.name)))
            .collect();
        Self {
            upstreams,
            pools,
            model_metrics,
            other_metrics: metrics.model(None),
            accounts: Accounts::link(&config, metrics),
            by_model,
            callers,
            traces: config.traces.as_ref().map(|traces| exports.link(traces)),
            loaded: clock::unix_now(),
            effective: OnceLock::new(),
            config,
        }
    }

    /// The configuration as it can be shown. Made when it is first asked for: that takes a while for a large one.
    pub fn effective(&self) -> &Effective {
        self.effective.get_or_init(|| Effective::of(&self.config))
    }

    /// The place of the pool of a model, by its name or an alias.
    #[must_use]
    pub fn pool_of(&self, model: &str) -> Option<usize> {
        self.by_model.get(model).copied()
    }

    /// The place of the pool that a client means by a name: a model's, an alias, or `auto`. `client`: `None` where
    /// everybody may call.
    ///
    /// # Errors
    /// Nobody serves it, or the client may not use it.
    pub fn find(&self, client: Option<&Client>, name: &str) -> Result<usize, NoModel> {
        let default = match (&self.config.access, client) {
            (_, Some(client)) => client.default_model.as_ref(),
            (Access::Open { default_model, .. }, None) => default_model.as_ref(),
            (Access::Clients(_), None) => None,
        };
        let asked = if name == AUTO {
            default.map_or(name, ModelName::as_str)
        } else {
            name
        };
        let pool = self.pool_of(asked).ok_or(NoModel::Unknown)?;
        if may_use(client, &self.pools[pool].model.name) {
            Ok(pool)
        } else {
            Err(NoModel::NotAllowed)
        }
    }

    /// The name of the endpoint of a member.
    #[must_use]
    pub fn name_of(&self, member: &Member) -> &EndpointName {
        &self.upstreams[member.endpoint].endpoint.name
    }

    /// What is wanted by a request that could be any.
    #[must_use]
    pub fn anything(&self, now: Timestamp) -> Wanted<'_, impl Fn(usize) -> Service> {
        Wanted {
            tried: &[],
            serves: move |endpoint: usize| self.upstreams[endpoint].service(true, true, now),
            now,
        }
    }
}

/// Whether a client may use a model.
#[must_use]
pub fn may_use(client: Option<&Client>, model: &ModelName) -> bool {
    client
        .and_then(|client| client.models.as_ref())
        .is_none_or(|models| models.contains(model))
}

fn upstream(
    endpoint: &Endpoint,
    registry: &Registry,
    resolver: &Resolver,
    auth: &Auth,
    metrics: &Metrics,
) -> Upstream {
    let url = &endpoint.url;
    let default_port = if url.tls { 443 } else { 80 };
    let bracketed = if url.host.contains(':') {
        format!("[{}]", url.host)
    } else {
        url.host.as_ref().to_owned()
    };
    let host = if url.port == default_port {
        bracketed
    } else {
        format!("{bracketed}:{}", url.port)
    };
    // The address is a placeholder: `Upstream::peer` sets the real one.
    let mut peer = HttpPeer::new(
        std::net::SocketAddr::from(([127, 0, 0, 1], url.port)),
        url.tls,
        url.host.as_ref().to_owned(),
    );
    peer.options.alpn = match (endpoint.http2, url.tls) {
        (false, _) => ALPN::H1,
        (true, true) => ALPN::H2H1,
        (true, false) => ALPN::H2,
    };
    upstream_tls::apply(&endpoint.tls, &mut peer);
    peer.options.max_h2_streams = H2_STREAMS_MAX;
    peer.options.idle_timeout = Some(UPSTREAM_IDLE);
    peer.options.tcp_keepalive = Some(pingora::protocols::TcpKeepalive {
        idle: TCP_KEEP_ALIVE,
        interval: Duration::from_secs(10),
        count: 3,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    });
    Upstream {
        host: HeaderValue::from_str(&host).expect("a parsed URL has a printable host"),
        name: HeaderValue::from_str(endpoint.name.as_str()).expect("a name is plain ASCII"),
        shown: Shown::link(&endpoint.credential, endpoint.kind, &endpoint.url, auth),
        addresses: resolver.addresses(&url.host, url.port),
        metrics: metrics.endpoint(&endpoint.name),
        switch: registry.switch(&endpoint.name),
        peer,
        endpoint: endpoint.clone(),
    }
}

fn pool(model: &Model, endpoints: &[Endpoint], registry: &Registry, metrics: &Metrics) -> Pool {
    let tiers = model
        .tiers
        .iter()
        .map(|tier| Tier {
            priority: tier.priority,
            weights: tier.members.iter().map(|member| member.weight).collect(),
            wheel: registry.wheel(&model.name, tier.priority),
            members: tier
                .members
                .iter()
                .map(|member| {
                    let endpoint = &endpoints[member.endpoint];
                    let deployment = &endpoint.deployments[member.deployment];
                    let key = EndpointKey {
                        url: endpoint.url.clone(),
                        credential: endpoint.credential.name.clone(),
                    };
                    Member {
                        endpoint: member.endpoint,
                        deployment: deployment.name.clone(),
                        endpoint_state: registry.endpoint(&key),
                        state: registry.deployment(&key, &deployment.name),
                        switch: registry.switch(&endpoint.name),
                        metrics: metrics.deployment(&endpoint.name, &deployment.name, &model.name),
                    }
                })
                .collect(),
        })
        .collect();
    Pool {
        model: model.clone(),
        state: Arc::clone(&registry.pool(&model.name)),
        tiers,
    }
}
