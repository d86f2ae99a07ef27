//! What an operation answers: one body, or a script of events. Knows no socket and no time.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::stats::Usage;

pub(crate) enum Answer {
    Unary(Unary),
    Stream(Script),
}

pub(crate) struct Unary {
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    pub(crate) usage: Usage,
    /// Tokens whose generation the caller waits for.
    pub(crate) paced_tokens: u64,
}

impl Unary {
    pub(crate) fn json(body: impl Into<Bytes>, usage: Usage) -> Answer {
        Answer::Unary(Self {
            content_type: "application/json",
            body: body.into(),
            usage,
            paced_tokens: 0,
        })
    }

    pub(crate) fn generated(body: impl Into<Bytes>, usage: Usage) -> Answer {
        Answer::Unary(Self {
            content_type: "application/json",
            body: body.into(),
            usage,
            paced_tokens: usage.completion,
        })
    }
}

/// How a stream tells an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Completions,
    Responses,
}

impl Dialect {
    pub(crate) fn error_event(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Completions => concat!(
                "data: {\"error\":{\"message\":\"The server had an error while processing your request. ",
                "Sorry about that!\",\"type\":\"server_error\",\"param\":null,\"code\":\"InternalServerError\"}}\n\n"
            )
            .as_bytes(),
            Self::Responses => concat!(
                "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"server_error\",\"message\":",
                "\"The server had an error while processing your request. Sorry about that!\",\"param\":null}\n\n"
            )
            .as_bytes(),
        })
    }
}

/// The events of a stream in order; the ones in `tokens` are sent at the deployment's pace.
pub(crate) struct Script {
    pub(crate) dialect: Dialect,
    pub(crate) events: Vec<Bytes>,
    pub(crate) tokens: Range<usize>,
    pub(crate) usage: Usage,
    buffer: BytesMut,
}

impl Script {
    pub(crate) fn new(dialect: Dialect, usage: Usage) -> Self {
        let capacity = usize::try_from(usage.completion).unwrap_or(0).min(4096) * 320 + 4096;
        Self {
            dialect,
            events: Vec::new(),
            tokens: 0..0,
            usage,
            buffer: BytesMut::with_capacity(capacity),
        }
    }

    /// Appends an event made of `parts`.
    pub(crate) fn event(&mut self, parts: &[&str]) {
        for part in parts {
            self.buffer.extend_from_slice(part.as_bytes());
        }
        self.events.push(self.buffer.split().freeze());
    }

    /// As [`Script::event`], for an event that carries a token.
    pub(crate) fn token(&mut self, parts: &[&str]) {
        if self.tokens.is_empty() {
            self.tokens = self.events.len()..self.events.len();
        }
        self.event(parts);
        self.tokens.end = self.events.len();
    }
}
