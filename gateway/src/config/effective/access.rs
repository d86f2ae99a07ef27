//! Who may call. A key is shown neither, nor is its hash: a weak one could be guessed from it.

use serde_yaml::Value;

use super::{REDACTED, list, map, named, or_null, text, words};
use crate::config::{
    compiled::{Access, Algorithm, Client, ClientKey, Clients, Issuer, KeysAt, Rule},
    diff::words::date,
};

pub(super) fn access(access: &Access) -> Vec<(&'static str, Value)> {
    match access {
        Access::Open {
            default_model,
            explain,
        } => vec![
            ("open", true.into()),
            ("default_model", or_null(default_model.as_ref(), text)),
            ("explain", (*explain).into()),
        ],
        Access::Clients(Clients {
            list: clients,
            issuers,
        }) => {
            let issuers = match issuers.as_slice() {
                [] => Value::Null,
                issuers => list(issuers, |issuer| self::issuer(issuer, clients)),
            };
            vec![
                ("clients", named(clients, |client| &client.name, client)),
                ("jwt", issuers),
            ]
        }
    }
}

fn client(client: &Client) -> Value {
    let Client {
        name: _,
        keys,
        certificates,
        models,
        default_model,
        explain,
    } = client;
    let key = |ClientKey { hash: _, not_after }: &ClientKey| {
        map([
            ("hash", REDACTED.into()),
            ("not_after", or_null(date(not_after).as_ref(), text)),
        ])
    };
    map([
        ("keys", unless_empty(keys, key)),
        ("certificates", unless_empty(certificates, text)),
        (
            "models",
            or_null(models.as_ref(), |models| list(models, text)),
        ),
        ("default_model", or_null(default_model.as_ref(), text)),
        ("explain", (*explain).into()),
    ])
}

fn issuer(issuer: &Issuer, clients: &[Client]) -> Value {
    let Issuer {
        names,
        audiences,
        keys,
        algorithms,
        leeway,
        rules,
    } = issuer;
    let (discovery, jwks) = match keys {
        KeysAt::Discovery(url) => (text(url), Value::Null),
        KeysAt::Jwks(url) => (Value::Null, text(url)),
    };
    let algorithm = |algorithm: &Algorithm| match algorithm {
        Algorithm::Rs256 => "RS256".into(),
        Algorithm::Es256 => "ES256".into(),
    };
    map([
        ("issuer", list(names, text)),
        ("audience", list(audiences, text)),
        ("discovery", discovery),
        ("jwks_uri", jwks),
        ("algorithms", list(algorithms, algorithm)),
        ("leeway", words::span(leeway).into()),
        ("rules", list(rules, |rule| self::rule(rule, clients))),
    ])
}

fn rule(rule: &Rule, clients: &[Client]) -> Value {
    let Rule {
        client,
        roles,
        scp,
        azp,
        oid,
        groups,
    } = rule;
    map([
        (
            "client",
            or_null(clients.get(*client), |client| text(&client.name)),
        ),
        ("roles", unless_empty(roles, text)),
        ("scp", unless_empty(scp, text)),
        ("azp", unless_empty(azp, text)),
        ("oid", unless_empty(oid, text)),
        ("groups", unless_empty(groups, text)),
    ])
}

fn unless_empty<T>(items: &[T], show: impl Fn(&T) -> Value) -> Value {
    match items {
        [] => Value::Null,
        items => list(items, show),
    }
}
