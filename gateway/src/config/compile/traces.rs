//! Export of spans: where to, how many, and what the collector wants to be shown.

use std::sync::Arc;

use http::HeaderName;

use super::{secret::header_value, tokens::url, url::is_safe_url};
use crate::{
    config::{
        compiled::Traces,
        diagnostics::{At, Diagnostics},
        raw::{Entries, Raw, RawSecret, Switch},
        secrets::SecretSource,
    },
    secret::Secret,
};

const SAMPLE_PERCENT: u32 = 10;
const SERVICE_NAME: &str = "tokenweir";
/// Where OTLP over HTTP takes spans.
pub(in crate::config) const TRACES_PATH: &str = "/v1/traces";
/// Written by the exporter.
const OWN_HEADERS: [&str; 6] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

pub(super) fn compile(
    raw: &Raw,
    secrets: &dyn SecretSource,
    diagnostics: &mut Diagnostics,
) -> Option<Traces> {
    let at = At::ROOT.key("traces");
    let raw = match raw.traces.as_ref()? {
        Switch::Off => return None,
        Switch::On(traces) => traces,
    };
    let headers = headers(
        raw.headers.as_ref(),
        secrets,
        at.key("headers"),
        diagnostics,
    );
    let url = otlp(
        raw.otlp.as_deref(),
        !headers.is_empty(),
        at.key("otlp"),
        diagnostics,
    );
    let service_name = raw.service_name.as_deref().unwrap_or(SERVICE_NAME);
    if service_name.trim().is_empty() {
        diagnostics.error(at.key("service_name"), "empty, expected a name");
    }
    Some(Traces {
        url: url?,
        sample_percent: raw.sample.map_or(SAMPLE_PERCENT, |share| share.0),
        headers,
        service_name: service_name.into(),
    })
}

fn otlp(
    text: Option<&str>,
    has_headers: bool,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<str>> {
    let Some(text) = text else {
        diagnostics.missing(at, "missing, write for example `http://127.0.0.1:4318`");
        return None;
    };
    let Some(url) = url(text) else {
        let message = "expected `http://` or `https://`, a host and perhaps a path";
        diagnostics.error(at, message);
        return None;
    };
    if has_headers && !is_safe_url(&url) {
        diagnostics.warn(at, "`headers` are sent in clear text, use https");
    }
    // With the path it is what other programs call the endpoint for traces.
    let base = url.strip_suffix(TRACES_PATH).unwrap_or(&url);
    Some(format!("{base}{TRACES_PATH}").into())
}

fn headers(
    raw: Option<&Entries<RawSecret>>,
    secrets: &dyn SecretSource,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(HeaderName, Secret)> {
    let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
    for (text, source) in raw.iter().copied().flat_map(Entries::iter) {
        let at = at.key(text);
        let problem = match text.parse::<HeaderName>() {
            Err(_) => Some("not the name of a header"),
            Ok(name) if OWN_HEADERS.contains(&name.as_str()) => {
                Some("this header is written by the gateway")
            }
            Ok(name) if headers.iter().any(|(other, _)| *other == name) => {
                Some("the header is named twice")
            }
            Ok(name) => {
                let value = match source {
                    Some(source) => header_value(source, secrets, at, diagnostics),
                    None => {
                        diagnostics.missing(at, "empty, expected for example `{ env: NAME }`");
                        None
                    }
                };
                headers.extend(value.map(|value| (name, value)));
                None
            }
        };
        if let Some(problem) = problem {
            diagnostics.error(at, problem);
        }
    }
    headers
}
