//! Reads the client's key or token from its headers. Knows none: whether one is good is asked elsewhere. It never
//! appears in an error.

use super::{
    error::ApiError,
    header::{SUBPROTOCOL_KEY, has_prefix},
    query,
};

/// What a client shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Presented<'a> {
    pub text: &'a str,
    /// It came in `authorization`, so it may be a token; what comes as `api-key` is a key.
    pub is_bearer: bool,
}

/// Shows nothing of the credential.
impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented")
            .field("is_bearer", &self.is_bearer)
            .finish_non_exhaustive()
    }
}

/// The key in `api-key: KEY` or `authorization: Bearer KEY`; `None` where there is neither. SDKs send the
/// same key either way, depending on which client class is used.
///
/// # Errors
/// 400 where both are present and differ; 401 for another scheme than Bearer and for a value that is not text.
pub fn client_credential<'a>(
    api_key: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
) -> Result<Option<Presented<'a>>, ApiError> {
    let api_key = api_key.map(text).transpose()?.filter(|key| !key.is_empty());
    let bearer = authorization.map(bearer).transpose()?;
    match (api_key, bearer) {
        (Some(api_key), Some(bearer)) if api_key != bearer => {
            Err(ApiError::conflicting_credentials())
        }
        (api_key, bearer) => Ok(bearer.or(api_key).map(|text| Presented {
            text,
            is_bearer: bearer.is_some(),
        })),
    }
}

/// The key with which a browser opens a WebSocket, for it can set no header: an item of `sec-websocket-protocol`, as the
/// openai npm package sends it, or `?api-key=`, as Azure documents it; with nothing in it that is percent-encoded.
///
/// # Errors
/// 400 where both are present and differ.
pub fn websocket_credential<'a>(
    subprotocols: Option<&'a str>,
    query: Option<&'a str>,
) -> Result<Option<Presented<'a>>, ApiError> {
    let item = subprotocols
        .into_iter()
        .flat_map(|offered| offered.split(','))
        .map(str::trim_ascii)
        .find(|item| has_prefix(item, SUBPROTOCOL_KEY))
        .map(|item| &item[SUBPROTOCOL_KEY.len()..])
        .filter(|key| !key.is_empty());
    let parameter = query::value(query, "api-key").filter(|key| !key.is_empty());
    match (item, parameter) {
        (Some(item), Some(parameter)) if item != parameter => {
            Err(ApiError::conflicting_credentials())
        }
        (item, parameter) => Ok(item.or(parameter).map(|text| Presented {
            text,
            is_bearer: item.is_some(),
        })),
    }
}

fn bearer(authorization: &[u8]) -> Result<&str, ApiError> {
    text(authorization)?
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim_ascii())
        .filter(|key| !key.is_empty())
        .ok_or_else(ApiError::invalid_api_key)
}

fn text(value: &[u8]) -> Result<&str, ApiError> {
    let text = std::str::from_utf8(value).map_err(|_| ApiError::invalid_api_key())?;
    Ok(text.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_either_header() {
        for (api_key, authorization, expected) in [
            (None, None, Ok(None)),
            (Some("k"), None, Ok(Some("k"))),
            (None, Some("Bearer k"), Ok(Some("k"))),
            (None, Some("bEARER   k "), Ok(Some("k"))),
            (Some("k"), Some("Bearer k"), Ok(Some("k"))),
            (Some(""), None, Ok(None)),
            (Some(" "), Some("Bearer k"), Ok(Some("k"))),
            (Some("k"), Some("Bearer j"), Err("conflicting_credentials")),
            (Some("k"), Some("Basic k"), Err("invalid_api_key")),
            (None, Some("Bearer"), Err("invalid_api_key")),
            (None, Some("Bearer "), Err("invalid_api_key")),
            (None, Some("k"), Err("invalid_api_key")),
            (None, Some(""), Err("invalid_api_key")),
        ] {
            let read =
                client_credential(api_key.map(str::as_bytes), authorization.map(str::as_bytes))
                    .map(|shown| shown.map(|shown| shown.text));
            assert_eq!(
                read.map_err(|error| error.code),
                expected,
                "{api_key:?} {authorization:?}"
            );
        }
    }

    #[test]
    fn a_browser_shows_its_key_where_it_can() {
        for (subprotocols, query, expected) in [
            (None, None, Ok(None)),
            (Some("realtime"), Some("model=m"), Ok(None)),
            (
                Some("realtime, openai-insecure-api-key.k, openai-beta.realtime-v1"),
                None,
                Ok(Some(("k", true))),
            ),
            (Some("openai-insecure-api-key."), None, Ok(None)),
            (
                Some("realtime"),
                Some("a=b&api-key=k"),
                Ok(Some(("k", false))),
            ),
            (None, Some("API-Key=k"), Ok(Some(("k", false)))),
            (None, Some("api-key="), Ok(None)),
            (
                Some("openai-insecure-api-key.k"),
                Some("api-key=k"),
                Ok(Some(("k", true))),
            ),
            (
                Some("openai-insecure-api-key.k"),
                Some("api-key=j"),
                Err("conflicting_credentials"),
            ),
            (
                Some("openai-insecure-api-key."),
                Some("api-key=k"),
                Ok(Some(("k", false))),
            ),
        ] {
            let shown = websocket_credential(subprotocols, query)
                .map(|shown| shown.map(|shown| (shown.text, shown.is_bearer)))
                .map_err(|error| error.code);
            assert_eq!(shown, expected, "{subprotocols:?} {query:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_key_and_are_not_echoed() {
        for (api_key, authorization) in [
            (Some(&b"k\xff"[..]), None),
            (None, Some(&b"Bearer k\xff"[..])),
        ] {
            assert_eq!(
                client_credential(api_key, authorization),
                Err(ApiError::invalid_api_key())
            );
        }
        let error = client_credential(Some(b"first-key"), Some(b"Bearer other-key")).unwrap_err();
        assert!(!error.message.contains("first-key") && !error.message.contains("other-key"));
    }
}
