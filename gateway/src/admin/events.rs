//! The status as server-sent events: at once, and then every second until the reader goes away or the process does.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use pingora::{protocols::http::ServerSession, server::ShutdownWatch};
use tokio::time::{MissedTickBehavior, interval};

use super::head;

const EVERY: Duration = Duration::from_secs(1);
/// A reader that takes nothing for so long is given up.
const WRITE: Duration = Duration::from_secs(10);

pub(super) async fn stream(
    session: &mut ServerSession,
    event: impl Fn() -> Bytes,
    mut shutdown: ShutdownWatch,
) -> pingora::Result<()> {
    let mut head = head(StatusCode::OK, "text/event-stream")?;
    // Pingora takes an answer without a length to end with its connection, unless it is told.
    head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    session.write_response_header(Box::new(head)).await?;
    if session.req_header().method == Method::HEAD {
        return Ok(());
    }
    session.set_write_timeout(Some(WRITE));
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|&stops| stops) => break,
            _ = ticks.tick() => {}
        }
        session.write_response_body(event(), false).await?;
    }
    session.write_response_body(Bytes::new(), true).await
}

/// `status` has no line ends, as JSON has none.
pub(super) fn event(status: &str) -> Bytes {
    format!("event: status\ndata: {status}\n\n").into()
}
