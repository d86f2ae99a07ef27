//! Live state as gauges, for one scrape.

use prometheus::proto::MetricFamily;

use super::{deployment, is_usable};
use crate::{
    auth::shown::Shown,
    clock::{self, Timestamp},
    config::compiled::KeysAt,
    metrics::{Live, Standings},
    server::Shared,
};

pub(super) fn live(shared: &Shared, now: Timestamp) -> Vec<MetricFamily> {
    let snapshot = shared.snapshot.load();
    let live = Live::new();
    for pool in &snapshot.pools {
        let model = pool.model.name.as_str();
        let mut usable = 0;
        for place in pool.places() {
            let status = deployment(&snapshot, pool, place, now);
            usable += usize::from(is_usable(&snapshot, pool, place, now));
            let standings = Standings {
                state: status.state,
                cool_down_seconds: status.seconds_left.unwrap_or(0.0),
                in_flight: status.in_flight,
                ..Standings::default()
            };
            live.deployment([status.endpoint, status.deployment, model], &standings);
        }
        live.pool(model, usable, pool.places().count());
    }
    let unix_now = clock::unix_now();
    for upstream in &snapshot.upstreams {
        if let Shown::Token(token) = &upstream.shown {
            let left = token.report(now).expires_in;
            let expiry = left.map_or(0.0, |left| (unix_now + left).as_secs_f64());
            live.credential(upstream.endpoint.credential.name.as_str(), expiry);
        }
    }
    for set in shared.auth.key_sets.reports(unix_now) {
        if let Some(age) = set.age {
            let (KeysAt::Discovery(url) | KeysAt::Jwks(url)) = &set.at;
            live.key_set(url, age.as_secs_f64());
        }
    }
    for (listen, tls) in snapshot.config.listen.iter().zip(&shared.tls) {
        let report = tls.as_ref().map(|tls| tls.report());
        let certificates = report.iter().flat_map(|report| &report.certificates);
        if let Some(first) = certificates.map(|one| one.not_after).min() {
            live.certificate(&listen.address.to_string(), first as f64);
        }
    }
    live.process(shared.requests.under_way(), shared.log.dropped(), "");
    live.gather()
}
