//! Answers that are held back until their body has come, because only that tells what they are. A 404: is it a
//! deployment that does not exist (another endpoint may have it) or a path (nobody has it)? And the refusal of a
//! request to which the gateway had added something: was it that? At the end the request is sent again, or what was
//! held goes to the client.
//!
//! Pingora hands a filter the head or a part of the body, never both, and cannot take a head back; but it drops 1xx
//! heads when told to (`set_ignore_info_resp`, v1/server.rs prepare_response_header; HTTP/2 always, v2/server.rs
//! write_response_header). So such a head goes on as a 103 that never leaves.
//!
//! A filter of bodies cannot wait, so it cannot write the head after all. To HTTP/2 a head can be sent without waiting.
//! For HTTP/1.1 pingora has a queue (`send_downstream_proxy_task`, made for its cache) that its loop writes between two
//! parts of an answer (proxy_h1.rs and proxy_h2.rs: "gate" branch). That writes all that is in it. So as long as
//! something is in it nothing has been written, whatever follows goes into it as well, and pingora's end of the answer
//! finds nothing to end (v1/body.rs finish: `ToSelect`); what the loop leaves in it is written by [`write_rest`].

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version, header};
use memchr::memmem;
use pingora::{
    Error, ErrorSource, Result,
    http::ResponseHeader,
    protocols::http::{HttpTask, ServerSession},
};
use pingora_proxy::Session;

use super::{
    Gateway, answer, attempt,
    context::{Held, Reply, RequestContext},
    respond,
};
use crate::{
    api::answer::error_code,
    policy::{outcome::Outcome, retry::Verdict},
};

/// Longer bodies are not held. What they are is then told by their status alone: no provider says more at that length,
/// but some servers repeat the request in their refusals.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// Holds an answer back, if it is one of those. Returns whether it was.
pub(super) fn hold(
    session: &Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestContext,
) -> Result<bool> {
    let may_be_of_us = ctx.asks && matches!(response.status.as_u16(), 400 | 422);
    let tells = response.status == StatusCode::NOT_FOUND || may_be_of_us;
    if !tells || !has_body(response, session) {
        return Ok(false);
    }
    ctx.reply = Reply::Held(Box::new(Held {
        head: response.clone(),
        body: BytesMut::new(),
    }));
    // Nothing of this head is seen by anybody.
    response.set_status(StatusCode::EARLY_HINTS)?;
    Ok(true)
}

/// Whether there is a body that can be held.
fn has_body(response: &ResponseHeader, session: &Session) -> bool {
    if session.req_header().method == http::Method::HEAD {
        return false;
    }
    let Some(length) = response.headers.get(header::CONTENT_LENGTH) else {
        // An HTTP/2 answer without a length may have ended with its head, which a filter is not told.
        return response.version < Version::HTTP_2;
    };
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    length.is_some_and(|length: usize| (1..=HELD_BYTES_MAX).contains(&length))
}

/// A part of the body of a held answer. As soon as it is to go to the client, `body` is all that has come.
///
/// # Errors
/// The request is to be sent again.
pub(super) fn collect(
    gateway: &Gateway,
    session: &mut Session,
    body: &mut Option<Bytes>,
    end_of_stream: bool,
    ctx: &mut RequestContext,
) -> Result<()> {
    let Reply::Held(held) = &mut ctx.reply else {
        return Ok(());
    };
    held.body
        .extend_from_slice(&body.take().unwrap_or_default());
    let whole = end_of_stream || held.is_complete();
    if !whole && held.body.len() <= HELD_BYTES_MAX {
        return Ok(());
    }
    judge(gateway, ctx, whole)?;
    *body = Some(release(gateway, session, ctx, whole)?);
    Ok(())
}

/// A held answer has ended with trailers. Behind them the body cannot be written to HTTP/2 any more, so it goes the way
/// of errors, which on HTTP/1.1 ends the connection. No provider sends any.
pub(super) fn trailers(gateway: &Gateway, ctx: &mut RequestContext) -> Result<()> {
    let Reply::Held(held) = &ctx.reply else {
        return Ok(());
    };
    let status = held.head.status.as_u16();
    let code = error_code(&held.body).map(Cow::into_owned);
    judge(gateway, ctx, true)?;
    ctx.answer.error_code = code;
    Err(answer::decided(ctx, status, false))
}

/// A held answer turned out not to be complete.
pub(super) fn forget(ctx: &mut RequestContext) {
    if matches!(ctx.reply, Reply::Held(_)) {
        ctx.reply = Reply::None;
    }
}

/// Tells what an answer is. `whole`: all of its body has come.
fn judge(gateway: &Gateway, ctx: &mut RequestContext, whole: bool) -> Result<()> {
    let Reply::Held(held) = &ctx.reply else {
        return Ok(());
    };
    let status = held.head.status.as_u16();
    let body = if whole { &held.body[..] } else { &[] };
    let again = if status == 404 {
        // Is the deployment missing, or what the client asked for?
        let wait = answer::retry_after(&held.head.headers);
        let outcome = Outcome::of_answer(status, error_code(body).as_deref(), wait);
        attempt::ended(gateway, ctx, outcome, false) == Verdict::Retry
    } else if memmem::find(body, b"stream_options").is_some() && attempt::is_replayable(ctx) {
        // Is it that its tokens were asked for, or something of the client's? That shows without the question.
        ctx.refused_by = ctx.course.place();
        ctx.course.anew();
        true
    } else {
        attempt::succeeded(gateway, ctx, Outcome::of_answer(status, None, None));
        false
    };
    if again {
        ctx.reply = Reply::None;
        return Err(answer::decided(ctx, status, true));
    }
    Ok(())
}

/// Sends the head of a held answer on its way to the client. Returns what has come of the body, which goes the usual way.
fn release(
    gateway: &Gateway,
    session: &mut Session,
    ctx: &mut RequestContext,
    whole: bool,
) -> Result<Bytes> {
    let Reply::Held(held) = std::mem::take(&mut ctx.reply) else {
        return Ok(Bytes::new());
    };
    let Held { mut head, body } = *held;
    // Pingora's HTTP/1.1 writer cannot serialise the head of an HTTP/2 answer (v1/server.rs).
    head.set_version(Version::HTTP_11);
    if whole {
        head.remove_header(&header::TRANSFER_ENCODING);
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
    } else if !head.headers.contains_key(header::CONTENT_LENGTH) {
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    answer::relay(gateway, session, &mut head, ctx)?;
    match &mut *session.downstream_session {
        ServerSession::H2(client) => client
            .write_response_header(Box::new(head), false)
            .map_err(|error| error.into_down())?,
        client => {
            client.set_proxy_tasks_enabled(true);
            client.send_downstream_proxy_task(HttpTask::Header(Box::new(head), false));
        }
    }
    Ok(body.freeze())
}

/// Puts a part of a body behind what waits to be written, if anything does.
pub(super) fn queue(session: &mut Session, body: &mut Option<Bytes>, end_of_stream: bool) {
    if session.has_pending_downstream_tasks() {
        let task = HttpTask::Body(body.take(), end_of_stream);
        session.downstream_session.send_downstream_proxy_task(task);
    }
}

/// Whether the client has heard something, or will: nothing else can be said to it any more.
pub(super) fn has_begun(session: &Session) -> bool {
    session.response_written().is_some() || session.has_pending_downstream_tasks()
}

/// Writes what still waits at the end of a request.
pub(super) async fn write_rest(session: &mut Session, error: Option<&Error>) {
    let gone = error.is_some_and(|error| *error.esource() == ErrorSource::Downstream);
    if gone || !session.has_pending_downstream_tasks() {
        return;
    }
    if let Err(error) = session.write_downstream_proxy_tasks().await {
        session.downstream_session.set_keepalive(None);
        tracing::debug!(%error, "the client left before it was answered");
    }
    respond::linger(session).await;
}
