//! Where endpoints are: turns host names into addresses in the background, with pingora-load-balancing's
//! discovery, so that the request path reads an address and never waits for DNS. When a lookup fails the last
//! known addresses stay. Where a name has several addresses, those that accept no TCP connection are skipped.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::prelude::{Error, ErrorType::ConnectError, OrErr};
use pingora_load_balancing::{
    Backend, Backends, LoadBalancer, discovery::ServiceDiscovery, health_check::TcpHealthCheck,
    selection::RoundRobin,
};
use tokio::{task::JoinHandle, time::timeout};

/// Azure's names have a time to live of about a minute.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// While a name has no address at all.
const RETRY_EVERY: Duration = Duration::from_secs(1);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Failed lookups after which nobody waits for a name any more.
const WAITED_FOR: u32 = 3;

/// The addresses of one endpoint.
#[derive(Clone)]
pub enum Addresses {
    /// The URL holds an IP address.
    Fixed(SocketAddr),
    Discovered(Arc<Name>),
}

impl Addresses {
    /// The next address in turn, or `None` while none is known.
    #[must_use]
    pub fn next(&self) -> Option<SocketAddr> {
        match self {
            Self::Fixed(address) => Some(*address),
            Self::Discovered(name) => {
                let balancer = &name.balancer;
                // At most every address once; if none is healthy, any is better than none.
                let chosen = balancer
                    .select(b"", ADDRESSES_MAX)
                    .or_else(|| balancer.select_with(b"", ADDRESSES_MAX, |_, _| true))?;
                chosen.addr.as_inet().copied()
            }
        }
    }
}

impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(address) => write!(f, "{address}"),
            Self::Discovered(_) => f.write_str("discovered"),
        }
    }
}

/// More addresses of one name than this are not looked through in one pick.
const ADDRESSES_MAX: usize = 64;

type HostPort = (Arc<str>, u16);

/// Keeps the addresses of every name that a configuration has mentioned, until it is [pruned](Resolver::prune).
#[derive(Default)]
pub struct Resolver {
    names: Mutex<HashMap<HostPort, Arc<Name>>>,
}

/// A name whose addresses are looked up again and again, for as long as somebody holds it.
pub struct Name {
    balancer: Arc<LoadBalancer<RoundRobin>>,
    failures: Arc<AtomicU32>,
    /// Holds the balancer and not the name: who holds the name are the resolver and those who use it.
    refresh: JoinHandle<()>,
}

impl Name {
    fn is_known(&self) -> bool {
        !self.balancer.backends().get_backend().is_empty()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.refresh.abort();
    }
}

impl Resolver {
    /// The addresses of `host:port`. Must be called inside a tokio runtime: a name that is new gets a task
    /// that looks it up, at once and then again and again.
    pub fn addresses(&self, host: &Arc<str>, port: u16) -> Addresses {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Addresses::Fixed(SocketAddr::new(ip, port));
        }
        let mut names = self.names.lock();
        let name = names.entry((host.clone(), port)).or_insert_with(|| {
            let mut balancer =
                LoadBalancer::<RoundRobin>::from_backends(Backends::new(Box::new(Lookup {
                    host: host.clone(),
                    port,
                })));
            balancer.set_health_check(TcpHealthCheck::new());
            let balancer = Arc::new(balancer);
            let failures = Arc::new(AtomicU32::new(0));
            let refresh = refresh(balancer.clone(), failures.clone(), host.clone());
            let refresh = tokio::spawn(refresh);
            Arc::new(Name {
                balancer,
                failures,
                refresh,
            })
        });
        Addresses::Discovered(name.clone())
    }

    /// Forgets the names that nobody uses any more, and looks them up no longer.
    pub fn prune(&self) {
        self.names
            .lock()
            .retain(|_, name| Arc::strong_count(name) > 1);
    }

    /// Waits until every name has an address, at most `limit`: so that the first requests find one. A name that has
    /// been looked up in vain again and again is not waited for.
    pub async fn warm_up(&self, limit: Duration) {
        let ready = async {
            while !self
                .names
                .lock()
                .values()
                .all(|name| name.is_known() || name.failures.load(Relaxed) >= WAITED_FOR)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(limit, ready).await;
    }
}

async fn refresh(
    balancer: Arc<LoadBalancer<RoundRobin>>,
    failures: Arc<AtomicU32>,
    host: Arc<str>,
) {
    loop {
        if let Err(error) = balancer.update().await {
            failures.fetch_add(1, Relaxed);
            tracing::warn!(%host, %error, "name lookup failed; the last known addresses stay in use");
        }
        let known = balancer.backends().get_backend().len();
        if known > 1 {
            balancer.backends().run_health_check(true).await;
        }
        tokio::time::sleep(if known == 0 {
            RETRY_EVERY
        } else {
            REFRESH_EVERY
        })
        .await;
    }
}

struct Lookup {
    host: Arc<str>,
    port: u16,
}

#[async_trait]
impl ServiceDiscovery for Lookup {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let found = timeout(
            LOOKUP_TIMEOUT,
            tokio::net::lookup_host((&*self.host, self.port)),
        )
        .await
        .or_err(ConnectError, "lookup timed out")?
        .or_err(ConnectError, "lookup failed")?;
        let backends: BTreeSet<Backend> = found
            .filter_map(|address| Backend::new(&address.to_string()).ok())
            .collect();
        if backends.is_empty() {
            return Err(Error::explain(ConnectError, "the name has no address"));
        }
        Ok((backends, HashMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_resolved_in_the_background_and_an_address_needs_no_lookup() {
        let resolver = Resolver::default();
        let localhost = resolver.addresses(&"localhost".into(), 81);
        assert!(resolver.addresses(&"::1".into(), 80).next().is_some());
        resolver.warm_up(Duration::from_secs(10)).await;
        assert_eq!(localhost.next().map(|address| address.port()), Some(81));
    }

    #[tokio::test]
    async fn a_name_is_looked_up_until_nobody_uses_it_and_then_forgotten() {
        let resolver = Resolver::default();
        let used = resolver.addresses(&"used.invalid".into(), 80);
        let unused = resolver.addresses(&"unused.invalid".into(), 80);
        let handle = |addresses: &Addresses| match addresses {
            Addresses::Discovered(name) => name.refresh.abort_handle(),
            Addresses::Fixed(_) => unreachable!("it is a name"),
        };
        let (goes_on, ends) = (handle(&used), handle(&unused));
        let second_use = unused.clone();
        drop(unused);
        resolver.prune();
        assert_eq!(resolver.names.lock().len(), 2, "a snapshot still uses it");
        drop(second_use);
        resolver.prune();
        let left: Vec<_> = resolver.names.lock().keys().cloned().collect();
        assert_eq!(left, [("used.invalid".into(), 80)]);
        let stopped = async {
            while !ends.is_finished() {
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(10);
        assert!(timeout(limit, stopped).await.is_ok(), "it is looked up");
        assert!(!goes_on.is_finished());
    }

    #[tokio::test]
    async fn a_name_without_an_address_gives_none() {
        let resolver = Resolver::default();
        let nowhere = resolver.addresses(&"name.invalid".into(), 80);
        resolver.warm_up(Duration::from_millis(1)).await;
        assert_eq!(nowhere.next(), None);
    }
}
