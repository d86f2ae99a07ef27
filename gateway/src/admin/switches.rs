//! Takes an endpoint out by hand, and back in. Every turn is a line in the log that says whose hand it was.

use http::StatusCode;
use pingora::protocols::http::ServerSession;
use serde_json::json;

use super::{Whole, status::in_flight};
use crate::{
    clock,
    config::suggest,
    policy::reason::Switch,
    server::{LocalPeer, Shared},
};

pub(super) fn turn(shared: &Shared, name: &str, to: Switch, session: &ServerSession) -> Whole {
    let snapshot = shared.snapshot.load();
    let names = || {
        snapshot
            .upstreams
            .iter()
            .map(|up| up.endpoint.name.as_str())
    };
    let Some(index) = names().position(|known| known == name) else {
        let reason = suggest::unknown("endpoint", name, names());
        return Whole::refusal(StatusCode::NOT_FOUND, &reason);
    };
    let before = snapshot.upstreams[index].switch.turn(to, clock::now());
    tracing::warn!(
        by = by_whom(session),
        endpoint = name,
        before = before.as_str(),
        after = to.as_str(),
        "an operator has switched an endpoint"
    );
    Whole::json(
        StatusCode::OK,
        &json!({
            "endpoint": name,
            "before": before,
            "switch": to,
            "in_flight": in_flight(&snapshot)[index],
        }),
    )
}

/// Never by what was shown.
pub(super) fn by_whom(session: &ServerSession) -> String {
    if let Some(peer) = session.digest().and_then(LocalPeer::of) {
        let pid = peer.pid.map(|pid| format!(" pid {pid}"));
        return format!("unix uid {}{}", peer.uid, pid.unwrap_or_default());
    }
    match session.client_addr() {
        Some(address) => format!("tcp {address}"),
        None => "somebody".to_owned(),
    }
}
