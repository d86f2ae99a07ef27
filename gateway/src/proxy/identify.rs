//! Whose request it is: reads what the caller shows from the connection and the headers, and asks `auth::callers`.

use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use pingora_proxy::Session;

use super::{admit::Refusal, context::RequestContext};
use crate::{
    api::{
        credential::{client_credential, websocket_credential},
        error::ApiError,
    },
    auth::{callers::Stranger, certificate::PeerNames},
    clock,
    config::compiled::{Access, CertificateName, Client},
    metrics::Caller,
    snapshot::Snapshot,
};

const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Who is it; `None` where everybody may call. Notes in the context whether what it showed may be handed on.
pub(super) async fn identify<'a>(
    snapshot: &'a Snapshot,
    session: &Session,
    ctx: &mut RequestContext,
) -> Result<Option<&'a Client>, Refusal> {
    let unix_now = clock::unix_now();
    let certificate = certificate(session, unix_now)?;
    let (clients, callers) = match (&snapshot.config.access, &snapshot.callers) {
        (Access::Clients(clients), Some(callers)) => (clients, callers),
        (Access::Clients(_), None) => return Err(ApiError::internal_error().into()),
        (Access::Open { .. }, _) => {
            // It cannot be one of the gateway's: there are none.
            ctx.hands_on = true;
            ctx.caller = Caller::Anonymous;
            return Ok(None);
        }
    };
    let headers = &session.req_header().headers;
    for name in [&API_KEY, &header::AUTHORIZATION] {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(ApiError::conflicting_credentials().into());
        }
    }
    let bytes = |name| headers.get(name).map(HeaderValue::as_bytes);
    let mut shown = client_credential(bytes(&API_KEY), bytes(&header::AUTHORIZATION))?;
    if session.is_upgrade_req() {
        let subprotocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL);
        let subprotocols = subprotocols.and_then(|offered| offered.to_str().ok());
        let of_browser = websocket_credential(subprotocols, session.req_header().uri.query())?;
        match (shown, of_browser) {
            (Some(one), Some(other)) if one.text != other.text => {
                return Err(ApiError::conflicting_credentials().into());
            }
            (one, other) => shown = one.or(other),
        }
    }
    let recognised = callers.recognise(shown, certificate, unix_now).await;
    let caller = recognised.map_err(
        |Stranger {
             error,
             wait,
             reason,
         }| {
            if let Some(reason) = reason {
                tracing::info!(code = error.code, %reason, "a caller is refused");
            }
            Refusal::Answer(error, wait)
        },
    )?;
    ctx.hands_on = caller.for_azure;
    // Nobody in particular would be everybody.
    let client = clients.list.get(caller.client);
    let client = client.ok_or_else(ApiError::internal_error)?;
    ctx.caller = Caller::Client(caller.client);
    Ok(Some(client))
}

/// The names in the certificate that the connection was opened with.
///
/// # Errors
/// 401: it would not be accepted any more.
fn certificate(session: &Session, unix_now: Duration) -> Result<&[CertificateName], Refusal> {
    let tls = session
        .digest()
        .and_then(|digest| digest.ssl_digest.as_ref());
    match tls.and_then(|tls| tls.extension.get::<PeerNames>()) {
        None => Ok(&[]),
        Some(peer) if peer.is_good(unix_now) => Ok(&peer.names),
        Some(_) => Err(ApiError::unknown_certificate().into()),
    }
}
