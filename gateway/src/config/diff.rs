//! What changed between two configurations, as people read it: the edits, line by line, and what they mean for
//! models and clients. Pure. The changes are empty exactly if the two are equal, and no line shows a secret or
//! the hash of a key.
//!
//! Every struct that is compared is taken apart without `..`: a field that is added and not compared does not
//! compile. An endpoint is told by its name, a deployment by its endpoint and model.

mod access;
mod consequences;
mod endpoints;
mod models;
mod process;
#[cfg(test)]
mod tests;
mod traces;
pub(super) mod words;

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::compiled::Compiled;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// What the operator did. What is read at the start only comes first.
    pub changes: Vec<Change>,
    /// What an operator wants to know before applying it.
    pub consequences: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `aoi-1.gpt-4o weight 1 → 3`, `threads 0 → 4: needs restart`.
    pub text: String,
    /// Read at the start only: the running process keeps the old value.
    pub needs_restart: bool,
}

/// What `new` changes over `old`. In linear time.
#[must_use]
pub fn diff(old: &Compiled, new: &Compiled) -> Diff {
    Diff {
        changes: changes(old, new),
        consequences: consequences::consequences(old, new),
    }
}

fn changes(old: &Compiled, new: &Compiled) -> Vec<Change> {
    let Compiled {
        listen,
        admin,
        threads,
        limits,
        drain_timeout,
        state_directory,
        hand_over_timeout,
        log,
        traces,
        response_headers,
        currency,
        endpoints,
        models,
        access,
    } = old;
    let mut at_start = Lines::default();
    let mut at_once = Lines::default();
    process::listen(listen, &new.listen, &mut at_start, &mut at_once);
    process::admin(
        admin.as_ref(),
        new.admin.as_ref(),
        &mut at_start,
        &mut at_once,
    );
    at_start.key("threads", threads, &new.threads, words::plain);
    process::log(log, &new.log, &mut at_start, &mut at_once);
    at_once.key(
        "drain_timeout",
        drain_timeout,
        &new.drain_timeout,
        words::span,
    );
    let folder = |path: &Option<Arc<Path>>| path.as_ref().map(|path| path.display().to_string());
    at_once.key(
        "state_directory",
        &folder(state_directory),
        &folder(&new.state_directory),
        words::or("none"),
    );
    at_once.key(
        "hand_over_timeout",
        hand_over_timeout,
        &new.hand_over_timeout,
        words::span,
    );
    at_once.key(
        "response_headers",
        response_headers,
        &new.response_headers,
        words::plain,
    );
    at_once.key("currency", currency, &new.currency, words::plain);
    process::limits(limits, &new.limits, &mut at_once);
    traces::changes(traces.as_ref(), new.traces.as_ref(), &mut at_once);
    endpoints::changes(endpoints, &new.endpoints, &mut at_once);
    models::changes(models, &new.models, &mut at_once);
    access::changes(access, &new.access, &mut at_once);
    let at_start = at_start.0.into_iter().map(|line| Change {
        text: format!("{line}: needs restart"),
        needs_restart: true,
    });
    let at_once = at_once.0.into_iter().map(|text| Change {
        text,
        needs_restart: false,
    });
    at_start.chain(at_once).collect()
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, line: String) {
        self.0.push(line);
    }

    /// `key old → new`, if they differ.
    fn key<T: PartialEq + ?Sized>(
        &mut self,
        key: &str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
    ) {
        if old != new {
            self.add(format!("{key} {} → {}", show(old), show(new)));
        }
    }
}

/// Two lists of named things, side by side.
struct Pairs<'a, T> {
    added: Vec<&'a T>,
    removed: Vec<&'a T>,
    /// In both, the old one first; in the order of the new list.
    kept: Vec<(&'a T, &'a T)>,
    /// Whether those in both have another order among themselves.
    reordered: bool,
}

fn pairs<'a, T, K: Eq + Hash>(
    old: &'a [T],
    new: &'a [T],
    name: impl Fn(&'a T) -> K,
) -> Pairs<'a, T> {
    // One thing has no name of its own, a listener with port 0: `next` is the place of the next of that name.
    let mut places = HashMap::with_capacity(old.len());
    let mut next = vec![None; old.len()];
    for (place, item) in old.iter().enumerate().rev() {
        next[place] = places.insert(name(item), place);
    }
    let mut is_kept = vec![false; old.len()];
    let mut last = 0;
    let mut pairs = Pairs {
        added: Vec::new(),
        removed: Vec::new(),
        kept: Vec::with_capacity(new.len()),
        reordered: false,
    };
    for item in new {
        let name = name(item);
        let Some(place) = places.remove(&name) else {
            pairs.added.push(item);
            continue;
        };
        if let Some(next) = next[place] {
            places.insert(name, next);
        }
        pairs.kept.push((&old[place], item));
        pairs.reordered |= place < last;
        is_kept[place] = true;
        last = place;
    }
    let removed = old.iter().zip(is_kept).filter(|(_, is_kept)| !is_kept);
    pairs.removed.extend(removed.map(|(item, _)| item));
    pairs
}

/// As many things that changed alike share a line: one edit of an endpoint's `weight` or of a key in `defaults`
/// changes many of them.
const ALIKE_MIN: usize = 3;

/// What happened, as it follows a name (` weight 1 → 3`), and to which names. Sorted by what happened, so that
/// the lines have one order.
type Alike<'a> = BTreeMap<String, Vec<&'a str>>;

/// How the names of an [`Alike`] are introduced.
struct Subject<'a> {
    one: &'a str,
    several: &'a str,
    all: &'a str,
    /// How many `all` are.
    count: usize,
}

impl Lines {
    fn alike(&mut self, alike: &Alike<'_>, subject: &Subject<'_>) {
        for (what, names) in alike {
            if names.len() < ALIKE_MIN {
                for name in names {
                    self.add(format!("{}{name}{what}", subject.one));
                }
            } else if names.len() == subject.count {
                self.add(format!("{}{what}", subject.all));
            } else {
                self.add(format!("{}{}{what}", subject.several, words::list(names)));
            }
        }
    }
}
