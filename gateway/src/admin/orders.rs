//! What can be asked for on the admin socket, and only there: reload, hand-over, comparison of a configuration with
//! the one in use. Answers are JSON; a refusal is 422 with `{"reason": …}`.

use http::StatusCode;
use pingora::protocols::http::ServerSession;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Whole, route::Command};
use crate::orders::{Desk, Order};

/// Largest draft, bytes: what a configuration file may have, and some quoting.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(super) async fn answer(command: Command, desk: &Desk, session: &mut ServerSession) -> Whole {
    match command {
        Command::Reload => result(desk.ask(Order::Reload).await),
        Command::Upgrade => {
            let pid = desk.ask(Order::HandOver).await;
            result(pid.map(|handed| handed.map(|pid| json!({ "pid": pid }))))
        }
        Command::Compare => match read(session, BODY_BYTES_MAX).await {
            Ok(draft) => result(desk.ask(|reply| Order::Compare(draft, reply)).await),
            Err(reason) => Whole::refusal(StatusCode::BAD_REQUEST, &reason),
        },
    }
}

fn result<T: Serialize>(done: Option<Result<T, String>>) -> Whole {
    match done {
        Some(Ok(done)) => Whole::json(StatusCode::OK, &done),
        Some(Err(reason)) => Whole::refusal(StatusCode::UNPROCESSABLE_ENTITY, &reason),
        None => Whole::refusal(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping"),
    }
}

/// A JSON body of at most so many bytes.
///
/// # Errors
/// It is larger, or not what it should be.
pub(super) async fn read<T: DeserializeOwned>(
    session: &mut ServerSession,
    bytes_max: usize,
) -> Result<T, String> {
    let mut body = Vec::new();
    while let Some(chunk) = session
        .read_request_body()
        .await
        .map_err(|error| error.to_string())?
    {
        if body.len() + chunk.len() > bytes_max {
            return Err(format!("larger than {bytes_max} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}
