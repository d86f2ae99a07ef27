//! A model and its policy; where its deployments are is said at the endpoints.

use serde_yaml::Value;

use super::{list, map, or_null, text, words};
use crate::{
    config::compiled::{Model, Price, Rate},
    policy::params::{BreakerParams, CoolDownParams, RetryParams, Timeouts},
};

pub(super) fn model(model: &Model) -> Value {
    let Model {
        name: _,
        aliases,
        price,
        balance,
        timeouts,
        retry,
        breaker,
        cool_down,
        usage,
        tiers: _,
    } = model;
    map([
        ("aliases", list(aliases, text)),
        ("price", or_null(price.as_ref(), self::price)),
        ("balance", words::balance(balance).into()),
        ("timeouts", self::timeouts(timeouts)),
        ("retry", self::retry(retry)),
        ("circuit_breaker", self::breaker(breaker)),
        ("cool_down", self::cool_down(cool_down)),
        ("usage", map([("ask", usage.ask.into())])),
    ])
}

pub(super) fn price(price: &Price) -> Value {
    let Price {
        prompt,
        cached,
        completion,
    } = price;
    let amount = |Rate(millionths): &Rate| (*millionths as f64 / 1e6).into();
    map([
        ("prompt", amount(prompt)),
        ("cached", amount(cached)),
        ("completion", amount(completion)),
    ])
}

fn timeouts(timeouts: &Timeouts) -> Value {
    let Timeouts {
        connect,
        read,
        read_stream,
        total,
    } = timeouts;
    map([
        ("connect", words::span(connect).into()),
        ("read", words::span(read).into()),
        ("read_stream", words::span(read_stream).into()),
        ("total", words::span(total).into()),
    ])
}

fn retry(retry: &RetryParams) -> Value {
    let RetryParams {
        attempts,
        budget_percent,
        budget_min_per_second,
        on,
    } = retry;
    map([
        ("attempts", attempts.get().into()),
        ("budget", words::percent(budget_percent).into()),
        ("budget_min_per_second", (*budget_min_per_second).into()),
        ("on", list(on, |cause| cause.as_str().into())),
    ])
}

fn breaker(breaker: &BreakerParams) -> Value {
    let BreakerParams {
        enabled,
        failures,
        interval,
        statuses,
        reasons,
        trip,
        accept_retry_after,
    } = breaker;
    if !enabled {
        return "off".into();
    }
    let range =
        |range: &std::ops::RangeInclusive<u16>| words::statuses(std::slice::from_ref(range)).into();
    map([
        ("failures", failures.get().into()),
        ("interval", words::span(interval).into()),
        ("statuses", list(statuses, range)),
        ("reasons", list(reasons, |cause| cause.as_str().into())),
        ("trip", words::span(trip).into()),
        ("accept_retry_after", (*accept_retry_after).into()),
    ])
}

fn cool_down(cool_down: &CoolDownParams) -> Value {
    let CoolDownParams {
        min,
        max,
        default,
        auth,
        absent,
    } = cool_down;
    map([
        ("min", words::span(min).into()),
        ("max", words::span(max).into()),
        ("default", words::span(default).into()),
        ("auth", words::span(auth).into()),
        ("absent", words::span(absent).into()),
    ])
}
