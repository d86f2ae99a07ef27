//! The doors of an identity simulator, by method and path.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::claims::Version;

/// What calls are counted and spoilt by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// `/metadata/identity/oauth2/token`, a virtual machine's metadata service.
    Imds,
    /// `/msi/token`, as App Service and Container Apps have it.
    AppService,
    /// `/arc/metadata/identity/oauth2/token`, the agent of Azure Arc.
    Arc,
    /// `/{tenant}/oauth2/v2.0/token`, Entra.
    Token,
    /// `/{tenant}/v2.0/.well-known/openid-configuration`, and the one of version 1 without `/v2.0`.
    Discovery,
    /// `/{tenant}/discovery/v2.0/keys`, and the one of version 1 without `/v2.0`.
    Keys,
}

/// A door and what its path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Path<'a> {
    Imds,
    AppService,
    Arc,
    Token {
        tenant: Cow<'a, str>,
    },
    Discovery {
        tenant: Cow<'a, str>,
        version: Version,
    },
    Keys {
        tenant: Cow<'a, str>,
    },
}

impl<'a> Path<'a> {
    pub(super) fn parse(method: &Method, path: &'a str) -> Option<Self> {
        match (method.as_str(), path) {
            ("GET", "/metadata/identity/oauth2/token") => return Some(Self::Imds),
            ("GET", "/msi/token") => return Some(Self::AppService),
            ("GET", "/arc/metadata/identity/oauth2/token") => return Some(Self::Arc),
            _ => {}
        }
        let (tenant, rest) = path.strip_prefix('/')?.split_once('/')?;
        let tenant = percent_decode_str(tenant).decode_utf8_lossy();
        let discovery = |version| Self::Discovery {
            tenant: tenant.clone(),
            version,
        };
        match (method.as_str(), rest) {
            ("POST", "oauth2/v2.0/token") => Some(Self::Token { tenant }),
            ("GET", "v2.0/.well-known/openid-configuration") => Some(discovery(Version::V2)),
            ("GET", ".well-known/openid-configuration") => Some(discovery(Version::V1)),
            ("GET", "discovery/v2.0/keys" | "discovery/keys") => Some(Self::Keys { tenant }),
            _ => None,
        }
    }

    pub(super) fn door(&self) -> Door {
        match self {
            Self::Imds => Door::Imds,
            Self::AppService => Door::AppService,
            Self::Arc => Door::Arc,
            Self::Token { .. } => Door::Token,
            Self::Discovery { .. } => Door::Discovery,
            Self::Keys { .. } => Door::Keys,
        }
    }
}
