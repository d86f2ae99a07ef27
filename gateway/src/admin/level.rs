//! How much is logged, read and changed while the process runs. Every change is a line in the log that says by whom.

use http::StatusCode;
use pingora::protocols::http::ServerSession;
use serde::Deserialize;
use serde_json::json;

use super::{Whole, orders::read, switches::by_whom};
use crate::log::Log;

/// A filter is a line.
const BODY_BYTES_MAX: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    level: String,
}

pub(super) fn shown(log: &Log) -> Whole {
    Whole::json(StatusCode::OK, &json!({ "level": log.control.current() }))
}

/// It stays until the next reload that changes `log.level`, or a restart; a hand-over takes it along.
pub(super) async fn change(log: &Log, session: &mut ServerSession) -> Whole {
    let wanted: Wanted = match read(session, BODY_BYTES_MAX).await {
        Ok(wanted) => wanted,
        Err(reason) => return Whole::refusal(StatusCode::BAD_REQUEST, &reason),
    };
    let before = log.control.current();
    if let Err(bad) = log.control.set(&wanted.level) {
        return Whole::refusal(StatusCode::UNPROCESSABLE_ENTITY, &bad.to_string());
    }
    let after = log.control.current();
    log.level_changed(&by_whom(session), &before, &after);
    Whole::json(StatusCode::OK, &json!({ "before": before, "level": after }))
}
