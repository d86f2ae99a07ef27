//! Says why a request went where it went: in a few words for the access line, and as JSON for a client that may know and
//! asked. Names come from the configuration, so either fits into a header.

use std::fmt;

use http::{HeaderName, HeaderValue};
use pingora::{Result, http::ResponseHeader};
use pingora_proxy::Session;
use serde::Serialize;

use super::context::RequestContext;
use crate::{
    clock::Timestamp,
    config::compiled::{Access, Client},
    policy::reason::Reason,
    pool::{Chosen, Decision, Pool, Skipped},
    snapshot::Snapshot,
};

/// By which a client asks, and in which it is told.
const EXPLAIN: HeaderName = HeaderName::from_static("x-tokenweir-explain");

/// The last decision for the access line; `None` where there was nothing to decide.
pub(super) fn decision(ctx: &RequestContext) -> Option<impl fmt::Display> {
    let decision = &ctx.course.decision;
    let is_plain = matches!(decision.chosen, Chosen::Priority(_)) && decision.skipped.is_empty();
    let pool = ctx.pool().filter(|_| !is_plain)?;
    Some(Words {
        decision,
        pool,
        snapshot: &ctx.snapshot,
    })
}

/// Whether the client asks for the decision and may know it.
pub(super) fn is_wanted(session: &Session, snapshot: &Snapshot, client: Option<&Client>) -> bool {
    let may = match (&snapshot.config.access, client) {
        (_, Some(client)) => client.explain,
        (Access::Open { explain, .. }, None) => *explain,
        (Access::Clients(_), None) => false,
    };
    may && session.get_header(EXPLAIN).is_some_and(|asks| asks == "1")
}

/// Tells the client, if it is to be told, and somebody was or could have been chosen.
pub(super) fn add(head: &mut ResponseHeader, ctx: &RequestContext, now: Timestamp) -> Result<()> {
    let Some(pool) = ctx.pool().filter(|_| ctx.explains) else {
        return Ok(());
    };
    let told = Told::of(ctx, pool, now);
    let json = serde_json::to_string(&told).unwrap_or_default();
    head.insert_header(EXPLAIN, HeaderValue::try_from(json).expect("plain ASCII"))
}

struct Words<'a> {
    decision: &'a Decision,
    pool: &'a Pool,
    snapshot: &'a Snapshot,
}

/// `priority 2; skipped aoi-1: cooling_down throttled`
impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decision {
            chosen,
            skipped,
            more,
        } = self.decision;
        match chosen {
            Chosen::Nobody => f.write_str("nobody")?,
            Chosen::Priority(priority) => write!(f, "priority {priority}")?,
            Chosen::LetThrough(priority) => write!(f, "let through, priority {priority}")?,
        }
        for (index, Skipped { place, reason }) in skipped.iter().enumerate() {
            let begin = if index == 0 { "; skipped" } else { "," };
            let endpoint = self.snapshot.name_of(self.pool.member(*place));
            write!(f, "{begin} {endpoint}: {}", reason.as_str())?;
            if let Reason::CoolingDown { cause, .. } = reason {
                write!(f, " {}", cause.as_str())?;
            }
        }
        if *more > 0 {
            write!(f, " and {more} more")?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Told<'a> {
    /// `null`: nobody was left.
    priority: Option<u32>,
    let_through: bool,
    /// Where the last attempt went.
    endpoint: Option<&'a str>,
    attempts: usize,
    skipped: Vec<ToldSkipped<'a>>,
    more: u32,
}

#[derive(Serialize)]
struct ToldSkipped<'a> {
    endpoint: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<f64>,
}

impl<'a> Told<'a> {
    fn of(ctx: &'a RequestContext, pool: &'a Pool, now: Timestamp) -> Self {
        let Decision {
            chosen,
            skipped,
            more,
        } = &ctx.course.decision;
        let (priority, let_through) = match chosen {
            Chosen::Nobody => (None, false),
            Chosen::Priority(priority) => (Some(*priority), false),
            Chosen::LetThrough(priority) => (Some(*priority), true),
        };
        let name = |place| ctx.snapshot.name_of(pool.member(place)).as_str();
        let skipped = skipped.iter().map(|&Skipped { place, reason }| {
            let (cause, until) = match reason {
                Reason::CoolingDown { until, cause } => (Some(cause.as_str()), Some(until)),
                Reason::BreakerOpen { until } => (None, Some(until)),
                Reason::Ready
                | Reason::Recovering { .. }
                | Reason::Disabled
                | Reason::Drained
                | Reason::WeightZero
                | Reason::OperationUnavailable
                | Reason::NoCredential
                | Reason::Tried => (None, None),
            };
            let tenths = |until: Timestamp| (until.since(now).as_secs_f64() * 10.0).round() / 10.0;
            ToldSkipped {
                endpoint: name(place),
                reason: reason.as_str(),
                cause,
                seconds_left: until.map(tenths),
            }
        });
        Self {
            priority,
            let_through,
            endpoint: ctx.course.tried.last().map(|&place| name(place)),
            attempts: ctx.course.tried.len(),
            skipped: skipped.collect(),
            more: *more,
        }
    }
}
