//! What must not reach a line as it is.

use std::io::{self, Write};

use serde::Serialize as _;
use serde_json::{Serializer, ser::Formatter};

/// Control characters, what else ends a line (U+2028, U+2029), and what turns the direction of the text around it.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Needs no quotes in `key=value`.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && every(text, |byte| {
            byte.is_ascii_graphic() & (byte != b'"') & (byte != b'=') & (byte != b'\\')
        })
}

/// Looks at every byte even when the first one decides: the compiler then takes many at one time.
fn every(text: &str, is_good: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |good, byte| good & is_good(byte))
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// A JSON string, with its quotes.
pub(super) fn write_json(out: &mut Vec<u8>, text: &str) {
    if every(text, |byte| {
        is_printable(byte) & (byte != b'"') & (byte != b'\\')
    }) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    text.serialize(&mut Serializer::with_formatter(out, Harmless))
        .expect("a Vec takes every string");
}

/// Without quotes around it.
pub(super) fn write_bare(out: &mut Vec<u8>, text: &str) {
    write_harmless(out, text).expect("a Vec takes every write");
}

/// Strings as serde_json writes them, but for what JSON lets pass and a terminal does not.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        write_harmless(out, fragment)
    }
}

fn write_harmless<W: ?Sized + Write>(out: &mut W, text: &str) -> io::Result<()> {
    if every(text, is_printable) {
        return out.write_all(text.as_bytes());
    }
    let mut rest = text;
    while let Some((place, harmful)) = rest.char_indices().find(|&(_, c)| is_harmful(c)) {
        out.write_all(&rest.as_bytes()[..place])?;
        write!(out, "\\u{:04x}", u32::from(harmful))?;
        rest = &rest[place + harmful.len_utf8()..];
    }
    out.write_all(rest.as_bytes())
}
