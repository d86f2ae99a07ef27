//! What the gateway itself says to a client: its own errors in the OpenAI shape, small JSON answers, and a
//! provider's answer that was held back.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use pingora::{Error, ErrorSource, ErrorType, Result, http::ResponseHeader};
use pingora_proxy::{FailToProxy, Session};

use super::{
    answer::dress,
    attempt,
    context::{Held, Reply, RequestContext},
    decision, held,
};
use crate::{
    api::error::ApiError,
    clock::{self, Timestamp},
};

/// The openai Python SDK gives up at once on a longer wait.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// How long a request that was answered early may go on.
const LINGER: Duration = Duration::from_secs(5);
/// "Now" would be read as no time at all by the SDKs: told to clients when somebody is usable already.
const WAIT_AT_ONCE: Duration = Duration::from_secs(1);

/// The end of a request that pingora gave up. Writes what is to be said, if the client is still there and has
/// heard nothing yet.
pub(super) async fn after_failure(
    session: &mut Session,
    error: &Error,
    ctx: &mut RequestContext,
    now: Timestamp,
) -> FailToProxy {
    let silent = held::has_begun(session) || *error.esource() == ErrorSource::Downstream;
    if !silent {
        // Pingora closes the connection after this hook whatever is returned here, so the client is told.
        session.downstream_session.set_keepalive(None);
        let written = match std::mem::take(&mut ctx.reply) {
            Reply::Held(held) => write_held(session, ctx, *held).await,
            Reply::Own(words) => own(session, ctx, &words, now).await,
            Reply::None => {
                let words = attempt::own_error(ctx);
                own(session, ctx, &words, now).await
            }
        };
        if let Err(error) = written {
            tracing::debug!(%error, "the client left before it was answered");
        }
    } else if session.response_written().is_none() && ctx.wanted.is_none() {
        // A request that could not be read: the client may still be listening.
        let words = match error.etype() {
            ErrorType::ReadTimedout => ApiError::request_timeout(),
            _ => ApiError::malformed_request("the body could not be read"),
        };
        session.downstream_session.set_keepalive(None);
        let _ = self::error(session, ctx, &words, None).await;
    }
    FailToProxy {
        error_code: ctx.answer.status,
        can_reuse_downstream: false,
    }
}

async fn own(
    session: &mut Session,
    ctx: &mut RequestContext,
    words: &ApiError,
    now: Timestamp,
) -> Result<()> {
    let wait = attempt::wait(ctx, now).filter(|_| matches!(words.status, 429 | 503));
    error(session, ctx, words, wait).await
}

/// Answers with one of the gateway's own errors. `wait`: when to come back.
pub(super) async fn error(
    session: &mut Session,
    ctx: &mut RequestContext,
    error: &ApiError,
    wait: Option<Duration>,
) -> Result<()> {
    let mut head = head(error.status)?;
    if let Some(allow) = error.allow {
        head.insert_header(header::ALLOW, allow)?;
    }
    if let Some(challenge) = error.challenge() {
        head.insert_header(header::WWW_AUTHENTICATE, challenge)?;
    }
    if let Some(wait) = wait {
        set_wait(&mut head, wait)?;
    }
    ctx.answer.error_code = Some(error.code.to_owned());
    write(session, ctx, head, error.body()).await
}

pub(super) async fn json(
    session: &mut Session,
    ctx: &mut RequestContext,
    status: u16,
    body: Bytes,
) -> Result<()> {
    let head = head(status)?;
    write(session, ctx, head, body).await
}

fn head(status: u16) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(status, Some(8))?;
    head.insert_header(header::CONTENT_TYPE, "application/json")?;
    Ok(head)
}

async fn write(
    session: &mut Session,
    ctx: &mut RequestContext,
    mut head: ResponseHeader,
    body: Bytes,
) -> Result<()> {
    // The SDKs show it to their users, who send it to whoever runs the gateway.
    let request_id = format!("{:032x}", fastrand::u128(..));
    head.insert_header("x-request-id", request_id.as_str())?;
    ctx.answer.request_id = Some(request_id);
    if ctx.snapshot.config.response_headers && !ctx.course.tried.is_empty() {
        add_route_headers(&mut head, ctx)?;
    }
    if ctx.explains {
        decision::add(&mut head, ctx, clock::now())?;
    }
    send(session, ctx, head, body).await
}

async fn write_held(session: &mut Session, ctx: &mut RequestContext, held: Held) -> Result<()> {
    let Held { mut head, body } = held;
    ctx.answer.request_id = request_id(&head);
    // Pingora's HTTP/1.1 writer cannot serialise the head of an HTTP/2 answer (v1/server.rs).
    head.set_version(http::Version::HTTP_11);
    dress(&mut head, ctx)?;
    head.remove_header(&header::TRANSFER_ENCODING);
    send(session, ctx, head, body.freeze()).await
}

async fn send(
    session: &mut Session,
    ctx: &mut RequestContext,
    mut head: ResponseHeader,
    body: Bytes,
) -> Result<()> {
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    ctx.answer.status = head.status.as_u16();
    ctx.answer.bytes = body.len() as u64;
    session
        .write_response_header(Box::new(head), body.is_empty())
        .await?;
    if !body.is_empty() {
        session.write_response_body(Some(body), true).await?;
    }
    linger(session).await;
    Ok(())
}

/// The provider's id of the request, for the log.
pub(super) fn request_id(head: &ResponseHeader) -> Option<String> {
    head.headers
        .get("x-request-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned)
}

/// Reads on for a while when the answer came before the request had ended. Pingora closes the connection then
/// (v1/server.rs prepare_response_header), and a client that is still writing would see a reset in place of the
/// answer; nginx calls this a lingering close.
pub(super) async fn linger(session: &mut Session) {
    // A client that was not told to go on sends no body.
    if session.get_header(header::EXPECT).is_some() {
        return;
    }
    let rest = async {
        while !session.is_body_done() {
            match session.read_request_body().await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// `retry-after` in whole seconds, rounded up, and `retry-after-ms` for the SDKs that know it.
pub(super) fn set_wait(head: &mut ResponseHeader, wait: Duration) -> Result<()> {
    let wait = if wait.is_zero() {
        WAIT_AT_ONCE
    } else {
        wait.min(WAIT_MAX)
    };
    let millis = wait.as_millis().max(1);
    head.insert_header(header::RETRY_AFTER, millis.div_ceil(1000).to_string())?;
    head.insert_header("retry-after-ms", millis.to_string())
}

/// Who answered, and at which attempt.
pub(super) fn add_route_headers(head: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
    const ENDPOINT: HeaderName = HeaderName::from_static("x-tokenweir-endpoint");
    const ATTEMPTS: HeaderName = HeaderName::from_static("x-tokenweir-attempts");
    if let (Some(pool), Some(&place)) = (ctx.pool(), ctx.course.tried.last()) {
        let upstream = &ctx.snapshot.upstreams[pool.member(place).endpoint];
        head.insert_header(ENDPOINT, upstream.name.clone())?;
    }
    head.insert_header(ATTEMPTS, HeaderValue::from(ctx.course.tried.len()))
}
