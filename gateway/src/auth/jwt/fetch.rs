//! Asks an issuer for its keys. A discovery document may only speak for an issuer that is configured, and only
//! name an address that nobody on the way can answer for.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};

use super::keys::{self, Key};
use crate::{
    auth::http::{HttpError, client_for, get},
    config::{compiled::KeysAt, is_safe_url},
};

const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whoever says what the keys of an issuer are.
#[async_trait]
pub(super) trait Publisher: Send + Sync {
    async fn keys(&self) -> Result<Vec<Key>, FetchError>;
}

/// The issuer itself, over HTTP.
pub(super) struct Remote {
    pub(super) at: KeysAt,
    pub(super) names: Vec<Arc<str>>,
}

/// Quotes what others wrote, at any length.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{url}: {source}")]
    Http { url: String, source: HttpError },
    #[error("{url} answered {status}, not 200")]
    Status { url: String, status: StatusCode },
    #[error("{url} is not the JSON document that was expected: {source}")]
    Unreadable {
        url: String,
        source: serde_json::Error,
    },
    #[error(
        "{url} is of the issuer `{found}`, which is not a configured one: correct the name or the address"
    )]
    OtherIssuer { url: String, found: String },
    #[error("`{url}` is not https: keys are fetched in plain text from this machine alone")]
    Insecure { url: String },
    #[error("{url} has no key for RS256 or ES256 signatures with a `kid`")]
    NoKeys { url: String },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[async_trait]
impl Publisher for Remote {
    async fn keys(&self) -> Result<Vec<Key>, FetchError> {
        let url = match &self.at {
            KeysAt::Jwks(url) => url.to_string(),
            KeysAt::Discovery(url) => self.discover(url).await?,
        };
        let published: Jwks = document(&url).await?;
        let keys = keys::usable(&published.keys);
        if keys.is_empty() {
            return Err(FetchError::NoKeys { url });
        }
        Ok(keys)
    }
}

impl Remote {
    async fn discover(&self, url: &str) -> Result<String, FetchError> {
        let found: Discovery = document(url).await?;
        if !self.names.iter().any(|name| **name == *found.issuer) {
            return Err(FetchError::OtherIssuer {
                url: url.to_owned(),
                found: found.issuer,
            });
        }
        Ok(found.jwks_uri)
    }
}

async fn document<T: DeserializeOwned>(url: &str) -> Result<T, FetchError> {
    if !is_safe_url(url) {
        let url = url.to_owned();
        return Err(FetchError::Insecure { url });
    }
    let (status, _, body) = get(client_for(url), url, DOCUMENT_BYTES_MAX, TIMEOUT)
        .await
        .map_err(|source| FetchError::Http {
            url: url.to_owned(),
            source,
        })?;
    if status != StatusCode::OK {
        let url = url.to_owned();
        return Err(FetchError::Status { url, status });
    }
    serde_json::from_slice(&body).map_err(|source| FetchError::Unreadable {
        url: url.to_owned(),
        source,
    })
}
