//! Turns pingora's errors into what an attempt was. The three ways in which an attempt fails meet in
//! `attempt::ended`; here is only the translation.

use pingora::{Error, ErrorSource, ErrorType, RetryType};
use pingora_proxy::Session;

use super::{
    Gateway, answer, attempt,
    context::{AnswerFacts, RequestContext},
    held,
};
use crate::{
    api::{fault::Fault, sse::Summary},
    policy::{cause::Cause, outcome::Outcome, retry::Verdict},
};

/// No connection: nothing of the request was sent.
pub(super) fn no_connection(
    gateway: &Gateway,
    ctx: &mut RequestContext,
    mut error: Box<Error>,
) -> Box<Error> {
    let outcome = Outcome::without_answer(cause_of_connect(&error));
    let verdict = attempt::ended(gateway, ctx, outcome, false);
    error.set_retry(verdict == Verdict::Retry);
    error
}

/// Something broke after the connection was made: at the provider, at the client, or in a filter of ours.
pub(super) fn while_proxying(
    gateway: &Gateway,
    session: &Session,
    ctx: &mut RequestContext,
    mut error: Box<Error>,
    client_reused: bool,
) -> Box<Error> {
    if ctx.decided {
        return error;
    }
    let inside = in_stream(&ctx.answer, ctx.answer.stream().as_ref());
    // A client that leaves because of the error may have left before pingora has written what it was shown.
    let committed = held::has_begun(session) || inside.is_some();
    let gone = *error.esource() == ErrorSource::Downstream;
    let status = ctx.course.status();
    let cause = match error.esource() {
        // Also a client that left while the provider was still thinking.
        ErrorSource::Downstream => inside.unwrap_or(Cause::ClientGone),
        ErrorSource::Internal => Cause::Gateway,
        ErrorSource::Upstream | ErrorSource::Unset => {
            if !committed
                && is_dead_connection(&error, client_reused)
                && attempt::again(gateway, ctx)
            {
                error.set_retry(true);
                return error;
            }
            inside.unwrap_or_else(|| cause_of_break(&error, status.is_some()))
        }
    };
    if gone {
        gateway.metrics.clients_gone().inc();
    } else if committed {
        gateway.metrics.answers_cut().inc();
        ctx.answer.cut = true;
    }
    let outcome = Outcome {
        cause: Some(cause),
        status,
        retry_after: None,
    };
    let verdict = attempt::ended(gateway, ctx, outcome, committed);
    held::forget(ctx);
    error.set_retry(verdict == Verdict::Retry);
    error
}

/// What an error inside a stream makes of an attempt that was answered with 200.
pub(super) fn in_stream(answer: &AnswerFacts, stream: Option<&Summary>) -> Option<Cause> {
    let fault = stream?.error?;
    (200..300).contains(&answer.status).then_some(match fault {
        Fault::ContentFilter => Cause::ContentFilter,
        Fault::Request => Cause::BadRequest,
        Fault::Throttled => Cause::Throttled,
        Fault::Server => Cause::Server,
    })
}

fn cause_of_connect(error: &Error) -> Cause {
    match error.etype() {
        ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError
        | ErrorType::TLSWantX509Lookup => Cause::Tls,
        _ => Cause::Connect,
    }
}

fn cause_of_break(error: &Error, has_status: bool) -> Cause {
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout if !has_status => Cause::Timeout,
        ErrorType::Custom(_) if *error.etype() == answer::TOTAL_TIME_OVER => Cause::Timeout,
        ErrorType::InternalError => Cause::Gateway,
        _ => Cause::Stall,
    }
}

/// Whether the connection was closed before the request was looked at: as a reused one shows it at its next use,
/// or as HTTP/2 says it (GOAWAY, REFUSED_STREAM), which pingora marks (v2/client.rs handle_read_header_error).
fn is_dead_connection(error: &Error, reused: bool) -> bool {
    matches!(error.retry, RetryType::Decided(true))
        || reused
            && matches!(
                error.etype(),
                ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError
            )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connection_is_told_apart_from_a_failed_handshake() {
        for (etype, cause) in [
            (ErrorType::ConnectTimedout, Cause::Connect),
            (ErrorType::ConnectRefused, Cause::Connect),
            (ErrorType::ConnectNoRoute, Cause::Connect),
            (ErrorType::TLSHandshakeFailure, Cause::Tls),
            (ErrorType::TLSHandshakeTimedout, Cause::Tls),
            (ErrorType::InvalidCert, Cause::Tls),
        ] {
            assert_eq!(
                cause_of_connect(&Error::new(etype.clone())),
                cause,
                "{etype:?}"
            );
        }
    }

    #[test]
    fn silence_before_the_answer_is_a_timeout_and_inside_it_a_stall() {
        let timeout = Error::new(ErrorType::ReadTimedout);
        assert_eq!(cause_of_break(&timeout, false), Cause::Timeout);
        assert_eq!(cause_of_break(&timeout, true), Cause::Stall);
        assert_eq!(
            cause_of_break(&Error::new(ErrorType::ConnectionClosed), false),
            Cause::Stall
        );
        assert_eq!(
            cause_of_break(&Error::new(ErrorType::InvalidHTTPHeader), false),
            Cause::Stall
        );
    }
}
