//! A request's course as pingora drives it: gives it the peer of each attempt, tells it how an attempt ended, and
//! says in metrics and log what followed. The course itself is `crate::course`.

use std::time::Duration;

use pingora::{
    Error, ErrorType, Result,
    upstreams::peer::{ALPN, HttpPeer},
};

use super::{
    Gateway,
    context::{RequestContext, Wanted},
};
use crate::{
    api::error::ApiError,
    auth::shown::Shown,
    clock::{self, Timestamp},
    course::{Course, End, Recorded, Settled},
    policy::{
        cause::Cause,
        outcome::Outcome,
        params::Timeouts,
        reason::Switch,
        retry::{Stop, Verdict},
        select::Standing,
    },
    pool::{self, Pool},
    snapshot::Snapshot,
};

/// Told to clients while no token can be had: it is fetched again all the time.
const CREDENTIAL_WAIT: Duration = Duration::from_secs(5);

/// Chooses the first deployment of a request.
///
/// # Errors
/// What to tell the client when nobody can serve, and how long to wait before asking again.
pub(super) fn first(
    snapshot: &Snapshot,
    wanted: &Wanted,
    course: &mut Course,
    now: Timestamp,
) -> Result<(), (ApiError, Option<Duration>)> {
    let pool = &snapshot.pools[wanted.pool];
    let serves = |endpoint: usize| wanted.service(snapshot, endpoint, now);
    course.choose_first(pool, serves, now).map_err(|blocked| {
        let model = pool.model.name.as_str();
        match blocked.soonest {
            None => nobody_serves(snapshot, pool, wanted),
            Some(soonest) => {
                let error = if blocked.throttled {
                    ApiError::upstream_throttled(model)
                } else {
                    ApiError::upstream_unavailable(model)
                };
                (error, Some(soonest.since(now)))
            }
        }
    })
}

/// No member could serve this request whatever its health: switched off, drained, without a credential, or the
/// operation has no counterpart.
fn nobody_serves(
    snapshot: &Snapshot,
    pool: &Pool,
    wanted: &Wanted,
) -> (ApiError, Option<Duration>) {
    let model = pool.model.name.as_str();
    let mut offering = pool
        .places()
        .filter(|&place| {
            pool.weight(place) > 0 && pool.member(place).switch.position() == Switch::Enabled
        })
        .map(|place| pool.member(place).endpoint)
        .filter(|&endpoint| wanted.is_offered(snapshot, endpoint))
        .peekable();
    if offering.peek().is_none() {
        let drained = pool
            .places()
            .any(|place| wanted.is_offered(snapshot, pool.member(place).endpoint));
        let error = if drained {
            ApiError::upstream_unavailable(model)
        } else if wanted.body.is_whole() {
            ApiError::operation_unavailable(model, wanted.operation.path())
        } else {
            ApiError::length_required()
        };
        return (error, None);
    }
    let is_callers = |endpoint: usize| matches!(snapshot.upstreams[endpoint].shown, Shown::Caller);
    if !wanted.hands_on && offering.all(is_callers) {
        return (ApiError::azure_token_required(model), None);
    }
    (ApiError::upstream_unavailable(model), Some(CREDENTIAL_WAIT))
}

/// The peer of the next attempt. A name without an address is an attempt that failed.
pub(super) fn peer(gateway: &Gateway, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
    ctx.decided = false;
    let now = clock::now();
    let before = ctx.course.tried.len();
    let (Some(place), Some(wanted)) = (ctx.course.begin(now), &ctx.wanted) else {
        return Err(Error::explain(
            ErrorType::InternalError,
            "no attempt was chosen",
        ));
    };
    if before > 0 && ctx.course.tried.len() > before {
        gateway.metrics.retries().inc();
    }
    let pool = &ctx.snapshot.pools[wanted.pool];
    let upstream = &ctx.snapshot.upstreams[pool.member(place).endpoint];
    let timeouts = &pool.model.timeouts;
    let left = timeouts.total.saturating_sub(now.since(ctx.started));
    let left = left.max(Duration::from_millis(1));
    let read = read_timeout(wanted, timeouts, left);
    if let Some(mut peer) = upstream.peer(timeouts.connect.min(left), read) {
        if wanted.upgrade {
            // WebSocket over HTTP/2 is not supported by pingora.
            peer.options.alpn = ALPN::H1;
        }
        return Ok(peer);
    }
    let mut error = Error::explain(
        ErrorType::ConnectNoRoute,
        "the endpoint's name has no address",
    );
    let verdict = ended(gateway, ctx, Outcome::without_answer(Cause::Dns), false);
    error.set_retry(verdict == Verdict::Retry);
    Err(error)
}

/// The attempt under way has its connection.
pub(super) fn connected(ctx: &RequestContext, reused: bool) {
    if let (Some(pool), Some(place)) = (ctx.pool(), ctx.course.place()) {
        let endpoint = pool.member(place).endpoint;
        ctx.snapshot.upstreams[endpoint].metrics.connected(reused);
    }
}

/// One value for streams and one for unary answers; neither outlasts the request's total. Pingora has one timeout
/// for the first byte and the gaps after it, so a tunnel's handshake and its silence share `read`.
fn read_timeout(wanted: &Wanted, timeouts: &Timeouts, left: Duration) -> Duration {
    if wanted.upgrade {
        return timeouts.read;
    }
    let read = if wanted.facts.stream {
        timeouts.read_stream
    } else {
        timeouts.read
    };
    read.min(left)
}

/// The attempt under way has failed; the one function for all ways in which it can. `committed`: bytes of an
/// answer went to the client.
pub(super) fn ended(
    gateway: &Gateway,
    ctx: &mut RequestContext,
    outcome: Outcome,
    committed: bool,
) -> Verdict {
    let Some(wanted) = &ctx.wanted else {
        return Verdict::Stop(Stop::NotRetriable);
    };
    let now = clock::now();
    let pool = &ctx.snapshot.pools[wanted.pool];
    let end = End {
        outcome,
        committed,
        replayable: wanted.body.is_replayable(),
        out_of_time: now.since(ctx.started) >= pool.model.timeouts.total,
    };
    let serves = |endpoint: usize| wanted.service(&ctx.snapshot, endpoint, now);
    let (verdict, settled) = ctx.course.ended(pool, &end, serves, now);
    report(gateway, &ctx.snapshot, pool, &settled, now);
    if verdict == Verdict::Stop(Stop::BudgetSpent) {
        gateway.metrics.retry_budget_spent().inc();
    }
    verdict
}

/// The attempt under way is answered in a way that goes to the client.
pub(super) fn succeeded(gateway: &Gateway, ctx: &mut RequestContext, outcome: Outcome) {
    let Some(wanted) = &ctx.wanted else { return };
    let now = clock::now();
    let pool = &ctx.snapshot.pools[wanted.pool];
    let settled = ctx.course.succeeded(pool, outcome, now);
    report(gateway, &ctx.snapshot, pool, &settled, now);
}

/// Sends the same again on a fresh connection, if it may.
pub(super) fn again(gateway: &Gateway, ctx: &mut RequestContext) -> bool {
    let again = is_replayable(ctx) && ctx.course.again(clock::now());
    if again {
        gateway.metrics.stale_connections().inc();
    }
    again
}

/// Whether the request can be sent again.
pub(super) fn is_replayable(ctx: &RequestContext) -> bool {
    let wanted = ctx.wanted.as_ref();
    wanted.is_some_and(|wanted| wanted.body.is_replayable())
}

/// Says in metrics and log what became of the failures of a request.
pub(super) fn report(
    gateway: &Gateway,
    snapshot: &Snapshot,
    pool: &Pool,
    settled: &Settled,
    now: Timestamp,
) {
    if settled.request_blamed {
        gateway.metrics.requests_blamed().inc();
    }
    for recorded in &settled.recorded {
        tell(gateway, snapshot, pool, recorded, now);
    }
}

/// What an operator should see: a deployment was taken out, why and for how long.
fn tell(gateway: &Gateway, snapshot: &Snapshot, pool: &Pool, recorded: &Recorded, now: Timestamp) {
    let Recorded {
        place,
        outcome,
        changed,
        was,
    } = recorded;
    let member = pool.member(*place);
    let endpoint = &snapshot.upstreams[member.endpoint].endpoint.name;
    let deployment = &member.deployment;
    let (cause, status) = (outcome.cause.map_or("none", Cause::as_str), outcome.status);
    if changed.breaker_opened {
        gateway.metrics.breaker_trips().inc();
        tracing::warn!(%endpoint, %deployment, cause, status, "circuit breaker opened");
    }
    let Some(until) = changed.cooled_until else {
        return;
    };
    if matches!(was, Standing::Cooling { .. }) {
        return;
    }
    let seconds = until.since(now).as_secs_f64();
    match outcome.cause {
        Some(Cause::Auth) => tracing::error!(
            %endpoint, status, seconds, "the endpoint refuses the gateway's credential and is left out"
        ),
        Some(Cause::Absent) => tracing::error!(
            %endpoint, %deployment, seconds, "the endpoint has no such deployment; it is left out"
        ),
        Some(_) | None => tracing::info!(%endpoint, %deployment, cause, seconds, "cooling down"),
    }
}

/// How long a client should wait before it asks for this model again: until the first deployment that could
/// serve it is usable.
pub(super) fn wait(ctx: &RequestContext, now: Timestamp) -> Option<Duration> {
    let wanted = ctx.wanted.as_ref()?;
    let pool = &ctx.snapshot.pools[wanted.pool];
    let anybody = pool::Wanted {
        tried: &[],
        serves: |endpoint| wanted.service(&ctx.snapshot, endpoint, now),
        now,
    };
    Some(pool.soonest_recovery(&anybody)?.since(now))
}

/// The gateway's own words for a request that ended without an answer to relay.
pub(super) fn own_error(ctx: &RequestContext) -> ApiError {
    let Some(pool) = ctx.pool() else {
        return ApiError::internal_error();
    };
    let model = pool.model.name.as_str();
    let causes = || ctx.course.history.iter().filter_map(|tried| tried.cause);
    if causes().any(|cause| cause == Cause::Throttled) {
        return ApiError::upstream_throttled(model);
    }
    match causes().next_back() {
        Some(Cause::Timeout) => ApiError::upstream_timeout(model),
        Some(Cause::Auth) => ApiError::upstream_auth_failed(model),
        Some(Cause::Stall | Cause::Server) => ApiError::upstream_broken(model),
        Some(Cause::Gateway) | None => ApiError::internal_error(),
        Some(_) => ApiError::upstream_unavailable(model),
    }
}
