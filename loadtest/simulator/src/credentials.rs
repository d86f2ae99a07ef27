//! Whether a caller's credential is one of the resource's.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::clock::unix_now;
use crate::identity::checked_claims;
use crate::route::{Shape, parameter};
use crate::state::Shared;

/// A key may come as `api-key`, in the query of a realtime call, and on the v1 paths as a bearer token too.
pub(crate) fn accepted(shared: &Shared, shape: Shape, headers: &HeaderMap, query: &str) -> bool {
    let resource = &shared.resource;
    if resource.api_keys.is_empty()
        && resource.bearer_tokens.is_empty()
        && resource.token_audience.is_none()
    {
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
        || bearer.is_some_and(|value| is_good_token(shared, value))
        || parameter(query, "api-key").is_some_and(|value| is_key(&value))
}

/// Whether it is a token of an identity simulator for this resource, neither expired nor withdrawn.
fn is_good_token(shared: &Shared, token: &str) -> bool {
    let Some(audience) = &shared.resource.token_audience else {
        return false;
    };
    let Some(claims) = checked_claims(token) else {
        return false;
    };
    let is_withdrawn = shared
        .tokens_refused
        .lock()
        .is_some_and(|until| claims.issued_at <= until);
    claims.audience == *audience && unix_now().as_secs() < claims.expires && !is_withdrawn
}
