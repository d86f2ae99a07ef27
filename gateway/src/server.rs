//! Assembly: opens the sockets, runs pingora's applications on our own runtime, and stops them.
//!
//! Pingora's `Server` is left out on purpose (0.9.1, server/mod.rs): it dies of SIGHUP, always sleeps the whole
//! grace period on SIGTERM, and swallows a second one. Its applications can be run without it.

mod accept;
mod room;
pub mod sockets;
pub mod tls;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::{apps::ServerApp, server::configuration::ServerConf};
use serde_json::Value;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{accept::LocalPeer, room::Room};
use self::{
    accept::Reception,
    sockets::{Inherited, Place, Socket},
    tls::ListenerTls,
};
use crate::{
    admin::Admin,
    auth::{Auth, token::Kept},
    clock::{self, Timestamp},
    config::compiled::{Compiled, Listen},
    log::{ByHand, Log},
    metrics::Metrics,
    orders::{Desk, LastReload},
    proxy::{self, Gateway, Requests},
    resolve::Resolver,
    snapshot::Snapshot,
    state::{Memory, Registry},
    traces::Exports,
};

/// Connections kept open to endpoints, per worker thread. A request to a model holds one for seconds, so this is
/// about concurrency, not rate; below it every request would pay a TLS handshake.
const UPSTREAM_CONNECTIONS_KEPT: usize = 1024;
/// Pingora's own bound on tries, connect failures and statuses together; the real one is the retry policy's.
const TRIES_MAX: usize = 64;
/// The first requests should find addresses, but a name that does not resolve must not keep the rest waiting.
const WARM_UP: Duration = Duration::from_secs(3);
/// For requests that are already in the kernel to be read, before idle connections are dropped.
const LAST_CALL: Duration = Duration::from_millis(5);
/// For HTTP/2 connections to write what is left of their last answers and to be told goodbye.
const FAREWELL: Duration = Duration::from_millis(30);
/// Connections to the admin address; the proxy is to have the other descriptors. As many may hold a large answer in
/// memory.
const OPERATORS_MAX: usize = 128;
/// For the operator who ordered a hand-over to read its result.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {place}: {source}")]
    Bind { place: String, source: io::Error },
    #[error("no TLS on {place}: {reason}")]
    Tls { place: SocketAddr, reason: String },
}

/// What outlives a process.
#[derive(Default)]
pub struct Remembered {
    pub memory: Memory,
    pub tokens: Vec<Kept>,
    /// Of token issuers.
    pub key_sets: Vec<Value>,
    /// If it was set by hand.
    pub log_level: Option<ByHand>,
}

/// What a reload replaces, and what it keeps.
pub struct Shared {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub registry: Registry,
    pub resolver: Resolver,
    pub auth: Auth,
    pub metrics: Metrics,
    pub requests: Requests,
    pub exports: Exports,
    pub log: Log,
    /// Of each listener, in the order of the configuration; `None` where it speaks plain text.
    pub tls: Vec<Option<Arc<ListenerTls>>>,
    /// Where the configuration stands; `None` if in no file.
    pub file: Option<PathBuf>,
    /// Unix time.
    pub started: Duration,
    pub last_reload: Mutex<Option<LastReload>>,
}

impl Shared {
    /// Links a configuration to what is kept. Takes milliseconds for thousands of deployments: not for a worker.
    /// Must be called inside a tokio runtime.
    #[must_use]
    pub fn link(&self, config: Compiled) -> Snapshot {
        Snapshot::link(
            config,
            &self.registry,
            &self.resolver,
            &self.auth,
            &self.metrics,
            &self.exports,
        )
    }

    /// What a process that takes over should know.
    #[must_use]
    pub fn remembered(&self, now: Timestamp) -> Remembered {
        Remembered {
            memory: self.registry.memory(now),
            tokens: self.auth.tokens.kept(),
            key_sets: self.auth.key_sets.kept(),
            log_level: self.log.control.by_hand(),
        }
    }

    /// Returns when what was linked has been tried once: names have addresses, credentials tokens.
    pub async fn warm_up(&self) {
        tokio::join!(self.resolver.warm_up(WARM_UP), self.auth.warm_up(WARM_UP));
    }
}

/// A gateway: first with open sockets, then serving, at last draining.
pub struct Running {
    pub shared: Arc<Shared>,
    /// Where clients connect, in the order of the configuration; ports that were 0 are filled in.
    pub addresses: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    /// The open sockets, each with the place that the configuration gives it.
    pub sockets: Vec<(Place, Arc<Socket>)>,
    connections: TaskTracker,
    /// Connections on which orders are given.
    orders: TaskTracker,
    apps: Vec<Arc<proxy::App>>,
    /// What is to be accepted once [`Running::open`] is called.
    waiting: Vec<Waiting>,
    stop: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    dismiss: CancellationToken,
}

/// Where clients come in.
struct Door {
    socket: Arc<Socket>,
    /// HTTP/2 without TLS is spoken on it.
    h2c: bool,
    tls: Option<Arc<ListenerTls>>,
}

type Waiting = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Serves on the current tokio runtime, with sockets of its own, nobody at the desk and no log: for the demo.
///
/// # Errors
/// As [`prepare`].
pub async fn start(config: Compiled) -> Result<Running, StartError> {
    let (desk, _nobody) = Desk::new();
    let (sockets, remembered) = (Inherited::default(), Remembered::default());
    let mut running = prepare(config, None, sockets, remembered, desk, Log::none()).await?;
    running.open().map_err(|source| StartError::Bind {
        place: "the configured addresses".to_owned(),
        source,
    })?;
    Ok(running)
}

/// Does everything that can fail: after this, [`Running::open`] begins to serve. Connections that come in between
/// wait in the kernel. `file`: where the configuration stands.
///
/// # Errors
/// A certificate cannot be used, or a socket cannot be bound. Nothing is left running then.
pub async fn prepare(
    config: Compiled,
    file: Option<PathBuf>,
    mut inherited: Inherited,
    remembered: Remembered,
    desk: Desk,
    log: Log,
) -> Result<Running, StartError> {
    let tls = load_tls(config.listen.clone()).await?;
    let mut sockets = Vec::new();
    let mut open = |place: Place| {
        let socket = inherited.take_or_bind(&place)?;
        sockets.push((place, socket.clone()));
        Ok::<_, StartError>(socket)
    };
    let mut clients = Vec::new();
    for (listen, tls) in config.listen.iter().zip(&tls) {
        clients.push(Door {
            socket: open(Place::Tcp(listen.address))?,
            h2c: listen.h2c,
            tls: tls.clone(),
        });
    }
    let mut admin = Vec::new();
    if let Some(configured) = &config.admin {
        admin.push((open(Place::Tcp(configured.address))?, false));
        if let Some(path) = &configured.socket {
            admin.push((open(Place::Unix(path.to_path_buf()))?, true));
        }
    }
    for reason in &inherited.refused {
        tracing::warn!(%reason, "a socket that systemd passed is not used");
    }
    for place in inherited.places() {
        tracing::warn!(%place, "an inherited socket is not in the configuration, and is closed");
    }

    let shared = shared(config, file, remembered, tls, log).await;
    let mut running = Running {
        addresses: clients
            .iter()
            .filter_map(|door| address(&door.socket))
            .collect(),
        admin: admin.iter().find_map(|(socket, _)| address(socket)),
        shared,
        sockets,
        connections: TaskTracker::new(),
        orders: TaskTracker::new(),
        apps: Vec::new(),
        waiting: Vec::new(),
        stop: watch::Sender::new(false),
        stop_admin: watch::Sender::new(false),
        dismiss: CancellationToken::new(),
    };
    running.expect_clients(&clients);
    running.expect_operators(&admin, &desk);
    Ok(running)
}

/// The first snapshot, and what outlives it.
async fn shared(
    config: Compiled,
    file: Option<PathBuf>,
    remembered: Remembered,
    tls: Vec<Option<Arc<ListenerTls>>>,
    log: Log,
) -> Arc<Shared> {
    if let Some(by_hand) = &remembered.log_level {
        log.resume(by_hand);
    }
    let registry = Registry::default();
    let restored = registry.restore(remembered.memory, clock::now());
    if restored.facts + restored.dropped > 0 {
        tracing::info!(
            facts = restored.facts,
            dropped = restored.dropped,
            "took over what the old process remembered"
        );
    }
    let (resolver, auth, metrics) = (Resolver::default(), Auth::default(), Metrics::new());
    let exports = Exports::new(&metrics);
    auth.tokens.restore(remembered.tokens);
    auth.key_sets.restore(remembered.key_sets);
    metrics.reloaded(true, clock::unix_now());
    let snapshot = Snapshot::link(config, &registry, &resolver, &auth, &metrics, &exports);
    tokio::join!(resolver.warm_up(WARM_UP), auth.warm_up(WARM_UP));
    Arc::new(Shared {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        registry,
        resolver,
        auth,
        metrics,
        requests: Requests::default(),
        exports,
        log,
        tls,
        file,
        started: clock::unix_now(),
        last_reload: Mutex::default(),
    })
}

/// In the order of the listeners. Files are read, which is not for a worker.
async fn load_tls(listen: Vec<Listen>) -> Result<Vec<Option<Arc<ListenerTls>>>, StartError> {
    let load = |listen: &Listen| match &listen.tls {
        None => Ok(None),
        Some(files) => match ListenerTls::load(files) {
            Ok(tls) => Ok(Some(Arc::new(tls))),
            Err(reason) => Err(StartError::Tls {
                place: listen.address,
                reason,
            }),
        },
    };
    spawn_blocking(move || listen.iter().map(load).collect())
        .await
        .expect("reading certificates does not panic")
}

impl Running {
    fn expect_clients(&mut self, doors: &[Door]) {
        let conf = Arc::new(ServerConf {
            upstream_keepalive_pool_size: UPSTREAM_CONNECTIONS_KEPT,
            max_retries: TRIES_MAX,
            ..ServerConf::default()
        });
        let shared = self.shared.clone();
        let Shared {
            snapshot,
            metrics,
            log,
            requests,
            ..
        } = &*shared;
        let gateway = Gateway::new(
            snapshot.clone(),
            metrics.clone(),
            requests.clone(),
            log.clone(),
        );
        for h2c in [false, true] {
            let mut doors = doors.iter().filter(|door| door.h2c == h2c).peekable();
            if doors.peek().is_some() {
                let app = Arc::new(proxy::app(&conf, gateway.clone(), h2c));
                for door in doors {
                    let reception = Reception {
                        app: app.clone(),
                        tls: door.tls.clone(),
                        stop: self.stop.subscribe(),
                        dismiss: self.dismiss.clone(),
                        connections: self.connections.clone(),
                        metrics: Some(metrics.clone()),
                        room: None,
                    };
                    self.expect(&door.socket, reception);
                }
                self.apps.push(app);
            }
        }
    }

    /// Each socket, and whether orders are taken on it.
    fn expect_operators(&mut self, sockets: &[(Arc<Socket>, bool)], desk: &Desk) {
        // Nobody waits for those who only read: a scraper keeps its connection open for ever.
        let uncounted = TaskTracker::new();
        for (socket, takes_orders) in sockets {
            // Whoever may open the unix socket shuts nobody out.
            let (desk, connections, room) = if *takes_orders {
                (Some(desk.clone()), self.orders.clone(), None)
            } else {
                (None, uncounted.clone(), Some(Room::new(OPERATORS_MAX)))
            };
            let app = Admin::new(self.shared.clone(), self.stop.subscribe(), desk);
            let reception = Reception {
                app: Arc::new(app),
                tls: None,
                stop: self.stop_admin.subscribe(),
                dismiss: self.dismiss.clone(),
                connections,
                metrics: None,
                room,
            };
            self.expect(socket, reception);
        }
    }

    fn expect<A>(&mut self, socket: &Arc<Socket>, reception: Reception<A>)
    where
        A: ServerApp + Send + Sync + 'static,
    {
        let socket = socket.clone();
        self.waiting
            .push(Box::new(move || accept::accept(&socket, reception)));
    }

    /// Begins to serve.
    ///
    /// # Errors
    /// The runtime cannot watch a socket (no file descriptor is left).
    pub fn open(&mut self) -> io::Result<()> {
        self.waiting.drain(..).try_for_each(|accept| accept())?;
        let listeners: Vec<_> = self.shared.tls.iter().flatten().cloned().collect();
        if !listeners.is_empty() {
            tokio::spawn(tls::watch(listeners, self.stop.subscribe()));
        }
        Ok(())
    }

    /// Somebody else serves from the same sockets: accepts no more, finishes what runs, and answers one more request
    /// on each connection that is open, saying that it will be closed. So no client meets a connection that dies
    /// while it is about to use it. Returns when the last connection has ended, or has been idle for as long as an
    /// idle connection is kept.
    pub async fn retire(&mut self) {
        self.sockets.clear();
        self.shared.requests.stop();
        self.stop.send_replace(true);
        self.stop_admin.send_replace(true);
        let keep_alive = self.shared.snapshot.load().config.limits.keep_alive;
        self.emptied(keep_alive).await;
        self.orders.close();
        let _ = timeout(LAST_WORDS, self.orders.wait()).await;
        self.shared.exports.finish().await;
    }

    /// Returns when no connection is open, or when no request is under way and those that are open had `rest` to begin
    /// one.
    async fn emptied(&self, rest: Duration) {
        self.connections.close();
        loop {
            self.shared.requests.none_left().await;
            if timeout(rest, self.connections.wait()).await.is_ok()
                || self.shared.requests.under_way() == 0
            {
                return;
            }
        }
    }

    /// Accepts no more, drops idle connections, and returns when the last request has ended, or after `limit` with
    /// the number of requests that are cut. The admin listener stays: a drain is when somebody wants to look.
    pub async fn drain(&mut self, limit: Duration) -> usize {
        let places: Vec<Place> = self.sockets.drain(..).map(|(place, _)| place).collect();
        self.shared.requests.stop();
        self.dismiss.cancel();
        self.stop.send_replace(true);
        let emptied = async {
            sleep(LAST_CALL).await;
            for app in &self.apps {
                app.cleanup().await;
            }
            self.emptied(FAREWELL).await;
        };
        let _ = timeout(limit, emptied).await;
        for place in places {
            place.clear();
        }
        self.shared.exports.finish().await;
        self.shared.requests.under_way()
    }

    /// Requests under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.shared.requests.under_way()
    }
}

fn address(socket: &Socket) -> Option<SocketAddr> {
    match socket {
        Socket::Tcp(listener) => listener.local_addr().ok(),
        Socket::Unix(_) => None,
    }
}
