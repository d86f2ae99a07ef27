//! The request body: read before an endpoint is chosen, kept for replay, sent to each attempt. The one file that
//! knows how to make pingora do that, so that it can be deleted when pingora can.
//!
//! Pingora 0.9.1 sends a body that was read early only if its retry buffer holds it, and that buffer takes 64 KiB
//! (`BODY_BUF_LIMIT`, v1/common.rs, private): with one byte more the request hangs. So the buffer is enabled only
//! before the read that brings the last 64 KiB; on every attempt pingora then calls `request_body_filter` once
//! with that tail (proxy_h1.rs: only `if buffer.is_some() || is_body_empty()`), and [`inject`] puts the whole body
//! in its place. Guarded by the test `a_large_body_survives_two_failing_endpoints`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::Error;
use pingora_proxy::Session;
use prometheus::IntGauge;
use tokio::time::timeout;

use super::{
    Gateway, answer, attempt,
    context::{Reply, RequestContext},
    held,
};
use crate::{
    api::error::ApiError,
    config::compiled::Limits,
    policy::{cause::Cause, outcome::Outcome},
};

/// Size of pingora's retry buffer, and of the largest body without a length that can be replayed.
const PINGORA_BUFFER_BYTES: usize = 64 * 1024;
/// What a body gets at first; it grows with what arrives, not with what was promised.
const FIRST_BYTES: usize = 256 * 1024;

/// The memory that request bodies may take, over all requests.
#[derive(Clone)]
pub struct BufferPool {
    used: Arc<AtomicUsize>,
    gauge: IntGauge,
}

impl BufferPool {
    pub(super) fn new(gauge: IntGauge) -> Self {
        Self {
            used: Arc::default(),
            gauge,
        }
    }

    fn share(&self) -> Share {
        Share {
            pool: self.clone(),
            bytes: 0,
            copy: 0,
        }
    }
}

/// What one request has taken of the pool; given back on drop.
struct Share {
    pool: BufferPool,
    bytes: usize,
    /// Part of `bytes`: a copy of the body with another model in it.
    copy: usize,
}

impl Share {
    fn grow(&mut self, bytes: usize, bytes_max: usize) -> Result<(), ApiError> {
        let before = self.pool.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        self.pool.gauge.add(bytes.try_into().unwrap_or(i64::MAX));
        // What was added is given back on drop.
        if before + bytes > bytes_max {
            Err(ApiError::gateway_busy())
        } else {
            Ok(())
        }
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.pool.used.fetch_sub(bytes, Ordering::Relaxed);
        self.pool.gauge.sub(bytes.try_into().unwrap_or(i64::MAX));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// A body as it was read.
pub(super) struct Buffered {
    pub(super) bytes: Bytes,
    rest: Rest,
    share: Share,
}

enum Rest {
    /// All of it was read.
    None,
    /// More than can be kept is still to come, straight to one endpoint.
    Waiting,
    /// It is on its way, so many bytes up to now: no other attempt can be made.
    Sent(usize),
}

impl Buffered {
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.rest, Rest::None)
    }

    /// The body of an attempt is a copy of so many bytes. It replaces that of the attempt before. What is needed
    /// to go on with a request that was let in is not refused any more, only counted.
    pub(super) fn count_copy(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.share.copy, bytes);
        self.share.give_back(before);
        let _ = self.share.grow(bytes, usize::MAX);
    }

    /// The body is not needed any more: it was sent, and will not be sent again. One that is streamed keeps its
    /// beginning, which may not be on its way yet.
    pub(super) fn release(&mut self) {
        if self.is_whole() {
            self.rest = Rest::Sent(self.bytes.len());
            self.bytes = Bytes::new();
            self.share.give_back(self.share.bytes);
            self.share.copy = 0;
        }
    }

    /// Whether the request can be sent (again).
    pub(super) fn is_replayable(&self) -> bool {
        !matches!(self.rest, Rest::Sent(_))
    }
}

/// Why there is no body to go on with.
pub(super) enum Unread {
    Refused(ApiError),
    /// The client's connection failed.
    Client(Box<Error>),
}

impl From<ApiError> for Unread {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// Reads the body. `streamable`: the model is known without it, so one that is too long to keep may be streamed.
pub(super) async fn read(
    session: &mut Session,
    limits: &Limits,
    pool: &BufferPool,
    streamable: bool,
) -> Result<Buffered, Unread> {
    let share = pool.share();
    if session.is_body_empty() {
        return Ok(Buffered {
            bytes: Bytes::new(),
            rest: Rest::None,
            share,
        });
    }
    let length = content_length(session);
    if length.is_some_and(|length| length > limits.body_bytes_max) {
        return Err(ApiError::body_too_large(limits.body_bytes_max).into());
    }
    // Pingora does not answer this when the body is read in a filter; curl then waits a second.
    if session.get_header(header::EXPECT).is_some() {
        session
            .write_continue_response()
            .await
            .map_err(|error| Unread::Client(error.into_down()))?;
    }
    // HTTP/2 has no read timeout in pingora, and on HTTP/1.1 it is one for each read.
    match timeout(
        limits.client_body,
        read_all(session, limits, share, length, streamable),
    )
    .await
    {
        Ok(read) => read,
        Err(_) => Err(ApiError::request_timeout().into()),
    }
}

async fn read_all(
    session: &mut Session,
    limits: &Limits,
    mut share: Share,
    length: Option<usize>,
    streamable: bool,
) -> Result<Buffered, Unread> {
    let mut body = BytesMut::with_capacity(length.unwrap_or(4096).min(FIRST_BYTES));
    loop {
        let last_read = match length {
            Some(length) => length.saturating_sub(body.len()) <= PINGORA_BUFFER_BYTES,
            None => body.is_empty(),
        };
        if last_read {
            session.downstream_session.enable_retry_buffering();
        }
        let read = session
            .read_request_body()
            .await
            .map_err(|error| Unread::Client(error.into_down()))?;
        let Some(chunk) = read else { break };
        if body.len() + chunk.len() > limits.body_bytes_max {
            return Err(ApiError::body_too_large(limits.body_bytes_max).into());
        }
        share.grow(chunk.len(), limits.buffered_bytes_max)?;
        body.extend_from_slice(&chunk);
        if length.is_none() && body.len() > PINGORA_BUFFER_BYTES {
            // Once the end was read pingora would wait for it for ever.
            if !streamable || session.is_body_done() {
                return Err(ApiError::length_required().into());
            }
            return Ok(Buffered {
                bytes: body.freeze(),
                rest: Rest::Waiting,
                share,
            });
        }
    }
    if !body.is_empty() && session.downstream_session.get_retry_buffer().is_none() {
        tracing::error!("a body was read that cannot be replayed");
        return Err(ApiError::internal_error().into());
    }
    Ok(Buffered {
        bytes: body.freeze(),
        rest: Rest::None,
        share,
    })
}

fn content_length(session: &Session) -> Option<usize> {
    session
        .get_header(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Puts the body of this attempt where pingora has its own copy of a part of it.
///
/// # Errors
/// A body without a length has grown over the limit. The client is told, if it has heard nothing yet.
pub(super) fn inject(
    gateway: &Gateway,
    session: &Session,
    body: &mut Option<Bytes>,
    end_of_stream: bool,
    ctx: &mut RequestContext,
) -> pingora::Result<()> {
    // HTTP/2 clients end a body with an empty frame. Pingora would write it to an HTTP/1.1 endpoint as a last
    // chunk, and then the last chunk (proxy_h1.rs send_body_to1): five bytes too many on a connection that is used
    // again. Guarded by `a_long_body_without_a_length_goes_to_one_endpoint_or_is_refused`.
    if end_of_stream && body.as_ref().is_some_and(Bytes::is_empty) {
        *body = None;
    }
    let Some(wanted) = &mut ctx.wanted else {
        return Ok(());
    };
    // Bytes of a tunnel pass here as well.
    if session.was_upgraded() {
        return Ok(());
    }
    let sent = match wanted.body.rest {
        Rest::None => {
            if !ctx.outgoing.is_empty() {
                *body = Some(ctx.outgoing.clone());
            }
            return Ok(());
        }
        Rest::Waiting => {
            let mut first = BytesMut::from(&*ctx.outgoing);
            first.extend_from_slice(body.as_deref().unwrap_or_default());
            *body = Some(first.freeze());
            0
        }
        Rest::Sent(sent) => sent,
    };
    let sent = sent + body.as_ref().map_or(0, Bytes::len);
    wanted.body.rest = Rest::Sent(sent);
    let bytes_max = ctx.snapshot.config.limits.body_bytes_max;
    if sent <= bytes_max {
        return Ok(());
    }
    let outcome = Outcome::without_answer(Cause::BadRequest);
    attempt::ended(gateway, ctx, outcome, held::has_begun(session));
    ctx.reply = Reply::Own(ApiError::body_too_large(bytes_max));
    Err(answer::decided(ctx, 413, false))
}
