//! What a request body says that routing needs, and the same body under another model name. The body is
//! looked through once and never turned into a tree; a rewritten body differs from the client's only where
//! the model stands.

use std::ops::Range;

use bytes::Bytes;

use super::error::ApiError;
use crate::ids::DeploymentName;

mod json;
mod multipart;

pub use json::inspect_json;
pub use multipart::inspect_multipart;

/// The default is the answer for a request without a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodyFacts {
    pub model: Option<ModelValue>,
    /// Whether the client asks for server-sent events.
    pub stream: bool,
    format: Format,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelValue {
    /// Decoded.
    pub value: String,
    /// Where it stands: the JSON string with its quotes, or the content of the form part.
    span: Range<usize>,
}

/// How to write a model into the body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Format {
    #[default]
    None,
    Json {
        /// Behind the opening brace.
        members: usize,
        empty: bool,
        /// Where a `null` stands in place of a model.
        null_model: Option<Range<usize>>,
    },
    Multipart {
        /// The first `--boundary`.
        delimiter: Range<usize>,
    },
}

/// Looks through a body by its content type: a form where it says so, else JSON, because some clients send
/// JSON under no type or a wrong one.
///
/// # Errors
/// 400, see [`inspect_json`] and [`inspect_multipart`].
pub fn inspect(content_type: Option<&str>, body: &[u8]) -> Result<BodyFacts, ApiError> {
    match content_type {
        Some(content_type) if multipart::is_form(content_type) => {
            inspect_multipart(content_type, body)
        }
        Some(_) | None => inspect_json(body),
    }
}

/// The body with `model` as its model: replaced in place, or added at the start where there was none. Shares
/// the memory of `body` when nothing changes. `facts` must be those of this very body.
#[must_use]
pub fn with_model(body: &Bytes, facts: &BodyFacts, model: &DeploymentName) -> Bytes {
    if facts
        .model
        .as_ref()
        .is_some_and(|present| present.value == model.as_str())
    {
        return body.clone();
    }
    let span = facts.model.as_ref().map(|present| present.span.clone());
    match &facts.format {
        Format::None => body.clone(),
        Format::Json {
            members,
            empty,
            null_model,
        } => {
            let name = serde_json::to_string(model.as_str()).expect("a string always serializes");
            match span.or_else(|| null_model.clone()) {
                Some(span) => splice(body, span, &[name.as_bytes()]),
                None => {
                    let comma: &[u8] = if *empty { b"" } else { b"," };
                    splice(
                        body,
                        *members..*members,
                        &[b"\"model\":", name.as_bytes(), comma],
                    )
                }
            }
        }
        Format::Multipart { delimiter } => {
            // A deployment name has no line breaks, so it cannot end the part.
            let name = model.as_str().as_bytes();
            match span {
                Some(span) => splice(body, span, &[name]),
                None => {
                    let head = b"\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n";
                    let at = delimiter.start;
                    splice(
                        body,
                        at..at,
                        &[&body[delimiter.clone()], head, name, b"\r\n"],
                    )
                }
            }
        }
    }
}

fn splice(body: &[u8], span: Range<usize>, pieces: &[&[u8]]) -> Bytes {
    let added: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut out = Vec::with_capacity(body.len() - span.len() + added);
    out.extend_from_slice(&body[..span.start]);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&body[span.end..]);
    out.into()
}

#[cfg(test)]
mod tests;
