//! What became of requests while the gateway was worked on, and by which rules that is counted. Knows no socket.

use std::{
    fmt::Display,
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{clock::now, connection::Answer};

/// Kept word for word; the rest is only counted.
const EXAMPLES_MAX: usize = 5;
/// For the help of those scenarios that count.
pub(crate) const COUNTED: &str = "Counted, by kind of client:
  ok          a whole answer with 200
  lost        no whole answer, or another status, where a client need not try again
  races       a kept HTTP/1.1 connection was closed before the first byte of the answer
  refused     no connection
  cut         a stream that ended without `data: [DONE]`
  h2 retried  HTTP/2 said that the request was not processed, and it was sent again
All but the first and the last must be 0, or the exit code is 1.";
const STREAM_END: &[u8] = b"data: [DONE]\n\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A whole answer with 200.
    Ok,
    /// No whole answer or another status, where a client must not or need not try again: its connection was
    /// fresh, the answer had begun, or nothing came for too long.
    Lost,
    /// A kept HTTP/1.1 connection was closed before the first byte of the answer. A client may send again.
    Race,
    /// No connection.
    Refused,
    /// A stream that ended without `data: [DONE]`.
    Cut,
    /// HTTP/2: the gateway said that it has not processed the request. Clients send again by themselves.
    Retried,
}

impl Fate {
    pub(crate) const ALL: [Self; 6] = [
        Self::Ok,
        Self::Lost,
        Self::Race,
        Self::Refused,
        Self::Cut,
        Self::Retried,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Lost => "lost",
            Self::Race => "races",
            Self::Refused => "refused",
            Self::Cut => "cut",
            Self::Retried => "h2 retried",
        }
    }

    /// An application, or the person before it, may notice.
    fn is_bad(self) -> bool {
        match self {
            Self::Ok | Self::Retried => false,
            Self::Lost | Self::Race | Self::Refused | Self::Cut => true,
        }
    }
}

/// Of one HTTP/1.1 request. `reused`: its connection had served one before. `begun`: a byte of the answer came.
/// `stream`: what was seen of it, for a request that asked for one.
pub(crate) fn judge(
    answer: &io::Result<Answer>,
    reused: bool,
    begun: bool,
    stream: Option<&Seen>,
) -> Fate {
    match answer {
        Ok(answer) => judge_whole(answer.status, stream),
        Err(error) if reused && !begun && is_closed(error) => Fate::Race,
        Err(_) => judge_broken(stream),
    }
}

/// Of an answer that came to its proper end, by either protocol.
pub(crate) fn judge_whole(status: u16, stream: Option<&Seen>) -> Fate {
    match stream {
        _ if status != 200 => Fate::Lost,
        Some(seen) if !seen.is_done() => Fate::Cut,
        Some(_) | None => Fate::Ok,
    }
}

/// Of an answer that did not, where nothing excuses it.
pub(crate) fn judge_broken(stream: Option<&Seen>) -> Fate {
    if stream.is_some_and(Seen::has_begun) {
        Fate::Cut
    } else {
        Fate::Lost
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}

/// The end of what came of a stream so far.
#[derive(Default)]
pub(crate) struct Seen(Vec<u8>);

impl Seen {
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
        self.0
            .drain(..self.0.len().saturating_sub(STREAM_END.len()));
    }

    pub(crate) fn has_begun(&self) -> bool {
        !self.0.is_empty()
    }

    fn is_done(&self) -> bool {
        self.0 == STREAM_END
    }
}

/// The counts of one kind of client.
#[derive(Clone)]
pub(crate) struct Tally {
    pub(crate) kind: &'static str,
    /// Of the scenario: examples are told by their time since then.
    start: Instant,
    counts: [u64; Fate::ALL.len()],
    /// Longest time to a whole answer.
    pub(crate) slowest: Duration,
    pub(crate) examples: Vec<String>,
}

impl Tally {
    pub(crate) fn new(kind: &'static str, start: Instant) -> Self {
        Self {
            kind,
            start,
            counts: [0; Fate::ALL.len()],
            slowest: Duration::ZERO,
            examples: Vec::new(),
        }
    }

    /// `why` is told if it is a bad one.
    pub(crate) fn count(&mut self, fate: Fate, sent: Instant, why: &dyn Display) {
        self.counts[fate as usize] += 1;
        let ended = now();
        if fate == Fate::Ok {
            self.slowest = self.slowest.max(ended - sent);
        }
        if fate.is_bad() && self.examples.len() < EXAMPLES_MAX {
            let [sent, ended] = [sent, ended].map(|time| (time - self.start).as_secs_f64());
            let (kind, fate) = (self.kind, fate.name());
            self.examples.push(format!(
                "{kind}: {fate}: sent at {sent:.3} s, over at {ended:.3} s: {why}"
            ));
        }
    }

    pub(crate) fn of(&self, fate: Fate) -> u64 {
        self.counts[fate as usize]
    }

    pub(crate) fn is_clean(&self) -> bool {
        Fate::ALL
            .iter()
            .all(|&fate| !fate.is_bad() || self.of(fate) == 0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.slowest = self.slowest.max(other.slowest);
        let room = EXAMPLES_MAX - self.examples.len();
        self.examples
            .extend(other.examples.iter().take(room).cloned());
    }

    pub(crate) fn json(&self) -> Value {
        let mut row: Map<String, Value> = Fate::ALL
            .iter()
            .map(|&fate| (fate.name().to_owned(), json!(self.of(fate))))
            .collect();
        row.insert("clients".to_owned(), json!(self.kind));
        row.insert(
            "slowest_ms".to_owned(),
            json!(self.slowest.as_secs_f64() * 1e3),
        );
        row.insert("examples".to_owned(), json!(self.examples));
        Value::Object(row)
    }
}

/// One for each kind, in the order of their first.
pub(crate) fn by_kind(tallies: impl IntoIterator<Item = Tally>) -> Vec<Tally> {
    let mut sums: Vec<Tally> = Vec::new();
    for tally in tallies {
        match sums.iter_mut().find(|sum| sum.kind == tally.kind) {
            Some(sum) => sum.add(&tally),
            None => sums.push(tally),
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pieces: &[&str]) -> Seen {
        let mut seen = Seen::default();
        pieces.iter().for_each(|piece| seen.feed(piece.as_bytes()));
        seen
    }

    #[test]
    fn a_stream_is_done_with_its_last_event_however_it_is_cut() {
        for (pieces, done) in [
            (&["data: {}\n\ndata: [DONE]\n\n"][..], true),
            (&["data: {}\n\nda", "ta: [DO", "NE]\n", "\n"], true),
            (&["data: {}\n\n"], false),
            (&["data: [DONE]\n"], false),
            (&[], false),
        ] {
            assert_eq!(seen(pieces).is_done(), done, "{pieces:?}");
        }
    }

    #[test]
    fn only_a_close_before_the_first_byte_on_a_reused_connection_is_a_race() {
        let broken = |kind: ErrorKind| Err(kind.into());
        let closed = [
            ErrorKind::UnexpectedEof,
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
        ];
        for kind in closed {
            for (reused, begun, fate) in [
                (true, false, Fate::Race),
                (true, true, Fate::Lost),
                (false, false, Fate::Lost),
                (false, true, Fate::Lost),
            ] {
                assert_eq!(judge(&broken(kind), reused, begun, None), fate, "{kind}");
            }
        }
        // Silence is no sign that the request may be sent again.
        let silent = broken(ErrorKind::TimedOut);
        assert_eq!(judge(&silent, true, false, None), Fate::Lost);
        let cut = broken(ErrorKind::UnexpectedEof);
        assert_eq!(
            judge(&cut, true, true, Some(&seen(&["data: {}\n\n"]))),
            Fate::Cut
        );
    }

    #[test]
    fn kinds_are_added_up_and_a_legal_retry_is_clean() {
        let start = now();
        let mut one = Tally::new("one", start);
        one.count(Fate::Ok, start, &"");
        one.count(Fate::Retried, start, &"");
        let mut other = Tally::new("other", start);
        other.count(Fate::Race, start, &"closed");
        let sums = by_kind([one.clone(), other, one]);
        let counts = |tally: &Tally| [Fate::Ok, Fate::Retried, Fate::Race].map(|f| tally.of(f));
        assert_eq!(counts(&sums[0]), [2, 2, 0]);
        assert_eq!(counts(&sums[1]), [0, 0, 1]);
        assert!(sums[0].is_clean() && !sums[1].is_clean());
        assert!(sums[1].examples[0].contains("races: sent at 0.000 s"));
    }
}
