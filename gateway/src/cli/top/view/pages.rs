//! What is shown in place of the tables: a deployment in detail, and the keys.

use super::{
    Tone,
    words::{count, millis, percent, rate, span, time},
};
use crate::cli::{
    shown::{Deployment, LastError},
    top::model::Member,
};

/// Lines of a page, each with what it means.
type Page = Vec<(Tone, String)>;

pub(super) fn help() -> Page {
    let mut page = vec![(Tone::Strong, "keys".to_owned())];
    for (keys, what) in [
        ("↑ ↓  k j", "choose a deployment"),
        ("pgup pgdn g G", "ten rows, the first, the last"),
        ("enter", "the deployment in detail, its last errors"),
        ("tab", "clients, and back"),
        ("/", "only what contains a text"),
        ("t", "only what is in trouble"),
        ("d", "disable the endpoint, after a question"),
        ("r", "drain the endpoint, after a question"),
        ("e", "enable the endpoint, after a question"),
        ("q  esc  ^C", "quit"),
    ] {
        page.push((Tone::Plain, format!("{keys:<14} {what}")));
    }
    for text in [
        "",
        "Rates are over five seconds. BUSY: requests in flight. FIRST: until the first byte of an answer. \
         UTIL: of provisioned capacity. LEFT: requests and tokens, as the provider says.",
    ] {
        page.push((Tone::Faint, text.to_owned()));
    }
    page
}

pub(super) fn details(member: &Member<'_>, now: f64) -> Page {
    let deployment = member.deployment;
    let mut page = vec![(
        Tone::Strong,
        format!("{} on {}", member.pool.model, deployment.endpoint),
    )];
    let (_, tone) = deployment.state.symbol();
    page.push((tone, line("state", &state(deployment))));
    // First what somebody looks for here: a small terminal shows only the beginning.
    if deployment.last_errors.is_empty() {
        page.push((Tone::Faint, line("last errors", "none")));
    }
    let names = std::iter::once("last errors").chain(std::iter::repeat(""));
    for (name, error) in names.zip(&deployment.last_errors) {
        page.push((Tone::Plain, line(name, &last_error(error, now))));
    }
    for (name, text) in facts(member) {
        page.push((Tone::Plain, line(name, &text)));
    }
    page
}

fn line(name: &str, text: &str) -> String {
    format!("{name:<11} {text}")
}

fn state(deployment: &Deployment) -> String {
    let (symbol, _) = deployment.state.symbol();
    let mut text = format!("{symbol} {}", deployment.state.word());
    if let Some(reason) = &deployment.reason {
        text += &format!(", {reason}");
    }
    if let Some(since) = deployment.since {
        text += &format!(", since {}", time(since));
    }
    if let Some(left) = deployment.seconds_left {
        text += &format!(", {} left", span(left.ceil()));
    }
    text
}

fn facts(member: &Member<'_>) -> Vec<(&'static str, String)> {
    let Member {
        pool,
        deployment,
        endpoint,
        rates,
        ..
    } = member;
    let mut facts = Vec::new();
    if let Some(endpoint) = endpoint {
        let text = format!(
            "{}, {}, {}",
            endpoint.switch.as_str(),
            endpoint.kind,
            endpoint.url
        );
        facts.push(("endpoint", text));
    }
    let region = deployment.region.as_deref().unwrap_or("no region");
    facts.push(("deployment", format!("{}, {region}", deployment.deployment)));
    if !pool.aliases.is_empty() {
        facts.push(("aliases", pool.aliases.join(", ")));
    }
    let (priority, weight) = (deployment.priority, deployment.weight);
    facts.push(("priority", format!("{priority}, weight {weight}")));
    let attempts = &deployment.attempts;
    facts.push((
        "attempts",
        format!(
            "{} ok, {} client's, {} failed; {}/s, {} failed/s; {} in flight",
            count(attempts.ok),
            count(attempts.client),
            count(attempts.failed),
            rate(rates.requests),
            rate(rates.failed),
            deployment.in_flight,
        ),
    ));
    facts.push((
        "tokens",
        format!(
            "{} prompt, {} completion; {}/s",
            count(deployment.tokens.prompt),
            count(deployment.tokens.completion),
            rate(rates.tokens),
        ),
    ));
    let known = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), millis);
    let latency = &deployment.latency_ms;
    facts.push((
        "latency",
        format!(
            "{} first byte, {} whole answer",
            known(latency.first_byte),
            known(latency.total)
        ),
    ));
    let quota = &deployment.quota;
    facts.push((
        "quota left",
        format!(
            "{} requests, {} tokens",
            rate(quota.requests),
            rate(quota.tokens)
        ),
    ));
    if let Some(used) = deployment.utilization {
        facts.push(("utilization", percent(used)));
    }
    facts
}

fn last_error(error: &LastError, now: f64) -> String {
    let mut text = format!(
        "{}  {} ago  {}",
        time(error.at),
        span((now - error.at).max(0.0)),
        error.cause
    );
    if let Some(status) = error.status {
        text += &format!("  {status}");
    }
    if let Some(wait) = error.wait_seconds {
        text += &format!("  wait {}", span(wait.ceil()));
    }
    text
}
