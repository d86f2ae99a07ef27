//! What can be asked for on the admin socket, and only there: reload, hand-over, comparison of a configuration with
//! the one in use. Answers are JSON; a refusal is 422 with `{"reason": …}`.

use http::{Method, StatusCode};
use pingora::protocols::http::ServerSession;
use serde::Serialize;
use serde_json::json;

use crate::orders::{Desk, Order};

/// Largest draft, bytes: what a configuration file may have, and some quoting.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// `None` if this is no order.
pub(super) async fn answer(
    desk: &Desk,
    session: &mut ServerSession,
) -> Option<(StatusCode, String)> {
    let request = session.req_header();
    if request.method != Method::POST {
        return None;
    }
    Some(match request.uri.path() {
        "/reload" => result(desk.ask(Order::Reload).await),
        "/upgrade" => {
            let pid = desk.ask(Order::HandOver).await;
            result(pid.map(|handed| handed.map(|pid| json!({ "pid": pid }))))
        }
        "/compare" => match draft(session).await {
            Ok(draft) => result(desk.ask(|reply| Order::Compare(draft, reply)).await),
            Err(reason) => refusal(StatusCode::BAD_REQUEST, &reason),
        },
        _ => return None,
    })
}

fn result<T: Serialize>(done: Option<Result<T, String>>) -> (StatusCode, String) {
    match done {
        Some(Ok(done)) => match serde_json::to_string(&done) {
            Ok(json) => (StatusCode::OK, json),
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Some(Err(reason)) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &reason),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping"),
    }
}

fn refusal(status: StatusCode, reason: &str) -> (StatusCode, String) {
    (status, json!({ "reason": reason }).to_string())
}

async fn draft(session: &mut ServerSession) -> Result<crate::orders::Draft, String> {
    let mut body = Vec::new();
    while let Some(chunk) = session
        .read_request_body()
        .await
        .map_err(|error| error.to_string())?
    {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(format!("larger than {BODY_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}
