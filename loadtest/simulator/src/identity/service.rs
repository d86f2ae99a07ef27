//! One call of a door from its head to its answer, with what is to go wrong with it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;
use tokio::time::sleep;

use super::answer::Answer;
use super::doors::Path;
use super::faults::IdentityFault;
use super::state::State;
use super::{control_routes, documents, managed, token};
use crate::body::AnswerBody;
use crate::connection::{End, Fate};

const BODY_BYTES_MAX: usize = 1 << 20;

pub(super) async fn handle(
    state: Arc<State>,
    fate: Arc<Fate>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(Answer::page(413).send());
    };
    let body = body.to_bytes();
    if parts.uri.path().starts_with(crate::control_routes::PREFIX) {
        return Ok(control_routes::handle(&state, &parts, &body));
    }
    let Some(path) = Path::parse(&parts.method, parts.uri.path()) else {
        return Ok(Answer::json(404, &json!({"error": "not_found"})).send());
    };
    let answer = match state.called(path.door(), &parts, &body) {
        None => answer(&state, &path, &parts, &body),
        Some(fault) => {
            spoilt(&fault, &fate, &path, || {
                answer(&state, &path, &parts, &body)
            })
            .await
        }
    };
    Ok(answer.send())
}

fn answer(state: &State, path: &Path<'_>, parts: &Parts, body: &[u8]) -> Answer {
    match path {
        Path::Imds => managed::imds(state, parts),
        Path::AppService => managed::app_service(state, parts),
        Path::Arc => managed::arc(state, parts),
        Path::Token { tenant } => token::token(state, tenant, parts, body),
        Path::Discovery { tenant, version } => documents::discovery(state, tenant, *version),
        Path::Keys { tenant } => documents::keys(state, tenant),
    }
    .unwrap_or_else(|refused| refused)
}

async fn spoilt(
    fault: &IdentityFault,
    fate: &Fate,
    path: &Path<'_>,
    normal: impl FnOnce() -> Answer,
) -> Answer {
    if !fault.delay.is_zero() {
        sleep(fault.delay).await;
    }
    if fault.reset {
        fate.decide(End::Reset);
        return std::future::pending().await;
    }
    let mut answer = match fault.status {
        _ if fault.not_json => Answer::page(fault.status.unwrap_or(200)),
        Some(status) => documented(path, status),
        None if fault.body.is_some() => Answer::json(200, &json!({})),
        None => normal(),
    };
    if let Some(body) = &fault.body {
        answer.body = Bytes::copy_from_slice(body.as_bytes());
    }
    if let Some(seconds) = fault.retry_after {
        answer = answer.header("retry-after", &seconds.to_string());
    }
    for (name, value) in &fault.headers {
        answer = answer.header(name, value);
    }
    answer
}

fn documented(path: &Path<'_>, status: u16) -> Answer {
    match path {
        Path::Imds | Path::AppService | Path::Arc => managed::documented(status),
        Path::Token { .. } | Path::Discovery { .. } | Path::Keys { .. } => {
            token::documented(status)
        }
    }
}
