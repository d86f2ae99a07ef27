//! Whether a caller's credential is one of the resource's.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::resource::Resource;
use crate::route::{Shape, parameter};

/// A key may come as `api-key`, in the query of a realtime call, and on the v1 paths as a bearer token too.
pub(crate) fn accepted(
    resource: &Resource,
    shape: Shape,
    headers: &HeaderMap,
    query: &str,
) -> bool {
    if resource.api_keys.is_empty() && resource.bearer_tokens.is_empty() {
        return true;
    }
    let is_key = |value: &str| resource.api_keys.iter().any(|key| key == value);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let bearer_is_key = match shape {
        Shape::Dated => false,
        Shape::V1 | Shape::Plain => bearer.is_some_and(is_key),
    };
    text("api-key").is_some_and(is_key)
        || bearer_is_key
        || bearer.is_some_and(|value| resource.bearer_tokens.iter().any(|token| token == value))
        || parameter(query, "api-key").is_some_and(|value| is_key(&value))
}
