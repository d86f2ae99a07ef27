//! Issuers of tokens: what a token must be to count here, and which client it means. An issuer without an audience
//! would accept tokens that were made for somebody else, so nothing has a default that lets more in.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{tokens::url, url::is_safe_url};
use crate::config::{
    compiled::{AZURE_AUDIENCES, Algorithm, Client, Issuer, KeysAt, Rule},
    diagnostics::{At, Diagnostics},
    raw::{List, Raw, RawAlgorithm, RawIssuer, RawRule, Words},
    suggest,
};

const LEEWAY: Duration = Duration::from_secs(60);
/// More would accept what has long expired.
const LEEWAY_MAX: Duration = Duration::from_secs(600);
/// The clients that some rule names.
pub(super) fn clients(raw: &Raw) -> HashSet<&str> {
    raw.jwt
        .iter()
        .flat_map(List::items)
        .flat_map(|issuer| issuer.rules.iter().flat_map(List::items))
        .filter_map(|rule| rule.client.as_deref())
        .collect()
}

pub(super) fn compile(raw: &Raw, clients: &[Client], diagnostics: &mut Diagnostics) -> Vec<Issuer> {
    let at = At::ROOT.key("jwt");
    raw.jwt
        .iter()
        .flat_map(List::iter)
        .map(|(index, issuer)| self::issuer(issuer, clients, at.index(index), diagnostics))
        .collect()
}

fn issuer(
    raw: &RawIssuer,
    clients: &[Client],
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Issuer {
    let names = words(raw.issuer.as_ref());
    if names.is_empty() {
        let message = "missing, write for example `https://login.microsoftonline.com/TENANT/v2.0`";
        diagnostics.missing(at.key("issuer"), message);
    }
    let leeway = raw.leeway.map_or(LEEWAY, |span| span.0);
    if leeway > LEEWAY_MAX {
        diagnostics.error(at.key("leeway"), "expected at most 10m");
    }
    let mut algorithms: Vec<Algorithm> = raw
        .algorithms
        .iter()
        .flat_map(List::items)
        .map(|algorithm| match algorithm {
            RawAlgorithm::Rs256 => Algorithm::Rs256,
            RawAlgorithm::Es256 => Algorithm::Es256,
        })
        .collect();
    if raw.algorithms.is_some() && algorithms.is_empty() {
        diagnostics.missing(at.key("algorithms"), "empty, expected `RS256` or `ES256`");
    }
    if algorithms.is_empty() {
        algorithms.push(Algorithm::Rs256);
    }
    Issuer {
        keys: keys(raw, names.first(), at, diagnostics),
        audiences: audiences(raw, at, diagnostics),
        names,
        algorithms,
        leeway,
        rules: rules(raw, clients, at, diagnostics),
    }
}

fn audiences(raw: &RawIssuer, at: At<'_>, diagnostics: &mut Diagnostics) -> Vec<Arc<str>> {
    let mut audiences = words(raw.audience.as_ref());
    let accept_azure = raw.accept_azure_audience.unwrap_or(false);
    let at = at.key("audience");
    if let Some(audience) = audiences.iter().find(|a| AZURE_AUDIENCES.contains(&&***a))
        && !accept_azure
    {
        let message = format!(
            "`{audience}` is Azure itself, whose tokens are not meant for others; if you want them, set `accept_azure_audience: true`"
        );
        diagnostics.error(at, message);
    }
    if accept_azure {
        audiences.extend(AZURE_AUDIENCES.map(Arc::from));
    }
    if audiences.is_empty() {
        let message =
            "missing, write what your tokens have as `aud`, for example `api://tokenweir`";
        diagnostics.missing(at, message);
    }
    audiences
}

fn keys(
    raw: &RawIssuer,
    first: Option<&Arc<str>>,
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> KeysAt {
    if raw.discovery.is_some() && raw.jwks_uri.is_some() {
        let message = "beside `jwks_uri`, expected one of them";
        diagnostics.error(at.key("discovery"), message);
    }
    let (key, text) = if let Some(text) = &raw.jwks_uri {
        ("jwks_uri", text.clone())
    } else if let Some(text) = &raw.discovery {
        ("discovery", text.clone())
    } else {
        let issuer = first.map_or("", |issuer| issuer.trim_end_matches('/'));
        let text = format!("{issuer}/.well-known/openid-configuration");
        ("issuer", text)
    };
    let good = url(&text).filter(|url| is_safe_url(url));
    // A missing issuer was reported.
    if good.is_none() && !(key == "issuer" && first.is_none()) {
        let message = if key == "issuer" {
            "keys cannot be found from it: expected an `https://` URL, or beside it `jwks_uri`"
        } else {
            "whoever answers there decides who may call: expected an `https://` URL"
        };
        diagnostics.error(at.key(key), message);
    }
    let url = good.unwrap_or_else(|| "".into());
    if key == "jwks_uri" {
        KeysAt::Jwks(url)
    } else {
        KeysAt::Discovery(url)
    }
}

fn rules(
    raw: &RawIssuer,
    clients: &[Client],
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Rule> {
    let at = at.key("rules");
    let mut rules = Vec::new();
    let mut takes_all = None;
    let accept_azure = raw.accept_azure_audience.unwrap_or(false);
    for (index, raw) in raw.rules.iter().flat_map(List::iter) {
        let at = at.index(index);
        if let Some(first) = takes_all {
            let message = format!("never reached, rules[{first}] takes every token");
            diagnostics.warn(at, message);
        }
        let Some(rule) = rule(raw, clients, at, diagnostics) else {
            continue;
        };
        let claims = [&rule.roles, &rule.scp, &rule.azp, &rule.oid, &rule.groups];
        if claims.iter().all(|values| values.is_empty()) {
            takes_all.get_or_insert(index);
            if accept_azure {
                let message =
                    "takes the token of everybody in the tenant, expected `roles` or another claim";
                diagnostics.warn(at, message);
            }
        }
        rules.push(rule);
    }
    if raw.rules.iter().flat_map(List::items).next().is_none() {
        let message = "at least one is needed, for example `[{ client: team-a, roles: Chat.Use }]`";
        diagnostics.missing(at, message);
    }
    rules
}

fn rule(
    raw: &RawRule,
    clients: &[Client],
    at: At<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Rule> {
    let Some(name) = &raw.client else {
        diagnostics.missing(at.key("client"), "missing, expected a name from `clients`");
        return None;
    };
    let place = clients
        .iter()
        .position(|client| client.name.as_str() == name);
    if place.is_none() {
        let known = clients.iter().map(|client| client.name.as_str());
        diagnostics.error(at.key("client"), suggest::unknown("client", name, known));
    }
    let mut claim = |key, raw: &Option<Words>| {
        let values = words(raw.as_ref());
        // An empty list must not mean "whatever".
        if raw.is_some() && values.is_empty() {
            diagnostics.error(at.key(key), "empty, so no token would fit; leave it out");
        }
        values
    };
    Some(Rule {
        roles: claim("roles", &raw.roles),
        scp: claim("scp", &raw.scp),
        azp: claim("azp", &raw.azp),
        oid: claim("oid", &raw.oid),
        groups: claim("groups", &raw.groups),
        client: place?,
    })
}

fn words(raw: Option<&Words>) -> Vec<Arc<str>> {
    let texts = raw.into_iter().flat_map(Words::iter);
    texts
        .filter(|(_, text)| !text.is_empty())
        .map(|(_, text)| text.into())
        .collect()
}
