//! What the access log says about a request.

use http::HeaderName;
use pingora_proxy::Session;
use smallvec::SmallVec;

use super::{Gateway, context::RequestContext, count::Bill, decision};
use crate::{
    clock::Timestamp,
    course::Tried,
    log::{AccessLine, access::Attempt},
    policy::{cause::Cause, retry::Stop},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MS_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
/// Longest piece of a path, bytes.
const PATH_BYTES_MAX: usize = 512;
/// Longest piece of an id, a code or a method that somebody else chose, bytes.
const WORD_BYTES_MAX: usize = 128;

pub(super) fn log(
    gateway: &Gateway,
    session: &Session,
    ctx: &RequestContext,
    bill: &Bill,
    now: Timestamp,
) {
    if !gateway.log.wants_access() {
        return;
    }
    let request = session.req_header();
    let attempts = attempts(ctx);
    let usage = bill.counted.map(|counted| counted.usage);
    let own = client_id(session, REQUEST_ID);
    let ms = client_id(session, MS_REQUEST_ID);
    // Elsewhere nobody knows the id.
    let traced = ctx.trace.parent.is_some() || ctx.snapshot.traces.is_some();
    let decision = decision::decision(ctx).map(|decision| decision.to_string());
    let trace_id = traced.then(|| ctx.trace.trace_id.hex());
    gateway.log.access(&AccessLine {
        method: cut(request.method.as_str(), WORD_BYTES_MAX),
        path: cut(request.uri.path(), PATH_BYTES_MAX),
        status: ctx.answer.status,
        client: ctx.client().map(|client| client.name.as_str()),
        model: ctx
            .named()
            .map(|pool| ctx.snapshot.pools[pool].model.name.as_str()),
        endpoint: attempts.last().map(|last| last.endpoint),
        attempts: &attempts,
        decision: decision.as_deref(),
        stopped: ctx.course.stopped.map(Stop::as_str),
        blamed: ctx.course.blamed,
        error: word(ctx.answer.error_code.as_deref()),
        cut: ctx.answer.cut,
        stream_error: bill.stream.is_some_and(|stream| stream.error.is_some()),
        events: bill.stream.map(|stream| stream.events),
        prompt_tokens: usage.map(|usage| usage.prompt),
        cached_tokens: usage.map(|usage| usage.cached),
        completion_tokens: usage.map(|usage| usage.completion),
        reasoning_tokens: usage.map(|usage| usage.reasoning),
        tokens_estimated: bill.counted.map(|counted| counted.estimated),
        cost: bill.cost,
        overhead: bill.overhead,
        to_first_token: bill.to_first_token,
        bytes: ctx.answer.bytes,
        first_byte: ctx.answer.first_byte.map(|first| first.since(ctx.started)),
        duration: now.since(ctx.started),
        request_id: word(ctx.answer.request_id.as_deref()),
        client_request_id: own.or(ms),
        ms_client_request_id: own.and(ms),
        trace_id: trace_id
            .as_ref()
            .map(|digits| str::from_utf8(digits).expect("digits are text")),
    });
}

fn attempts(ctx: &RequestContext) -> SmallVec<[Attempt<'_>; 4]> {
    let Some(pool) = ctx.pool() else {
        return SmallVec::new();
    };
    let attempt = |tried: &Tried| {
        let member = pool.member(tried.place);
        Attempt {
            endpoint: ctx.snapshot.upstreams[member.endpoint]
                .endpoint
                .name
                .as_str(),
            deployment: member.deployment.as_str(),
            outcome: tried.cause.map_or("ok", Cause::as_str),
            status: tried.status,
            ms: u64::try_from(tried.took().as_millis()).unwrap_or(u64::MAX),
        }
    };
    ctx.course.history.iter().map(attempt).collect()
}

/// An id that the client gave its request. What is none (spaces, bytes that are no text) is left out.
fn client_id(session: &Session, name: HeaderName) -> Option<&str> {
    let id = session.get_header(name)?.to_str().ok()?;
    let sane = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
    sane.then(|| cut(id, WORD_BYTES_MAX))
}

fn word(text: Option<&str>) -> Option<&str> {
    text.map(|text| cut(text, WORD_BYTES_MAX))
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
