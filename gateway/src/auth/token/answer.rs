//! Reads what a token service answers. Pure. Nothing that goes into an error is taken from an answer unseen: a service
//! may echo what it was sent.

use std::{fmt, time::Duration};

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::schedule::Retry;
use crate::{
    policy::retry_after::{self, WaitHeaders},
    secret::Secret,
};

/// Longer than any token lives; what claims more is not believed.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Characters of a service's explanation that are shown.
const COMPLAINT_CHARS_MAX: usize = 300;
/// A GUID has 36 characters; a longer word is a token, a key or a signature.
const WORD_CHARS_MAX: usize = 39;

#[derive(Debug)]
pub(super) struct Grant {
    pub(super) token: Secret,
    pub(super) lifetime: Duration,
    pub(super) refresh_in: Option<Duration>,
}

/// Why an answer that should hold a token is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it is no JSON object, is there something else at this address?")]
    NotJson,
    #[error("access_token is missing or empty")]
    NoToken,
    #[error("access_token has characters that cannot be sent in a header")]
    NotAHeader,
    #[error("token_type is not Bearer")]
    NotBearer,
    #[error("it has neither expires_in nor expires_on")]
    NoLifetime,
    #[error("the token has expired already, is the clock of this machine right?")]
    Expired,
}

/// Numbers come as numbers (Entra) and as strings (metadata services).
#[derive(Deserialize)]
struct Success {
    access_token: Option<Value>,
    token_type: Option<Value>,
    expires_in: Option<Value>,
    expires_on: Option<Value>,
    refresh_in: Option<Value>,
}

/// `unix_now` is wall-clock time since the Unix epoch.
pub(super) fn grant(body: &[u8], unix_now: Duration) -> Result<Grant, Unusable> {
    // Not the parser's message: it quotes what it does not understand.
    let answer: Success = serde_json::from_slice(body).map_err(|_| Unusable::NotJson)?;
    let Some(Value::String(token)) = answer.access_token else {
        return Err(Unusable::NoToken);
    };
    let token = Secret::new(token);
    if token.expose().is_empty() {
        return Err(Unusable::NoToken);
    }
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unusable::NotAHeader);
    }
    let kind = answer.token_type.as_ref();
    if kind.is_some_and(|kind| !is_bearer(kind)) {
        return Err(Unusable::NotBearer);
    }
    // `expires_in` may count from when the token was issued, and a metadata service gives tokens that it has held for a
    // while; `expires_on` depends on this machine's clock. The shorter one does no harm.
    let until = seconds(answer.expires_on.as_ref()).map(|at| at.saturating_sub(unix_now));
    let lifetime = match (seconds(answer.expires_in.as_ref()), until) {
        (Some(a), Some(b)) => a.min(b),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => return Err(Unusable::NoLifetime),
    };
    if lifetime.is_zero() {
        return Err(Unusable::Expired);
    }
    Ok(Grant {
        token,
        lifetime: lifetime.min(LIFETIME_MAX),
        refresh_in: seconds(answer.refresh_in.as_ref()),
    })
}

fn is_bearer(kind: &Value) -> bool {
    kind.as_str()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))
}

fn seconds(value: Option<&Value>) -> Option<Duration> {
    let value = value?;
    value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok())
        .map(Duration::from_secs)
}

/// What a service says about an error, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// `invalid_client`
    pub(super) code: String,
    /// `AADSTS7000215: Invalid client secret provided.`
    pub(super) text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.as_str(), self.text.as_str()) {
            ("", "") => f.write_str("without an explanation"),
            ("", only) | (only, "") => f.write_str(only),
            (code, text) => write!(f, "{code}: {text}"),
        }
    }
}

/// `sent` are the secrets of the request.
pub(super) fn complaint(body: &[u8], sent: &[&str]) -> Complaint {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |names: &[&str]| {
        let found = names.iter().find_map(|name| body.get(name)?.as_str());
        presentable(found.unwrap_or_default(), sent)
    };
    Complaint {
        code: field(&["error"]),
        text: field(&["error_description", "message"]),
    }
}

/// The first line of `text` without control characters, `sent` and whatever else is too long to be a word.
fn presentable(text: &str, sent: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in sent.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "(redacted)");
    }
    let line = text.lines().next().unwrap_or_default();
    // New answers of Entra have in one line what old ones had in four.
    let line = line.split(" Trace ID:").next().unwrap_or_default();
    let words: Vec<&str> = line
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(|word| match word.chars().count() {
            ..=WORD_CHARS_MAX => word,
            _ => "(long)",
        })
        .collect();
    words.join(" ").chars().take(COMPLAINT_CHARS_MAX).collect()
}

/// What a status other than success says about the next try.
pub(super) fn retry(status: StatusCode, headers: &HeaderMap, unix_now: Duration) -> Retry {
    let wait = headers.get(header::RETRY_AFTER).and_then(|value| {
        let headers = WaitHeaders {
            retry_after: value.to_str().ok(),
            ..WaitHeaders::default()
        };
        retry_after::parse(headers, unix_now)
    });
    match (status.as_u16(), wait) {
        (410, _) => Retry::Updating,
        (429 | 503, Some(wait)) => Retry::After(wait),
        // A metadata service says 404 while it starts.
        (404 | 408 | 429 | 500..=599, _) => Retry::Backoff,
        _ => Retry::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    #[test]
    fn lifetimes_are_read_as_numbers_and_as_strings() {
        for (fields, lifetime, refresh_in) in [
            (r#""expires_in":3599"#, 3599, None),
            (r#""expires_in":"3599""#, 3599, None),
            (r#""expires_on":"1700000100""#, 100, None),
            (r#""expires_on":1700000100"#, 100, None),
            (
                r#""expires_in":"86400","expires_on":"1700000100""#,
                100,
                None,
            ),
            (r#""expires_in":60,"expires_on":"1700000100""#, 60, None),
            (r#""expires_in":60,"expires_on":"tomorrow""#, 60, None),
            (r#""expires_in":"","expires_on":1700000100"#, 100, None),
            (
                r#""expires_in":86400,"refresh_in":"43200""#,
                86_400,
                Some(43_200),
            ),
            (r#""expires_in":18446744073709551615"#, 2_592_000, None),
        ] {
            let body = format!(r#"{{"access_token":"ey.J.x","token_type":"Bearer",{fields}}}"#);
            let grant = grant(body.as_bytes(), NOW).unwrap();
            assert_eq!(grant.lifetime, Duration::from_secs(lifetime), "{fields}");
            let refresh_in = refresh_in.map(Duration::from_secs);
            assert_eq!(grant.refresh_in, refresh_in, "{fields}");
            assert_eq!(grant.token.expose(), "ey.J.x");
        }
    }

    #[test]
    fn an_answer_that_is_no_token_is_refused_and_not_quoted() {
        for (body, expected) in [
            ("", Unusable::NotJson),
            ("<html>login</html>", Unusable::NotJson),
            (r#"["a-secret"]"#, Unusable::NotJson),
            ("{}", Unusable::NoToken),
            (r#"{"access_token":"","expires_in":1}"#, Unusable::NoToken),
            (r#"{"access_token":7,"expires_in":1}"#, Unusable::NoToken),
            (
                r#"{"access_token":"a b","expires_in":1}"#,
                Unusable::NotAHeader,
            ),
            (
                r#"{"access_token":"a\n","expires_in":1}"#,
                Unusable::NotAHeader,
            ),
            (
                r#"{"access_token":"ä","expires_in":1}"#,
                Unusable::NotAHeader,
            ),
            (
                r#"{"access_token":"a","token_type":"pop","expires_in":1}"#,
                Unusable::NotBearer,
            ),
            (r#"{"access_token":"a"}"#, Unusable::NoLifetime),
            (
                r#"{"access_token":"a","expires_in":-1}"#,
                Unusable::NoLifetime,
            ),
            (
                r#"{"access_token":"a","expires_in":"0"}"#,
                Unusable::Expired,
            ),
            (
                r#"{"access_token":"a","expires_on":1700000000}"#,
                Unusable::Expired,
            ),
            (
                r#"{"access_token":"a","expires_in":9,"expires_on":1}"#,
                Unusable::Expired,
            ),
        ] {
            assert_eq!(grant(body.as_bytes(), NOW).unwrap_err(), expected, "{body}");
        }
    }

    #[test]
    fn an_explanation_is_shown_without_what_was_sent() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl";
        let echo =
            format!(r#"{{"error":"hunter2","error_description":"got 'hunter2' and {token}"}}"#);
        let long = format!(r#"{{"error_description":"{}"}}"#, "word ".repeat(1000));
        for (body, expected) in [
            ("", "without an explanation"),
            ("hunter2", "without an explanation"),
            (r#"{"error":{"code":1}}"#, "without an explanation"),
            (
                r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
                "invalid_request: Identity not found",
            ),
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Wrong. Trace ID: 1 Timestamp: 2"}"#,
                "invalid_client: AADSTS7000215: Wrong.",
            ),
            (
                r#"{"error_description":"AADSTS1: a\tb.\r\nTrace ID: 1"}"#,
                "AADSTS1: a b.",
            ),
            (r#"{"message":"no \u001b[31mred"}"#, "no [31mred"),
            (&echo, "(redacted): got '(redacted)' and (long)"),
            (&long, &"word ".repeat(60)),
        ] {
            let complaint = complaint(body.as_bytes(), &["", "hunter2"]);
            assert_eq!(complaint.to_string(), expected, "{body}");
        }
    }

    #[test]
    fn each_status_is_tried_again_as_documented() {
        let secs = Duration::from_secs;
        for (status, retry_after, expected) in [
            (301, None, Retry::Permanent),
            (400, None, Retry::Permanent),
            (401, None, Retry::Permanent),
            (403, Some("9"), Retry::Permanent),
            (404, None, Retry::Backoff),
            (408, None, Retry::Backoff),
            (410, None, Retry::Updating),
            (429, None, Retry::Backoff),
            (429, Some("9"), Retry::After(secs(9))),
            (
                429,
                Some("Tue, 14 Nov 2023 22:13:50 GMT"),
                Retry::After(secs(30)),
            ),
            (429, Some("0"), Retry::Backoff),
            (500, None, Retry::Backoff),
            (503, Some("9"), Retry::After(secs(9))),
            (504, None, Retry::Backoff),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = retry_after {
                headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            let class = retry(status, &headers, NOW);
            assert_eq!(class, expected, "{status} {retry_after:?}");
        }
    }
}
