//! Credentials that are tokens: which identity, who is asked, and for what. What is not written is taken from the
//! environment that Azure sets, but the kind never is: it is said explicitly.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use http::Uri;

use super::{secret::secret, url::is_safe_url};
use crate::config::{
    compiled::{Flow, IdentityId, Platform, TokenSource},
    diagnostics::{At, Diagnostics},
    raw::{RawClientSecret, RawManagedIdentity, RawPlatform, RawWorkloadIdentity},
    secrets::SecretSource,
};

const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// Link-local, the same on every virtual machine of Azure.
const IMDS: &str = "http://169.254.169.254";
/// Added to the configured URL.
pub(in crate::config) const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
/// Of the agent of Azure Arc on Linux, unless the environment says otherwise.
const ARC: &str = "http://127.0.0.1:40342/metadata/identity/oauth2/token";
const ARC_KEYS: &str = "/var/opt/azcmagent/tokens";
const ID_BYTES_MAX: usize = 1024;

/// What is needed to read the keys of one section.
pub(super) struct Section<'a, 'd> {
    secrets: &'a dyn SecretSource,
    at: At<'a>,
    diagnostics: &'d mut Diagnostics,
}

pub(super) fn managed_identity(
    mut section: Section<'_, '_>,
    raw: &RawManagedIdentity,
) -> Option<TokenSource> {
    let at = section.at;
    let scope = section.scope(raw.scope.as_deref());
    let identity = section.identity(raw);
    let source = raw.source.unwrap_or(RawPlatform::Imds);
    if raw.key_directory.is_some() && !matches!(source, RawPlatform::Arc) {
        let message = "only used with `source: arc`, remove it";
        section.diagnostics.error(at.key("key_directory"), message);
    }
    let url = raw.url.as_deref();
    let platform = match source {
        RawPlatform::Imds => {
            let base = section.url("url", url.unwrap_or(IMDS))?;
            Platform::Imds {
                url: format!("{base}{IMDS_PATH}").into(),
            }
        }
        RawPlatform::AppService => {
            let url = section.given_or_env("url", url, "IDENTITY_ENDPOINT")?;
            let url = section.url("url", &url)?;
            let header = section.secrets.env("IDENTITY_HEADER").map_err(|error| {
                let message = format!("the environment variable `IDENTITY_HEADER` {error}: does this run in App Service or Container Apps?");
                section.diagnostics.error(at, message);
            });
            Platform::AppService {
                url,
                header: header.ok()?,
            }
        }
        RawPlatform::Arc => {
            let from_env = section.secrets.env("IDENTITY_ENDPOINT").ok();
            let from_env = from_env.as_ref().map(|url| url.expose());
            Platform::Arc {
                url: section.url("url", url.or(from_env).unwrap_or(ARC))?,
                key_directory: raw
                    .key_directory
                    .as_deref()
                    .unwrap_or(Path::new(ARC_KEYS))
                    .into(),
            }
        }
    };
    Some(TokenSource {
        flow: Flow::ManagedIdentity {
            platform,
            identity: identity?,
        },
        scope: scope?,
    })
}

pub(super) fn workload_identity(
    mut section: Section<'_, '_>,
    raw: &RawWorkloadIdentity,
) -> Option<TokenSource> {
    let scope = section.scope(raw.scope.as_deref());
    let from_env = section.secrets.env("AZURE_AUTHORITY_HOST").ok();
    let from_env = from_env.as_ref().map(|url| url.expose());
    let authority = raw.authority.as_deref().or(from_env);
    let authority = section.authority(authority.unwrap_or(AUTHORITY));
    let tenant = section.given_or_env("tenant_id", raw.tenant_id.as_deref(), "AZURE_TENANT_ID");
    let tenant = tenant.and_then(|id| section.id("tenant_id", &id));
    let client_id = section.given_or_env("client_id", raw.client_id.as_deref(), "AZURE_CLIENT_ID");
    let client_id = client_id.and_then(|id| section.id("client_id", &id));
    let token_file = match &raw.token_file {
        Some(path) => Some(path.clone()),
        None => section
            .given_or_env("token_file", None, "AZURE_FEDERATED_TOKEN_FILE")
            .map(PathBuf::from),
    };
    Some(TokenSource {
        flow: Flow::WorkloadIdentity {
            authority: authority?,
            tenant: tenant?,
            client_id: client_id?,
            token_file: section.secrets.place(&token_file?).into(),
        },
        scope: scope?,
    })
}

pub(super) fn client_secret(
    mut section: Section<'_, '_>,
    raw: &RawClientSecret,
) -> Option<TokenSource> {
    let at = section.at;
    let found = match &raw.secret {
        Some(raw) => secret(raw, section.secrets, at.key("secret"), section.diagnostics),
        None => {
            section.diagnostics.missing(
                at.key("secret"),
                "missing, expected `env`, `file` or `credential`",
            );
            None
        }
    };
    let scope = section.scope(raw.scope.as_deref());
    let authority = section.authority(raw.authority.as_deref().unwrap_or(AUTHORITY));
    let tenant = section.required_id("tenant_id", raw.tenant_id.as_deref());
    let client_id = section.required_id("client_id", raw.client_id.as_deref());
    Some(TokenSource {
        flow: Flow::ClientSecret {
            authority: authority?,
            tenant: tenant?,
            client_id: client_id?,
            secret: found?,
        },
        scope: scope?,
    })
}

impl<'a, 'd> Section<'a, 'd> {
    pub(super) fn new(
        secrets: &'a dyn SecretSource,
        at: At<'a>,
        diagnostics: &'d mut Diagnostics,
    ) -> Self {
        Self {
            secrets,
            at,
            diagnostics,
        }
    }

    /// At most one of the three.
    fn identity(&mut self, raw: &RawManagedIdentity) -> Option<IdentityId> {
        let ids = [
            ("client_id", &raw.client_id),
            ("object_id", &raw.object_id),
            ("resource_id", &raw.resource_id),
        ];
        let mut given = ids
            .iter()
            .filter_map(|(key, id)| Some((*key, id.as_deref()?)));
        let Some((key, id)) = given.next() else {
            return Some(IdentityId::System);
        };
        if let Some((other, _)) = given.next() {
            let message = format!("beside `{key}`, expected one of them");
            self.diagnostics.error(self.at.key(other), message);
        }
        let id = self.id(key, id)?;
        Some(match key {
            "client_id" => IdentityId::ClientId(id),
            "object_id" => IdentityId::ObjectId(id),
            _ => IdentityId::ResourceId(id),
        })
    }

    fn scope(&mut self, scope: Option<&str>) -> Option<Arc<str>> {
        let scope = scope.unwrap_or(SCOPE);
        if is_id(scope) && scope.ends_with("/.default") {
            return Some(scope.into());
        }
        let message = format!("expected a resource and `/.default`, such as `{SCOPE}`");
        self.diagnostics.error(self.at.key("scope"), message);
        None
    }

    fn required_id(&mut self, key: &str, id: Option<&str>) -> Option<Arc<str>> {
        match id {
            Some(id) => self.id(key, id),
            None => {
                self.diagnostics.missing(self.at.key(key), "missing");
                None
            }
        }
    }

    /// The value is not shown: a secret may stand here by mistake.
    fn id(&mut self, key: &str, id: &str) -> Option<Arc<str>> {
        if is_id(id) {
            return Some(id.into());
        }
        let message = "expected an id without spaces, as Azure shows it";
        self.diagnostics.error(self.at.key(key), message);
        None
    }

    fn given_or_env(&mut self, key: &str, given: Option<&str>, variable: &str) -> Option<String> {
        if let Some(given) = given {
            return Some(given.to_owned());
        }
        match self.secrets.env(variable) {
            Ok(value) => Some(value.expose().to_owned()),
            Err(error) => {
                let message = format!("missing, and the environment variable `{variable}` {error}");
                self.diagnostics.missing(self.at.key(key), message);
                None
            }
        }
    }

    /// Where secrets are sent: only by https, or to this machine.
    fn authority(&mut self, text: &str) -> Option<Arc<str>> {
        let url = self.url("authority", text)?;
        match is_safe_url(&url) {
            true => Some(url),
            false => {
                let message = "secrets are sent there, expected `https://`";
                self.diagnostics.error(self.at.key("authority"), message);
                None
            }
        }
    }

    /// Without a slash at its end.
    fn url(&mut self, key: &str, text: &str) -> Option<Arc<str>> {
        let url = self::url(text);
        if url.is_none() {
            let message = "expected `https://` or `http://`, a host and perhaps a path";
            self.diagnostics.error(self.at.key(key), message);
        }
        url
    }
}

fn is_id(text: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'&' | b'"' | b'\\');
    !text.is_empty() && text.len() <= ID_BYTES_MAX && text.bytes().all(fits)
}

/// A URL without user, query and fragment, and without a slash at its end.
pub(super) fn url(text: &str) -> Option<Arc<str>> {
    let uri: Uri = text.parse().ok()?;
    // In lower case, as `client_for` and `is_safe_url` read it.
    let plain = (text.starts_with("https://") || text.starts_with("http://"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && !text.contains(['@', '?', '#']);
    plain.then(|| text.trim_end_matches('/').into())
}
