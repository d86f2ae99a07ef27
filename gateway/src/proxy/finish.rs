//! The end of a request: settles what is still open, counts it, and writes its one line of the access log.

use http::HeaderName;
use pingora::Error;
use pingora_proxy::Session;
use serde::Serialize;

use super::{
    Gateway, answer, attempt,
    context::RequestContext,
    count::{self, Bill},
    trace,
};
use crate::{
    clock::{self, Timestamp},
    policy::{cause::Cause, retry::Stop},
};

/// Status in the log of a request whose client left before it was answered, as nginx writes it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

pub(super) fn request(
    gateway: &Gateway,
    session: &Session,
    error: Option<&Error>,
    ctx: &mut RequestContext,
) {
    let now = clock::now();
    answer::learn_error_code(ctx);
    close(gateway, ctx, now);
    if ctx.answer.status == 0 {
        let written = session.response_written().map(|head| head.status.as_u16());
        ctx.answer.status = written.unwrap_or(if error.is_some() {
            CLIENT_CLOSED_REQUEST
        } else {
            500
        });
    }
    let bill = count::request(ctx, now);
    if tracing::enabled!(target: "access", tracing::Level::INFO) {
        log(session, ctx, &bill, now);
    }
    trace::record(session, ctx, &bill, now);
}

/// Settles the course. The attempt still under way is the one whose answer went to the client.
fn close(gateway: &Gateway, ctx: &mut RequestContext, now: Timestamp) {
    let Some(wanted) = &ctx.wanted else { return };
    let pool = &ctx.snapshot.pools[wanted.pool];
    let settled = ctx.course.settle(pool, false, now);
    attempt::report(gateway, &ctx.snapshot, pool, &settled, now);
    let code = ctx.answer.error_code.as_deref();
    let cause = |status| match (status, code) {
        (Some(400), Some("content_filter")) => Some(Cause::ContentFilter),
        (Some(400..), _) => Some(Cause::BadRequest),
        (Some(_), _) => None,
        (None, _) => Some(Cause::Gateway),
    };
    ctx.course.close(pool, cause, now);
}

/// One attempt in the log line.
#[derive(Serialize)]
struct Line<'a> {
    endpoint: &'a str,
    deployment: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    ms: u64,
}

fn log(session: &Session, ctx: &RequestContext, bill: &Bill, now: Timestamp) {
    let request = session.req_header();
    let header = |name: &'static str| {
        let value = session.get_header(HeaderName::from_static(name))?;
        value
            .to_str()
            .ok()
            .map(|text| text.get(..128).unwrap_or(text))
    };
    let attempts: Vec<Line<'_>> = ctx
        .pool()
        .map(|pool| {
            ctx.course
                .history
                .iter()
                .map(|tried| {
                    let member = pool.member(tried.place);
                    Line {
                        endpoint: ctx.snapshot.upstreams[member.endpoint]
                            .endpoint
                            .name
                            .as_str(),
                        deployment: member.deployment.as_str(),
                        outcome: tried.cause.map_or("ok", Cause::as_str),
                        status: tried.status,
                        ms: u64::try_from(tried.took().as_millis()).unwrap_or(u64::MAX),
                    }
                })
                .collect()
        })
        .unwrap_or_default();
    let summary = ctx.answer.tap.as_ref().map(crate::api::sse::Tap::summary);
    let usage = bill.counted.map(|counted| counted.usage);
    let millis = |from: Timestamp, to: Timestamp| to.since(from).as_secs_f64() * 1e3;
    tracing::info!(
        target: "access",
        method = %request.method,
        path = request.uri.path(),
        status = ctx.answer.status,
        client = ctx.client.as_ref().map(crate::ids::ClientName::as_str),
        model = ctx.pool().map(|pool| pool.model.name.as_str()),
        endpoint = attempts.last().map(|last| last.endpoint),
        attempts = serde_json::to_string(&attempts).unwrap_or_default(),
        stopped = ctx.course.stopped.map(Stop::as_str),
        error = ctx.answer.error_code.as_deref(),
        cut = ctx.answer.cut.then_some(true),
        stream_error = summary.as_ref().filter(|summary| summary.error).map(|_| true),
        events = summary.as_ref().map(|summary| summary.events),
        prompt_tokens = usage.map(|usage| usage.prompt),
        cached_tokens = usage.map(|usage| usage.cached),
        completion_tokens = usage.map(|usage| usage.completion),
        cost = bill.cost,
        overhead_ms = bill.overhead.as_secs_f64() * 1e3,
        reasoning_tokens = usage.map(|usage| usage.reasoning),
        tokens_estimated = bill.counted.map(|counted| counted.estimated),
        bytes = ctx.answer.bytes,
        first_byte_ms = ctx.answer.first_byte.map(|at| millis(ctx.started, at)),
        duration_ms = millis(ctx.started, now),
        request_id = ctx.answer.request_id.as_deref(),
        client_request_id = header("x-ms-client-request-id"),
        "request"
    );
}
