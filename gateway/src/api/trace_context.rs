//! W3C Trace Context: reads a client's `traceparent` and writes the one that goes on. As strict as the
//! recommendation (level 1, and of level 2 the flag for random ids): whatever does not fit is as if it were not
//! there. Random numbers are arguments. `tracestate` is other people's and is never looked into.

use std::fmt;

/// `00-`, the trace, `-`, the span, `-`, the flags.
pub const TRACEPARENT_BYTES: usize = 55;

const SAMPLED: u8 = 1;
/// Level 2: the trace id was drawn at random, so whoever comes later may sample by its bits.
const RANDOM: u8 = 2;

/// Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

/// Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

impl TraceId {
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// What Display writes, for where each request is written.
    #[must_use]
    pub fn hex(self) -> [u8; 32] {
        let mut digits = [0; 32];
        write_hex(&mut digits, &self.0.to_be_bytes());
        digits
    }
}

impl SpanId {
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    pub trace_id: TraceId,
    /// The client's own span.
    pub span_id: SpanId,
    flags: u8,
}

impl Traceparent {
    /// A version that is newer than ours is read as far as ours goes.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(TRACEPARENT_BYTES)?;
        let version = read_hex(&known[..2])?;
        let has_dashes = [2, 35, 52].iter().all(|&place| known[place] == b'-');
        let ends_well = rest.is_empty() || version > 0 && rest[0] == b'-';
        if version == 0xff || !has_dashes || !ends_well {
            return None;
        }
        let trace_id = read_hex(&known[3..35]).filter(|&id| id != 0)?;
        let span_id = read_hex(&known[36..52]).filter(|&id| id != 0)?;
        Some(Self {
            trace_id: TraceId(trace_id),
            span_id: SpanId(u64::try_from(span_id).ok()?),
            flags: u8::try_from(read_hex(&known[53..])?).ok()?,
        })
    }
}

/// The place of one request in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: TraceId,
    /// The client's span, if it named one.
    pub parent: Option<SpanId>,
    /// The request's own span.
    pub span_id: SpanId,
    /// Its spans are to be recorded.
    pub sampled: bool,
    random: bool,
}

impl TraceContext {
    /// A trace that begins here; the ids are random numbers.
    #[must_use]
    pub fn begin(trace_id: u128, span_id: u64, sampled: bool) -> Self {
        Self {
            trace_id: TraceId(trace_id.max(1)),
            parent: None,
            span_id: SpanId(span_id.max(1)),
            sampled,
            random: true,
        }
    }

    /// The client's trace goes on: whether it is recorded is the client's decision, so that a trace has all its
    /// spans or none.
    pub fn follow(&mut self, client: &Traceparent) {
        self.trace_id = client.trace_id;
        self.parent = Some(client.span_id);
        self.sampled = client.flags & SAMPLED != 0;
        self.random = client.flags & RANDOM != 0;
    }

    /// The span of an attempt, counted from 1. Calculated from the request's own, so that nobody needs to remember
    /// it; the odd factor keeps those of one request apart.
    #[must_use]
    pub fn attempt(&self, number: usize) -> SpanId {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let distance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        SpanId(self.span_id.0.wrapping_add(distance).max(1))
    }

    /// The `traceparent` of what is done in that span.
    #[must_use]
    pub fn traceparent(&self, span: SpanId) -> [u8; TRACEPARENT_BYTES] {
        let mut text = [b'-'; TRACEPARENT_BYTES];
        write_hex(&mut text[..2], &[0]);
        write_hex(&mut text[3..35], &self.trace_id.0.to_be_bytes());
        write_hex(&mut text[36..52], &span.0.to_be_bytes());
        write_hex(&mut text[53..], &[self.flags()]);
        text
    }

    /// Those that are known; the recommendation wants all others to be zero.
    #[must_use]
    pub fn flags(&self) -> u8 {
        let sampled = if self.sampled { SAMPLED } else { 0 };
        let random = if self.random { RANDOM } else { 0 };
        sampled | random
    }
}

/// Lower case only, as the recommendation has it. At most 32 digits.
fn read_hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// `place`: two digits for each byte.
fn write_hex(place: &mut [u8], bytes: &[u8]) {
    hex::encode_to_slice(bytes, place).expect("the place fits");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        for (text, flags) in [
            ("00-TRACE-SPAN-01", Some(1)),
            ("00-TRACE-SPAN-00", Some(0)),
            ("00-TRACE-SPAN-03", Some(3)),
            ("00-TRACE-SPAN-ff", Some(0xff)),
            // Of a version to come, what is known.
            ("cc-TRACE-SPAN-01", Some(1)),
            ("01-TRACE-SPAN-01-", Some(1)),
            ("fe-TRACE-SPAN-01-what-comes", Some(1)),
            ("cc-TRACE-SPAN-01.what-comes", None),
            ("00-TRACE-SPAN-01-", None),
            ("00-TRACE-SPAN-01-what-comes", None),
            ("ff-TRACE-SPAN-01", None),
            ("00-00000000000000000000000000000000-SPAN-01", None),
            ("00-TRACE-0000000000000000-01", None),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-SPAN-01", None),
            ("0A-TRACE-SPAN-01", None),
            ("00-TRACE-SPAN-0X", None),
            ("00-TRACE-SPAN-1", None),
            ("00-TRACE-SPAN", None),
            ("00_TRACE-SPAN-01", None),
            ("00-TRACE_SPAN-01", None),
            ("00-TRACE-SPAN_01", None),
            ("0-TRACE-SPAN-001", None),
            (" 00-TRACE-SPAN-01", None),
            ("", None),
        ] {
            let text = text.replace("TRACE", TRACE).replace("SPAN", SPAN);
            let read = Traceparent::parse(text.as_bytes());
            assert_eq!(read.map(|read| read.flags), flags, "{text}");
            if let Some(read) = read {
                assert_eq!(read.trace_id.to_string(), TRACE, "{text}");
                assert_eq!(read.span_id.to_string(), SPAN, "{text}");
            }
        }
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_its_own_for_each_attempt() {
        for (flags, passed_on) in [
            ("00", "00"),
            ("01", "01"),
            ("02", "02"),
            ("03", "03"),
            ("ff", "03"),
        ] {
            let client = format!("cc-{TRACE}-{SPAN}-{flags}-more");
            let mut context = TraceContext::begin(1, 7, true);
            context.follow(&Traceparent::parse(client.as_bytes()).unwrap());
            assert_eq!(context.parent.unwrap().to_string(), SPAN);
            let sent = context.traceparent(context.attempt(1));
            let expected = format!("00-{TRACE}-{}-{passed_on}", context.attempt(1));
            assert_eq!(str::from_utf8(&sent).unwrap(), expected);
        }
    }

    #[test]
    fn a_trace_that_begins_here_has_ids_whatever_was_drawn() {
        let context = TraceContext::begin(0, 0, false);
        let sent = context.traceparent(context.span_id);
        let read = Traceparent::parse(&sent).unwrap();
        assert_eq!((read.trace_id, read.flags), (context.trace_id, RANDOM));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            trace_id: u128, span_id: u64, sampled: bool, number in 0_usize..20,
        ) {
            let context = TraceContext::begin(trace_id, span_id, sampled);
            let span = context.attempt(number);
            let read = Traceparent::parse(&context.traceparent(span)).unwrap();
            prop_assert_eq!((read.trace_id, read.span_id), (context.trace_id, span));
            prop_assert_eq!(read.flags, context.flags());
            let digits = context.trace_id.to_string();
            let hex = context.trace_id.hex();
            prop_assert_eq!(hex.as_slice(), digits.as_bytes());
        }

        #[test]
        fn attempts_and_their_request_have_spans_of_their_own(span_id: u64) {
            let context = TraceContext::begin(1, span_id, true);
            let mut spans: Vec<u64> = (0..=10).map(|n| context.attempt(n).as_u64()).collect();
            prop_assert_eq!(spans[0], context.span_id.as_u64());
            spans.sort_unstable();
            spans.dedup();
            prop_assert_eq!(spans.len(), 11);
        }

        #[test]
        fn whatever_is_cut_or_added_has_no_zero_in_it(
            cut in 0..=TRACEPARENT_BYTES, tail in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let good = TraceContext::begin(u128::MAX / 3, u64::MAX / 3, true);
            let mut value = good.traceparent(good.span_id)[..cut].to_vec();
            value.extend(tail);
            if let Some(read) = Traceparent::parse(&value) {
                prop_assert!(read.trace_id.as_u128() != 0 && read.span_id.as_u64() != 0);
                prop_assert!(value.len() >= TRACEPARENT_BYTES);
            }
        }

        /// One wrong character, wherever it stands, is never read as what it was.
        #[test]
        fn a_byte_that_is_changed_is_noticed(place in 0..TRACEPARENT_BYTES, byte: u8) {
            let good = TraceContext::begin(u128::MAX / 3, u64::MAX / 3, true);
            let mut value = good.traceparent(good.span_id);
            let before = Traceparent::parse(&value);
            prop_assume!(value[place] != byte);
            value[place] = byte;
            // The version alone may be another one.
            prop_assert!(place < 2 || Traceparent::parse(&value) != before);
        }
    }
}
