//! Who may call: everyone, or clients by what they show. A key is counted, never shown, nor is its hash.

use std::sync::Arc;

use super::{Lines, Pairs, pairs, words};
use crate::{
    config::compiled::{
        Access, Algorithm, CertificateName, Client, ClientKey, Issuer, KeysAt, Rule,
    },
    ids::{ClientName, ModelName},
};

pub(super) fn changes(old: &Access, new: &Access, lines: &mut Lines) {
    let parts = |access: &Access| match access {
        Access::Open {
            default_model,
            explain,
        } => (true, default_model.clone(), *explain),
        Access::Clients(_) => (false, None, false),
    };
    let (was_open, old_default, explained) = parts(old);
    let (is_open, new_default, explains) = parts(new);
    lines.key("open", &was_open, &is_open, words::plain);
    lines.key(
        "default_model",
        &old_default,
        &new_default,
        words::or("none"),
    );
    lines.key("explain", &explained, &explains, words::plain);
    let Pairs {
        added,
        removed,
        kept,
        reordered,
    } = pairs(clients(old), clients(new), |client| &client.name);
    for client in added {
        lines.add(format!("client {} added", client.name));
    }
    for client in removed {
        lines.add(format!("client {} removed", client.name));
    }
    for (old, new) in kept {
        client(old, new, lines);
    }
    if reordered {
        lines.add("clients reordered".to_owned());
    }
    let Pairs {
        added,
        removed,
        kept,
        reordered,
    } = pairs(issuers(old), issuers(new), |issuer| issuer.names.first());
    for (issuers, what) in [(added, "added"), (removed, "removed")] {
        for Issuer { names, .. } in issuers {
            lines.add(format!("jwt {} {what}", words::commas(names.iter())));
        }
    }
    for (was, is) in kept {
        issuer(old, new, was, is, lines);
    }
    if reordered {
        lines.add("jwt reordered".to_owned());
    }
}

/// None where everyone may call.
pub(super) fn clients(access: &Access) -> &[Client] {
    match access {
        Access::Open {
            default_model: _,
            explain: _,
        } => &[],
        Access::Clients(clients) => &clients.list,
    }
}

fn issuers(access: &Access) -> &[Issuer] {
    match access {
        Access::Open {
            default_model: _,
            explain: _,
        } => &[],
        Access::Clients(clients) => &clients.issuers,
    }
}

/// An issuer may stand there twice, with other audiences.
fn issuer(was: &Access, is: &Access, old: &Issuer, new: &Issuer, lines: &mut Lines) {
    let Issuer {
        names,
        audiences,
        keys,
        algorithms,
        leeway,
        rules,
    } = old;
    let name = names.first().map_or("", |name| name);
    let key = |key: &str| format!("jwt {name} {key}");
    let commas = |texts: &[Arc<str>]| words::commas(texts.iter());
    lines.key(&key("issuer"), names.as_slice(), &new.names, commas);
    lines.key(
        &key("audience"),
        audiences.as_slice(),
        &new.audiences,
        commas,
    );
    lines.key(&key("keys"), keys, &new.keys, |keys| match keys {
        KeysAt::Discovery(url) | KeysAt::Jwks(url) => url.as_ref().to_owned(),
    });
    lines.key(
        &key("algorithms"),
        algorithms.as_slice(),
        &new.algorithms,
        |list| {
            words::commas(list.iter().map(|algorithm| match algorithm {
                Algorithm::Rs256 => "RS256",
                Algorithm::Es256 => "ES256",
            }))
        },
    );
    lines.key(&key("leeway"), leeway, &new.leeway, words::span);
    // A rule says its client by place, and places move.
    let rule = |access: &Access, rule: &Rule| {
        let Rule {
            client,
            roles,
            scp,
            azp,
            oid,
            groups,
        } = rule;
        let mut text = clients(access)
            .get(*client)
            .map_or_else(String::new, |client| client.name.to_string());
        for (claim, values) in [
            ("roles", roles),
            ("scp", scp),
            ("azp", azp),
            ("oid", oid),
            ("groups", groups),
        ] {
            if !values.is_empty() {
                text += &format!(" {claim} {}", words::commas(values.iter()));
            }
        }
        text
    };
    let old: Vec<String> = rules.iter().map(|r| rule(was, r)).collect();
    let new: Vec<String> = new.rules.iter().map(|r| rule(is, r)).collect();
    lines.key(&key("rules"), &old, &new, |rules| {
        format!("[{}]", rules.join("; "))
    });
}

fn client(old: &Client, new: &Client, lines: &mut Lines) {
    let Client {
        name,
        keys,
        certificates,
        models,
        default_model,
        explain,
    } = old;
    let all_or = |models: &Option<Vec<ModelName>>| {
        models
            .as_ref()
            .map_or_else(|| "all".to_owned(), |models| words::commas(models.iter()))
    };
    self::keys(name, keys, &new.keys, lines);
    let shown = |names: &[CertificateName]| match names {
        [] => "none".to_owned(),
        names => words::commas(names.iter()),
    };
    lines.key(
        &format!("client {name} certificates"),
        certificates.as_slice(),
        &new.certificates,
        shown,
    );
    lines.key(
        &format!("client {name} models"),
        models,
        &new.models,
        all_or,
    );
    lines.key(
        &format!("client {name} default_model"),
        default_model,
        &new.default_model,
        words::or("none"),
    );
    lines.key(
        &format!("client {name} explain"),
        explain,
        &new.explain,
        words::plain,
    );
}

fn keys(client: &ClientName, old: &[ClientKey], new: &[ClientKey], lines: &mut Lines) {
    let Pairs {
        added,
        removed,
        kept,
        reordered,
    } = pairs(old, new, |key| &key.hash);
    for (keys, what) in [(added, "added"), (removed, "removed")] {
        for _ in keys {
            lines.add(format!("client {client} key {what}"));
        }
    }
    for (old, new) in kept {
        // The rest of it is its hash.
        let ClientKey { hash: _, not_after } = old;
        lines.key(
            &format!("client {client} key not_after"),
            &words::date(not_after),
            &words::date(&new.not_after),
            words::or("none"),
        );
    }
    if reordered {
        lines.add(format!("client {client} keys reordered"));
    }
}
