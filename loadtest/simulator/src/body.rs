//! The body of an answer on its way out: whole, or event by event at a pace, and the ways it can go wrong.
//! Knows no JSON.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection::{End, Fate};
use crate::stats::{Ticket, Usage};

/// The body ends abnormally: the connection is closed without the end of the message.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// What follows the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    /// A normal end of a spoilt answer.
    Spoilt,
    Silence,
    Cut,
    Reset,
}

pub(crate) struct AnswerBody {
    content: Content,
    /// Decides the connection's end when the body is out.
    close_after: Option<Arc<Fate>>,
}

enum Content {
    Whole(Bytes),
    Pieces(Box<Pieces>),
}

impl AnswerBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self {
            content: Content::Whole(bytes),
            close_after: None,
        }
    }

    pub(crate) fn pieces(pieces: Pieces) -> Self {
        Self {
            content: Content::Pieces(Box::new(pieces)),
            close_after: None,
        }
    }

    pub(crate) fn closing(mut self, fate: &Arc<Fate>) -> Self {
        self.close_after = Some(Arc::clone(fate));
        self
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(fate) = &self.close_after {
            fate.decide(End::CloseAfterAnswer);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Pieces(pieces) => pieces.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Pieces(_) => SizeHint::default(),
        }
    }
}

/// When each piece is due.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    pub(crate) start: Instant,
    pub(crate) interval: Duration,
    /// The pieces sent at intervals; the ones before are due at once, the ones after with the last.
    pub(crate) paced: std::ops::Range<usize>,
}

impl Pace {
    /// Everything is due at once.
    pub(crate) fn none() -> Self {
        Self {
            start: Instant::now(),
            interval: Duration::ZERO,
            paced: 0..0,
        }
    }

    fn due(&self, index: usize) -> Option<Instant> {
        if self.interval.is_zero() || index <= self.paced.start {
            return None;
        }
        let steps = index.min(self.paced.end.saturating_sub(1)) - self.paced.start;
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        Some(self.start + self.interval * steps)
    }
}

/// Pieces, each flushed to the socket before the next.
pub(crate) struct Pieces {
    pub(crate) pieces: std::vec::IntoIter<Bytes>,
    pub(crate) sent: usize,
    pub(crate) pace: Pace,
    pub(crate) ending: Ending,
    pub(crate) status: u16,
    pub(crate) usage: Usage,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) fate: Arc<Fate>,
    pub(crate) sleep: Option<Pin<Box<Sleep>>>,
    /// Whether something was handed over since the last flush; true at first, for the head.
    pub(crate) unflushed: bool,
}

impl Pieces {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if std::mem::take(&mut self.unflushed) {
            // hyper flushes whenever a body has nothing to give.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.pieces.as_slice().is_empty() {
            return self.end();
        }
        if let Some(due) = self.pace.due(self.sent)
            && due > Instant::now()
        {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if sleep.deadline() != due {
                sleep.as_mut().reset(due);
            }
            ready!(sleep.as_mut().poll(cx));
        }
        let piece = self.pieces.next();
        self.sent += 1;
        self.unflushed = true;
        if self.pieces.as_slice().is_empty() && self.ending == Ending::Complete {
            // A caller that leaves after the last piece missed nothing, and the end travels with that piece.
            self.complete();
            self.unflushed = false;
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.ending {
            Ending::Complete => {
                self.complete();
                Poll::Ready(None)
            }
            Ending::Spoilt => {
                self.fault();
                Poll::Ready(None)
            }
            Ending::Cut => {
                self.fault();
                Poll::Ready(Some(Err(Cut)))
            }
            Ending::Reset => {
                self.fault();
                self.fate.decide(End::Reset);
                Poll::Pending
            }
            // Dropped when the caller leaves, which the ticket then counts.
            Ending::Silence => Poll::Pending,
        }
    }

    fn complete(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.complete(self.status, self.usage);
        }
    }

    fn fault(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.faulted();
        }
    }
}
