//! Tokens from what Azure runs beside a program: the machine says who it is, and no secret is kept.
//!
//! - Virtual machines: <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
//! - App Service: <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>
//! - Arc: <https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication>

use std::path::Path;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{RequestBuilder, Url};

use super::{
    answer::Complaint,
    fetch::{FetchError, Fetched, Question},
};
use crate::{
    auth::{files, http::direct},
    config::compiled::{IdentityId, Platform},
    secret::Secret,
};

/// The agent's keys have some hundred bytes.
const KEY_BYTES_MAX: u64 = 4096;

pub(super) async fn fetch(
    platform: &Platform,
    identity: &IdentityId,
    scope: &str,
) -> Result<Fetched, FetchError> {
    match platform {
        Platform::Imds { url } => imds(url, identity, scope).await,
        Platform::AppService { url, header } => app_service(url, header, identity, scope).await,
        Platform::Arc { url, key_directory } => arc(url, key_directory, identity, scope).await,
    }
}

async fn imds(url: &str, identity: &IdentityId, scope: &str) -> Result<Fetched, FetchError> {
    let question = Question {
        asked: format!("IMDS at {}", origin(url)),
        unreachable: Some("is this an Azure virtual machine, and may its processes reach IMDS?"),
        hint,
    };
    let identity = match identity {
        IdentityId::System => None,
        IdentityId::ClientId(id) => Some(("client_id", id)),
        IdentityId::ObjectId(id) => Some(("object_id", id)),
        IdentityId::ResourceId(id) => Some(("msi_res_id", id)),
    };
    let request = request(&question, url, "2018-02-01", scope, identity)?;
    let answer = question.ask(request.header("metadata", "true")).await?;
    question.conclude(&answer, &[])
}

async fn app_service(
    url: &str,
    header: &Secret,
    identity: &IdentityId,
    scope: &str,
) -> Result<Fetched, FetchError> {
    let question = Question {
        asked: format!("the identity endpoint at {}", origin(url)),
        unreachable: Some("is it the IDENTITY_ENDPOINT of this app?"),
        hint,
    };
    let identity = match identity {
        IdentityId::System => None,
        IdentityId::ClientId(id) => Some(("client_id", id)),
        IdentityId::ObjectId(id) => Some(("principal_id", id)),
        IdentityId::ResourceId(id) => Some(("mi_res_id", id)),
    };
    let value = sensitive(header.expose())
        .ok_or_else(|| question.wrong("cannot be asked: IDENTITY_HEADER does not fit a header"))?;
    let request = request(&question, url, "2019-08-01", scope, identity)?;
    let request = request.header("x-identity-header", value);
    let answer = question.ask(request).await?;
    question.conclude(&answer, &[header.expose()])
}

/// The agent names a file that only those may read who may have a token, and wants to be told its content.
async fn arc(
    url: &str,
    key_directory: &Path,
    identity: &IdentityId,
    scope: &str,
) -> Result<Fetched, FetchError> {
    let question = Question {
        asked: format!("the Azure Arc agent at {}", origin(url)),
        unreachable: Some("does the agent (himdsd) run on this machine?"),
        hint,
    };
    match identity {
        IdentityId::System => {}
        IdentityId::ClientId(_) | IdentityId::ObjectId(_) | IdentityId::ResourceId(_) => {
            return Err(question.wrong(
                "has the machine's own identity only: leave out client_id, object_id and resource_id",
            ));
        }
    }
    let ask = || {
        let request = request(&question, url, "2020-06-01", scope, None)?;
        Ok(request.header("metadata", "true"))
    };
    let answer = question.ask(ask()?).await?;
    if answer.0 != StatusCode::UNAUTHORIZED {
        return question.conclude(&answer, &[]);
    }
    let key = key(&question, &answer.1, key_directory).await?;
    let proof = sensitive(&format!("Basic {}", key.expose()))
        .ok_or_else(|| question.wrong("named a key file whose content does not fit a header"))?;
    let answer = question
        .ask(ask()?.header(header::AUTHORIZATION, proof))
        .await?;
    question.conclude(&answer, &[key.expose()])
}

/// Whoever answers at the agent's address names the file, so what it may be is fixed.
async fn key(
    question: &Question,
    challenge: &HeaderMap,
    directory: &Path,
) -> Result<Secret, FetchError> {
    let path = realm(challenge)
        .map(Path::new)
        .ok_or_else(|| question.wrong("asked for a proof and named no file in www-authenticate"))?;
    if path.extension().is_none_or(|extension| extension != "key") {
        return Err(question.wrong("named a file that is no .key file"));
    }
    let unreadable = |error| FetchError::File {
        what: "the key file of the Azure Arc agent",
        path: path.display().to_string(),
        error,
        hint: Some("the gateway's user has to be in the group himds, and the file in its place"),
    };
    let key = files::read_below(directory, path, KEY_BYTES_MAX)
        .await
        .map_err(unreadable)?;
    String::from_utf8(key)
        .map(Secret::new)
        .map_err(|_| question.wrong("named a key file that is no text"))
}

/// `Basic realm=/var/opt/azcmagent/tokens/x.key`
fn realm(challenge: &HeaderMap) -> Option<&str> {
    let value = challenge.get(header::WWW_AUTHENTICATE)?.to_str().ok()?;
    let (scheme, rest) = value.trim().split_once(' ')?;
    let (name, path) = rest.trim().split_once('=')?;
    let is_ours = scheme.eq_ignore_ascii_case("basic") && name.eq_ignore_ascii_case("realm");
    is_ours.then(|| path.trim_matches('"'))
}

fn request(
    question: &Question,
    url: &str,
    version: &str,
    scope: &str,
    identity: Option<(&str, &std::sync::Arc<str>)>,
) -> Result<RequestBuilder, FetchError> {
    let resource = scope.strip_suffix("/.default").unwrap_or(scope);
    let identity = identity.map(|(name, id)| (name, id.as_ref()));
    let parameters = [("api-version", version), ("resource", resource)];
    Url::parse_with_params(url, parameters.into_iter().chain(identity))
        .map(|url| direct().get(url))
        .map_err(|error| question.wrong(format!("cannot be asked, its URL is none: {error}")))
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A URL without what is too long for a message.
fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization())
}

fn hint(complaint: &Complaint) -> Option<&'static str> {
    let text = complaint.text.to_ascii_lowercase();
    if text.contains("multiple user assigned identities") {
        Some("the machine has several user-assigned identities: set client_id")
    } else if text.contains("identity not found") || text.contains("no managed identity found") {
        Some("assign a managed identity to the machine, or correct the id of the one that is meant")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_challenge_is_found() {
        for (value, expected) in [
            ("Basic realm=/a/b.key", Some("/a/b.key")),
            ("basic Realm=\"/a/b.key\"", Some("/a/b.key")),
            ("Bearer realm=/a/b.key", None),
            ("Basic", None),
            ("Basic charset=x", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::WWW_AUTHENTICATE, value.parse().unwrap());
            assert_eq!(realm(&headers), expected, "{value}");
        }
        assert_eq!(realm(&HeaderMap::new()), None);
    }
}
