//! Watches a stream of server-sent events as it passes, without changing, holding or copying it: how many
//! events, how it ended, whether it carried an error, and the tokens it reports. The result does not depend on
//! how the bytes were cut into chunks. It is a bystander: nothing in a stream can make it fail.
//!
//! Where a stream breaks off before it reports any tokens, [`Summary::deltas`] stands for those of the answer:
//! providers send one event for a token, or nearly so. What a reasoning model thought is not among them.
//!
//! Events with several `data` lines are read line by line; no provider sends them.

use std::{mem, sync::LazyLock};

use memchr::{memchr, memmem::Finder};

use super::{
    answer::{Facts, Usage},
    fault::Fault,
};

pub mod unasked;

/// Longest line that is looked into, bytes. The last event of the Responses API repeats the whole answer,
/// images come as one line of megabytes.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// What lines are searched for. Made once, because to make one takes as long as to search a line for it.
static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
    usage: Finder::new(b"\"usage\""),
    error: Finder::new(b"\"error\""),
    pieces: [
        Finder::new(b"\"content\""),
        Finder::new(b"\"text\""),
        Finder::new(b"\"arguments\""),
        Finder::new(b"\"reasoning_content\""),
        Finder::new(b"\"refusal\""),
    ],
});

struct Words {
    usage: Finder<'static>,
    error: Finder<'static>,
    /// The members of a chat's or a completion's event that hold a piece of the answer, the usual one first.
    pieces: [Finder<'static>; 5],
}

/// What a stream said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Complete events with data, `[DONE]` included.
    pub events: u64,
    /// Those of them that carry a piece of what the model says.
    pub deltas: u64,
    /// `None`: no sign of a regular end was seen.
    pub end: Option<End>,
    /// The first error that was sent inside the stream, after the status 200.
    pub error: Option<Fault>,
    /// From the last event that had any.
    pub usage: Option<Usage>,
}

/// How a stream says that it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `data: [DONE]`
    Done,
    /// `response.completed`, and its like of images and audio.
    Completed,
    /// `response.incomplete`: cut by a limit or a filter.
    Incomplete,
    /// `response.failed`
    Failed,
}

/// Give it every chunk, then ask [`Tap::summary`].
#[derive(Debug, Default)]
pub struct Tap {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// That line is over the limit and only its end is awaited.
    too_long: bool,
    event: Event,
    summary: Summary,
}

/// The event whose blank line has not come yet.
#[derive(Debug, Default)]
struct Event {
    has_data: bool,
    mark: Option<Mark>,
    /// Whether it carries a piece of the answer.
    delta: bool,
    /// It has a name, and that tells.
    named: bool,
}

/// What the name of an event means for the stream.
#[derive(Debug, Clone, Copy)]
enum Mark {
    End(End),
    Error,
}

impl Mark {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"response.completed"
            | b"transcript.text.done"
            | b"speech.audio.done"
            | b"image_generation.completed"
            | b"image_edit.completed" => Self::End(End::Completed),
            b"response.incomplete" => Self::End(End::Incomplete),
            b"response.failed" => Self::End(End::Failed),
            b"error" => Self::Error,
            _ => return None,
        })
    }
}

impl Tap {
    pub fn feed(&mut self, mut chunk: &[u8]) {
        while let Some(end) = memchr(b'\n', chunk) {
            self.end_line(&chunk[..end]);
            chunk = &chunk[end + 1..];
        }
        self.keep(chunk);
    }

    /// What was seen so far. A last line without a line break counts: the stream may have ended there.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut end = Self {
            summary: self.summary,
            ..Self::default()
        };
        if !self.too_long {
            end.read_line(&self.line);
        }
        end.summary
    }

    /// Holds the beginning of a line, as far as the limit allows.
    fn keep(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > LINE_BYTES_MAX {
            self.too_long = true;
            self.line = Vec::new();
        }
        if !self.too_long {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, bytes: &[u8]) {
        if self.line.is_empty() && !self.too_long && bytes.len() <= LINE_BYTES_MAX {
            return self.read_line(bytes);
        }
        self.keep(bytes);
        if mem::take(&mut self.too_long) {
            // Nothing but data is that long.
            self.event.has_data = true;
            return;
        }
        let mut line = mem::take(&mut self.line);
        self.read_line(&line);
        line.clear();
        self.line = line;
    }

    fn read_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.end_event();
        } else if let Some(data) = line.strip_prefix(b"data:") {
            self.read_data(data.trim_ascii());
        } else if let Some(name) = line.strip_prefix(b"event:") {
            let name = name.trim_ascii();
            self.event.mark = Mark::of(name);
            self.event.named = true;
            self.event.delta = name.ends_with(b".delta");
        }
    }

    fn end_event(&mut self) {
        let event = mem::take(&mut self.event);
        if event.has_data {
            self.summary.events += 1;
            self.summary.deltas += u64::from(event.delta);
            self.note(event.mark);
        }
    }

    fn read_data(&mut self, data: &[u8]) {
        self.event.has_data = true;
        if data == b"[DONE]" {
            return self.note(Some(Mark::End(End::Done)));
        }
        if !self.event.named {
            self.event.delta |= WORDS.pieces.iter().any(|piece| is_said(data, piece));
        }
        // Parsed only where there may be something to find, which is about once a stream.
        let is_error = matches!(self.event.mark, Some(Mark::Error));
        if !(is_error || tells(data, &WORDS.usage) || tells(data, &WORDS.error)) {
            return;
        }
        let Some(facts) = Facts::read(data) else {
            return;
        };
        self.summary.usage = facts.usage.or(self.summary.usage);
        let mark = facts.kind.and_then(|kind| Mark::of(kind.as_bytes()));
        let is_error = matches!(mark.or(self.event.mark), Some(Mark::Error));
        let error = is_error.then(|| Fault::of_code(facts.code));
        self.summary.error = self.summary.error.or(facts.error).or(error);
        self.note(mark);
    }

    fn note(&mut self, mark: Option<Mark>) {
        match mark {
            // The first one: servers that speak both dialects send `[DONE]` behind the real end.
            Some(Mark::End(end)) => {
                self.summary.end.get_or_insert(end);
                if end == End::Failed {
                    self.summary.error.get_or_insert(Fault::Server);
                }
            }
            Some(Mark::Error) => {
                self.summary.error.get_or_insert(Fault::Server);
            }
            None => {}
        }
    }
}

/// Whether the quoted word occurs other than as a member that is null.
fn tells(data: &[u8], word: &Finder<'static>) -> bool {
    values(data, word).any(|value| !value.is_some_and(|value| value.starts_with(b"null")))
}

/// Whether the quoted word is the name of a member that is a string, and not an empty one.
fn is_said(data: &[u8], word: &Finder<'static>) -> bool {
    values(data, word)
        .flatten()
        .any(|value| matches!(value, [b'"', first, ..] if *first != b'"'))
}

/// What follows each time the quoted word occurs as a name; `None` where it is none. Within a JSON string its quotes
/// would be escaped, so this is never the text of an answer.
fn values<'a>(data: &'a [u8], word: &'a Finder<'static>) -> impl Iterator<Item = Option<&'a [u8]>> {
    word.find_iter(data).map(move |at| {
        let rest = data[at + word.needle().len()..].trim_ascii_start();
        rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start)
    })
}

#[cfg(test)]
mod tests;
