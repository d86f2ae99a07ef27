//! WebSocket upgrades: 101, then every byte comes back as it was sent. No WebSocket frames are understood, and
//! `sec-websocket-accept` is not sent: enough to test a tunnel, not a WebSocket client.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{copy, split};
use tokio::time::sleep;

use crate::body::AnswerBody;
use crate::connection::Fate;
use crate::errors;
use crate::exchange::Exchange;
use crate::route::Route;
use crate::service::admitted;
use crate::state::{Recorded, Shared};
use crate::stats::{Ticket, Usage};

/// No provider answers sooner than a packet travels there and back. A proxy built on pingora 0.9.1 needs that time: a 101
/// that is there before the end of the request's empty body has been handed on ends the tunnel (proxy_h1.rs, one
/// select is ready in both arms).
const ROUND_TRIP: Duration = Duration::from_millis(20);

/// Answers an upgrade on any path of the resource; a named deployment must exist.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    fate: &Arc<Fate>,
    route: Option<Route<'_>>,
    mut request: Request<Incoming>,
) -> Response<AnswerBody> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let name = route.as_ref().and_then(|route| route.deployment.as_deref());
    let deployment = name.and_then(|name| shared.deployments.get(name));
    let ticket = Ticket::open(deployment.map_or(&shared.tally, |deployment| &deployment.tally));
    let unknown = name.filter(|_| deployment.is_none());
    let refusal = match unknown {
        Some(name) => Some(errors::deployment_not_found(shared.resource.kind, name)),
        None => admitted(
            shared,
            route.clone(),
            &parts.headers,
            parts.uri.query().unwrap_or(""),
        )
        .err(),
    };
    if let Some(refusal) = refusal {
        let exchange = Exchange {
            shared,
            fate,
            request: &parts.headers,
            deployment: deployment.map(AsRef::as_ref),
            ticket,
        };
        return exchange.refuse(refusal);
    }
    sleep(ROUND_TRIP).await;
    let mut response = Response::new(AnswerBody::whole(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let offered = parts.headers.get(SEC_WEBSOCKET_PROTOCOL);
    if offered
        .and_then(|offered| offered.to_str().ok())
        .is_some_and(|offered| offered.contains("realtime"))
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("realtime"));
    }
    ticket.answering(101);
    if let Some(deployment) = deployment {
        let body = bytes::Bytes::new();
        *deployment.last.lock() = Some(Arc::new(Recorded { parts, body }));
    }
    tokio::spawn(echo(Arc::clone(shared), upgrade, ticket));
    response
}

async fn echo(shared: Arc<Shared>, upgrade: OnUpgrade, ticket: Ticket) {
    let stopped = shared.stopped.notified();
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let (mut reader, mut writer) = split(TokioIo::new(upgraded));
    tokio::select! {
        // Either side may end the tunnel; how does not matter.
        _ = copy(&mut reader, &mut writer) => {}
        () = stopped => {}
    }
    ticket.complete(101, Usage::default());
}
