//! Credentials: exactly one kind each. No message shows a secret.

use std::collections::HashMap;

use super::{
    secret::secret,
    tokens::{self, Section},
};

use crate::{
    config::{
        compiled::{ApiKey, Credential, CredentialKind},
        diagnostics::{At, Diagnostics},
        raw::{Entries, Raw, RawApiKey, RawCredential, RawSecret, Switch},
        secrets::SecretSource,
    },
    ids::CredentialName,
};

/// The credentials that always exist.
const RESERVED: [(&str, CredentialKind); 2] = [
    ("none", CredentialKind::None),
    ("caller", CredentialKind::Caller),
];

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
        if text == "caller" || text == "none" && matches!(entry, Some(Switch::On(_))) {
            let message = format!("the name `{text}` always exists, expected another name");
            diagnostics.error(at, message);
        }
        let kind = match entry {
            Some(Switch::Off) => CredentialKind::None,
            Some(Switch::On(credential)) => kind(credential, secrets, at, diagnostics),
            None => {
                diagnostics.missing(
                    at,
                    "empty, expected for example `api_key`, or `none` for no credential",
                );
                CredentialKind::None
            }
        };
        credentials.insert(text.to_owned(), Credential { name, kind });
    }
    for (text, kind) in RESERVED {
        let name = CredentialName::new(text).expect("a word is a name");
        credentials.insert(text.to_owned(), Credential { name, kind });
    }
    credentials
}

fn kind(
    raw: &RawCredential,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> CredentialKind {
    let RawCredential {
        api_key,
        bearer,
        managed_identity,
        workload_identity,
        client_secret,
    } = raw;
    let given = [
        api_key.is_some(),
        bearer.is_some(),
        managed_identity.is_some(),
        workload_identity.is_some(),
        client_secret.is_some(),
    ];
    let kinds =
        "one of `api_key`, `bearer`, `managed_identity`, `workload_identity` and `client_secret`";
    if given.iter().filter(|given| **given).count() > 1 {
        diagnostics.error(at, format!("more than one kind, expected {kinds}"));
        return CredentialKind::None;
    }
    let kind = if let Some(raw) = api_key {
        self::api_key(raw, secrets, at.key("api_key"), diagnostics).map(CredentialKind::ApiKey)
    } else if let Some(raw) = bearer {
        secret(raw, secrets, at.key("bearer"), diagnostics).map(CredentialKind::Bearer)
    } else if let Some(raw) = managed_identity {
        tokens::managed_identity(
            Section::new(secrets, at.key("managed_identity"), diagnostics),
            raw,
        )
        .map(CredentialKind::Token)
    } else if let Some(raw) = workload_identity {
        tokens::workload_identity(
            Section::new(secrets, at.key("workload_identity"), diagnostics),
            raw,
        )
        .map(CredentialKind::Token)
    } else if let Some(raw) = client_secret {
        tokens::client_secret(
            Section::new(secrets, at.key("client_secret"), diagnostics),
            raw,
        )
        .map(CredentialKind::Token)
    } else {
        diagnostics.missing(at, format!("empty, expected {kinds}"));
        None
    };
    kind.unwrap_or(CredentialKind::None)
}

/// One key, or two.
fn api_key(
    raw: &RawApiKey,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<ApiKey> {
    let RawApiKey {
        env,
        file,
        credential,
        value,
        primary,
        secondary,
    } = raw;
    if primary.is_none() && secondary.is_none() {
        let one = RawSecret {
            env: env.clone(),
            file: file.clone(),
            credential: credential.clone(),
            value: value.clone(),
        };
        let primary = secret(&one, secrets, at, diagnostics)?;
        return Some(ApiKey {
            primary,
            secondary: None,
        });
    }
    if env.is_some() || file.is_some() || credential.is_some() || value.is_some() {
        diagnostics.error(
            at,
            "a key beside `primary` and `secondary`, expected these two or one source",
        );
    }
    let mut half = |name, raw: &Option<RawSecret>| match raw {
        Some(raw) => secret(raw, secrets, at.key(name), diagnostics),
        None => {
            diagnostics.missing(
                at.key(name),
                "missing, expected both `primary` and `secondary`",
            );
            None
        }
    };
    let (primary, secondary) = (half("primary", primary), half("secondary", secondary));
    Some(ApiKey {
        primary: primary?,
        secondary: Some(secondary?),
    })
}
