//! Who may call: everyone, or clients by their keys. A key is counted, never shown, nor is its hash.

use super::{Lines, Pairs, pairs, words};
use crate::{
    config::compiled::{Access, Client, ClientKey},
    ids::{ClientName, ModelName},
};

pub(super) fn changes(old: &Access, new: &Access, lines: &mut Lines) {
    let parts = |access: &Access| match access {
        Access::Open { default_model } => (true, default_model.clone()),
        Access::Clients(_) => (false, None),
    };
    let ((was_open, old_default), (is_open, new_default)) = (parts(old), parts(new));
    lines.key("open", &was_open, &is_open, words::plain);
    lines.key(
        "default_model",
        &old_default,
        &new_default,
        words::or("none"),
    );
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
}

/// None where everyone may call.
pub(super) fn clients(access: &Access) -> &[Client] {
    match access {
        Access::Open { default_model: _ } => &[],
        Access::Clients(clients) => &clients.list,
    }
}

fn client(old: &Client, new: &Client, lines: &mut Lines) {
    let Client {
        name,
        keys,
        certificates: _,
        models,
        default_model,
    } = old;
    let all_or = |models: &Option<Vec<ModelName>>| {
        models
            .as_ref()
            .map_or_else(|| "all".to_owned(), |models| words::commas(models.iter()))
    };
    self::keys(name, keys, &new.keys, lines);
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
}

fn keys(client: &ClientName, old: &[ClientKey], new: &[ClientKey], lines: &mut Lines) {
    let Pairs {
        added,
        removed,
        // The key is its hash.
        kept: _,
        reordered,
    } = pairs(old, new, |key| &key.hash);
    for (keys, what) in [(added, "added"), (removed, "removed")] {
        for _ in keys {
            lines.add(format!("client {client} key {what}"));
        }
    }
    if reordered {
        lines.add(format!("client {client} keys reordered"));
    }
}
