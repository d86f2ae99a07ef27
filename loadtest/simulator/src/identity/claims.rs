//! What stands in an access token, as Entra writes it for an application, and what a resource reads out of it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::forge;
use super::options::IdentityClient;
use crate::clock::unix_now;

/// Version 1, for audiences that are URIs; 2, for client ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

impl Version {
    /// The one in which Entra writes tokens for that audience.
    pub(super) fn of(audience: &str) -> Self {
        if audience.contains(':') {
            Self::V1
        } else {
            Self::V2
        }
    }

    /// The `iss` of a tenant's tokens.
    pub(super) fn issuer(self, tenant: &str) -> String {
        match self {
            Self::V1 => format!("https://sts.windows.net/{tenant}/"),
            Self::V2 => format!("https://login.microsoftonline.com/{tenant}/v2.0"),
        }
    }
}

/// The claims of a token that `client` gets now.
pub(super) fn filled_in(
    version: Version,
    tenant: &str,
    client: &IdentityClient,
    audience: &str,
    lifetime: Duration,
) -> Value {
    let now = unix_now();
    let mut claims = json!({
        "aud": audience,
        "iss": version.issuer(tenant),
        "iat": now.as_secs(),
        "nbf": now.as_secs(),
        "exp": (now + lifetime).as_secs(),
        "idtyp": "app",
        "oid": client.object_id,
        "sub": client.object_id,
        "tid": tenant,
        // Opaque at Entra. Here the time of issue, which `iat` tells too coarsely.
        "uti": format!("{:x}", now.as_nanos()),
    });
    let (appid, ver) = match version {
        Version::V1 => ("appid", "1.0"),
        Version::V2 => ("azp", "2.0"),
    };
    claims[appid] = client.client_id.as_str().into();
    claims["ver"] = ver.into();
    claims
}

/// What a resource wants to know of a token.
pub(crate) struct Checked {
    pub(crate) audience: String,
    /// Seconds since 1970.
    pub(crate) expires: u64,
    /// Since 1970.
    pub(crate) issued_at: Duration,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: u64,
    iat: u64,
    #[serde(default)]
    uti: String,
}

/// The claims of a token that is signed by one of the embedded keys.
pub(crate) fn checked(token: &str) -> Option<Checked> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let decode = |part| URL_SAFE_NO_PAD.decode(part).ok();
    let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
    if header.alg != "RS256" || !forge::is_signed(message.as_bytes(), &decode(signature)?) {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&decode(claims)?).ok()?;
    let precise = u64::from_str_radix(&claims.uti, 16).map(Duration::from_nanos);
    Some(Checked {
        audience: claims.aud,
        expires: claims.exp,
        issued_at: precise.unwrap_or(Duration::from_secs(claims.iat)),
    })
}
