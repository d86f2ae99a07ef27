//! Credentials: exactly one source each, and a value that fits into a header. No message shows a value.

use std::{collections::HashMap, path::Path};

use crate::{
    config::{
        compiled::{ApiKey, Credential, CredentialKind},
        diagnostics::{At, Diagnostics},
        raw::{Entries, Raw, RawCredential, RawSecret, Switch},
        secrets::{SecretError, SecretSource},
    },
    ids::CredentialName,
    secret::Secret,
};

/// The credential that always exists.
const NONE: &str = "none";

/// By name. One with a mistake in it is there too, so that its users are not blamed.
pub(super) fn compile(
    raw: &Raw,
    secrets: &dyn SecretSource,
    diagnostics: &mut Diagnostics,
) -> HashMap<String, Credential> {
    let at = At::ROOT.key("credentials");
    let mut credentials = HashMap::new();
    for (text, entry) in raw.credentials.iter().flat_map(Entries::iter) {
        let at = at.key(text);
        let Some(name) = super::name(CredentialName::new, text, at, diagnostics) else {
            continue;
        };
        let kind = match entry {
            Some(Switch::Off) => CredentialKind::None,
            Some(Switch::On(_)) if text == NONE => {
                diagnostics.error(
                    at,
                    "the name `none` always means no credential, expected another name",
                );
                CredentialKind::None
            }
            Some(Switch::On(credential)) => kind(credential, secrets, at, diagnostics),
            None => {
                diagnostics.missing(
                    at,
                    "empty, expected `api_key` or `bearer`, or `none` for no credential",
                );
                CredentialKind::None
            }
        };
        credentials.insert(text.to_owned(), Credential { name, kind });
    }
    credentials
        .entry(NONE.to_owned())
        .or_insert_with(|| Credential {
            name: CredentialName::new(NONE).expect("`none` is a name"),
            kind: CredentialKind::None,
        });
    credentials
}

fn kind(
    raw: &RawCredential,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> CredentialKind {
    let kind = match (&raw.api_key, &raw.bearer) {
        (Some(api_key), None) => {
            secret(api_key, secrets, at.key("api_key"), diagnostics).map(|primary| {
                CredentialKind::ApiKey(ApiKey {
                    primary,
                    secondary: None,
                })
            })
        }
        (None, Some(bearer)) => {
            secret(bearer, secrets, at.key("bearer"), diagnostics).map(CredentialKind::Bearer)
        }
        (None, None) => {
            diagnostics.missing(at, "empty, expected `api_key` or `bearer`");
            None
        }
        (Some(_), Some(_)) => {
            diagnostics.error(at, "both `api_key` and `bearer`, expected one of them");
            None
        }
    };
    kind.unwrap_or(CredentialKind::None)
}

fn secret(
    raw: &RawSecret,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Secret> {
    let (at, found) = match (&raw.env, &raw.file, &raw.credential, &raw.value) {
        (Some(name), None, None, None) => (at.key("env"), env(name, secrets)),
        (None, Some(path), None, None) => (at.key("file"), file(path, secrets)),
        (None, None, Some(name), None) => (at.key("credential"), credential(name, secrets)),
        (None, None, None, Some(value)) => {
            diagnostics.warn(
                at.key("value"),
                "a secret in this file, better use `env`, `file` or `credential`",
            );
            (at.key("value"), Ok(value.0.clone()))
        }
        (None, None, None, None) => {
            diagnostics.missing(at, "empty, expected `env`, `file`, `credential` or `value`");
            return None;
        }
        _ => {
            diagnostics.error(
                at,
                "more than one source, expected one of `env`, `file`, `credential` and `value`",
            );
            return None;
        }
    };
    match found.and_then(sendable) {
        Ok(secret) => Some(secret),
        Err(message) => {
            diagnostics.error(at, message);
            None
        }
    }
}

fn env(name: &str, secrets: &dyn SecretSource) -> Result<Secret, String> {
    secrets.env(name).map_err(|error| {
        // A key pasted here by mistake must not be shown; it hardly ever is all capitals.
        let capitals = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let shown = if name.chars().all(capitals) {
            format!("`{name}`")
        } else {
            "of this name".to_owned()
        };
        format!("the environment variable {shown} {error}")
    })
}

fn file(path: &Path, secrets: &dyn SecretSource) -> Result<Secret, String> {
    secrets.file(path).map_err(|error| {
        // The same for a key where a path is meant.
        let path = path.display().to_string();
        let shown = if path.contains('/') {
            format!("`{path}`")
        } else {
            "of this name".to_owned()
        };
        match error {
            SecretError::Unreadable(reason) => format!("the file {shown} cannot be read: {reason}"),
            SecretError::Absent | SecretError::NotText | SecretError::TooLarge(_) => {
                format!("the file {shown} {error}")
            }
        }
    })
}

fn credential(name: &str, secrets: &dyn SecretSource) -> Result<Secret, String> {
    // What systemd allows as a file name; the folder is its own.
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(
            "expected the name that stands before the colon in `LoadCredential=`".to_owned(),
        );
    }
    secrets.credential(name).map_err(|error| match error {
        SecretError::Absent => {
            "systemd passes no credentials: is there a `LoadCredential=` in the unit?".to_owned()
        }
        // The name is not shown: a key may stand here by mistake.
        SecretError::Unreadable(reason) => {
            format!("the credential of this name cannot be read: {reason}")
        }
        SecretError::NotText | SecretError::TooLarge(_) => {
            format!("the credential of this name {error}")
        }
    })
}

fn sendable(secret: Secret) -> Result<Secret, String> {
    let text = secret.expose();
    if text.is_empty() {
        return Err("the secret is empty".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the secret has a character that is not allowed in a header, such as a space or a line end".to_owned());
    }
    Ok(secret)
}
