//! Whose fault an error inside a stream is. The answer has begun with 200, so its own words are all that tells.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    ContentFilter,
    /// Something is wrong with what the client sent.
    Request,
    Throttled,
    /// And whatever does not say: the request had been accepted.
    Server,
}

impl Fault {
    /// Of an `error` member: by its code, or else by its type.
    pub(super) fn of_error(error: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Words<'a> {
            #[serde(borrow)]
            code: Option<&'a RawValue>,
            #[serde(borrow, rename = "type")]
            kind: Option<&'a RawValue>,
        }

        let words = serde_json::from_str::<Words<'_>>(error.get());
        let words = words.map_or([None, None], |words| [words.code, words.kind]);
        words
            .into_iter()
            .flatten()
            .find_map(Self::known)
            .unwrap_or(Self::Server)
    }

    /// Of an event that is an error as a whole.
    pub(super) fn of_code(code: Option<&RawValue>) -> Self {
        code.and_then(Self::known).unwrap_or(Self::Server)
    }

    /// The words of OpenAI, Azure and those who speak like them. Statuses come as numbers and as their text.
    fn known(word: &RawValue) -> Option<Self> {
        let text = serde_json::from_str::<String>(word.get());
        let word = text.as_deref().unwrap_or(word.get());
        Some(match (word, word.parse()) {
            ("content_filter" | "moderation_blocked", _) => Self::ContentFilter,
            (_, _) if word.ends_with("content_policy_violation") => Self::ContentFilter,
            ("rate_limit_exceeded" | "rate_limit_error" | "insufficient_quota", _)
            | (_, Ok(429)) => Self::Throttled,
            (_, Ok(408 | 500..=599)) | ("server_error", _) => Self::Server,
            (_, Ok(400..=499)) => Self::Request,
            // The last one is about a server of tools that the client has named.
            (
                "context_length_exceeded"
                | "empty_image_file"
                | "failed_to_download_image"
                | "BadRequestError"
                | "external_connector_error",
                _,
            ) => Self::Request,
            (_, _) => ["invalid_", "unsupported_", "image_"]
                .iter()
                .any(|start| word.starts_with(start))
                .then_some(Self::Request)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_servers_fault_unless_it_says_otherwise() {
        for (error, fault) in [
            (
                r#"{"code":"content_filter","type":null}"#,
                Fault::ContentFilter,
            ),
            (
                r#"{"code":"image_content_policy_violation"}"#,
                Fault::ContentFilter,
            ),
            (
                r#"{"code":"content_filter","type":"server_error"}"#,
                Fault::ContentFilter,
            ),
            (
                r#"{"code":null,"type":"invalid_request_error"}"#,
                Fault::Request,
            ),
            (r#"{"code":"context_length_exceeded"}"#, Fault::Request),
            (r#"{"code":"image_too_large"}"#, Fault::Request),
            (r#"{"code":400,"type":"BadRequestError"}"#, Fault::Request),
            (
                r#"{"code":"http_error","type":"external_connector_error"}"#,
                Fault::Request,
            ),
            (
                r#"{"code":"rate_limit_exceeded","type":"tokens"}"#,
                Fault::Throttled,
            ),
            (r#"{"code":"429"}"#, Fault::Throttled),
            (r#"{"code":429}"#, Fault::Throttled),
            (r#"{"code":408}"#, Fault::Server),
            (
                r#"{"code":"InternalServerError","type":"server_error"}"#,
                Fault::Server,
            ),
            (r#"{"code":503}"#, Fault::Server),
            (r#"{"code":"vector_store_timeout"}"#, Fault::Server),
            (r#"{"code":{"a":1},"type":7}"#, Fault::Server),
            (r#"{"message":"m"}"#, Fault::Server),
            (r#""overloaded""#, Fault::Server),
        ] {
            let raw: &RawValue = serde_json::from_str(error).unwrap();
            assert_eq!(Fault::of_error(raw), fault, "{error}");
        }
    }
}
