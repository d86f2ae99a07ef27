//! What looks at the body of an answer as it passes to the client: for the tokens it reports, the code of an error,
//! the time of its first byte. Takes out what only the gateway asked for, and holds nothing else up.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, header};
use pingora::http::ResponseHeader;

use super::context::{AnswerFacts, RequestContext};
use crate::{
    api::{
        body::estimated_prompt_tokens,
        operation::Operation,
        sse::{Tap, unasked::Unasked},
        unary,
    },
    clock::Timestamp,
};

/// As much of an error's body is looked at to learn its code.
const ERROR_BYTES_MAX: usize = 16 * 1024;

/// Chooses by the head of an answer what looks at its body. Nothing does if that is compressed; but no endpoint was
/// asked to compress it.
pub(super) fn begin(response: &ResponseHeader, ctx: &mut RequestContext) {
    let header = |name: HeaderName| response.headers.get(name).map(HeaderValue::as_bytes);
    let is_plain = header(header::CONTENT_ENCODING).is_none_or(|coding| coding == b"identity");
    let Some(wanted) = ctx.wanted.as_ref().filter(|_| is_plain) else {
        return;
    };
    let facts = &mut ctx.answer;
    if response.status.as_u16() >= 400 {
        facts.error_body = Some(BytesMut::new());
    }
    let media_type = header(header::CONTENT_TYPE).unwrap_or_default();
    if media_type.starts_with(b"application/json") && response.status.is_success() {
        facts.json = Some(unary::Tap::default());
    } else if media_type.starts_with(b"text/event-stream") {
        facts.tap = Some(Tap::default());
        // A length that was promised would not be kept. No provider promises one.
        if ctx.asks && header(header::CONTENT_LENGTH).is_none() {
            facts.unasked = Some(Unasked::default());
        }
        let is_text = matches!(
            wanted.operation,
            Operation::ChatCompletions | Operation::Completions | Operation::Responses
        );
        facts.prompt_estimate = is_text.then(|| estimated_prompt_tokens(&wanted.body.bytes));
    }
}

/// Looks at a part of the body, and leaves of it what goes on.
pub(super) fn pass(
    body: &mut Option<Bytes>,
    end_of_stream: bool,
    facts: &mut AnswerFacts,
    now: Timestamp,
) {
    if let Some(chunk) = body {
        look_at(chunk, facts, now);
    }
    if let Some(unasked) = &mut facts.unasked {
        *body = body.take().map(|chunk| unasked.pass(chunk));
        let rest = if end_of_stream {
            unasked.rest()
        } else {
            Bytes::new()
        };
        if !rest.is_empty() {
            let before = body.take().unwrap_or_default();
            *body = Some([before, rest].concat().into());
        }
    }
    facts.bytes += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
}

fn look_at(chunk: &Bytes, facts: &mut AnswerFacts, now: Timestamp) {
    if facts.first_byte.is_none() && !chunk.is_empty() {
        facts.first_byte = Some(now);
    }
    if let Some(tap) = &mut facts.tap {
        tap.feed(chunk);
    }
    if let Some(tap) = &mut facts.json {
        tap.feed(chunk);
    }
    if let Some(start) = &mut facts.error_body {
        let room = ERROR_BYTES_MAX - start.len();
        start.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
}
