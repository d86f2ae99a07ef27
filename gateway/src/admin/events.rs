//! The status as server-sent events: at once, and then every second until the reader goes away, a newer one takes its
//! place, or the process ends.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode, Version, header};
use pingora::{protocols::http::ServerSession, server::ShutdownWatch};
use tokio::time::{MissedTickBehavior, interval};

use super::{Admin, head};

const EVERY: Duration = Duration::from_secs(1);
/// A reader that takes nothing for so long is given up.
const WRITE: Duration = Duration::from_secs(10);
/// A comment, so programs do not take it for an event.
const LOST: &str = ": a newer reader took this place\n\n";

pub(super) async fn stream(
    session: &mut ServerSession,
    admin: &Arc<Admin>,
    mut shutdown: ShutdownWatch,
) -> pingora::Result<()> {
    let mut head = head(StatusCode::OK, "text/event-stream")?;
    // Pingora takes an answer without a length to end with its connection, unless it is told. HTTP/1.0 knows no other.
    if session.req_header().version >= Version::HTTP_11 {
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    session.write_response_header(Box::new(head)).await?;
    if session.req_header().method == Method::HEAD {
        return Ok(());
    }
    let seat = admin.event_readers.enter();
    session.set_write_timeout(Some(WRITE));
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let last = loop {
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|&stops| stops) => break "",
            () = seat.lost() => break LOST,
            _ = ticks.tick() => {}
        }
        let Some(event) = admin.event().await else {
            break "";
        };
        session.write_response_body(event, false).await?;
    };
    let last = Bytes::from_static(last.as_bytes());
    session.write_response_body(last, true).await
}

/// `status` has no line ends, as JSON has none.
pub(super) fn event(status: &str) -> Bytes {
    format!("event: status\ndata: {status}\n\n").into()
}
