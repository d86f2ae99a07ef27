//! What a line looks like: JSON and logfmt for machines, text for people. One line is one line in each, whatever its
//! values hold: what could end it, colour it, reverse it or pass for another field is escaped.

mod escape;

use std::{cell::Cell, fmt::Display, io::Write as _, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use tracing::Level;

use self::escape::{is_plain, write_bare, write_json};
use super::output::Terminal;
use crate::config::compiled::LogFormat;

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// What a point in time takes without its fraction.
const SECOND_BYTES: usize = 19;

thread_local! {
    /// The second that this thread has shown last: reckoning a date costs more than all numbers of a line.
    static SECOND: Cell<(u64, [u8; SECOND_BYTES])> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Logfmt,
    Text { colours: bool },
}

impl Form {
    pub(super) fn of(format: LogFormat, terminal: Option<Terminal>) -> Self {
        let text = Self::Text {
            colours: terminal.is_some_and(|terminal| terminal.colours),
        };
        match format {
            LogFormat::Auto if terminal.is_some() => text,
            LogFormat::Auto | LogFormat::Json => Self::Json,
            LogFormat::Logfmt => Self::Logfmt,
            LogFormat::Text => text,
        }
    }
}

/// A line in the making.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    form: Form,
}

impl<'a> Line<'a> {
    /// `now` is Unix time.
    pub(super) fn begin(
        out: &'a mut Vec<u8>,
        form: Form,
        now: Duration,
        level: Level,
        target: &str,
    ) -> Self {
        let mut line = Self { out, form };
        match form {
            Form::Json => {
                line.add("{\"timestamp\":\"");
                line.time(now);
                line.add("\",\"level\":\"");
                line.add(level.as_str());
                line.add("\"");
                line.field("target", target);
            }
            Form::Logfmt => {
                line.add("timestamp=");
                line.time(now);
                line.add(" level=");
                line.add(level.as_str());
                line.field("target", target);
            }
            Form::Text { colours } => {
                line.coloured(DIM, colours, |line| line.time(now));
                let name = level.as_str();
                line.add(&"      "[name.len()..]);
                line.coloured(colour(level), colours, |line| line.add(name));
                line.add(" ");
                line.coloured(DIM, colours, |line| {
                    line.bare(target);
                    line.add(":");
                });
            }
        }
        line
    }

    /// `key` is a name from the code, not from a request.
    #[inline(always)]
    pub(super) fn field(&mut self, key: &str, value: impl Value) {
        value.write(key, self);
    }

    /// A JSON array of objects, whose fields `write` adds, one at least; elsewhere one text, with commas between the items.
    pub(super) fn list<T: Display>(
        &mut self,
        key: &str,
        items: &[T],
        write: impl Fn(&T, &mut Self),
    ) {
        if self.form == Form::Json {
            self.key(key);
            self.add("[");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    self.add(",");
                }
                let start = self.out.len();
                write(item, self);
                // In place of the comma that stands in front of every field.
                self.out[start] = b'{';
                self.add("}");
            }
            self.add("]");
        } else {
            let texts: Vec<String> = items.iter().map(T::to_string).collect();
            self.field(key, texts.join(", ").as_str());
        }
    }

    pub(super) fn end(self) {
        let end = match self.form {
            Form::Json => "}\n",
            Form::Logfmt | Form::Text { .. } => "\n",
        };
        self.out.extend_from_slice(end.as_bytes());
    }

    fn add(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn bare(&mut self, text: &str) {
        write_bare(self.out, text);
    }

    fn coloured(&mut self, colour: &str, colours: bool, content: impl FnOnce(&mut Self)) {
        if colours {
            self.add(colour);
        }
        content(self);
        if colours {
            self.add(PLAIN);
        }
    }

    /// RFC 3339 with microseconds.
    fn time(&mut self, now: Duration) {
        let second = now.as_secs();
        let (mut shown, mut text) = SECOND.get();
        if shown != second {
            (shown, text) = (second, show(second));
            SECOND.set((shown, text));
        }
        self.out.extend_from_slice(&text);
        write!(self.out, ".{:06}Z", now.subsec_micros()).expect("a Vec takes every write");
    }

    #[inline(always)]
    fn key(&mut self, key: &str) {
        match self.form {
            Form::Json => {
                self.add(",\"");
                self.add(key);
                self.add("\":");
            }
            Form::Logfmt => {
                self.add(" ");
                self.add(key);
                self.add("=");
            }
            Form::Text { colours } => {
                self.add(" ");
                self.coloured(DIM, colours, |line| {
                    line.add(key);
                    line.add("=");
                });
            }
        }
    }

    /// For values without text that somebody else chose.
    fn json(&mut self, value: impl Serialize) {
        serde_json::to_writer(&mut *self.out, &value).expect("a Vec takes every write");
    }
}

/// What a field can hold. `None` is left out, with its key.
pub(super) trait Value {
    fn write(&self, key: &str, line: &mut Line<'_>);
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Value for $number {
            #[inline(always)]
    fn write(&self, key: &str, line: &mut Line<'_>) {
                line.key(key);
                line.json(self);
            }
        }
    )*};
}

number!(u16, u64, i64, f64, bool);

/// In milliseconds, to the microsecond. By whole numbers: what a float's digits are takes several times as long to find.
impl Value for Duration {
    #[inline(always)]
    fn write(&self, key: &str, line: &mut Line<'_>) {
        line.key(key);
        line.json(self.as_secs() * 1000 + u64::from(self.subsec_millis()));
        let micros = self.subsec_micros() % 1000;
        let digits = [micros / 100, micros / 10 % 10, micros % 10];
        line.out.push(b'.');
        line.out
            .extend(digits.map(|digit| b"0123456789"[digit as usize]));
    }
}

impl Value for &str {
    #[inline(always)]
    fn write(&self, key: &str, line: &mut Line<'_>) {
        if matches!(line.form, Form::Text { .. }) && key == "message" {
            line.add(" ");
            line.bare(self);
            return;
        }
        line.key(key);
        if line.form != Form::Json && is_plain(self) {
            line.add(self);
        } else {
            write_json(line.out, self);
        }
    }
}

impl<T: Value> Value for Option<T> {
    #[inline(always)]
    fn write(&self, key: &str, line: &mut Line<'_>) {
        if let Some(value) = self {
            value.write(key, line);
        }
    }
}

/// Unix time as `2025-11-21T08:00:00`.
fn show(second: u64) -> [u8; SECOND_BYTES] {
    let time = i64::try_from(second).ok();
    let time = time.and_then(|second| Timestamp::from_second(second).ok());
    let text = time.unwrap_or_default().to_string();
    *text
        .as_bytes()
        .first_chunk()
        .expect("years have four digits")
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[1;31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

#[cfg(test)]
mod tests;
