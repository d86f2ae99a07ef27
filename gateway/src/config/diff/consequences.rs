//! What the changes mean for models and clients: who loses what, and where nothing is left to fail over to.
//! One fact, one line: what a model's line says is not said again for each client.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Alike, Lines, Pairs, Subject, access::clients, pairs, words};
use crate::{
    config::compiled::{Access, Client, Compiled, Endpoint, Member, Model, Tier},
    ids::{ClientName, ModelName},
};

pub(super) fn consequences(old: &Compiled, new: &Compiled) -> Vec<String> {
    let meaning = meaning(&new.models);
    let Pairs { kept, removed, .. } = pairs(clients(&old.access), clients(&new.access), |client| {
        &client.name
    });
    let kept: Vec<_> = kept.into_iter().map(Kept::new).collect();
    let mut lines = Lines::default();
    let mut left = Alike::new();
    for model in &old.models {
        let now = meaning.get(&model.name).copied();
        match now {
            Some(now) if now.name == model.name => {
                pool((old, model), (new, now), &mut left, &mut lines)
            }
            Some(_) | None => gone(model, now, &meaning, &kept, &mut lines),
        }
        aliases(model, &meaning, &kept, &mut lines);
    }
    let subject = Subject {
        one: "model ",
        several: "models ",
        all: "every model",
        count: old.models.len(),
    };
    lines.alike(&left, &subject);
    match (&old.access, &new.access) {
        (Access::Open { .. }, Access::Open { .. }) => {}
        (Access::Clients(_), Access::Open { .. }) => {
            lines.add("whoever reaches the listener may use every model, without a key".to_owned());
        }
        (Access::Open { .. }, Access::Clients(_)) => {
            lines.add("requests without the key of a client are refused".to_owned());
        }
        (Access::Clients(_), Access::Clients(now)) => {
            for client in &kept {
                lost_models(client, old, &meaning, &mut lines);
            }
            lost_keys(&kept, &removed, &now.list, &mut lines);
        }
    }
    lines.0
}

/// Every name a client may ask for, with the model it means.
fn meaning<'a>(models: &'a [Model]) -> HashMap<&'a ModelName, &'a Model> {
    let of_model = |model: &'a Model| {
        let names = std::iter::once(&model.name).chain(&model.aliases);
        names.map(move |name| (name, model))
    };
    models.iter().flat_map(of_model).collect()
}

/// A client before and after.
struct Kept<'a> {
    was: &'a Client,
    before: Allowed<'a>,
    after: Allowed<'a>,
}

impl<'a> Kept<'a> {
    fn new((old, new): (&'a Client, &'a Client)) -> Self {
        Self {
            was: old,
            before: Allowed::of(old),
            after: Allowed::of(new),
        }
    }

    /// Whether a name that meant `old` and now means `new` stops working for it.
    fn loses(&self, old: &ModelName, new: Option<&ModelName>) -> bool {
        self.before.has(old) && !new.is_some_and(|new| self.after.has(new))
    }
}

enum Allowed<'a> {
    All,
    These(HashSet<&'a ModelName>),
}

impl<'a> Allowed<'a> {
    fn of(client: &'a Client) -> Self {
        match &client.models {
            Some(models) => Self::These(models.iter().collect()),
            None => Self::All,
        }
    }

    fn has(&self, model: &ModelName) -> bool {
        match self {
            Self::All => true,
            Self::These(models) => models.contains(model),
        }
    }
}

fn losers<'a>(kept: &[Kept<'a>], old: &ModelName, new: Option<&ModelName>) -> Vec<&'a ClientName> {
    let losers = kept.iter().filter(|client| client.loses(old, new));
    losers.map(|client| &client.was.name).collect()
}

/// `; team-a and team-b lose it`
fn lose_it(losers: &[&ClientName]) -> String {
    match losers {
        [] => String::new(),
        [only] => format!("; {only} loses it"),
        several => format!("; {} lose it", words::list(several)),
    }
}

/// The model is no more. `now` is another one that has its name as an alias.
fn gone(
    model: &Model,
    now: Option<&Model>,
    meaning: &HashMap<&ModelName, &Model>,
    kept: &[Kept<'_>],
    lines: &mut Lines,
) {
    let losers = losers(kept, &model.name, now.map(|now| &now.name));
    let whom = if now.is_none() && losers.is_empty() {
        " by anybody"
    } else {
        ""
    };
    let aliases = model.aliases.iter();
    let aliases: Vec<_> = aliases
        .filter(|alias| !meaning.contains_key(alias))
        .collect();
    let aliases = match aliases.as_slice() {
        [] => String::new(),
        [only] => format!(", nor is its alias {only}"),
        several => format!(", nor are its aliases {}", words::list(several)),
    };
    let now = now.map_or_else(String::new, |now| {
        format!("; its name now means {}", now.name)
    });
    lines.add(format!(
        "model {} is no longer served{whom}{aliases}{now}{}",
        model.name,
        lose_it(&losers)
    ));
}

/// Aliases that mean something else, or nothing while their model stays.
fn aliases(
    model: &Model,
    meaning: &HashMap<&ModelName, &Model>,
    kept: &[Kept<'_>],
    lines: &mut Lines,
) {
    let stays = meaning
        .get(&model.name)
        .is_some_and(|now| now.name == model.name);
    for alias in &model.aliases {
        let now = meaning.get(alias).map(|now| &now.name);
        if now == Some(&model.name) {
            continue;
        }
        let losers = losers(kept, &model.name, now);
        match now {
            Some(now) if now == alias => lines.add(format!(
                "alias {alias} of {} is now a model of its own{}",
                model.name,
                lose_it(&losers)
            )),
            Some(now) => lines.add(format!(
                "alias {alias} now means {now} instead of {}{}",
                model.name,
                lose_it(&losers)
            )),
            // Else the model's line has said it.
            None if stays => lines.add(match losers.as_slice() {
                [] => format!("alias {alias} is gone"),
                [only] => format!("client {only}: alias {alias} is gone"),
                several => format!("clients {}: alias {alias} is gone", words::list(several)),
            }),
            None => {}
        }
    }
}

/// Where a model that stays has less to fail over to.
fn pool<'a>(
    (old_config, old): (&Compiled, &'a Model),
    (new_config, new): (&Compiled, &Model),
    left: &mut Alike<'a>,
    lines: &mut Lines,
) {
    let before = serving(old_config, old);
    let now = serving(new_config, new);
    let what = match now.as_slice() {
        [] if !before.is_empty() => {
            let line = format!("model {} has no deployment with weight above 0", old.name);
            return lines.add(line);
        }
        [only] if before.len() > 1 => {
            let region = only.region.as_ref();
            let region = region.map_or_else(String::new, |region| format!(" in {region}"));
            format!(": only one endpoint left ({}{region})", only.name)
        }
        // With one endpoint there is one region, and that is no news.
        [] | [_] => return,
        several => {
            // An endpoint without a region may be anywhere.
            let now: BTreeSet<_> = several.iter().map(|endpoint| &endpoint.region).collect();
            let before: BTreeSet<_> = before
                .iter()
                .filter_map(|endpoint| endpoint.region.as_ref())
                .collect();
            match now.first() {
                Some(Some(region)) if now.len() == 1 && before.len() > 1 => {
                    format!(": only one region left ({region})")
                }
                Some(_) | None => return,
            }
        }
    };
    left.entry(what).or_default().push(old.name.as_str());
}

/// The endpoints that get traffic for the model.
fn serving<'a>(config: &'a Compiled, model: &Model) -> Vec<&'a Endpoint> {
    let tiers = model.tiers.iter();
    tiers
        .flat_map(
            |Tier {
                 priority: _,
                 members,
             }| members,
        )
        .filter_map(|member| {
            let Member {
                endpoint,
                deployment: _,
                weight,
            } = *member;
            (weight > 0).then_some(&config.endpoints[endpoint])
        })
        .collect()
}

/// Models that are still served, but no longer for this client.
fn lost_models(
    client: &Kept<'_>,
    old: &Compiled,
    meaning: &HashMap<&ModelName, &Model>,
    lines: &mut Lines,
) {
    let could_use: Vec<_> = match (&client.was.models, &client.after) {
        (_, Allowed::All) => return,
        (Some(models), Allowed::These(_)) => models.iter().collect(),
        (None, Allowed::These(_)) => old.models.iter().map(|model| &model.name).collect(),
    };
    let is_served = |model: &ModelName| meaning.get(model).is_some_and(|now| now.name == *model);
    let lost: Vec<_> = could_use
        .into_iter()
        .filter(|model| is_served(model) && !client.after.has(model))
        .collect();
    let name = &client.was.name;
    match lost.as_slice() {
        [] => {}
        [only] => lines.add(format!("client {name} loses model {only}")),
        several => lines.add(format!(
            "client {name} loses models {}",
            words::list(several)
        )),
    }
}

/// Keys that stop working, or work for another client: one that was renamed, for example.
fn lost_keys(kept: &[Kept<'_>], removed: &[&Client], now: &[Client], lines: &mut Lines) {
    let owners: HashMap<_, _> = now
        .iter()
        .flat_map(|client| client.keys.iter().map(move |key| (&key.hash, &client.name)))
        .collect();
    let kept = kept.iter().map(|client| (client.was, ""));
    let removed = removed.iter().map(|&client| (client, " removed"));
    for (client, fate) in kept.chain(removed) {
        let mut lost: BTreeMap<Option<&ClientName>, usize> = BTreeMap::new();
        for key in &client.keys {
            let owner = owners.get(&key.hash).copied();
            if owner != Some(&client.name) {
                *lost.entry(owner).or_default() += 1;
            }
        }
        for (owner, count) in lost {
            let (which, s) = match count {
                all if all == client.keys.len() && !fate.is_empty() => ("its keys".to_owned(), ""),
                1 => ("a key".to_owned(), "s"),
                several => (format!("{several} keys"), ""),
            };
            let what = owner.map_or_else(
                || format!("stop{s} working"),
                |owner| format!("now belong{s} to {owner}"),
            );
            lines.add(format!("client {}{fate}: {which} {what}", client.name));
        }
    }
}
