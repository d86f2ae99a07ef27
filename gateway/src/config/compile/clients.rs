//! Who may call: everyone (`open: true`), or clients by what they show. One of the two, said explicitly.

use std::{collections::HashMap, sync::Arc};

use super::{jwt, models::Names};
use crate::{
    config::{
        compiled::{Access, CertificateName, Client, ClientKey, Clients},
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
        for (key, is_given) in [
            ("clients", raw.clients.is_some()),
            ("jwt", raw.jwt.is_some()),
        ] {
            if is_given {
                let message = format!("`open: true` lets everyone in, remove it or remove `{key}`");
                diagnostics.error(At::ROOT.key(key), message);
            }
        }
        return Access::Open {
            default_model,
            explain: raw.explain.unwrap_or(false),
        };
    }
    no_keys_of_open(raw, diagnostics);
    let by_token = jwt::clients(raw);
    let asks_for_certificates = raw.listen.iter().flat_map(List::items).any(|listen| {
        listen
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca.is_some())
    });
    let mut clients = Vec::new();
    let mut owners = Owners::default();
    let nothing = RawClient::default();
    for (text, entry) in raw.clients.iter().flat_map(Entries::iter) {
        let at = at.key(text);
        let Some(name) = super::name(ClientName::new, text, at, diagnostics) else {
            continue;
        };
        let entry = entry.unwrap_or(&nothing);
        let client = Client {
            keys: owners.keys(text, entry, at, diagnostics),
            certificates: owners.certificates(text, entry, at, diagnostics),
            ..client(name, entry, names, at, diagnostics)
        };
        if entry.certificates.is_some() && !asks_for_certificates {
            let message = "no listener asks for client certificates, set `client_ca` at one";
            diagnostics.warn(at.key("certificates"), message);
        }
        if entry.keys.is_none() && entry.certificates.is_none() && !by_token.contains(text) {
            diagnostics.missing(
                at.key("keys"),
                "at least one key hash is needed, `sha256:` and 64 hex digits, or `certificates`, or a rule under `jwt`",
            );
        }
        clients.push(client);
    }
    if clients.is_empty() {
        diagnostics.missing(
            at,
            "at least one client is needed, or `open: true` to let everyone in",
        );
    }
    let issuers = jwt::compile(raw, &clients, diagnostics);
    Access::Clients(Clients {
        list: clients,
        issuers,
    })
}

fn no_keys_of_open(raw: &Raw, diagnostics: &mut Diagnostics) {
    let is_given = [raw.default_model.is_some(), raw.explain.is_some()];
    for (key, is_given) in ["default_model", "explain"].into_iter().zip(is_given) {
        if is_given {
            let message = "only used with `open: true`, set it at the clients instead";
            diagnostics.error(At::ROOT.key(key), message);
        }
    }
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
        keys: Vec::new(),
        certificates: Vec::new(),
        models,
        default_model,
        explain: raw.explain.unwrap_or(false),
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

/// Whose each key and certificate name is, so that none means two clients.
#[derive(Default)]
struct Owners<'r> {
    keys: HashMap<[u8; 32], &'r str>,
    certificates: HashMap<CertificateName, &'r str>,
}

impl<'r> Owners<'r> {
    fn keys(
        &mut self,
        client: &'r str,
        raw: &RawClient,
        at: At<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<ClientKey> {
        let at = at.key("keys");
        let mut keys = Vec::new();
        for (index, key) in raw.keys.iter().flat_map(List::iter) {
            let at = at.index(index);
            let Some(hash) = &key.hash else {
                diagnostics.missing(at.key("hash"), "missing, `sha256:` and 64 hex digits");
                continue;
            };
            if let Some(owner) = self.keys.insert(hash.0, client) {
                let message = format!("the same key again, it is already one of `{owner}`");
                diagnostics.error(at, message);
            }
            keys.push(ClientKey {
                hash: hash.0,
                not_after: key.not_after.map(|moment| moment.0),
            });
        }
        if raw.keys.is_some() && keys.is_empty() {
            diagnostics.missing(
                at,
                "at least one key hash is needed, `sha256:` and 64 hex digits",
            );
        }
        keys
    }

    fn certificates(
        &mut self,
        client: &'r str,
        raw: &RawClient,
        at: At<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<CertificateName> {
        let at = at.key("certificates");
        let mut names = Vec::new();
        for (index, text) in raw.certificates.iter().flat_map(|words| words.iter()) {
            let at = at.index(index);
            let Some(name) = certificate_name(text) else {
                let expected = "`cn:NAME`, `dns:NAME`, `uri:URI` or `email:ADDRESS`";
                diagnostics.error(at, format!("found `{text}`, expected {expected}"));
                continue;
            };
            if let Some(owner) = self.certificates.insert(name.clone(), client) {
                let message = format!("the same name again, it is already one of `{owner}`");
                diagnostics.error(at, message);
            }
            names.push(name);
        }
        if raw.certificates.is_some() && names.is_empty() {
            diagnostics.missing(at, "empty, expected for example `cn:team-a`");
        }
        names
    }
}

fn certificate_name(text: &str) -> Option<CertificateName> {
    let (kind, name) = text.split_once(':')?;
    if name.is_empty() {
        return None;
    }
    let lower_case = || Arc::from(name.to_ascii_lowercase());
    match kind {
        "cn" => Some(CertificateName::Common(name.into())),
        "dns" => Some(CertificateName::Dns(lower_case())),
        "uri" => Some(CertificateName::Uri(name.into())),
        "email" => Some(CertificateName::Email(lower_case())),
        _ => None,
    }
}
