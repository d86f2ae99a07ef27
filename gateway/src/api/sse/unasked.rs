//! Takes out of a stream what the gateway asked for and the client did not: the event with an empty `choices` and a
//! `usage`, and the `"usage":null` that providers put into all other events once they are asked. Every other byte
//! passes as it came, and what comes out does not depend on how the bytes were cut into chunks.
//!
//! A byte waits only while it may belong to what is taken out: a line up to the first thing in its `choices`, and
//! a comma up to the name behind it. A `usage` that comes together with choices was not sent because of us and
//! passes. So does a `"usage":null` in front of all other members, where no provider has it.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;
use smallvec::SmallVec;

use crate::api::members::{Members, Name, Step};

/// More than this does not wait: it passes as it is. The events in question have a few hundred bytes.
const HELD_BYTES_MAX: usize = 16 * 1024;

/// Parts of a text that are taken out, in order.
type Cuts = SmallVec<[Range<usize>; 4]>;

/// Give it every chunk with [`Unasked::pass`], and ask for the [`Unasked::rest`] at the end.
#[derive(Debug, Default)]
pub struct Unasked {
    /// What has come and has not passed yet. All places count from its start.
    held: Vec<u8>,
    line: Line,
    /// Where the line began, while all of it waits.
    line_at: usize,
    /// A line of the event under way has passed.
    begun: bool,
    /// All there was of the event under way has been taken out.
    taken: bool,
}

/// The line under way.
#[derive(Debug, Default)]
enum Line {
    /// Too short to be told.
    #[default]
    Start,
    Data(Event),
    Other,
}

impl Unasked {
    /// What may go on of this chunk and those before it. Shares the memory of `chunk` where nothing is taken out.
    #[must_use]
    pub fn pass(&mut self, chunk: Bytes) -> Bytes {
        let mut at = self.held.len();
        let text = if at == 0 {
            chunk
        } else {
            self.held.extend_from_slice(&chunk);
            Bytes::from(std::mem::take(&mut self.held))
        };
        let mut cuts = Cuts::new();
        while at < text.len() {
            at = match &self.line {
                Line::Start => self.begin(&text, &mut cuts),
                Line::Data(_) => self.data(&text, at, &mut cuts),
                Line::Other => match memchr(b'\n', &text[at..]) {
                    Some(end) => self.end_line(at + end + 1),
                    None => text.len(),
                },
            };
        }
        let mut free = self.waiting().unwrap_or(text.len());
        if text.len() - free > HELD_BYTES_MAX {
            self.line = Line::Other;
            (self.begun, self.taken) = (true, false);
            free = text.len();
        }
        self.held.extend_from_slice(&text[free..]);
        self.line_at = self.line_at.saturating_sub(free);
        if let Line::Data(event) = &mut self.line {
            event.shift(free);
        }
        without(text.slice(..free), &cuts)
    }

    /// The stream is over: what was still waiting.
    #[must_use]
    pub fn rest(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        match &self.line {
            Line::Data(event) if event.is_unasked() => Bytes::new(),
            Line::Start | Line::Data(_) | Line::Other => held.into(),
        }
    }

    /// From where on the text has to wait, if it has to.
    fn waiting(&self) -> Option<usize> {
        match &self.line {
            Line::Start => Some(self.line_at),
            Line::Data(event) if event.may_be_unasked() => Some(self.line_at),
            Line::Data(event) => event.comma,
            Line::Other => None,
        }
    }

    /// Tells what the line is, as far as it has come. Returns where to go on.
    fn begin(&mut self, text: &[u8], cuts: &mut Cuts) -> usize {
        const FIELD: &[u8] = b"data:";
        let line = &text[self.line_at..];
        if let Some(bytes) = blank(line) {
            let end = self.line_at + bytes;
            if std::mem::take(&mut self.taken) {
                cuts.push(self.line_at..end);
            }
            self.begun = false;
            return self.end_line(end);
        }
        if FIELD.starts_with(line) || line == b"\r" {
            return text.len();
        }
        let value = line.strip_prefix(FIELD);
        let spaces = value.map(|value| value.iter().take_while(|&&byte| byte == b' ').count());
        let start = spaces.map(|spaces| FIELD.len() + spaces);
        match start.map(|start| (start, line.get(start))) {
            Some((_, None)) => text.len(),
            Some((start, Some(b'{'))) => {
                self.line = Line::Data(Event::new());
                self.line_at + start
            }
            Some((_, Some(_))) | None => {
                self.line = Line::Other;
                (self.begun, self.taken) = (true, false);
                self.line_at
            }
        }
    }

    fn data(&mut self, text: &[u8], at: usize, cuts: &mut Cuts) -> usize {
        let Line::Data(event) = &mut self.line else {
            return at;
        };
        let end = memchr(b'\n', &text[at..]).map(|end| at + end);
        event.read(&text[..end.unwrap_or(text.len())], at, cuts);
        let Some(end) = end else { return text.len() };
        if event.is_unasked() {
            cuts.push(self.line_at..end + 1);
            self.taken = !self.begun;
        } else {
            (self.begun, self.taken) = (true, false);
        }
        self.end_line(end + 1)
    }

    fn end_line(&mut self, end: usize) -> usize {
        self.line = Line::Start;
        self.line_at = end;
        end
    }
}

/// A line with an object as data.
#[derive(Debug)]
struct Event {
    members: Members,
    /// Of the member under way.
    name: Name,
    /// In front of a member that may be `"usage":null`.
    comma: Option<usize>,
    /// Where the `null` of that member begins, if it is one.
    null: Option<usize>,
    choices: Choices,
    usage: Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choices {
    NotSeen,
    Empty,
    /// Or none that are an array.
    Some,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    NotSeen,
    Object,
    /// Or whatever else.
    Null,
}

impl Event {
    const fn new() -> Self {
        Self {
            members: Members::new(),
            name: Name::Other,
            comma: None,
            null: None,
            choices: Choices::NotSeen,
            usage: Report::NotSeen,
        }
    }

    fn may_be_unasked(&self) -> bool {
        self.choices != Choices::Some && self.usage != Report::Null
    }

    fn is_unasked(&self) -> bool {
        self.choices == Choices::Empty && self.usage == Report::Object
    }

    fn read(&mut self, line: &[u8], mut at: usize, cuts: &mut Cuts) {
        while let Some((next, step)) = self.members.step(line, at) {
            match (step, self.name) {
                (Step::Comma, _) => self.comma = Some(next - 1),
                (Step::Name(name), _) => {
                    self.name = name;
                    self.comma = self.comma.filter(|_| name == Name::Usage);
                }
                (Step::Value(b'{'), Name::Usage) => {
                    self.comma = None;
                    self.see_usage(Report::Object);
                }
                (Step::Value(_), Name::Usage) => {
                    self.null = self.comma.map(|_| next - 1);
                    self.see_usage(Report::Null);
                }
                (Step::Value(b'['), Name::Choices) if self.choices == Choices::NotSeen => {
                    self.choices = Choices::Empty;
                }
                (Step::Value(_) | Step::Item, Name::Choices) => self.choices = Choices::Some,
                (Step::End, _) => {
                    if let (Some(comma), Some(null)) = (self.comma.take(), self.null.take())
                        && line[null..next] == *b"null"
                    {
                        cuts.push(comma..next);
                    }
                }
                (Step::Value(_) | Step::Item, Name::Usage | Name::Other) => {}
            }
            at = next;
        }
    }

    /// What let a line go cannot be taken back by a second `usage` in it.
    fn see_usage(&mut self, usage: Report) {
        if self.usage != Report::Null {
            self.usage = usage;
        }
    }

    /// So many bytes went on, and places count from behind them.
    fn shift(&mut self, bytes: usize) {
        for place in [&mut self.comma, &mut self.null].into_iter().flatten() {
            *place -= bytes;
        }
    }
}

/// Bytes of an empty line at the start of the text.
fn blank(text: &[u8]) -> Option<usize> {
    match text {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

fn without(text: Bytes, cuts: &[Range<usize>]) -> Bytes {
    if cuts.is_empty() {
        return text;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut start = 0;
    for cut in cuts {
        out.extend_from_slice(&text[start..cut.start]);
        start = cut.end;
    }
    out.extend_from_slice(&text[start..]);
    out.into()
}

#[cfg(test)]
mod tests;
