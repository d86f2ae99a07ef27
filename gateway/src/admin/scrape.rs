//! Live state as gauges, for one scrape.

use prometheus::proto::MetricFamily;

use super::{moment::Moment, readiness::usable};
use crate::{
    auth::shown::Shown,
    config::compiled::KeysAt,
    metrics::{Live, Standings},
    policy::reason::Switch,
    pool::Pool,
    server::Shared,
    snapshot::Snapshot,
};

pub(super) fn live(shared: &Shared, snapshot: &Snapshot, moment: Moment) -> Vec<MetricFamily> {
    let live = Live::new();
    for pool in &snapshot.pools {
        self::pool(&live, snapshot, pool, moment);
    }
    for upstream in &snapshot.upstreams {
        let name = upstream.endpoint.name.as_str();
        match upstream.switch.position() {
            Switch::Enabled => {}
            Switch::Disabled => live.switched(name, "disabled"),
            Switch::Drained => live.switched(name, "drained"),
        }
        if let Shown::Token(token) = &upstream.shown {
            let left = token.report(moment.now).expires_in;
            let expiry = left.map_or(0.0, |left| (moment.unix_now + left).as_secs_f64());
            live.credential(upstream.endpoint.credential.name.as_str(), expiry);
        }
    }
    for set in shared.auth.key_sets.reports(moment.unix_now) {
        let (KeysAt::Discovery(url) | KeysAt::Jwks(url)) = &set.at;
        let age = set.age.map_or(f64::INFINITY, |age| age.as_secs_f64());
        live.key_set(url, age);
    }
    for (listen, tls) in snapshot.config.listen.iter().zip(&shared.tls) {
        let report = tls.as_ref().map(|tls| tls.report());
        let certificates = report.iter().flat_map(|report| &report.certificates);
        if let Some(first) = certificates.map(|one| one.not_after).min() {
            live.certificate(&listen.address.to_string(), first as f64);
        }
    }
    let hash = &snapshot.effective().hash;
    live.process(shared.requests.under_way(), shared.log.dropped(), hash);
    live.gather()
}

fn pool(live: &Live, snapshot: &Snapshot, pool: &Pool, moment: Moment) {
    let (model, now) = (pool.model.name.as_str(), moment.now);
    let anything = snapshot.anything(now);
    for place in pool.places() {
        let member = pool.member(place);
        let condition = pool.condition(place, pool.reason(place, &anything), now);
        let left = condition.until.map(|until| until.since(now));
        let quota = member.state.reading.quota();
        let endpoint = snapshot.name_of(member).as_str();
        live.deployment(
            [endpoint, member.deployment.as_str(), model],
            &Standings {
                state: condition.state,
                cool_down_seconds: left.map_or(0.0, |left| left.as_secs_f64()),
                in_flight: member.state.in_flight(),
                quota_requests: quota.requests,
                quota_tokens: quota.tokens,
                utilization: quota.utilization,
            },
        );
    }
    live.pool(model, usable(snapshot, pool, now), pool.places().count());
}
