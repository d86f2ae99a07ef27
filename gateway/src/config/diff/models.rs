//! Models: their aliases and their policy, key by key. That one comes or goes is said at its deployments.

use super::{Alike, Lines, Pairs, Subject, pairs, words};
use crate::{
    config::compiled::Model,
    ids::ModelName,
    policy::params::{BreakerParams, CoolDownParams, RetryParams, Timeouts, UsageParams},
};

pub(super) fn changes(old: &[Model], new: &[Model], lines: &mut Lines) {
    let Pairs {
        added,
        removed,
        kept,
        // They are sorted.
        reordered: _,
    } = pairs(old, new, |model| &model.name);
    for model in added {
        aliases(&model.name, &[], &model.aliases, lines);
    }
    for model in removed {
        aliases(&model.name, &model.aliases, &[], lines);
    }
    let mut alike = Alike::new();
    for (old, new) in &kept {
        aliases(&old.name, &old.aliases, &new.aliases, lines);
        for edit in policy(old, new).0 {
            alike.entry(edit).or_default().push(old.name.as_str());
        }
    }
    let subject = Subject {
        one: "model ",
        several: "models ",
        all: "every model",
        count: kept.len(),
    };
    lines.alike(&alike, &subject);
}

fn aliases(model: &ModelName, old: &[ModelName], new: &[ModelName], lines: &mut Lines) {
    let Pairs {
        added,
        removed,
        // The alias is its name.
        kept: _,
        reordered,
    } = pairs(old, new, |alias| alias);
    for alias in added {
        lines.add(format!("model {model} alias {alias} added"));
    }
    for alias in removed {
        lines.add(format!("model {model} alias {alias} removed"));
    }
    if reordered {
        lines.add(format!("model {model} aliases reordered"));
    }
}

fn policy(old: &Model, new: &Model) -> Lines {
    let Model {
        name: _,
        // Above.
        aliases: _,
        price,
        balance,
        timeouts,
        retry,
        breaker,
        cool_down,
        usage: UsageParams { ask },
        // Made of the endpoints' deployments.
        tiers: _,
    } = old;
    let mut edits = Lines::default();
    edits.key(" price", price, &new.price, words::or("none"));
    edits.key(" balance", balance, &new.balance, words::balance);
    self::timeouts(timeouts, &new.timeouts, &mut edits);
    self::retry(retry, &new.retry, &mut edits);
    self::breaker(breaker, &new.breaker, &mut edits);
    self::cool_down(cool_down, &new.cool_down, &mut edits);
    edits.key(" usage.ask", ask, &new.usage.ask, words::plain);
    edits
}

fn timeouts(old: &Timeouts, new: &Timeouts, edits: &mut Lines) {
    let Timeouts {
        connect,
        read,
        read_stream,
        total,
    } = old;
    edits.key(" timeouts.connect", connect, &new.connect, words::span);
    edits.key(" timeouts.read", read, &new.read, words::span);
    edits.key(
        " timeouts.read_stream",
        read_stream,
        &new.read_stream,
        words::span,
    );
    edits.key(" timeouts.total", total, &new.total, words::span);
}

fn retry(old: &RetryParams, new: &RetryParams, edits: &mut Lines) {
    let RetryParams {
        attempts,
        budget_percent: budget,
        budget_min_per_second: budget_min,
        on,
    } = old;
    edits.key(" retry.attempts", attempts, &new.attempts, words::plain);
    edits.key(" retry.budget", budget, &new.budget_percent, words::percent);
    edits.key(
        " retry.budget_min_per_second",
        budget_min,
        &new.budget_min_per_second,
        words::plain,
    );
    edits.key(" retry.on", on.as_slice(), &new.on, words::causes);
}

fn breaker(old: &BreakerParams, new: &BreakerParams, edits: &mut Lines) {
    let BreakerParams {
        enabled,
        failures,
        interval,
        statuses,
        reasons,
        trip,
        accept_retry_after,
    } = old;
    let key = |key: &str| format!(" circuit_breaker{key}");
    edits.key(&key(""), enabled, &new.enabled, words::on_off);
    edits.key(&key(".failures"), failures, &new.failures, words::plain);
    edits.key(&key(".interval"), interval, &new.interval, words::span);
    edits.key(
        &key(".statuses"),
        statuses.as_slice(),
        &new.statuses,
        words::statuses,
    );
    edits.key(
        &key(".reasons"),
        reasons.as_slice(),
        &new.reasons,
        words::causes,
    );
    edits.key(&key(".trip"), trip, &new.trip, words::span);
    edits.key(
        &key(".accept_retry_after"),
        accept_retry_after,
        &new.accept_retry_after,
        words::plain,
    );
}

fn cool_down(old: &CoolDownParams, new: &CoolDownParams, edits: &mut Lines) {
    let CoolDownParams {
        min,
        max,
        default,
        auth,
        absent,
    } = old;
    edits.key(" cool_down.min", min, &new.min, words::span);
    edits.key(" cool_down.max", max, &new.max, words::span);
    edits.key(" cool_down.default", default, &new.default, words::span);
    edits.key(" cool_down.auth", auth, &new.auth, words::span);
    edits.key(" cool_down.absent", absent, &new.absent, words::span);
}
