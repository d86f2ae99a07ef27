//! One pass over a `multipart/form-data` body (RFC 7578). Finds the `model` and `stream` parts wherever they
//! stand; nothing is copied but the model's name. Strict where parsers differ: what the gateway does not see
//! as a second `model`, no provider should either.

use std::ops::Range;

use memchr::memmem;

use super::{BodyFacts, Format, ModelValue};
use crate::api::error::ApiError;

/// RFC 2046 §5.1.1.
const BOUNDARY_CHARS_MAX: usize = 70;

const BROKEN_PART: &str = "a part has a malformed head";

pub(super) fn is_form(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type
        .trim_ascii()
        .eq_ignore_ascii_case("multipart/form-data")
}

/// What a form says.
///
/// # Errors
/// 400 for a missing or impossible boundary, for a body that is not built from it to the last part, for a
/// `model` that is not UTF-8, and for a second one.
pub fn inspect_multipart(content_type: &str, body: &[u8]) -> Result<BodyFacts, ApiError> {
    let Some(boundary) = boundary(content_type) else {
        return Err(ApiError::invalid_multipart(
            "the content type has no valid boundary",
        ));
    };
    let needle = format!("--{boundary}");
    let mut facts = BodyFacts::default();
    // Where the next part begins: in front of the line break of its delimiter.
    let mut part_start = None;
    let mut closed = false;
    for at in memmem::find_iter(body, needle.as_bytes()) {
        let delimiter = at..at + needle.len();
        let after = &body[delimiter.end..];
        // A lenient parser further on could take it for a delimiter, also inside a part or behind the end.
        let line_start = at == 0 || body[..at].ends_with(b"\r\n");
        let closes = after == b"--" || after.starts_with(b"--\r\n");
        if closed || !line_start || !(closes || after.starts_with(b"\r\n")) {
            return Err(ApiError::invalid_multipart(
                "the boundary occurs out of place",
            ));
        }
        match part_start {
            Some(start) => read_part(body, start..at - 2, &mut facts)?,
            None => {
                facts.format = Format::Multipart {
                    delimiter: delimiter.clone(),
                }
            }
        }
        part_start = Some(delimiter.end);
        closed = closes;
    }
    if !closed {
        return Err(ApiError::invalid_multipart(
            "the closing boundary is missing",
        ));
    }
    Ok(facts)
}

/// The one boundary parameter.
fn boundary(content_type: &str) -> Option<String> {
    let (_, parameters) = content_type.split_once(';')?;
    let boundary = parameter(parameters, "boundary")??;
    let fits = (1..=BOUNDARY_CHARS_MAX).contains(&boundary.len());
    (fits && boundary.bytes().all(|byte| matches!(byte, b' '..=b'~'))).then_some(boundary)
}

fn read_part(body: &[u8], part: Range<usize>, facts: &mut BodyFacts) -> Result<(), ApiError> {
    let (name, content) = parse_part(body, part)?;
    match name.as_str() {
        "model" if facts.model.is_some() => return Err(ApiError::duplicate_model()),
        "model" => {
            let value = std::str::from_utf8(&body[content.clone()]);
            facts.model = Some(ModelValue {
                value: value.map_err(|_| ApiError::invalid_model())?.to_owned(),
                span: content,
            });
        }
        "stream" => {
            let value = body[content].trim_ascii();
            facts.stream = value == b"1" || value.eq_ignore_ascii_case(b"true");
        }
        _ => {}
    }
    Ok(())
}

/// Name and content of a part that begins with the line break of its delimiter.
fn parse_part(body: &[u8], part: Range<usize>) -> Result<(String, Range<usize>), ApiError> {
    let broken = || ApiError::invalid_multipart(BROKEN_PART);
    // Adjacent delimiters share a line break and leave a range that is none.
    let bytes = body.get(part.clone()).ok_or_else(broken)?;
    let head_len = memmem::find(bytes, b"\r\n\r\n").ok_or_else(broken)?;
    let head = std::str::from_utf8(&bytes[..head_len]).map_err(|_| broken())?;

    let mut disposition = None;
    for line in head.split("\r\n").skip(1) {
        // A bare or folded line could hide another header from us, or from the provider.
        let plain = !line.starts_with([' ', '\t']) && !line.contains(['\r', '\n']);
        let (name, value) = line.split_once(':').filter(|_| plain).ok_or_else(broken)?;
        let repeated = name.eq_ignore_ascii_case("content-disposition")
            && disposition.replace(value).is_some();
        if repeated {
            return Err(broken());
        }
    }
    let (kind, parameters) = disposition
        .and_then(|value| value.split_once(';'))
        .ok_or_else(broken)?;
    if !kind.trim_ascii().eq_ignore_ascii_case("form-data") {
        return Err(broken());
    }
    // An extended name would win over the plain one in some parsers.
    if parameter(parameters, "name*") != Some(None) {
        return Err(broken());
    }
    let name = parameter(parameters, "name").flatten().ok_or_else(broken)?;
    Ok((name, part.start + head_len + 4..part.end))
}

/// The value of one parameter in `a=b; c="d"`: `None` where the list is malformed or has it twice,
/// `Some(None)` where it is absent.
fn parameter(mut list: &str, wanted: &str) -> Option<Option<String>> {
    let mut found = None;
    loop {
        list = list.trim_ascii_start();
        if list.is_empty() {
            return Some(found);
        }
        let (name, rest) = list.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(';').unwrap_or(rest.len());
                (rest[..end].trim_ascii_end().to_owned(), &rest[end..])
            }
        };
        if name.eq_ignore_ascii_case(wanted) && found.replace(value).is_some() {
            return None;
        }
        let rest = rest.trim_ascii_start();
        list = match rest.strip_prefix(';') {
            Some(more) => more,
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
}

/// A quoted string behind its opening quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}
