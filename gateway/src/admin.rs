//! The operators' own listeners: is the gateway alive, can it serve, what is the state of each deployment, and
//! the metrics. Whoever reaches the address reads and changes nothing; the unix socket also takes orders. Its words
//! for states are those of the console.

mod identity;
mod orders;
mod scrape;

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Response, StatusCode};
use pingora::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use serde::Serialize;
use tokio::sync::watch;

use self::identity::Identity;
use crate::{
    clock::{self, Timestamp},
    orders::Desk,
    policy::select::Standing,
    pool::{Condition, Place, Pool},
    server::Shared,
    snapshot::Snapshot,
};

pub struct Admin {
    shared: Arc<Shared>,
    stopping: watch::Receiver<bool>,
    /// Where orders are given; `None` on a listener that changes nothing.
    desk: Option<Desk>,
}

impl Admin {
    #[must_use]
    pub fn new(shared: Arc<Shared>, stopping: watch::Receiver<bool>, desk: Option<Desk>) -> Self {
        Self {
            shared,
            stopping,
            desk,
        }
    }

    fn answer(&self, path: &str) -> (StatusCode, &'static str, String) {
        let snapshot = self.shared.snapshot.load();
        let now = clock::now();
        let json = |status, value: String| (status, "application/json", value);
        match path {
            "/healthz" => json(StatusCode::OK, r#"{"status":"alive"}"#.to_owned()),
            "/readyz" => {
                let readiness = Readiness::of(&snapshot, *self.stopping.borrow(), now);
                let status = if readiness.ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                json(
                    status,
                    serde_json::to_string(&readiness).unwrap_or_default(),
                )
            }
            "/status" => {
                let status = status(&snapshot, now);
                json(
                    StatusCode::OK,
                    serde_json::to_string(&status).unwrap_or_default(),
                )
            }
            "/identity" => {
                let identity = Identity::of(&self.shared, now, clock::unix_now());
                json(
                    StatusCode::OK,
                    serde_json::to_string(&identity).unwrap_or_default(),
                )
            }
            "/metrics" => (
                StatusCode::OK,
                "text/plain; version=0.0.4",
                self.shared.metrics.render(scrape::live(&self.shared, now)),
            ),
            _ => json(
                StatusCode::NOT_FOUND,
                r#"{"error":"not found; there are /healthz, /readyz, /status, /identity and /metrics"}"#
                    .to_owned(),
            ),
        }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let ordered = match &self.desk {
            Some(desk) => orders::answer(desk, session).await,
            None => None,
        };
        let request = session.req_header();
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        let (status, content_type, body) = if let Some((status, body)) = ordered {
            (status, "application/json", body)
        } else if reads {
            self.answer(request.uri.path())
        } else {
            let body =
                r#"{"error":"only GET; orders are taken on the socket `admin.socket`"}"#.to_owned();
            (StatusCode::METHOD_NOT_ALLOWED, "application/json", body)
        };
        let mut response = Response::new(body.into_bytes());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static(content_type),
        );
        headers.insert(
            http::header::CACHE_CONTROL,
            http::HeaderValue::from_static("no-store"),
        );
        let length = response.body().len();
        response
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, length.into());
        response
    }
}

/// Whether a balancer in front should send requests here.
#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    draining: bool,
    /// Models that nobody can serve at this moment.
    unserved: Vec<&'a str>,
}

impl<'a> Readiness<'a> {
    fn of(snapshot: &'a Snapshot, draining: bool, now: Timestamp) -> Self {
        let usable = |pool: &&Pool| {
            pool.places()
                .any(|place| is_usable(snapshot, pool, place, now))
        };
        let unserved: Vec<&str> = snapshot
            .pools
            .iter()
            .filter(|pool| !usable(pool))
            .map(|pool| pool.model.name.as_str())
            .collect();
        Self {
            ready: !draining && unserved.len() < snapshot.pools.len(),
            draining,
            unserved,
        }
    }
}

/// Nothing to show to the endpoint: a token was never had, or has expired.
const NO_CREDENTIAL: Condition = Condition {
    state: "error",
    reason: Some("credential"),
    until: None,
};

fn is_usable(snapshot: &Snapshot, pool: &Pool, place: Place, now: Timestamp) -> bool {
    pool.weight(place) > 0
        && snapshot.upstreams[pool.member(place).endpoint]
            .shown
            .is_ready(now)
        && matches!(
            pool.standing(place, now),
            Standing::Ready | Standing::Recovering { .. }
        )
}

#[derive(Serialize)]
struct PoolStatus<'a> {
    model: &'a str,
    deployments: Vec<DeploymentStatus<'a>>,
}

#[derive(Serialize)]
struct DeploymentStatus<'a> {
    endpoint: &'a str,
    region: Option<&'a str>,
    deployment: &'a str,
    priority: u32,
    weight: u32,
    /// `healthy`, `throttling`, `error`, `recovering` or `disabled`.
    state: &'static str,
    /// Why it is not healthy.
    reason: Option<&'static str>,
    /// How long it will stay so, seconds.
    seconds_left: Option<f64>,
    in_flight: u32,
}

fn status(snapshot: &Snapshot, now: Timestamp) -> Vec<PoolStatus<'_>> {
    snapshot
        .pools
        .iter()
        .map(|pool| PoolStatus {
            model: pool.model.name.as_str(),
            deployments: pool
                .places()
                .map(|place| deployment(snapshot, pool, place, now))
                .collect(),
        })
        .collect()
}

fn deployment<'a>(
    snapshot: &'a Snapshot,
    pool: &'a Pool,
    place: Place,
    now: Timestamp,
) -> DeploymentStatus<'a> {
    let member = pool.member(place);
    let upstream = &snapshot.upstreams[member.endpoint];
    let endpoint = &upstream.endpoint;
    let Condition {
        state,
        reason,
        until,
    } = if upstream.shown.is_ready(now) {
        pool.condition(place, now)
    } else {
        NO_CREDENTIAL
    };
    DeploymentStatus {
        endpoint: endpoint.name.as_str(),
        region: endpoint.region.as_deref(),
        deployment: member.deployment.as_str(),
        priority: pool.tiers[place.tier].priority,
        weight: pool.weight(place),
        state,
        reason,
        seconds_left: until.map(|until| until.since(now).as_secs_f64()),
        in_flight: member.state.in_flight(),
    }
}
