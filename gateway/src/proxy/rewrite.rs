//! Makes the client's request the gateway's own: path and model of the chosen deployment, its host, its one
//! credential, and of the client's headers what may go on.

use bytes::Bytes;
use http::{HeaderName, Uri, header};
use pingora::{Error, ErrorType, OrErr, Result, http::RequestHeader};
use pingora_proxy::Session;
use smallvec::SmallVec;

use super::{answer::is_named_by_connection, context::RequestContext, trace};
use crate::{
    api::{
        body::{Changes, rewritten},
        header::{forwarded_subprotocols, forwards_request_header},
        table::{ModelPlace, model_place, reports_usage_when_asked, upstream_path_and_query},
    },
    auth::shown::Shown,
    clock,
};

pub(super) fn request(
    session: &Session,
    request: &mut RequestHeader,
    ctx: &mut RequestContext,
) -> Result<()> {
    let (Some(wanted), Some(place)) = (&mut ctx.wanted, ctx.course.place()) else {
        return Err(Error::explain(
            ErrorType::InternalError,
            "no attempt is under way",
        ));
    };
    let pool = &ctx.snapshot.pools[wanted.pool];
    let member = pool.member(place);
    let upstream = &ctx.snapshot.upstreams[member.endpoint];
    let endpoint = &upstream.endpoint;
    let form = wanted.url_form(endpoint.kind).ok_or_else(|| {
        Error::explain(ErrorType::InternalError, "the endpoint cannot serve this")
    })?;

    let client_uri = &session.req_header().uri;
    let target = wanted.target(client_uri.query());
    let url = upstream_path_and_query(
        form,
        &endpoint.url.base_path,
        &target,
        &member.deployment,
        endpoint.api_version.as_deref(),
    );
    request.set_uri(
        Uri::from_maybe_shared(Bytes::from(url))
            .or_err(ErrorType::InternalError, "building the upstream URL")?,
    );

    remove_headers(session, request, wanted.upgrade);
    if !wanted.upgrade {
        // What is compressed could not be looked into, and every client takes an answer that is not.
        request.insert_header(header::ACCEPT_ENCODING, "identity")?;
    }
    request.insert_header(header::HOST, upstream.host.clone())?;
    ctx.sent = None;
    if let Shown::Caller = upstream.shown {
        hand_on(session, request)?;
    } else if let Some((name, value)) = upstream.shown.header() {
        ctx.sent = Some(value.clone());
        request.insert_header(name, value)?;
    }

    ctx.asks = pool.model.usage.ask
        && ctx.refused_by.is_none()
        && wanted.facts.can_ask_for_usage()
        && reports_usage_when_asked(
            form,
            wanted.operation,
            client_uri.query(),
            endpoint.api_version.as_deref(),
        )
        && member.state.knows_usage(clock::now());
    let changes = Changes {
        model: match model_place(form, wanted.operation) {
            ModelPlace::Body => Some(&member.deployment),
            ModelPlace::Path | ModelPlace::Query => None,
        },
        usage: ctx.asks,
    };
    ctx.outgoing = rewritten(&wanted.body.bytes, &wanted.facts, changes);
    if ctx.outgoing.as_ptr() != wanted.body.bytes.as_ptr() {
        wanted.body.count_copy(ctx.outgoing.len());
    }
    if !ctx.outgoing.is_empty() && wanted.body.is_whole() {
        request.remove_header(&header::TRANSFER_ENCODING);
        request.insert_header(header::CONTENT_LENGTH, ctx.outgoing.len())?;
    }
    trace::hand_on(request, ctx)
}

/// The endpoint was only chosen because what the caller shows may be handed on.
fn hand_on(session: &Session, request: &mut RequestHeader) -> Result<()> {
    for name in [header::AUTHORIZATION, HeaderName::from_static("api-key")] {
        if let Some(value) = session.get_header(&name) {
            let mut value = value.clone();
            value.set_sensitive(true);
            request.insert_header(name, value)?;
        }
    }
    Ok(())
}

/// Removes what must not go on. What makes up the message itself (length, upgrade) was put in order by pingora
/// and stays.
fn remove_headers(session: &Session, request: &mut RequestHeader, upgrade: bool) {
    let client = &session.req_header().headers;
    let framing = [
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::HOST,
    ];
    let tunnel = [header::CONNECTION, header::UPGRADE];
    let unwanted: SmallVec<[HeaderName; 8]> = request
        .headers
        .keys()
        .filter(|name| !(framing.contains(name) || upgrade && tunnel.contains(name)))
        .filter(|name| {
            !forwards_request_header(name.as_str()) || is_named_by_connection(client, name)
        })
        .cloned()
        .collect();
    for name in unwanted {
        request.remove_header(&name);
    }
    if upgrade
        && let Some(offered) = session.get_header(header::SEC_WEBSOCKET_PROTOCOL)
        && let Some(kept) = offered.to_str().ok().and_then(forwarded_subprotocols)
    {
        // The name is the client's own, so it can be written again.
        let _ = request.insert_header(header::SEC_WEBSOCKET_PROTOCOL, kept);
    }
}
