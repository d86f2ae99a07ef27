//! The policy of a model: what is given for it, over `defaults`, over the built-in values. Key by key.

use std::num::NonZeroU32;

use crate::{
    config::{
        diagnostics::{At, Diagnostics},
        raw::{
            RawBalance, RawBreaker, RawCoolDown, RawDefaults, RawModel, RawRetry, RawTimeouts,
            RawUsage, Switch,
        },
    },
    policy::params::{Balance, BreakerParams, CoolDownParams, RetryParams, Timeouts, UsageParams},
};

#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    pub(super) balance: Balance,
    pub(super) timeouts: Timeouts,
    pub(super) retry: RetryParams,
    pub(super) breaker: BreakerParams,
    pub(super) cool_down: CoolDownParams,
    pub(super) usage: UsageParams,
}

/// What is given at one place: under `defaults`, or for one model.
pub(super) struct Layer<'r> {
    balance: Option<RawBalance>,
    timeouts: Option<&'r RawTimeouts>,
    retry: Option<&'r RawRetry>,
    breaker: Option<&'r Switch<RawBreaker>>,
    cool_down: Option<&'r RawCoolDown>,
    usage: Option<&'r RawUsage>,
}

impl<'r> From<&'r RawDefaults> for Layer<'r> {
    fn from(raw: &'r RawDefaults) -> Self {
        Self {
            balance: raw.balance,
            timeouts: raw.timeouts.as_ref(),
            retry: raw.retry.as_ref(),
            breaker: raw.circuit_breaker.as_ref(),
            cool_down: raw.cool_down.as_ref(),
            usage: raw.usage.as_ref(),
        }
    }
}

impl<'r> From<&'r RawModel> for Layer<'r> {
    fn from(raw: &'r RawModel) -> Self {
        Self {
            balance: raw.balance,
            timeouts: raw.timeouts.as_ref(),
            retry: raw.retry.as_ref(),
            breaker: raw.circuit_breaker.as_ref(),
            cool_down: raw.cool_down.as_ref(),
            usage: raw.usage.as_ref(),
        }
    }
}

impl Policy {
    /// This policy, with what `layer` gives in its place.
    pub(super) fn overlaid(
        &self,
        layer: Layer<'_>,
        at: At<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut policy = self.clone();
        match layer.balance {
            Some(RawBalance::RoundRobin) => policy.balance = Balance::RoundRobin,
            Some(RawBalance::Random) => policy.balance = Balance::Random,
            None => {}
        }
        if let Some(raw) = layer.timeouts {
            timeouts(&mut policy.timeouts, raw);
        }
        if let Some(raw) = layer.retry {
            retry(&mut policy.retry, raw);
        }
        match layer.breaker {
            Some(Switch::Off) => policy.breaker.enabled = false,
            Some(Switch::On(raw)) => {
                breaker(
                    &mut policy.breaker,
                    raw,
                    at.key("circuit_breaker"),
                    diagnostics,
                );
            }
            None => {}
        }
        if let Some(raw) = layer.usage {
            set(&mut policy.usage.ask, raw.ask);
        }
        if let Some(raw) = layer.cool_down {
            cool_down(&mut policy.cool_down, raw, at.key("cool_down"), diagnostics);
        }
        policy
    }
}

fn timeouts(timeouts: &mut Timeouts, raw: &RawTimeouts) {
    set(&mut timeouts.connect, raw.connect.map(|span| span.0));
    set(&mut timeouts.read, raw.read.map(|span| span.0));
    set(
        &mut timeouts.read_stream,
        raw.read_stream.map(|span| span.0),
    );
    set(&mut timeouts.total, raw.total.map(|span| span.0));
}

fn retry(retry: &mut RetryParams, raw: &RawRetry) {
    set(
        &mut retry.attempts,
        raw.attempts
            .and_then(|attempts| NonZeroU32::new(attempts.0)),
    );
    set(&mut retry.budget_percent, raw.budget.map(|budget| budget.0));
    set(
        &mut retry.budget_min_per_second,
        raw.budget_min_per_second.map(|retries| retries.0),
    );
    set(
        &mut retry.on,
        raw.on
            .as_ref()
            .map(|on| on.items().map(|cause| cause.0).collect()),
    );
}

fn breaker(
    breaker: &mut BreakerParams,
    raw: &RawBreaker,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) {
    breaker.enabled = true;
    set(
        &mut breaker.failures,
        raw.failures
            .and_then(|failures| NonZeroU32::new(failures.0)),
    );
    set(&mut breaker.interval, raw.interval.map(|span| span.0));
    set(
        &mut breaker.reasons,
        raw.reasons
            .as_ref()
            .map(|list| list.items().map(|cause| cause.0).collect()),
    );
    set(&mut breaker.trip, raw.trip.map(|span| span.0));
    set(&mut breaker.accept_retry_after, raw.accept_retry_after);
    let Some(statuses) = &raw.statuses else {
        return;
    };
    breaker.statuses = statuses.items().map(|range| range.0.clone()).collect();
    let clients_fault = |status: u16| (400..=499).contains(&status) && !matches!(status, 408 | 429);
    if breaker
        .statuses
        .iter()
        .any(|range| range.clone().any(clients_fault))
    {
        let message = "counts 400-499, where the client is at fault: one client's mistakes would take out \
                       healthy deployments, expected 408, 429 and 500-599 only";
        diagnostics.warn(at.key("statuses"), message);
    }
}

fn cool_down(
    params: &mut CoolDownParams,
    raw: &RawCoolDown,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) {
    set(&mut params.min, raw.min.map(|span| span.0));
    set(&mut params.max, raw.max.map(|span| span.0));
    set(&mut params.default, raw.default.map(|span| span.0));
    set(&mut params.auth, raw.auth.map(|span| span.0));
    set(&mut params.absent, raw.absent.map(|span| span.0));
    if params.min > params.max {
        let message = format!(
            "`min` ({:?}) is above `max` ({:?}), expected at most `max`",
            params.min, params.max
        );
        diagnostics.error(at, message);
    }
}

fn set<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}
