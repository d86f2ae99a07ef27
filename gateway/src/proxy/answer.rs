//! A provider's answer on its way to the client: tells success from failure by its head, lets another deployment
//! answer where that may help, has those held back of which only the body tells what they are (`held`), and hands what
//! passes to `watch`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use pingora::{Error, ErrorType, Result, http::ResponseHeader};
use pingora_proxy::Session;
use smallvec::SmallVec;

use super::{
    Gateway, attempt,
    context::{Reply, RequestContext},
    decision, held, respond, watch,
};
use crate::{
    api::{
        answer::error_code,
        header::{forwards_response_header, named_by_connection},
        limits::Limits,
    },
    auth::shown::{Refused, Shown},
    clock::{self, Timestamp},
    metrics::Open,
    policy::{
        cause::Cause,
        outcome::Outcome,
        retry::Verdict,
        retry_after::{WaitHeaders, parse},
    },
    state::NOT_ASKED,
};

/// How long an endpoint that refused a credential is left alone where a better one is, or soon will be, at hand.
const RENEWAL: Duration = Duration::from_secs(5);
/// Ends an answer that goes on longer than the model's `timeouts.total`; no fault of the deployment.
pub(super) const TOTAL_TIME_OVER: ErrorType = ErrorType::Custom("TotalTimeOver");

pub(super) fn head(
    gateway: &Gateway,
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestContext,
) -> Result<()> {
    let status = response.status.as_u16();
    if response.status.is_informational() && status != 101 {
        return Ok(());
    }
    ctx.course.answered(status);
    read_limits(response, ctx);
    if held::hold(session, response, ctx)? {
        return Ok(());
    }
    let wait = if status < 400 {
        None
    } else {
        retry_after(&response.headers)
    };
    let mut outcome = Outcome::of_answer(status, None, wait);
    if matches!(status, 401 | 403) {
        outcome.retry_after = None;
        match refused(ctx, status) {
            Refused::Again if ctx.course.with_other_key() => {
                if attempt::is_replayable(ctx) {
                    return Err(decided(ctx, status, true));
                }
                // The other key is for the next request.
                outcome.retry_after = Some(RENEWAL);
            }
            Refused::Again | Refused::Final => {}
            Refused::Renewing => outcome.retry_after = Some(RENEWAL),
            Refused::CallersOwn => outcome.cause = Some(Cause::BadRequest),
        }
    }
    let Some(cause) = outcome.cause else {
        attempt::succeeded(gateway, ctx, outcome);
        learn_of_refusal(ctx);
        return relay(gateway, session, response, ctx);
    };
    if cause == Cause::BadRequest {
        // It is never sent anywhere else.
        attempt::succeeded(gateway, ctx, outcome);
        return relay(gateway, session, response, ctx);
    }
    match attempt::ended(gateway, ctx, outcome, false) {
        Verdict::Retry => Err(decided(ctx, status, true)),
        Verdict::Stop(_) if cause == Cause::Auth || (300..400).contains(&status) => {
            // The client's own credential was good; and a redirect would show it somebody else's door.
            ctx.reply = Reply::Own(attempt::own_error(ctx));
            Err(decided(ctx, status, false))
        }
        Verdict::Stop(_) => {
            let now = clock::now();
            if let Some(wait) = attempt::wait(ctx, now) {
                respond::set_wait(response, wait)?;
            }
            relay(gateway, session, response, ctx)
        }
    }
}

/// What the provider says is left of the deployment's quota.
fn read_limits(response: &ResponseHeader, ctx: &RequestContext) {
    if let (Some(pool), Some(place)) = (ctx.pool(), ctx.course.place()) {
        let text = |name| response.headers.get(name)?.to_str().ok();
        pool.member(place).state.reading.limits(&Limits::read(text));
    }
}

/// What follows from a credential that the endpoint did not accept. A key that is not allowed to do something (403)
/// is no wrong key.
fn refused(ctx: &RequestContext, status: u16) -> Refused {
    let (Some(pool), Some(place)) = (ctx.pool(), ctx.course.place()) else {
        return Refused::Final;
    };
    let shown = &ctx.snapshot.upstreams[pool.member(place).endpoint].shown;
    match (shown, status) {
        (Shown::Caller, _) => Refused::CallersOwn,
        (_, 401) => shown.refused(ctx.sent.as_ref(), clock::now()),
        (_, _) => Refused::Final,
    }
}

pub(super) fn body(
    gateway: &Gateway,
    session: &mut Session,
    body: &mut Option<Bytes>,
    end_of_stream: bool,
    ctx: &mut RequestContext,
) -> Result<()> {
    let now = clock::now();
    let is_late = is_too_late(ctx, now);
    let too_late = || Err(Error::explain(TOTAL_TIME_OVER, "the request took too long").into_up());
    // Before it is released: what is queued for the client cannot be taken back.
    if is_late && matches!(ctx.reply, Reply::Held(_)) {
        return too_late();
    }
    held::collect(gateway, session, body, end_of_stream, ctx)?;
    if matches!(ctx.reply, Reply::Held(_)) {
        return Ok(());
    }
    let begun = ctx.answer.first_byte.is_some();
    watch::pass(body, end_of_stream, &mut ctx.answer, now);
    if !begun && ctx.answer.first_byte.is_some() {
        ctx.course.first_byte(now);
    }
    let has_body = body.is_some();
    held::queue(session, body, end_of_stream);
    if has_body && is_late {
        return too_late();
    }
    Ok(())
}

/// Whether the request has had all the time that the model gives it.
fn is_too_late(ctx: &RequestContext, now: Timestamp) -> bool {
    let total = ctx.pool().map(|pool| pool.model.timeouts.total);
    let tunnel = ctx.wanted.as_ref().is_some_and(|wanted| wanted.upgrade);
    !tunnel && total.is_some_and(|total| now.since(ctx.started) > total)
}

/// What a deployment had refused when its tokens were asked for, it serves without that: it does not know the question.
fn learn_of_refusal(ctx: &RequestContext) {
    let (Some(pool), Some(place)) = (ctx.pool(), ctx.course.place()) else {
        return;
    };
    let member = pool.member(place);
    if ctx.refused_by == Some(place) && member.state.refuses_usage(clock::now()) {
        tracing::warn!(
            endpoint = %ctx.snapshot.name_of(member),
            deployment = %member.deployment,
            seconds = NOT_ASKED.as_secs(),
            "the deployment refuses to report the tokens of a stream and is not asked for a while: they are \
             estimated; `usage: {{ ask: false }}` for the model spares the refusals"
        );
    }
}

/// The error that ends an attempt whose fate is decided; `failure` lets it pass.
pub(super) fn decided(ctx: &mut RequestContext, status: u16, retry: bool) -> Box<Error> {
    ctx.decided = true;
    let mut error = Error::explain(ErrorType::HTTPStatus(status), "decided");
    error.set_retry(retry);
    error
}

/// Readies the head for the client.
pub(super) fn relay(
    gateway: &Gateway,
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestContext,
) -> Result<()> {
    let downstream = &mut session.downstream_session;
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        // The deadline between two reads of a request is none for a tunnel.
        downstream.set_read_timeout(None);
    } else if gateway.requests.is_stopping() {
        downstream.set_keepalive(None);
    }
    watch::begin(response, ctx);
    if ctx.answer.tap.is_some() {
        ctx.answer.open = Some(Open::new(gateway.metrics.streams_open()));
    }
    if let Some(wanted) = &mut ctx.wanted {
        // Nothing is sent again from here on: an answer may take minutes, its question need not stay.
        if wanted.body.is_whole() {
            ctx.outgoing = Bytes::new();
        }
        wanted.body.release();
    }
    ctx.answer.status = response.status.as_u16();
    ctx.answer.request_id = respond::request_id(response);
    dress(response, ctx)
}

/// Removes what concerns only the provider and adds what the gateway says about the answer.
pub(super) fn dress(response: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
    let upgrade = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let framing = [
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
    ];
    let unwanted: SmallVec<[HeaderName; 4]> = response
        .headers
        .keys()
        .filter(|name| {
            !forwards_response_header(name.as_str())
                || is_named_by_connection(&response.headers, name)
        })
        .filter(|name| !(framing[0] == **name || upgrade && framing.contains(name)))
        .cloned()
        .collect();
    for name in unwanted {
        response.remove_header(&name);
    }
    if ctx.snapshot.config.response_headers {
        respond::add_route_headers(response, ctx)?;
    }
    if ctx.explains {
        decision::add(response, ctx, clock::now())?;
    }
    Ok(())
}

/// Whether a `connection` header says that this one is about the connection only.
pub(super) fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut named = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    named.any(|connection| named_by_connection(connection, name.as_str()))
}

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wait = WaitHeaders {
        retry_after_ms: text("retry-after-ms"),
        retry_after: text("retry-after"),
        reset_requests: text("x-ratelimit-reset-requests"),
        reset_tokens: text("x-ratelimit-reset-tokens"),
    };
    parse(wait, clock::unix_now())
}

/// For the log: which error a passed answer was.
pub(super) fn learn_error_code(ctx: &mut RequestContext) {
    if let Some(start) = ctx.answer.error_body.take() {
        ctx.answer.error_code = error_code(&start).map(std::borrow::Cow::into_owned);
    }
}
