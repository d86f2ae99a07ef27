//! The end of a request: settles what is still open, counts it, and writes its one line of the access log.

use pingora::Error;
use pingora_proxy::Session;

use super::{Gateway, access, answer, attempt, context::RequestContext, count, failure, trace};
use crate::{
    api::sse::Summary,
    clock::{self, Timestamp},
    policy::{cause::Cause, outcome::Outcome},
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
    let stream = ctx.answer.stream();
    close(gateway, ctx, stream.as_ref(), now);
    if ctx.answer.status == 0 {
        let written = session.response_written().map(|head| head.status.as_u16());
        ctx.answer.status = written.unwrap_or(if error.is_some() {
            CLIENT_CLOSED_REQUEST
        } else {
            500
        });
    }
    let bill = count::request(ctx, stream, now);
    access::log(gateway, session, ctx, &bill, now);
    trace::record(session, ctx, &bill, now);
}

/// Settles the course. The attempt still under way is the one whose answer went to the client.
fn close(gateway: &Gateway, ctx: &mut RequestContext, stream: Option<&Summary>, now: Timestamp) {
    let inside = failure::in_stream(&ctx.answer, stream);
    if let (Some(status), Some(cause)) = (ctx.course.status(), inside) {
        let outcome = Outcome {
            cause: Some(cause),
            status: Some(status),
            retry_after: None,
        };
        attempt::ended(gateway, ctx, outcome, true);
    }
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
