//! What an issuer publishes about itself.

use serde_json::json;

use super::answer::Answer;
use super::claims::Version;
use super::state::State;
use super::token::known_tenant;

/// The tenants that stand for any; their documents name no one issuer but a template.
const ANY: [&str; 2] = ["common", "organizations"];

pub(super) fn discovery(state: &State, tenant: &str, version: Version) -> Result<Answer, Answer> {
    let named = named(state, tenant)?;
    let base = format!("{}/{tenant}", state.url);
    let (authorize, token, keys) = match version {
        Version::V1 => ("oauth2/authorize", "oauth2/token", "discovery/keys"),
        Version::V2 => (
            "oauth2/v2.0/authorize",
            "oauth2/v2.0/token",
            "discovery/v2.0/keys",
        ),
    };
    let document = json!({
        "issuer": version.issuer(named),
        "authorization_endpoint": format!("{base}/{authorize}"),
        "token_endpoint": format!("{base}/{token}"),
        "jwks_uri": format!("{base}/{keys}"),
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
    });
    Ok(Answer::json(200, &document))
}

pub(super) fn keys(state: &State, tenant: &str) -> Result<Answer, Answer> {
    let issuer = Version::V2.issuer(named(state, tenant)?);
    let keys = state
        .signing
        .lock()
        .published(&issuer, state.options.odd_keys);
    Ok(Answer::json(200, &keys))
}

/// The tenant as issuers name it.
fn named<'a>(state: &State, tenant: &'a str) -> Result<&'a str, Answer> {
    if ANY.contains(&tenant) {
        return Ok("{tenantid}");
    }
    known_tenant(state, tenant)?;
    Ok(tenant)
}
