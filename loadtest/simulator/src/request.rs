//! The few fields of a request's body that change the answer. Everything else is skipped unread.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::text::prompt_tokens;

/// What a limit assumes for an answer whose length the caller leaves open.
const ASSUMED_ANSWER_TOKENS: u64 = 16;
const FILTER_MARKER: &[u8] = b"[[content-filter]]";

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Fields<'a> {
    #[serde(borrow)]
    pub(crate) model: Option<Cow<'a, str>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    best_of: Option<u64>,
    #[serde(borrow)]
    pub(crate) messages: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) tools: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) encoding_format: Option<Cow<'a, str>>,
    pub(crate) dimensions: Option<usize>,
    #[serde(borrow)]
    pub(crate) previous_response_id: Option<Cow<'a, str>>,
    store: Option<bool>,
    background: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// What `serde_json` says of a body that is neither JSON nor, by `content_type`, a form.
    pub(crate) fn parse(content_type: &str, body: &'a [u8]) -> Result<Self, serde_json::Error> {
        if content_type.starts_with("multipart/form-data") {
            return Ok(Self {
                model: form_field(body, "model"),
                ..Self::default()
            });
        }
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body)
    }

    pub(crate) fn stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    pub(crate) fn include_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .and_then(|options| options.include_usage)
            .unwrap_or(false)
    }

    pub(crate) fn store(&self) -> bool {
        self.store.unwrap_or(true)
    }

    pub(crate) fn background(&self) -> bool {
        self.background.unwrap_or(false)
    }

    pub(crate) fn max_tokens(&self) -> Option<u64> {
        self.max_completion_tokens
            .or(self.max_output_tokens)
            .or(self.max_tokens)
    }

    pub(crate) fn prompt_tokens(&self) -> u64 {
        prompt_tokens(self.messages.or(self.input).or(self.prompt))
    }

    /// The tokens a limit counts at arrival.
    pub(crate) fn estimated_tokens(&self) -> u64 {
        let answer = self.max_tokens().unwrap_or(ASSUMED_ANSWER_TOKENS);
        self.prompt_tokens() + answer.saturating_mul(self.best_of.unwrap_or(1))
    }
}

/// Whether the prompt holds the marker `[[content-filter]]`.
pub(crate) fn asks_to_be_filtered(body: &[u8]) -> bool {
    memmem::find(body, FILTER_MARKER).is_some()
}

/// A short text field of a multipart form, wherever it stands.
fn form_field<'a>(body: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let header = format!("name=\"{name}\"\r\n");
    let after = memmem::find(body, header.as_bytes())? + header.len();
    let start = after + memmem::find(&body[after - 2..], b"\r\n\r\n")? + 2;
    let length = memmem::find(&body[start..], b"\r\n")?;
    Some(String::from_utf8_lossy(&body[start..start + length]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_its_model_after_the_file_too() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n\0\x01\r\n\
            --b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--b--\r\n";
        let fields = Fields::parse("multipart/form-data; boundary=b", body).unwrap();
        assert_eq!(fields.model.as_deref(), Some("whisper"));
    }

    #[test]
    fn a_limit_counts_the_prompt_and_the_longest_answer() {
        let body = br#"{"messages":[1,2],"max_tokens":10,"best_of":3}"#;
        let fields = Fields::parse("application/json", body).unwrap();
        assert_eq!((fields.prompt_tokens(), fields.estimated_tokens()), (2, 32));
    }
}
