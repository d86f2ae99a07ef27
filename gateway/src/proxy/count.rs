//! What is counted when a request has ended. Numbers only: what they mean was decided before.

use std::time::Duration;

use super::context::RequestContext;
use crate::{
    api::{answer::Counted, sse::Summary},
    clock::Timestamp,
};

/// What a request took and cost, for its line in the log.
#[derive(Debug, Default)]
pub(super) struct Bill {
    /// Time that the gateway itself took.
    pub(super) overhead: Duration,
    /// Of a stream: from the request's head to the first byte of the answer's body.
    pub(super) to_first_token: Option<Duration>,
    /// What the stream said that the client got.
    pub(super) stream: Option<Summary>,
    pub(super) counted: Option<Counted>,
    /// In the configured currency, where there is a price.
    pub(super) cost: Option<f64>,
}

/// `stream`: what it said, if the answer is one.
pub(super) fn request(ctx: &mut RequestContext, stream: Option<Summary>, now: Timestamp) -> Bill {
    ctx.answer.open = None;
    let snapshot = &ctx.snapshot;
    let pool = ctx.wanted.as_ref().map(|wanted| wanted.pool);
    let status = ctx.answer.status;
    snapshot
        .accounts
        .request(ctx.caller, ctx.named(), ctx.asked, status);

    let took = now.since(ctx.started);
    let elsewhere: Duration = ctx.course.history.iter().map(|tried| tried.took()).sum();
    let mut bill = Bill {
        overhead: took.saturating_sub(elsewhere + ctx.waited),
        stream,
        ..Bill::default()
    };
    let metrics = pool.map_or(&snapshot.other_metrics, |pool| {
        &snapshot.model_metrics[pool]
    });
    metrics.request(took, bill.overhead);

    // The last one tried is the one whose answer the client got.
    let (Some(pool), Some(served)) = (pool, ctx.course.history.last()) else {
        return bill;
    };
    bill.counted = ctx.answer.tokens(bill.stream.as_ref());
    if let Some(counted) = &bill.counted {
        let accounts = &snapshot.accounts;
        bill.cost = accounts.tokens(ctx.caller, pool, served.place, counted);
    }
    if let (Some(_), Some(first_byte)) = (&bill.stream, ctx.answer.first_byte) {
        let tokens = bill.counted.filter(|counted| !counted.estimated);
        let to_first = first_byte.since(ctx.started);
        bill.to_first_token = Some(to_first);
        snapshot.pools[pool].member(served.place).metrics.stream(
            to_first,
            now.since(first_byte),
            tokens.map_or(0, |counted| counted.usage.completion),
        );
    }
    bill
}
