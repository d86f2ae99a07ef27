//! Endpoints and what they deploy.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{
        compiled::{
            Credential, CredentialKind, Deployment, Endpoint, EndpointKind, EndpointTls,
            EndpointUrl,
        },
        diagnostics::{At, Diagnostics},
        raw::{Entries, Raw, RawDeployment, RawEndpoint, RawKind},
        secrets::SecretSource,
        suggest,
    },
    ids::{DeploymentName, EndpointName, ModelName},
};

const PRIORITY: u32 = 1;
const WEIGHT: u32 = 1;
const WORD_CHARS_MAX: usize = 64;
/// An unknown credential of more characters is not shown.
const SHOWN_CHARS_MAX: usize = 24;

/// In the order of the file.
pub(super) fn compile(
    raw: &Raw,
    credentials: &HashMap<String, Credential>,
    secrets: &dyn SecretSource,
    diagnostics: &mut Diagnostics,
) -> Vec<Endpoint> {
    let at = At::ROOT.key("endpoints");
    let nothing = RawEndpoint::default();
    let mut endpoints = Vec::new();
    for (text, entry) in raw.endpoints.iter().flat_map(Entries::iter) {
        let at = at.key(text);
        if let Some(name) = super::name(EndpointName::new, text, at, diagnostics) {
            endpoints.push(endpoint(
                name,
                entry.unwrap_or(&nothing),
                credentials,
                secrets,
                at,
                diagnostics,
            ));
        }
    }
    if endpoints.is_empty() {
        diagnostics.missing(at, "at least one endpoint is needed");
    }
    endpoints
}

fn endpoint(
    name: EndpointName,
    raw: &RawEndpoint,
    credentials: &HashMap<String, Credential>,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Endpoint {
    let kind = match raw.kind {
        Some(RawKind::Azure) | None => EndpointKind::Azure,
        Some(RawKind::OpenAi) => EndpointKind::OpenAi,
    };
    let url = url(raw, kind, at, diagnostics);
    let credential = credential(raw, credentials, at, diagnostics);
    if let (Some(url), Some(credential)) = (&url, &credential)
        && credential.kind != CredentialKind::None
        && !url.tls
        && !super::url::is_loopback(url)
    {
        let message = format!(
            "credential `{}` is sent in clear text, use https",
            credential.name
        );
        diagnostics.warn(at.key("url"), message);
    }
    if raw.api_version.is_some() && kind == EndpointKind::OpenAi {
        diagnostics.error(
            at.key("api_version"),
            "only azure endpoints have one, remove it or set `kind: azure`",
        );
    }
    let tls = raw.tls.as_ref().map_or_else(EndpointTls::default, |tls| {
        super::tls::endpoint(tls, url.as_ref(), secrets, at.key("tls"), diagnostics)
    });
    Endpoint {
        name,
        kind,
        // Stand-ins: an error was recorded wherever one is used.
        url: url.unwrap_or_else(|| EndpointUrl {
            tls: true,
            host: "".into(),
            port: 443,
            base_path: "".into(),
        }),
        credential: credential.unwrap_or_else(|| credentials["none"].clone()),
        region: word(raw.region.as_deref(), at.key("region"), diagnostics),
        api_version: word(
            raw.api_version.as_deref(),
            at.key("api_version"),
            diagnostics,
        ),
        http2: raw.http2.unwrap_or(false),
        tls,
        deployments: deployments(raw, at, diagnostics),
    }
}

fn url(
    raw: &RawEndpoint,
    kind: EndpointKind,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<EndpointUrl> {
    let at = at.key("url");
    let Some(text) = &raw.url else {
        diagnostics.missing(
            at,
            "missing, write for example `https://NAME.openai.azure.com`",
        );
        return None;
    };
    super::url::parse(text, kind)
        .map_err(|message| diagnostics.error(at, message))
        .ok()
}

fn credential(
    raw: &RawEndpoint,
    credentials: &HashMap<String, Credential>,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Credential> {
    let at = at.key("credential");
    let Some(name) = &raw.credential else {
        diagnostics.missing(at, "missing, expected a name from `credentials`, or `none`");
        return None;
    };
    let credential = credentials.get(name);
    if credential.is_none() {
        let mut known: Vec<_> = credentials.keys().map(String::as_str).collect();
        known.sort_unstable();
        // What is longer than names are may be a key in the wrong place.
        let shown = if name.len() <= SHOWN_CHARS_MAX {
            name
        } else {
            "…"
        };
        diagnostics.error(at, suggest::unknown("credential", shown, known));
    }
    credential.cloned()
}

fn deployments(raw: &RawEndpoint, at: At<'_>, diagnostics: &mut Diagnostics) -> Vec<Deployment> {
    let at_deployments = at.key("deployments");
    let nothing = RawDeployment::default();
    let mut deployments = Vec::new();
    for (text, entry) in raw.deployments.iter().flat_map(Entries::iter) {
        let at = at_deployments.key(text);
        let entry = entry.unwrap_or(&nothing);
        if text == super::AUTO {
            diagnostics.error(
                at,
                "the name `auto` is reserved for a client's default model",
            );
        }
        let Some(model) = super::name(ModelName::new, text, at, diagnostics) else {
            continue;
        };
        let (name, at_name) = match &entry.deployment {
            Some(name) => (name.as_str(), at.key("deployment")),
            None => (text, at),
        };
        let Some(name) = super::name(DeploymentName::new, name, at_name, diagnostics) else {
            continue;
        };
        deployments.push(Deployment {
            model,
            name,
            priority: entry
                .priority
                .or(raw.priority)
                .map_or(PRIORITY, |priority| priority.0),
            weight: entry
                .weight
                .or(raw.weight)
                .map_or(WEIGHT, |weight| weight.0),
            price: super::price::compile(entry.price.as_ref(), at.key("price"), diagnostics),
        });
    }
    if deployments.is_empty() {
        diagnostics.missing(
            at_deployments,
            "at least one model is needed, write for example `gpt-4o: {}`",
        );
    }
    deployments
}

/// A short text that is safe in a URL, a metric label and a log line.
fn word(text: Option<&str>, at: At<'_>, diagnostics: &mut Diagnostics) -> Option<Arc<str>> {
    let text = text?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if text.is_empty() || text.len() > WORD_CHARS_MAX || !text.chars().all(good) {
        let message =
            format!("found `{text}`, expected 1 to {WORD_CHARS_MAX} letters, digits and -._");
        diagnostics.error(at, message);
    }
    Some(Arc::from(text))
}
