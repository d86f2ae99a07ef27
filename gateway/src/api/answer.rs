//! What the body of a provider's answer, or the data of one event of a stream, says about itself: tokens,
//! kind, error. Tolerant: what is not understood is absent, never an error.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::Fault;

/// Largest error body that is looked into, bytes. Real ones have a few hundred.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Tokens as the provider counted them; 0 where it said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub prompt: u64,
    pub completion: u64,
    /// Part of `prompt`.
    pub cached: u64,
    /// Part of `completion`.
    pub reasoning: u64,
}

impl Usage {
    /// The value of a `usage` member. `None` where nothing is counted in tokens.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Tokens>(json).ok()?.usage()
    }
}

/// The tokens of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub usage: Usage,
    /// The provider reported nothing; this was made of what passed.
    pub estimated: bool,
}

/// `error.code` of an error body in the OpenAI and Azure shape; numbers are given as their text.
#[must_use]
pub fn error_code(body: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: Inner<'a>,
    }
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        code: Code<'a>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code<'a> {
        Text(#[serde(borrow)] Cow<'a, str>),
        Number(i64),
    }

    if body.len() > ERROR_BYTES_MAX {
        return None;
    }
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    Some(match body.error.code {
        Code::Text(text) => text,
        Code::Number(number) => Cow::Owned(number.to_string()),
    })
}

/// The few members of an answer or event that anyone asks for.
pub(super) struct Facts<'a> {
    /// The outermost `type`.
    pub(super) kind: Option<Cow<'a, str>>,
    /// The outermost `usage`, else that inside `response`.
    pub(super) usage: Option<Usage>,
    /// Of the outermost `error`, else of that inside `response`.
    pub(super) error: Option<Fault>,
    /// The outermost `code`.
    pub(super) code: Option<&'a RawValue>,
}

impl<'a> Facts<'a> {
    /// `None` where `json` is not an object.
    pub(super) fn read(json: &'a [u8]) -> Option<Self> {
        // Raw where the type is not certain, so that one odd member does not hide the others.
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow, rename = "type")]
            kind: Option<&'a RawValue>,
            #[serde(borrow)]
            usage: Option<&'a RawValue>,
            #[serde(borrow)]
            response: Option<&'a RawValue>,
            #[serde(borrow)]
            error: Option<&'a RawValue>,
            #[serde(borrow)]
            code: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Response<'a> {
            #[serde(borrow)]
            usage: Option<&'a RawValue>,
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }

        let object: Object<'_> = serde_json::from_slice(json).ok()?;
        let response = parsed::<Response<'_>>(object.response);
        let within = response.as_ref();
        let tokens = parsed::<Tokens>(object.usage)
            .or_else(|| parsed::<Tokens>(within.and_then(|response| response.usage)));
        let error = object.error.or(within.and_then(|response| response.error));
        // Some servers fill in what is not there.
        let error =
            error.filter(|error| !matches!(error.get(), "\"\"" | "false" | "0" | "{}" | "[]"));
        Some(Self {
            kind: parsed(object.kind),
            usage: tokens.and_then(Tokens::usage),
            error: error.map(Fault::of_error),
            code: object.code,
        })
    }
}

fn parsed<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

impl Tokens {
    /// `None` where nothing is counted in tokens, as in `{"type":"duration","seconds":3}`.
    fn usage(self) -> Option<Usage> {
        let prompt = self.prompt_tokens.or(self.input_tokens);
        let completion = self.completion_tokens.or(self.output_tokens);
        if prompt.is_none() && completion.is_none() {
            return None;
        }
        let cached = self.prompt_tokens_details.or(self.input_tokens_details);
        let reasoning = self
            .completion_tokens_details
            .or(self.output_tokens_details);
        Some(Usage {
            prompt: prompt.unwrap_or(0),
            completion: completion.unwrap_or(0),
            cached: cached
                .and_then(|details| details.cached_tokens)
                .unwrap_or(0),
            reasoning: reasoning
                .and_then(|details| details.reasoning_tokens)
                .unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_under_both_sets_of_names() {
        let all = Usage {
            prompt: 10,
            completion: 7,
            cached: 4,
            reasoning: 3,
        };
        let prompt_only = Usage {
            prompt: 10,
            ..Usage::default()
        };
        let chat = r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,
            "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":3}}}"#;
        let responses = r#"{"usage":{"input_tokens":10,"output_tokens":7,
            "input_tokens_details":{"cached_tokens":4},"output_tokens_details":{"reasoning_tokens":3}}}"#;
        let event = format!(r#"{{"type":"response.completed","response":{responses}}}"#);
        for (body, expected) in [
            (chat, Some(all)),
            (responses, Some(all)),
            (&event, Some(all)),
            (
                r#"{"usage":{"prompt_tokens":10,"total_tokens":10}}"#,
                Some(prompt_only),
            ),
            (
                r#"{"usage":{"prompt_tokens":10,"prompt_tokens_details":null}}"#,
                Some(prompt_only),
            ),
            (
                r#"{"type":7,"response":"x","usage":{"prompt_tokens":10}}"#,
                Some(prompt_only),
            ),
            (r#"{"usage":{"type":"duration","seconds":3}}"#, None),
            (r#"{"usage":{"prompt_tokens":-1}}"#, None),
            (r#"{"usage":null}"#, None),
            (r#"{"choices":[{"usage":{"prompt_tokens":1}}]}"#, None),
            ("{}", None),
            ("[]", None),
            ("", None),
        ] {
            let usage = Facts::read(body.as_bytes()).and_then(|facts| facts.usage);
            assert_eq!(usage, expected, "{body}");
        }
    }

    #[test]
    fn error_codes_are_read_as_text_or_number() {
        for (body, expected) in [
            (
                r#"{"error":{"code":"DeploymentNotFound","message":"m"}}"#,
                Some("DeploymentNotFound"),
            ),
            (
                r#"{"error":{"message":"\"code\":\"x\"","code":"content_f\u0069lter"}}"#,
                Some("content_filter"),
            ),
            (r#"{"error":{"code":429}}"#, Some("429")),
            (r#"{"error":{"code":null,"message":"m"}}"#, None),
            (r#"{"error":{"code":{"a":1}}}"#, None),
            (r#"{"error":{"message":"m"}}"#, None),
            (r#"{"error":"m"}"#, None),
            (r#"{"code":"x"}"#, None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(error_code(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn an_error_body_over_the_limit_is_not_looked_into() {
        let body = |padding: usize| format!(r#"{{"error":{{"code":"x"}}}}{}"#, " ".repeat(padding));
        let base = body(0).len();
        assert!(error_code(body(ERROR_BYTES_MAX - base).as_bytes()).is_some());
        assert!(error_code(body(ERROR_BYTES_MAX - base + 1).as_bytes()).is_none());
    }
}
