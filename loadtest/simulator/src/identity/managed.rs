//! The endpoints that give a machine's managed identities their tokens. All values of their answers are strings.

use http::request::Parts;
use serde_json::{Value, json};

use super::answer::Answer;
use super::options::IdentityClient;
use super::state::State;
use crate::clock::unix_now;
use crate::route::parameter;

type Refused = Answer;

/// A virtual machine's metadata service.
pub(super) fn imds(state: &State, parts: &Parts) -> Result<Answer, Refused> {
    let query = parts.uri.query().unwrap_or("");
    metadata_header(parts)?;
    version(query, "2018-02-01", invalid_request)?;
    let resource = resource(query, invalid_request)?;
    let client = identity(state, query, ["client_id", "object_id", "msi_res_id"])
        .map_err(|missing| invalid_request(missing.imds()))?;
    Ok(expiring(&granted(state, client, &resource)))
}

/// App Service, Functions and Container Apps.
pub(super) fn app_service(state: &State, parts: &Parts) -> Result<Answer, Refused> {
    let refuse = |message: &str| Answer::json(400, &json!({"statusCode": 400, "message": message}));
    let query = parts.uri.query().unwrap_or("");
    let expected = state.options.app_service_header.as_str();
    if text(parts, "x-identity-header") != Some(expected) {
        let message = "X-IDENTITY-HEADER is missing or wrong";
        let body = json!({"statusCode": 401, "message": message});
        return Err(Answer::json(401, &body));
    }
    version(query, "2019-08-01", refuse)?;
    let resource = resource(query, refuse)?;
    let ids = ["client_id", "principal_id", "mi_res_id"];
    let client = identity(state, query, ids).map_err(|_| {
        refuse("No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
    })?;
    Ok(Answer::json(200, &granted(state, client, &resource)))
}

/// The agent of Azure Arc: a caller must show that it may read the agent's files.
pub(super) fn arc(state: &State, parts: &Parts) -> Result<Answer, Refused> {
    let query = parts.uri.query().unwrap_or("");
    let Some(directory) = &state.options.arc_key_directory else {
        let body = json!({"error": "not_found", "error_description": "no agent runs here"});
        return Err(Answer::json(404, &body));
    };
    metadata_header(parts)?;
    version(query, "2020-06-01", invalid_request)?;
    let resource = resource(query, invalid_request)?;
    if !state.redeem(&parts.headers) {
        let body = json!({"error": "unauthorized", "error_description": "Missing Basic Authorization header"});
        return Err(match state.challenge(directory) {
            Ok(file) => {
                Answer::json(401, &body).header("www-authenticate", &format!("Basic realm={file}"))
            }
            Err(error) => Answer::json(500, &json!({"error": error.to_string()})),
        });
    }
    let own = |client: &&IdentityClient| client.system_assigned;
    let Some(client) = state.options.clients.iter().find(own) else {
        return Err(invalid_request(Missing::NotFound.imds()));
    };
    Ok(expiring(&granted(state, client, &resource)))
}

/// What the doors of managed identities answer for a fault that names no body.
pub(super) fn documented(status: u16) -> Answer {
    let (error, description) = match status {
        404 => ("not_found", "The requested resource was not found"),
        410 => ("gone", "The metadata service is being updated"),
        429 => (
            "too_many_requests",
            "Temporarily throttled: too many requests",
        ),
        400..500 => ("invalid_request", "Identity not found"),
        _ => (
            "unknown",
            "Failed to retrieve token from the Active directory",
        ),
    };
    Answer::json(
        status,
        &json!({"error": error, "error_description": description}),
    )
}

/// Why there is no identity to give a token.
enum Missing {
    NotFound,
    Ambiguous,
}

impl Missing {
    fn imds(&self) -> &'static str {
        match self {
            Self::NotFound => "Identity not found",
            Self::Ambiguous => {
                "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in \
                 the token request"
            }
        }
    }
}

/// The identity that the query names by its client id, its object id or its resource id, in these parameters.
/// One that names none gets the machine's own, or the only one there is.
fn identity<'a>(
    state: &'a State,
    query: &str,
    parameters: [&str; 3],
) -> Result<&'a IdentityClient, Missing> {
    let clients = &state.options.clients;
    let wanted = parameters.map(|name| parameter(query, name));
    if wanted.iter().all(Option::is_none) {
        return match clients.as_slice() {
            [] => Err(Missing::NotFound),
            [only] => Ok(only),
            several => several
                .iter()
                .find(|client| client.system_assigned)
                .ok_or(Missing::Ambiguous),
        };
    }
    let is_meant = |client: &&IdentityClient| {
        let ids = [
            Some(client.client_id.as_str()),
            Some(client.object_id.as_str()),
            client.resource_id.as_deref(),
        ];
        let mut pairs = wanted.iter().zip(ids);
        pairs.all(|(wanted, id)| wanted.is_none() || wanted.as_deref() == id)
    };
    clients.iter().find(is_meant).ok_or(Missing::NotFound)
}

/// As App Service answers: the expiry as a time only.
fn granted(state: &State, client: &IdentityClient, resource: &str) -> Value {
    let (token, lifetime) = state.token(client, resource);
    json!({
        "access_token": token,
        "client_id": client.client_id,
        "expires_on": (unix_now() + lifetime).as_secs().to_string(),
        "resource": resource,
        "token_type": "Bearer",
    })
}

/// As the metadata services answer: the same, and how many seconds are left.
fn expiring(granted: &Value) -> Answer {
    let now = unix_now().as_secs();
    let on = granted["expires_on"]
        .as_str()
        .and_then(|on| on.parse().ok());
    let left = on.unwrap_or(now).saturating_sub(now).to_string();
    let mut body = granted.clone();
    body["expires_in"] = left.as_str().into();
    body["ext_expires_in"] = left.into();
    body["not_before"] = now.to_string().into();
    Answer::json(200, &body)
}

fn invalid_request(description: &str) -> Answer {
    Answer::json(
        400,
        &json!({"error": "invalid_request", "error_description": description}),
    )
}

/// A request that a careless proxy or a tricked program passes on does not have the one, and has the other.
fn metadata_header(parts: &Parts) -> Result<(), Refused> {
    if text(parts, "metadata") != Some("true") {
        return Err(invalid_request("Required metadata header not specified"));
    }
    if parts.headers.contains_key("x-forwarded-for") {
        return Err(invalid_request("X-Forwarded-For is not allowed"));
    }
    Ok(())
}

fn version(query: &str, wanted: &str, refuse: impl Fn(&str) -> Answer) -> Result<(), Refused> {
    match parameter(query, "api-version").as_deref() {
        None => Err(refuse("Required query variable 'api-version' is missing")),
        Some(version) if version == wanted => Ok(()),
        Some(_) => Err(refuse("The api-version is not supported")),
    }
}

/// What the token is for. A scope is not a resource.
fn resource(query: &str, refuse: impl Fn(&str) -> Answer) -> Result<String, Refused> {
    match parameter(query, "resource").as_deref() {
        None | Some("") => Err(refuse("Required query variable 'resource' is missing")),
        Some(resource) if resource.ends_with("/.default") => Err(refuse(&format!(
            "AADSTS500011: The resource principal named {resource} was not found in the tenant"
        ))),
        Some(resource) => Ok(resource.to_owned()),
    }
}

fn text<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}
