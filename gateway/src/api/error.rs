//! The gateway's own errors, in the shape that OpenAI and Azure clients read:
//! `{"error":{"message":…,"type":…,"param":…,"code":…}}`. Answers of providers never become one of these by
//! themselves: they pass through, and who translates a failure says which error it is.
//!
//! The codes are stable; clients and dashboards may rely on them.
//!
//! | status | code | when |
//! | --- | --- | --- |
//! | 400 | `conflicting_credentials` | `api-key` and `authorization` differ or come twice, or the certificate is of another client |
//! | 400 | `duplicate_model` | the body names its model more than once |
//! | 400 | `invalid_deployment` | the deployment in the URL is not a plain name |
//! | 400 | `invalid_json` | the body is not one JSON object |
//! | 400 | `invalid_model` | `model` is not a string |
//! | 400 | `invalid_multipart` | the body is not the form its content type promises |
//! | 400 | `malformed_request` | two HTTP parsers could read the request differently |
//! | 400 | `missing_api_version` | a dated path without `api-version` |
//! | 400 | `missing_model` | nothing in the request names a model |
//! | 400 | `websocket_required` | a realtime path without an upgrade to WebSocket |
//! | 401 | `expired_api_key` | the key was good until its `not_after` |
//! | 401 | `invalid_api_key` | the key is unknown, or not in a form that can be read |
//! | 401 | `invalid_token` | the token is not good: expired, for somebody else, not signed by an accepted issuer |
//! | 401 | `missing_api_key` | no key |
//! | 401 | `unknown_certificate` | the client certificate names no client, and there is no key; or it does not count any more |
//! | 403 | `access_denied` | the token is good, and means no client |
//! | 403 | `azure_token_required` | only endpoints that take the caller's own Azure token could serve this |
//! | 403 | `model_not_allowed` | the key is good, but not for this model |
//! | 404 | `model_not_found` | no such model or alias |
//! | 404 | `unsupported_operation` | the path is not served, or not for this model |
//! | 405 | `method_not_allowed` | the path is served with another method |
//! | 408 | `request_timeout` | the body did not arrive in time |
//! | 411 | `length_required` | a body of unknown length where one is needed |
//! | 413 | `body_too_large` | the body is over the limit |
//! | 431 | `header_too_large` | the request head is over the limit |
//! | 429 | `upstream_throttled` | every deployment that could serve is throttled |
//! | 500 | `internal_error` | a fault of the gateway |
//! | 502 | `upstream_broken` | the answer of the last deployment broke off or made no sense |
//! | 503 | `gateway_busy` | the memory for request bodies is used up |
//! | 503 | `identity_unavailable` | the keys of the token's issuer cannot be had |
//! | 503 | `upstream_auth_failed` | the providers refuse the gateway's credentials |
//! | 503 | `upstream_unavailable` | no deployment could serve |
//! | 504 | `upstream_timeout` | no answer in time |

use bytes::Bytes;

/// Longest piece of the client's own text that a message repeats, characters.
const QUOTE_CHARS_MAX: usize = 128;

const INVALID_REQUEST: &str = "invalid_request_error";
const RATE_LIMIT: &str = "rate_limit_error";
const SERVER: &str = "server_error";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    pub status: u16,
    pub code: &'static str,
    /// The `type` member.
    pub kind: &'static str,
    pub message: String,
    /// The request parameter at fault.
    pub param: Option<&'static str>,
    /// Value of the `allow` header that a 405 must carry.
    pub allow: Option<&'static str>,
}

impl ApiError {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        let kind = match status {
            429 => RATE_LIMIT,
            500.. => SERVER,
            _ => INVALID_REQUEST,
        };
        Self {
            status,
            code,
            kind,
            message: message.into(),
            param: None,
            allow: None,
        }
    }

    fn about(self, param: &'static str) -> Self {
        Self {
            param: Some(param),
            ..self
        }
    }

    // === The request cannot be understood ===

    #[must_use]
    pub fn conflicting_credentials() -> Self {
        let message = "Your request shows more than one credential. Send one: `api-key: KEY` or \
                       `authorization: Bearer KEY`.";
        Self::new(400, "conflicting_credentials", message)
    }

    #[must_use]
    pub fn duplicate_model() -> Self {
        let message = "The request body has more than one `model`. Send exactly one.";
        Self::new(400, "duplicate_model", message).about("model")
    }

    /// `segment` is the name as it stands in the URL.
    #[must_use]
    pub fn invalid_deployment(segment: &str) -> Self {
        let message = format!("`{}` is not a valid deployment name.", quote(segment));
        Self::new(400, "invalid_deployment", message)
    }

    /// `reason` must not repeat the body: it may end up in a log.
    #[must_use]
    pub fn invalid_json(reason: &str) -> Self {
        let message = format!("We could not parse the JSON body of your request: {reason}.");
        Self::new(400, "invalid_json", message)
    }

    #[must_use]
    pub fn invalid_model() -> Self {
        Self::new(400, "invalid_model", "`model` must be a string.").about("model")
    }

    /// `reason` must not repeat the body: it may end up in a log.
    #[must_use]
    pub fn invalid_multipart(reason: &str) -> Self {
        let message = format!("We could not parse the multipart form of your request: {reason}.");
        Self::new(400, "invalid_multipart", message)
    }

    /// `reason` names the rule, in HTTP's words.
    #[must_use]
    pub fn malformed_request(reason: &str) -> Self {
        Self::new(
            400,
            "malformed_request",
            format!("The HTTP request is malformed: {reason}."),
        )
    }

    #[must_use]
    pub fn header_too_large(bytes_max: usize) -> Self {
        let message = format!("The request head is larger than {bytes_max} bytes.");
        Self::new(431, "header_too_large", message)
    }

    #[must_use]
    pub fn request_timeout() -> Self {
        let message = "The request body did not arrive in time.";
        Self::new(408, "request_timeout", message)
    }

    #[must_use]
    pub fn missing_api_version() -> Self {
        let message = "The `api-version` query parameter is required on this path, as in \
                       `?api-version=2024-10-21`. Paths under `/openai/v1` do not need it.";
        Self::new(400, "missing_api_version", message).about("api-version")
    }

    #[must_use]
    pub fn missing_model() -> Self {
        let message = "You must provide a model: in the body, or as the deployment in the URL.";
        Self::new(400, "missing_model", message).about("model")
    }

    #[must_use]
    pub fn websocket_required() -> Self {
        let message = "Realtime is served over WebSocket. Send a GET with `upgrade: websocket`.";
        Self::new(400, "websocket_required", message)
    }

    // === Who is it, and may it ===

    #[must_use]
    pub fn invalid_api_key() -> Self {
        Self::new(401, "invalid_api_key", "Incorrect API key provided.")
    }

    #[must_use]
    pub fn missing_api_key() -> Self {
        let message = "You didn't provide an API key. Send it as `api-key: KEY` or as \
                       `authorization: Bearer KEY`.";
        Self::new(401, "missing_api_key", message)
    }

    /// Only the holder of the key learns this.
    #[must_use]
    pub fn expired_api_key() -> Self {
        Self::new(401, "expired_api_key", "Your API key has expired.")
    }

    #[must_use]
    pub fn invalid_token() -> Self {
        let message = "Your access token is not valid here: it may have expired, or be meant for \
                       another service.";
        Self::new(401, "invalid_token", message)
    }

    #[must_use]
    pub fn unknown_certificate() -> Self {
        let message = "Your client certificate is missing, has ended or is not known here. Ask who runs \
                       this gateway to add it, or send an API key.";
        Self::new(401, "unknown_certificate", message)
    }

    #[must_use]
    pub fn access_denied() -> Self {
        let message = "Your access token is valid, but has none of the roles, permissions or groups \
                       that are needed here.";
        Self::new(403, "access_denied", message)
    }

    #[must_use]
    pub fn azure_token_required(model: &str) -> Self {
        let message = format!(
            "The model `{}` is served with your own Azure credential only. Send an access token for Azure.",
            quote(model)
        );
        Self::new(403, "azure_token_required", message).about("model")
    }

    #[must_use]
    pub fn identity_unavailable() -> Self {
        let message = "Access tokens cannot be checked at the moment.";
        Self::new(503, "identity_unavailable", message)
    }

    #[must_use]
    pub fn model_not_allowed(model: &str) -> Self {
        let message = format!("Your API key may not use the model `{}`.", quote(model));
        Self::new(403, "model_not_allowed", message).about("model")
    }

    #[must_use]
    pub fn model_not_found(model: &str) -> Self {
        let message = format!(
            "The model `{}` does not exist or you do not have access to it.",
            quote(model)
        );
        Self::new(404, "model_not_found", message).about("model")
    }

    // === The request is understood, but not served ===

    /// `path` is the client's, without the query; `reason` is a sentence, or empty.
    #[must_use]
    pub fn unsupported_operation(path: &str, reason: &str) -> Self {
        let gap = if reason.is_empty() { "" } else { " " };
        let message = format!(
            "`{}` is not served by this gateway.{gap}{reason}",
            quote(path)
        );
        Self::new(404, "unsupported_operation", message)
    }

    /// The model is known, but none of its endpoints has this operation in the shape the client chose.
    /// `operation` is as in `chat/completions`.
    #[must_use]
    pub fn operation_unavailable(model: &str, operation: &str) -> Self {
        let message = format!(
            "No endpoint of the model `{}` serves `{operation}` on this path.",
            quote(model)
        );
        Self::new(404, "unsupported_operation", message).about("model")
    }

    /// `allow` is the one method that the path has.
    #[must_use]
    pub fn method_not_allowed(method: &str, path: &str, allow: &'static str) -> Self {
        let (method, path) = (quote(method), quote(path));
        let message = format!("`{path}` does not take {method} requests. Use {allow}.");
        Self {
            allow: Some(allow),
            ..Self::new(405, "method_not_allowed", message)
        }
    }

    #[must_use]
    pub fn length_required() -> Self {
        Self::new(
            411,
            "length_required",
            "Send the request body with a `content-length`.",
        )
    }

    #[must_use]
    pub fn body_too_large(bytes_max: usize) -> Self {
        let message = format!("The request body is larger than {bytes_max} bytes.");
        Self::new(413, "body_too_large", message)
    }

    // === The gateway or its providers cannot serve now ===

    #[must_use]
    pub fn upstream_throttled(model: &str) -> Self {
        let message = format!(
            "Rate limit reached for the model `{}` on every endpoint. Try again later.",
            quote(model)
        );
        Self::new(429, "upstream_throttled", message)
    }

    #[must_use]
    pub fn internal_error() -> Self {
        Self::new(
            500,
            "internal_error",
            "The gateway had an error while processing your request.",
        )
    }

    #[must_use]
    pub fn gateway_busy() -> Self {
        Self::new(
            503,
            "gateway_busy",
            "The gateway is at its limit. Try again later.",
        )
    }

    #[must_use]
    pub fn upstream_auth_failed(model: &str) -> Self {
        let message = format!(
            "The endpoints of the model `{}` refuse the gateway's credentials. Your API key is not \
             the cause.",
            quote(model)
        );
        Self::new(503, "upstream_auth_failed", message)
    }

    #[must_use]
    pub fn upstream_unavailable(model: &str) -> Self {
        let message = format!(
            "No endpoint of the model `{}` is available. Try again later.",
            quote(model)
        );
        Self::new(503, "upstream_unavailable", message)
    }

    #[must_use]
    pub fn upstream_broken(model: &str) -> Self {
        let message = format!(
            "The endpoint of the model `{}` gave no usable answer.",
            quote(model)
        );
        Self::new(502, "upstream_broken", message)
    }

    #[must_use]
    pub fn upstream_timeout(model: &str) -> Self {
        let message = format!(
            "No endpoint of the model `{}` answered in time.",
            quote(model)
        );
        Self::new(504, "upstream_timeout", message)
    }

    /// Value of the `www-authenticate` header, in the words of RFC 6750 §3.
    #[must_use]
    pub fn challenge(&self) -> Option<&'static str> {
        match (self.status, self.code) {
            (401, "invalid_token") => Some(r#"Bearer error="invalid_token""#),
            (401, _) => Some("Bearer"),
            (403, "access_denied") => Some(r#"Bearer error="insufficient_scope""#),
            _ => None,
        }
    }

    /// The JSON body of the answer.
    #[must_use]
    pub fn body(&self) -> Bytes {
        let error = serde_json::json!({
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        });
        error.to_string().into()
    }
}

/// The client's own text, cut to a length that fits a message. Control characters need no care here: the
/// JSON writer escapes them.
fn quote(text: &str) -> &str {
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn every_error() -> Vec<ApiError> {
        vec![
            ApiError::conflicting_credentials(),
            ApiError::duplicate_model(),
            ApiError::invalid_deployment(".."),
            ApiError::invalid_json("reason"),
            ApiError::invalid_model(),
            ApiError::invalid_multipart("reason"),
            ApiError::malformed_request("reason"),
            ApiError::header_too_large(1),
            ApiError::request_timeout(),
            ApiError::upstream_broken("m"),
            ApiError::missing_api_version(),
            ApiError::missing_model(),
            ApiError::websocket_required(),
            ApiError::access_denied(),
            ApiError::azure_token_required("m"),
            ApiError::expired_api_key(),
            ApiError::identity_unavailable(),
            ApiError::invalid_token(),
            ApiError::unknown_certificate(),
            ApiError::invalid_api_key(),
            ApiError::missing_api_key(),
            ApiError::model_not_allowed("m"),
            ApiError::model_not_found("m"),
            ApiError::unsupported_operation("/v1/files", ""),
            ApiError::operation_unavailable("m", "moderations"),
            ApiError::method_not_allowed("PUT", "/v1/embeddings", "POST"),
            ApiError::length_required(),
            ApiError::body_too_large(1),
            ApiError::upstream_throttled("m"),
            ApiError::internal_error(),
            ApiError::gateway_busy(),
            ApiError::upstream_auth_failed("m"),
            ApiError::upstream_unavailable("m"),
            ApiError::upstream_timeout("m"),
        ]
    }

    #[test]
    fn every_code_is_in_the_table_of_the_module_with_its_status() {
        let source = include_str!("error.rs");
        for error in every_error() {
            let row = format!("//! | {} | `{}` |", error.status, error.code);
            assert!(source.contains(&row), "no row for {error}");
        }
    }

    #[test]
    fn a_body_has_the_four_members_that_sdks_read() {
        let body: Value =
            serde_json::from_slice(&ApiError::model_not_found("gpt-9").body()).unwrap();
        let expected = json!({"error": {
            "message": "The model `gpt-9` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }});
        assert_eq!(body, expected);
    }

    #[test]
    fn the_type_says_who_is_at_fault() {
        for error in every_error() {
            let expected = match error.status {
                429 => RATE_LIMIT,
                status if status >= 500 => SERVER,
                _ => INVALID_REQUEST,
            };
            assert_eq!(error.kind, expected, "{error}");
        }
    }

    #[test]
    fn the_text_of_a_client_is_cut_and_cannot_break_the_json() {
        let error = ApiError::model_not_found(&format!("\"\n\u{1}{}", "ä".repeat(1000)));
        let body: Value = serde_json::from_slice(&error.body()).unwrap();
        assert_eq!(body["error"]["message"], error.message);
        assert_eq!(error.message.matches('ä').count(), QUOTE_CHARS_MAX - 3);
    }

    #[test]
    fn only_a_405_says_what_is_allowed() {
        for error in every_error() {
            assert_eq!(error.allow.is_some(), error.status == 405, "{error}");
        }
    }
}
