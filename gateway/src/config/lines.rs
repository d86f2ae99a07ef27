//! Where each key stands in the file, for messages. Knows lines and nothing about what a key means.

use std::collections::HashMap;

use super::diagnostics::Step;

/// The line of a key or list item, and of everything below it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Counted from 1; 0 for the whole file.
    pub(super) line: usize,
    pub(super) children: Children,
}

#[derive(Debug, Default)]
pub(super) enum Children {
    #[default]
    None,
    Keys(HashMap<String, Lines>),
    Items(Vec<Lines>),
}

impl Lines {
    /// The line of the place, or of the nearest place around it that is in the file.
    pub(super) fn find(&self, path: &[Step]) -> Option<usize> {
        let mut here = self;
        for step in path {
            let child = match (step, &here.children) {
                (Step::Key(key), Children::Keys(keys)) => keys.get(key),
                (Step::Index(index), Children::Items(items)) => items.get(*index),
                (Step::Key(_) | Step::Index(_), _) => None,
            };
            match child {
                Some(child) => here = child,
                None => break,
            }
        }
        (here.line > 0).then_some(here.line)
    }
}
