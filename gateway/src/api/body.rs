//! What a request body says that routing needs, and the same body under another model name, or asking for the
//! tokens of its stream. The body is looked through once and never turned into a tree; a rewritten body differs
//! from the client's only where these two stand.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use smallvec::SmallVec;

use super::error::ApiError;
use crate::ids::DeploymentName;

mod json;
mod multipart;
mod usage;

pub use json::inspect_json;
pub use multipart::inspect_multipart;
pub use usage::estimated_prompt_tokens;

/// The default is the answer for a request without a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodyFacts {
    pub model: Option<ModelValue>,
    /// Whether the client asks for server-sent events.
    pub stream: bool,
    /// Has a stream report its tokens. `None` where the client asks for that itself, or must not be helped.
    usage: Option<Edit>,
    format: Format,
}

impl BodyFacts {
    /// Whether [`Changes::usage`] changes anything.
    #[must_use]
    pub fn can_ask_for_usage(&self) -> bool {
        self.usage.is_some()
    }
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

/// What is to be different in a body.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// The model: replaced in place, or added at the start where there was none.
    pub model: Option<&'a DeploymentName>,
    /// The stream reports its tokens: `stream_options.include_usage` is true.
    pub usage: bool,
}

/// A part of a body, and what is to stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    span: Range<usize>,
    text: Cow<'static, [u8]>,
}

impl Edit {
    fn insert(at: usize, text: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            span: at..at,
            text: text.into(),
        }
    }
}

/// The body with these changes. Shares the memory of `body` when nothing changes. `facts` must be those of this very
/// body.
#[must_use]
pub fn rewritten(body: &Bytes, facts: &BodyFacts, changes: Changes<'_>) -> Bytes {
    let model = changes
        .model
        .and_then(|model| model_edit(body, facts, model));
    let usage = facts.usage.clone().filter(|_| changes.usage);
    let mut edits: SmallVec<[Edit; 2]> = model.into_iter().chain(usage).collect();
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|edit| edit.span.start);
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + added);
    let mut start = 0;
    for Edit { span, text } in edits {
        out.extend_from_slice(&body[start..span.start]);
        out.extend_from_slice(&text);
        start = span.end;
    }
    out.extend_from_slice(&body[start..]);
    out.into()
}

/// `None`: it is the model of this body already, or a body without one has no place for it.
fn model_edit(body: &[u8], facts: &BodyFacts, model: &DeploymentName) -> Option<Edit> {
    let present = facts.model.as_ref();
    if present.is_some_and(|present| present.value == model.as_str()) {
        return None;
    }
    let span = present.map(|present| present.span.clone());
    match &facts.format {
        Format::None => None,
        Format::Json {
            members,
            empty,
            null_model,
        } => {
            let name = serde_json::to_vec(model.as_str()).expect("a string always serializes");
            Some(match span.or_else(|| null_model.clone()) {
                Some(span) => Edit {
                    span,
                    text: name.into(),
                },
                None => {
                    let comma: &[u8] = if *empty { b"" } else { b"," };
                    Edit::insert(*members, [b"\"model\":", &*name, comma].concat())
                }
            })
        }
        Format::Multipart { delimiter } => {
            // A deployment name has no line breaks, so it cannot end the part.
            let name = model.as_str().as_bytes();
            Some(match span {
                Some(span) => Edit {
                    span,
                    text: name.to_vec().into(),
                },
                None => {
                    let head = b"\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n";
                    let part = [&body[delimiter.clone()], head, name, b"\r\n"];
                    Edit::insert(delimiter.start, part.concat())
                }
            })
        }
    }
}

#[cfg(test)]
mod tests;
