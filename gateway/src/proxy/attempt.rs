//! One attempt after the other: takes the deployment that was chosen, and when an attempt has ended, records
//! what it was and lets `policy::retry` decide what follows. The one function for all ways in which an attempt
//! can end is [`ended`].

use std::time::Duration;

use pingora::{Error, ErrorType, Result, upstreams::peer::HttpPeer};

use super::{
    Gateway,
    context::{Attempt, Reply, RequestContext, Suspect, Tried, Wanted},
};
use crate::{
    api::error::ApiError,
    clock::Timestamp,
    policy::{
        cause::Cause,
        outcome::Outcome,
        params::Timeouts,
        retry::{Situation, Stop, Verdict, decide},
    },
    pool::{self, Pick, Place, Pool},
    snapshot::Snapshot,
};

/// Longer than any tunnel stays silent; pingora's read timeout would cut an idle WebSocket.
const TUNNEL_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// How often one attempt may find its kept-alive connection dead.
const STALE_MAX: u8 = 2;

/// The peer of the next attempt. A name without an address is an attempt that failed.
pub(super) fn peer(gateway: &Gateway, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
    ctx.decided = false;
    let now = gateway.clock.now();
    if let Some(Pick { place, lease }) = ctx.next.take() {
        if !ctx.tried.is_empty() {
            gateway.metrics.retries.inc();
        }
        ctx.tried.push(place);
        let outgoing = bytes::Bytes::new();
        ctx.attempt = Some(Attempt {
            place,
            lease,
            started: now,
            status: None,
            stale: 0,
            outgoing,
        });
    }
    let (Some(attempt), Some(wanted)) = (&ctx.attempt, &ctx.wanted) else {
        return Err(Error::explain(
            ErrorType::InternalError,
            "no attempt was chosen",
        ));
    };
    let pool = &ctx.snapshot.pools[wanted.pool];
    let upstream = &ctx.snapshot.upstreams[pool.member(attempt.place).endpoint];
    let timeouts = &pool.model.timeouts;
    let read = read_timeout(wanted, timeouts, ctx.started, now);
    if let Some(mut peer) = upstream.peer(timeouts.connect, read) {
        if wanted.upgrade {
            // WebSocket over HTTP/2 is not supported by pingora.
            peer.options.alpn = pingora::upstreams::peer::ALPN::H1;
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

/// One value for streams and one for unary answers; neither outlasts the request's total.
fn read_timeout(
    wanted: &Wanted,
    timeouts: &Timeouts,
    started: Timestamp,
    now: Timestamp,
) -> Duration {
    if wanted.upgrade {
        return TUNNEL_TIMEOUT;
    }
    let read = if wanted.facts.stream {
        timeouts.read_stream
    } else {
        timeouts.read
    };
    let left = timeouts.total.saturating_sub(now.since(started));
    read.min(left).max(Duration::from_millis(1))
}

/// The first choice of a request.
///
/// # Errors
/// What to tell the client when nobody can serve, and how long to wait before asking again.
pub(super) fn first(
    gateway: &Gateway,
    snapshot: &Snapshot,
    pool: &Pool,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Pick, (ApiError, Option<Duration>)> {
    let serves = |endpoint: usize| wanted.serves(snapshot, endpoint);
    pool.state.deposit(now);
    let asked = pool::Wanted {
        tried: &[],
        serves,
        last_resort: true,
        now,
    };
    let blocked = match pool.pick(&asked, gateway.clock) {
        Ok(pick) => return Ok(pick),
        Err(blocked) => blocked,
    };
    let model = pool.model.name.as_str();
    let Some(soonest) = blocked.soonest else {
        return Err((nobody_serves(pool, wanted, &serves), None));
    };
    // Everything is cooling down. One request a second finds out whether it still must, and its answer is
    // the provider's own.
    if pool.state.try_let_through(now)
        && let Some(pick) = pool.preferred(serves, gateway.clock)
    {
        return Ok(pick);
    }
    let error = if blocked.throttled {
        ApiError::upstream_throttled(model)
    } else {
        ApiError::upstream_unavailable(model)
    };
    Err((error, Some(soonest.since(now))))
}

/// No member could ever serve this request: drained, or the operation has no counterpart.
fn nobody_serves(pool: &Pool, wanted: &Wanted, serves: &impl Fn(usize) -> bool) -> ApiError {
    let model = pool.model.name.as_str();
    let any = pool
        .places()
        .any(|place| serves(pool.member(place).endpoint));
    if any {
        ApiError::upstream_unavailable(model)
    } else if wanted.body.is_whole() {
        ApiError::operation_unavailable(model, wanted.operation.path())
    } else {
        ApiError::length_required()
    }
}

/// An attempt has ended without success. Records it and chooses the next one, if there is to be one.
/// `committed`: bytes of an answer went to the client.
pub(super) fn ended(
    gateway: &Gateway,
    ctx: &mut RequestContext,
    outcome: Outcome,
    committed: bool,
) -> Verdict {
    let now = gateway.clock.now();
    let Some(attempt) = ctx.attempt.take() else {
        return Verdict::Stop(Stop::NotRetriable);
    };
    let place = attempt.place;
    note(ctx, &attempt, &outcome, now);
    let request_blamed = ctx
        .suspect
        .as_ref()
        .is_some_and(|suspect| suspect.outcome.is_same_failure(&outcome));
    if request_blamed {
        // Neither deployment is at fault: both leases are given back without a word.
        ctx.suspect = None;
        gateway.metrics.requests_blamed.inc();
    } else {
        settle(gateway, ctx, now);
    }
    let verdict = follow(gateway, ctx, &outcome, committed, request_blamed, now);
    if !request_blamed {
        let suspect = Suspect {
            outcome,
            lease: attempt.lease,
            place,
        };
        // Whether the request is to blame shows at the next deployment; without one it is not.
        ctx.suspect = Some(suspect);
        if verdict != Verdict::Retry || !outcome.may_be_the_requests_fault() {
            settle(gateway, ctx, now);
        }
    }
    if let Verdict::Stop(stop) = verdict {
        ctx.stopped = Some(stop);
        if stop == Stop::BudgetSpent {
            gateway.metrics.retry_budget_spent.inc();
        }
    }
    verdict
}

/// The attempt under way succeeded, as far as its head says.
pub(super) fn succeeded(gateway: &Gateway, ctx: &mut RequestContext, status: u16) {
    let now = gateway.clock.now();
    settle(gateway, ctx, now);
    let Some(wanted) = &ctx.wanted else { return };
    let pool = &ctx.snapshot.pools[wanted.pool];
    if let Some(attempt) = &mut ctx.attempt {
        attempt.status = Some(status);
        let outcome = Outcome::of_answer(status, None, None);
        let _ = attempt
            .lease
            .record(&outcome, &pool.model.breaker, &pool.model.cool_down, now);
    }
}

/// Sends the same again on a fresh connection: the kept-alive one had died before any byte of an answer, which
/// is no fault of anybody. Costs no attempt.
pub(super) fn again(gateway: &Gateway, ctx: &mut RequestContext) -> bool {
    let replayable = ctx
        .wanted
        .as_ref()
        .is_some_and(|wanted| wanted.body.is_replayable());
    match &mut ctx.attempt {
        Some(attempt) if replayable && attempt.status.is_none() && attempt.stale < STALE_MAX => {
            attempt.stale += 1;
            gateway.metrics.stale_connections.inc();
            true
        }
        Some(_) | None => false,
    }
}

/// Records a failure that waited for the next attempt.
pub(super) fn settle(gateway: &Gateway, ctx: &mut RequestContext, now: Timestamp) {
    let (
        Some(Suspect {
            outcome,
            mut lease,
            place,
        }),
        Some(wanted),
    ) = (ctx.suspect.take(), &ctx.wanted)
    else {
        return;
    };
    let pool = &ctx.snapshot.pools[wanted.pool];
    let was_usable = pool.member(place).standing(now);
    let changed = lease.record(&outcome, &pool.model.breaker, &pool.model.cool_down, now);
    if changed.breaker_opened {
        gateway.metrics.breaker_trips.inc();
    }
    report(
        &ctx.snapshot,
        pool,
        place,
        &outcome,
        &changed,
        was_usable,
        now,
    );
    drop(lease);
}

/// Says in the log what an operator should see: a deployment was taken out, why and for how long.
fn report(
    snapshot: &Snapshot,
    pool: &Pool,
    place: Place,
    outcome: &Outcome,
    changed: &crate::state::Changed,
    was: crate::policy::select::Standing,
    now: Timestamp,
) {
    use crate::policy::select::Standing;
    let member = pool.member(place);
    let endpoint = &snapshot.upstreams[member.endpoint].endpoint.name;
    let (deployment, cause) = (
        &member.deployment,
        outcome.cause.map_or("none", Cause::as_str),
    );
    if changed.breaker_opened {
        tracing::warn!(%endpoint, %deployment, cause, status = outcome.status, "circuit breaker opened");
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
            %endpoint, status = outcome.status, seconds,
            "the endpoint refuses the gateway's credential and is left out"
        ),
        Some(Cause::Absent) => tracing::error!(
            %endpoint, %deployment, seconds, "the endpoint has no such deployment; it is left out"
        ),
        Some(_) | None => tracing::info!(%endpoint, %deployment, cause, seconds, "cooling down"),
    }
}

fn note(ctx: &mut RequestContext, attempt: &Attempt, outcome: &Outcome, now: Timestamp) {
    if let Some(pool) = ctx.pool() {
        pool.member(attempt.place).metrics.attempt(outcome.cause);
    }
    ctx.history.push(Tried {
        place: attempt.place,
        cause: outcome.cause,
        status: outcome.status,
        millis: u64::try_from(now.since(attempt.started).as_millis()).unwrap_or(u64::MAX),
    });
}

fn follow(
    gateway: &Gateway,
    ctx: &mut RequestContext,
    outcome: &Outcome,
    committed: bool,
    request_blamed: bool,
    now: Timestamp,
) -> Verdict {
    let Some(wanted) = &ctx.wanted else {
        return Verdict::Stop(Stop::NotRetriable);
    };
    let pool = &ctx.snapshot.pools[wanted.pool];
    let situation = Situation {
        outcome,
        params: &pool.model.retry,
        attempts: u32::try_from(ctx.tried.len()).unwrap_or(u32::MAX),
        committed,
        replayable: wanted.body.is_replayable(),
        request_blamed,
        out_of_time: now.since(ctx.started) >= pool.model.timeouts.total,
    };
    let mut next = None;
    let verdict = decide(
        &situation,
        || {
            let asked = pool::Wanted {
                tried: &ctx.tried,
                serves: |endpoint: usize| wanted.serves(&ctx.snapshot, endpoint),
                last_resort: false,
                now,
            };
            next = pool.pick(&asked, gateway.clock).ok();
            next.is_some()
        },
        || pool.state.withdraw(&pool.model.retry, now),
    );
    ctx.next = next.filter(|_| verdict == Verdict::Retry);
    verdict
}

/// How long a client should wait before it asks for this model again: until the first deployment that could
/// serve it is usable.
pub(super) fn wait(ctx: &RequestContext, now: Timestamp) -> Option<Duration> {
    let wanted = ctx.wanted.as_ref()?;
    let pool = &ctx.snapshot.pools[wanted.pool];
    let soonest = pool.soonest_recovery(|endpoint| wanted.serves(&ctx.snapshot, endpoint), now)?;
    Some(soonest.since(now))
}

/// The gateway's own words for a request that ended without an answer to relay.
pub(super) fn own_error(ctx: &RequestContext) -> ApiError {
    let Some(pool) = ctx.pool() else {
        return ApiError::internal_error();
    };
    let model = pool.model.name.as_str();
    let causes = || ctx.history.iter().filter_map(|tried| tried.cause);
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

/// Makes the gateway answer with `error` instead of what pingora would say.
pub(super) fn reply_with(ctx: &mut RequestContext, error: ApiError) {
    ctx.reply = Reply::Own(error);
}
