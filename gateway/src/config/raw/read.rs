//! From a YAML value to [`Raw`], past every mistake: an error is recorded, the place it is about is cut out,
//! and reading starts again, until the rest is good. A good file is read once.
//!
//! serde's messages are turned into ours here. They name the kind of what was found, never its content: under
//! `credentials` and `clients` that may be a key.

use serde_path_to_error::{Path, Segment};
use serde_yaml::{Mapping, Value};

use super::Raw;
use crate::config::{
    diagnostics::{Diagnostics, Step},
    suggest,
};

pub(in crate::config) fn read(mut value: Value, diagnostics: &mut Diagnostics) -> Raw {
    if value.is_null() {
        value = Value::Mapping(Mapping::new());
    }
    for key in RESTRICTING {
        refuse_empty(&value, key, &mut Vec::new(), diagnostics);
    }
    loop {
        let error = match serde_path_to_error::deserialize::<_, Raw>(&value) {
            Ok(raw) => return raw,
            Err(error) => error,
        };
        let path = steps(error.path());
        let message = error.inner().to_string();
        let unknown = message.starts_with("unknown field");
        // What is wrong only because of an earlier cut is no mistake of its own.
        if !diagnostics.is_broken(&path) {
            let found = find(&mut value, &path).map_or("nothing", |node| kind(node));
            if unknown {
                excuse(&path, &message, diagnostics);
            }
            diagnostics.error_at(path.clone(), None, translate(&message, &path, found));
        }
        if diagnostics.is_full() || !cut(&mut value, &path, unknown) {
            return Raw::default();
        }
    }
}

/// Keys that keep somebody out, each with the places where it stands. With nothing behind it, one would be as if it
/// were left out, and let everybody in: a variable of a template is easily empty.
const RESTRICTING: [&[&str]; 15] = [
    &["listen", "*", "tls"],
    &["listen", "*", "tls", "client_ca"],
    &["listen", "*", "tls", "client_certificate"],
    &["endpoints", "*", "tls"],
    &["endpoints", "*", "tls", "ca"],
    &["clients", "*", "models"],
    &["clients", "*", "keys", "*", "not_after"],
    &["jwt", "*", "algorithms"],
    &["jwt", "*", "rules", "*", "roles"],
    &["jwt", "*", "rules", "*", "scp"],
    &["jwt", "*", "rules", "*", "azp"],
    &["jwt", "*", "rules", "*", "appid"],
    &["jwt", "*", "rules", "*", "oid"],
    &["jwt", "*", "rules", "*", "groups"],
    &["jwt"],
];

fn refuse_empty(value: &Value, key: &[&str], path: &mut Vec<Step>, diagnostics: &mut Diagnostics) {
    let Some((first, rest)) = key.split_first() else {
        if value.is_null() {
            let message = "empty, expected a value; leave the key out if you want none";
            diagnostics.error_at(path.clone(), None, message);
        }
        return;
    };
    let mut below = |step: Step, value: &Value| {
        path.push(step);
        refuse_empty(value, rest, path, diagnostics);
        path.pop();
    };
    match value {
        Value::Mapping(mapping) if *first == "*" => {
            for (key, value) in mapping {
                if let Some(key) = key.as_str() {
                    below(Step::Key(key.to_owned()), value);
                }
            }
        }
        Value::Mapping(mapping) => {
            if let Some(value) = mapping.get(*first) {
                below(Step::Key((*first).to_owned()), value);
            }
        }
        Value::Sequence(items) if *first == "*" => {
            for (index, value) in items.iter().enumerate() {
                below(Step::Index(index), value);
            }
        }
        _ => {}
    }
}

/// In our words, with what would be right.
fn translate(message: &str, path: &[Step], found: &str) -> String {
    let (what, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    if what.starts_with("unknown field")
        && let Some(Step::Key(key)) = path.last()
    {
        return suggest::unknown("key", key, quoted(expected));
    }
    if let Some(variant) = what.strip_prefix("unknown variant ") {
        return suggest::unknown("value", variant.trim_matches('`'), quoted(expected));
    }
    if what.starts_with("invalid type: ") || what.starts_with("invalid length ") {
        let expected = match expected.split(' ').next() {
            Some("struct" | "map") => "a mapping",
            _ => match expected {
                "a sequence" => "a list",
                "a Value::Tagged enum" => "a word",
                "a boolean" => "`true` or `false`",
                "u64" | "u32" | "u16" => "a whole number",
                other => other,
            },
        };
        return format!("expected {expected}, found {found}");
    }
    if let Some(field) = what.strip_prefix("duplicate field ") {
        return format!("{field} is given twice, under two of its names");
    }
    message.to_owned()
}

/// A mistyped `ulr` is not also a missing `url`.
fn excuse(path: &[Step], message: &str, diagnostics: &mut Diagnostics) {
    let (Some((Step::Key(key), parents)), Some((_, expected))) =
        (path.split_last(), message.rsplit_once(", expected "))
    else {
        return;
    };
    if let Some(meant) = suggest::nearest(key, quoted(expected)) {
        let mut path = parents.to_vec();
        path.push(Step::Key(meant.to_owned()));
        diagnostics.excuse(path);
    }
}

/// The words between backticks.
fn quoted(list: &str) -> impl Iterator<Item = &str> {
    list.split('`').skip(1).step_by(2)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
        Value::Tagged(_) => "a tag",
    }
}

/// Takes the place out of the value: an unknown key goes, any other value becomes null (which most keys read as
/// "not given"), and a null that is still wrong goes too. False if there is nothing left to cut.
fn cut(value: &mut Value, path: &[Step], unknown: bool) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    if !unknown
        && let Some(node) = find(value, path)
        && !node.is_null()
    {
        *node = Value::Null;
        return true;
    }
    match (last, find(value, parents)) {
        (Step::Key(key), Some(Value::Mapping(mapping))) => mapping.remove(key.as_str()).is_some(),
        (Step::Key(_) | Step::Index(_), _) => cut(value, parents, false),
    }
}

fn find<'v>(value: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |here, step| match step {
        Step::Key(key) => here.get_mut(key.as_str()),
        Step::Index(index) => here.get_mut(*index),
    })
}

fn steps(path: &Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}
