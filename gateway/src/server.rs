//! Assembly: binds the listeners, runs pingora's services on our own runtime, and stops them.
//!
//! Pingora's `Server` is left out on purpose (0.9.1, server/mod.rs): it dies of SIGHUP, always sleeps the whole
//! grace period on SIGTERM, and swallows a second one. Its services can be run without it.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::{IntoRawFd, RawFd},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::{
    server::{Fds, configuration::ServerConf},
    services::{Service as _, listening::Service},
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    admin::Admin,
    clock::Clock,
    config::compiled::{Compiled, Listen},
    metrics::Metrics,
    proxy::{self, Gateway, Requests},
    resolve::Resolver,
    snapshot::Snapshot,
    state::Registry,
};

/// Connections kept open to endpoints, per worker thread. A request to a model holds one for seconds, so this is
/// about concurrency, not rate; below it every request would pay a TLS handshake.
const UPSTREAM_CONNECTIONS_KEPT: usize = 1024;
/// Pingora's own bound on tries, connect failures and statuses together; the real one is the retry policy's.
const TRIES_MAX: usize = 64;
/// The first requests should find addresses, but a name that does not resolve must not keep the rest waiting.
const WARM_UP: Duration = Duration::from_secs(3);

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}")]
    Bind {
        address: SocketAddr,
        source: std::io::Error,
    },
}

/// What a reload replaces, and what it keeps.
pub struct Shared {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub registry: Registry,
    pub resolver: Resolver,
    pub metrics: Metrics,
}

impl Shared {
    /// Links a configuration and makes it the one that new requests see, once its host names have addresses.
    pub async fn swap(&self, config: Compiled) {
        let snapshot = Snapshot::link(config, &self.registry, &self.resolver, &self.metrics);
        self.resolver.warm_up(WARM_UP).await;
        self.snapshot.store(Arc::new(snapshot));
    }
}

/// A gateway that serves.
pub struct Running {
    pub shared: Arc<Shared>,
    /// Where clients connect, in the order of the configuration; ports that were 0 are filled in.
    pub addresses: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    requests: Requests,
    stop: watch::Sender<bool>,
    _never: watch::Sender<bool>,
    services: Vec<JoinHandle<()>>,
}

/// Starts to serve on the current tokio runtime.
///
/// # Errors
/// A listener cannot be bound. Nothing is left running then.
pub async fn start(config: Compiled) -> Result<Running, StartError> {
    let listeners = config
        .listen
        .iter()
        .map(bind)
        .collect::<Result<Vec<_>, _>>()?;
    let admin = config
        .admin
        .map(|address| {
            bind(&Listen {
                address,
                h2c: false,
            })
        })
        .transpose()?;

    let registry = Registry::default();
    let (resolver, metrics) = (Resolver::default(), Metrics::new());
    let snapshot = Snapshot::link(config, &registry, &resolver, &metrics);
    let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    let clock: Clock = registry.clock();
    let requests = Requests::default();
    let gateway = Gateway::new(snapshot.clone(), metrics.clone(), clock, requests.clone());
    resolver.warm_up(WARM_UP).await;

    let conf = Arc::new(ServerConf {
        upstream_keepalive_pool_size: UPSTREAM_CONNECTIONS_KEPT,
        max_retries: TRIES_MAX,
        ..ServerConf::default()
    });
    let (stop, stopped) = watch::channel(false);
    let never = watch::Sender::new(false);
    let addresses = listeners.iter().map(|bound| bound.address).collect();
    let mut services = Vec::new();
    for h2c in [false, true] {
        let (fds, bound): (Fds, Vec<&Bound>) =
            adopt(listeners.iter().filter(|bound| bound.h2c == h2c));
        if bound.is_empty() {
            continue;
        }
        let mut service = proxy::service(&conf, gateway.clone(), h2c);
        for bound in bound {
            service.add_tcp(&bound.address.to_string());
        }
        services.push(run(service, fds, stopped.clone()));
    }
    let shared = Arc::new(Shared {
        snapshot,
        registry,
        resolver,
        metrics,
    });
    if let Some(bound) = &admin {
        let app = Admin::new(shared.clone(), stopped);
        let mut service = Service::new("admin".to_owned(), app);
        service.add_tcp(&bound.address.to_string());
        // It stays until the end: a drain is when somebody wants to look.
        services.push(run(
            service,
            adopt(std::iter::once(bound)).0,
            never.subscribe(),
        ));
    }
    Ok(Running {
        shared,
        addresses,
        admin: admin.map(|bound| bound.address),
        requests,
        stop,
        _never: never,
        services,
    })
}

impl Running {
    /// Stops accepting, and returns when the last request has ended, or after `limit` with the number of
    /// requests that are cut.
    pub async fn drain(self, limit: Duration) -> usize {
        self.requests.stop();
        let _ = self.stop.send(true);
        let _ = timeout(limit, self.requests.none_left()).await;
        for service in self.services {
            service.abort();
        }
        self.requests.under_way()
    }
}

struct Bound {
    address: SocketAddr,
    h2c: bool,
    fd: RawFd,
}

/// Binds here and not in pingora, which would panic, or wait and try again, where an operator wants to be told.
fn bind(listen: &Listen) -> Result<Bound, StartError> {
    let refused = |source| StartError::Bind {
        address: listen.address,
        source,
    };
    let listener = TcpListener::bind(listen.address).map_err(refused)?;
    // Pingora does not do it for sockets it is handed (listeners/l4.rs from_raw_fd); a blocking accept would
    // hang the worker.
    listener.set_nonblocking(true).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok(Bound {
        address,
        h2c: listen.h2c,
        fd: listener.into_raw_fd(),
    })
}

fn adopt<'a>(bound: impl Iterator<Item = &'a Bound>) -> (Fds, Vec<&'a Bound>) {
    let mut fds = Fds::new();
    let bound: Vec<&Bound> = bound
        .inspect(|bound| fds.add(bound.address.to_string(), bound.fd))
        .collect();
    (fds, bound)
}

fn run<A>(mut service: Service<A>, fds: Fds, stopped: watch::Receiver<bool>) -> JoinHandle<()>
where
    A: pingora::apps::ServerApp + Send + Sync + 'static,
{
    tokio::spawn(async move {
        service
            .start_service(Some(Arc::new(Mutex::new(fds))), stopped, 1)
            .await;
    })
}
