//! Who may call: everyone (`open: true`), or clients by their keys. One of the two, said explicitly.

use std::collections::HashMap;

use super::models::Names;
use crate::{
    config::{
        compiled::{Access, Client, ClientKey, Clients},
        diagnostics::{At, Diagnostics},
        raw::{Entries, List, Raw, RawClient},
    },
    ids::{ClientName, ModelName},
};

pub(super) fn compile(raw: &Raw, names: &Names<'_>, diagnostics: &mut Diagnostics) -> Access {
    let at_default = At::ROOT.key("default_model");
    let default_model = raw
        .default_model
        .as_ref()
        .and_then(|model| names.resolve(model, at_default, diagnostics));
    let at = At::ROOT.key("clients");
    if raw.open.unwrap_or(false) {
        if raw.clients.is_some() {
            diagnostics.error(
                at,
                "`open: true` lets everyone in, remove it or remove `clients`",
            );
        }
        return Access::Open { default_model };
    }
    if raw.default_model.is_some() {
        diagnostics.error(
            at_default,
            "only used with `open: true`, set it at the clients instead",
        );
    }
    let mut clients = Vec::new();
    let mut owners = HashMap::new();
    let nothing = RawClient::default();
    for (text, entry) in raw.clients.iter().flat_map(Entries::iter) {
        let at = at.key(text);
        let Some(name) = super::name(ClientName::new, text, at, diagnostics) else {
            continue;
        };
        let entry = entry.unwrap_or(&nothing);
        keys(text, entry, &mut owners, at, diagnostics);
        clients.push(client(name, entry, names, at, diagnostics));
    }
    if clients.is_empty() {
        diagnostics.missing(
            at,
            "at least one client is needed, or `open: true` to let everyone in",
        );
    }
    Access::Clients(Clients {
        list: clients,
        issuers: Vec::new(),
    })
}

fn client(
    name: ClientName,
    raw: &RawClient,
    names: &Names<'_>,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Client {
    let at_default = at.key("default_model");
    let models = raw
        .models
        .as_ref()
        .map(|models| allowed(models, names, at.key("models"), diagnostics));
    let default_model = raw
        .default_model
        .as_ref()
        .and_then(|model| names.resolve(model, at_default, diagnostics));
    if let (Some(models), Some(model)) = (&models, &default_model)
        && !models.contains(model)
    {
        diagnostics.error(
            at_default,
            format!("`{model}` is not among the client's `models`"),
        );
    }
    Client {
        name,
        keys: raw
            .keys
            .iter()
            .flat_map(List::items)
            .map(|key| ClientKey {
                hash: key.0,
                not_after: None,
            })
            .collect(),
        certificates: Vec::new(),
        models,
        default_model,
    }
}

/// Each model once.
fn allowed(
    models: &List<String>,
    names: &Names<'_>,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<ModelName> {
    let mut allowed = Vec::new();
    for (index, model) in models.iter() {
        if let Some(model) = names.resolve(model, at.index(index), diagnostics)
            && !allowed.contains(&model)
        {
            allowed.push(model);
        }
    }
    if models.items().next().is_none() {
        diagnostics.missing(
            at,
            "empty, so the client could use nothing; leave it out for all models",
        );
    }
    allowed
}

fn keys<'r>(
    client: &'r str,
    raw: &RawClient,
    owners: &mut HashMap<[u8; 32], &'r str>,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) {
    let at = at.key("keys");
    for (index, key) in raw.keys.iter().flat_map(List::iter) {
        if let Some(owner) = owners.insert(key.0, client) {
            diagnostics.error(
                at.index(index),
                format!("the same key again, it is already one of `{owner}`"),
            );
        }
    }
    if raw.keys.iter().flat_map(List::items).next().is_none() {
        diagnostics.missing(
            at,
            "at least one key hash is needed, `sha256:` and 64 hex digits",
        );
    }
}
