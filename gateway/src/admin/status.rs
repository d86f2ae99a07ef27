//! Everything about the state of the gateway in one object: pools and their deployments, endpoints, clients. Times are
//! Unix time in seconds.

use std::collections::HashSet;

use serde::Serialize;

use super::{
    configuration::Reload,
    moment::{Moment, seconds},
    readiness::{Readiness, usable},
};
use crate::{
    config::compiled::{Access, EndpointKind},
    metrics::{ANONYMOUS, ModelTotals, Totals},
    policy::reason::Switch,
    pool::{Condition, Member, Place, Pool},
    server::Shared,
    snapshot::Snapshot,
    state::Trouble,
};

#[derive(Serialize)]
pub(super) struct Status<'a> {
    version: &'static str,
    now: f64,
    started: f64,
    draining: bool,
    ready: bool,
    config: ConfigStatus<'a>,
    pools: Vec<PoolStatus<'a>>,
    endpoints: Vec<EndpointStatus<'a>>,
    clients: Vec<ClientStatus<'a>>,
    /// Of all costs.
    currency: &'a str,
}

#[derive(Serialize)]
struct ConfigStatus<'a> {
    hash: &'a str,
    loaded: f64,
    last_reload: Option<Reload>,
}

#[derive(Serialize)]
struct PoolStatus<'a> {
    model: &'a str,
    aliases: Vec<&'a str>,
    balance: &'static str,
    /// Deployments that would get requests, of themselves.
    usable: usize,
    requests: u64,
    errors: u64,
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
    since: Option<f64>,
    until: Option<f64>,
    seconds_left: Option<f64>,
    in_flight: u32,
    latency_ms: Latency,
    quota: QuotaStatus,
    utilization: Option<f64>,
    attempts: Attempts,
    tokens: Tokens,
    /// Newest first.
    last_errors: Vec<Failure>,
}

/// Moving averages.
#[derive(Serialize)]
struct Latency {
    first_byte: Option<f64>,
    total: Option<f64>,
}

/// What is left of it.
#[derive(Serialize)]
struct QuotaStatus {
    requests: Option<u64>,
    tokens: Option<u64>,
}

#[derive(Serialize)]
struct Attempts {
    ok: u64,
    client: u64,
    failed: u64,
}

#[derive(Serialize)]
struct Tokens {
    prompt: u64,
    completion: u64,
}

#[derive(Serialize)]
struct Failure {
    at: f64,
    cause: &'static str,
    status: Option<u16>,
    /// The cool-down that followed.
    wait_seconds: Option<f64>,
}

#[derive(Serialize)]
struct EndpointStatus<'a> {
    name: &'a str,
    region: Option<&'a str>,
    kind: &'static str,
    url: String,
    switch: Switch,
    /// Attempts under way: what a drain waits for.
    in_flight: u32,
}

#[derive(Serialize)]
struct ClientStatus<'a> {
    name: &'a str,
    requests: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cost: Option<f64>,
}

impl<'a> Status<'a> {
    pub(super) fn of(
        shared: &Shared,
        snapshot: &'a Snapshot,
        draining: bool,
        moment: Moment,
    ) -> Self {
        let totals = shared.metrics.totals();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now: moment.unix(moment.now),
            started: seconds(shared.started),
            draining,
            ready: Readiness::of(snapshot, draining, moment.now).ready,
            config: ConfigStatus {
                hash: &snapshot.effective().hash,
                loaded: seconds(snapshot.loaded),
                last_reload: Reload::last(shared),
            },
            pools: snapshot
                .pools
                .iter()
                .map(|pool| PoolStatus::of(snapshot, pool, &totals, moment))
                .collect(),
            endpoints: endpoints(snapshot),
            clients: clients(snapshot, &totals),
            currency: &snapshot.config.currency,
        }
    }
}

impl<'a> PoolStatus<'a> {
    fn of(snapshot: &'a Snapshot, pool: &'a Pool, totals: &Totals, moment: Moment) -> Self {
        let model = &pool.model;
        let counted = totals.models.get(model.name.as_str());
        let ModelTotals { requests, errors } = counted.copied().unwrap_or_default();
        Self {
            model: model.name.as_str(),
            aliases: model.aliases.iter().map(|alias| alias.as_str()).collect(),
            balance: model.balance.as_str(),
            usable: usable(snapshot, pool, moment.now),
            requests,
            errors,
            deployments: pool
                .places()
                .map(|place| DeploymentStatus::of(snapshot, pool, place, totals, moment))
                .collect(),
        }
    }
}

impl<'a> DeploymentStatus<'a> {
    fn of(
        snapshot: &'a Snapshot,
        pool: &'a Pool,
        place: Place,
        totals: &Totals,
        moment: Moment,
    ) -> Self {
        let now = moment.now;
        let member = pool.member(place);
        let endpoint = &snapshot.upstreams[member.endpoint].endpoint;
        let Condition {
            state,
            reason,
            since,
            until,
        } = pool.condition(place, pool.reason(place, &snapshot.anything(now)), now);
        let (averages, quota) = (
            member.state.reading.averages(),
            member.state.reading.quota(),
        );
        let key = (
            endpoint.name.as_str().to_owned(),
            pool.model.name.as_str().to_owned(),
        );
        let counted = totals.deployments.get(&key).copied().unwrap_or_default();
        let tenths = |ms: f64| (ms * 10.0).round() / 10.0;
        Self {
            endpoint: endpoint.name.as_str(),
            region: endpoint.region.as_deref(),
            deployment: member.deployment.as_str(),
            priority: pool.tiers[place.tier].priority,
            weight: pool.weight(place),
            state,
            reason,
            since: since.map(|since| moment.unix(since)),
            until: until.map(|until| moment.unix(until)),
            seconds_left: until.map(|until| seconds(until.since(now))),
            in_flight: member.state.in_flight(),
            latency_ms: Latency {
                first_byte: averages.first_byte_ms.map(tenths),
                total: averages.total_ms.map(tenths),
            },
            quota: QuotaStatus {
                requests: quota.requests,
                tokens: quota.tokens,
            },
            utilization: quota.utilization,
            attempts: Attempts {
                ok: counted.ok,
                client: counted.client,
                failed: counted.failed,
            },
            tokens: Tokens {
                prompt: counted.prompt_tokens,
                completion: counted.completion_tokens,
            },
            last_errors: failures(member, moment),
        }
    }
}

fn failures(member: &Member, moment: Moment) -> Vec<Failure> {
    let failure = |trouble: Trouble| Failure {
        at: moment.unix(trouble.at),
        cause: trouble.cause.as_str(),
        status: trouble.status,
        wait_seconds: trouble.wait.map(seconds),
    };
    let troubles = member.state.troubles.both(&member.endpoint_state.troubles);
    troubles.into_iter().map(failure).collect()
}

fn endpoints(snapshot: &Snapshot) -> Vec<EndpointStatus<'_>> {
    let in_flight = in_flight(snapshot);
    let upstreams = snapshot.upstreams.iter().zip(in_flight);
    upstreams
        .map(|(upstream, in_flight)| {
            let endpoint = &upstream.endpoint;
            EndpointStatus {
                name: endpoint.name.as_str(),
                region: endpoint.region.as_deref(),
                kind: match endpoint.kind {
                    EndpointKind::Azure => "azure",
                    EndpointKind::OpenAi => "openai",
                },
                url: endpoint.url.to_string(),
                switch: upstream.switch.position(),
                in_flight,
            }
        })
        .collect()
}

/// Attempts under way at each endpoint.
pub(super) fn in_flight(snapshot: &Snapshot) -> Vec<u32> {
    let mut in_flight = vec![0; snapshot.upstreams.len()];
    // Two models may share a deployment, and two endpoints the same resource.
    let mut counted = HashSet::new();
    for pool in &snapshot.pools {
        for member in pool.tiers.iter().flat_map(|tier| &tier.members) {
            if counted.insert((member.endpoint, std::sync::Arc::as_ptr(&member.state))) {
                in_flight[member.endpoint] += member.state.in_flight();
            }
        }
    }
    in_flight
}

fn clients<'a>(snapshot: &'a Snapshot, totals: &Totals) -> Vec<ClientStatus<'a>> {
    let names = match &snapshot.config.access {
        Access::Open { .. } => vec![ANONYMOUS],
        Access::Clients(clients) => {
            let names = clients.list.iter().map(|client| client.name.as_str());
            names.collect()
        }
    };
    let client = |name: &'a str| {
        let counted = totals.clients.get(name).copied().unwrap_or_default();
        ClientStatus {
            name,
            requests: counted.requests,
            prompt_tokens: counted.prompt_tokens,
            completion_tokens: counted.completion_tokens,
            cost: counted.cost,
        }
    };
    names.into_iter().map(client).collect()
}
