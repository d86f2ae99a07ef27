//! Secrets: exactly one source each, and a value that fits into a header. No message shows a value.

use std::path::Path;

use crate::{
    config::{
        diagnostics::{At, Diagnostics},
        raw::RawSecret,
        secrets::{SecretError, SecretSource},
    },
    secret::Secret,
};

/// A key or a token.
pub(super) fn secret(
    raw: &RawSecret,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Secret> {
    checked(raw, sendable, secrets, at, diagnostics)
}

/// The whole value of a header, such as `Basic …`.
pub(super) fn header_value(
    raw: &RawSecret,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Secret> {
    checked(raw, header_sendable, secrets, at, diagnostics)
}

fn checked(
    raw: &RawSecret,
    check: fn(Secret) -> Result<Secret, String>,
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
    match found.and_then(check) {
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

/// The same with spaces between words.
fn header_sendable(secret: Secret) -> Result<Secret, String> {
    let text = secret.expose();
    let fits = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if text.is_empty() || text.trim() != text {
        return Err("the secret is empty, or has a space at an end".to_owned());
    }
    if !text.bytes().all(fits) {
        return Err(
            "the secret has a character that is not allowed in a header, such as a line end"
                .to_owned(),
        );
    }
    Ok(secret)
}
