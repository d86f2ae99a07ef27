//! A request's place in its trace, taken from the client's `traceparent` and handed on with every attempt.
//!
//! Where spans are exported the gateway takes part: each attempt is sent with a span of its own as the parent of what
//! comes after, also where the trace began here or is not recorded, because servers of one's own (vLLM and the like)
//! continue it; Azure and OpenAI ignore it. Where nothing is exported it only forwards, as W3C Trace Context calls it: a
//! client's valid headers pass as they came, because the id of a span that nobody records would tear the trace apart.

use http::{HeaderName, HeaderValue};
use pingora::{Result, http::RequestHeader};
use pingora_proxy::Session;
use smallvec::SmallVec;

use super::{context::RequestContext, count::Bill};
use crate::{
    api::trace_context::{TraceContext, Traceparent},
    clock::{self, Timestamp},
    course::Tried,
    pool::Pool,
    snapshot::Snapshot,
    traces::{Attempt, Ended},
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A trace of the request's own, until its head is there. Ids have to differ, not to be secret: who guesses one can do
/// nothing with it. So a fast generator is enough.
pub(super) fn begin(snapshot: &Snapshot) -> TraceContext {
    let traces = snapshot.traces.as_ref();
    let sampled = traces.is_some_and(|traces| traces.samples(fastrand::u32(0..100)));
    TraceContext::begin(fastrand::u128(..), fastrand::u64(..), sampled)
}

/// Takes up the client's trace, if it is in one.
pub(super) fn take_up(session: &Session, ctx: &mut RequestContext) {
    let headers = &session.req_header().headers;
    let mut values = headers.get_all(TRACEPARENT).iter();
    // Of two, nobody knows which one is right.
    if let (Some(value), None) = (values.next(), values.next())
        && let Some(client) = Traceparent::parse(value.as_bytes())
    {
        ctx.trace.follow(&client);
    }
}

/// Puts the trace into the request of the attempt under way.
pub(super) fn hand_on(request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    let began_here = ctx.trace.parent.is_none();
    let takes_part = ctx.snapshot.traces.is_some();
    if began_here {
        // What cannot be read must not go on, and the other one means nothing alone.
        for name in [TRACEPARENT, TRACESTATE] {
            request.remove_header(&name);
        }
    }
    if takes_part {
        let span = ctx.trace.attempt(ctx.course.tried.len());
        let value = HeaderValue::from_bytes(&ctx.trace.traceparent(span))
            .expect("digits and dashes are a header");
        // Not the name above: pingora-http 0.9.1 lib.rs would copy its text, only to parse it again.
        request.insert_header("traceparent", value)?;
    }
    Ok(())
}

/// Leaves the request's spans with the exporter. Costs nothing where there is none, or the trace is not recorded.
pub(super) fn record(session: &Session, ctx: &RequestContext, bill: &Bill, now: Timestamp) {
    let (true, Some(traces)) = (ctx.trace.sampled, &ctx.snapshot.traces) else {
        return;
    };
    // A caller who is nobody must not fill the collector by saying that everything is sampled.
    if ctx.snapshot.callers.is_some() && ctx.client().is_none() {
        return;
    }
    let pool = ctx.pool();
    let request = session.req_header();
    traces.request(&Ended {
        trace: &ctx.trace,
        method: &request.method,
        path: request.uri.path(),
        status: ctx.answer.status,
        cut: ctx.answer.cut,
        client: ctx.client().map(|client| &client.name),
        wanted: ctx
            .wanted
            .as_ref()
            .zip(pool)
            .map(|(wanted, pool)| (wanted.operation, &pool.model.name)),
        attempts: pool.map(|pool| attempts(ctx, pool)).unwrap_or_default(),
        usage: bill.counted.map(|counted| counted.usage),
        started: ctx.started,
        ended: now,
        unix_ended: clock::unix_now(),
    });
}

fn attempts<'a>(ctx: &'a RequestContext, pool: &'a Pool) -> SmallVec<[Attempt<'a>; 2]> {
    let attempt = |tried: &'a Tried| {
        let member = pool.member(tried.place);
        Attempt {
            endpoint: &ctx.snapshot.upstreams[member.endpoint].endpoint,
            deployment: &member.deployment,
            tried,
        }
    };
    ctx.course.history.iter().map(attempt).collect()
}
