//! What is wrong with a configuration and where: key paths, the two kinds of message, and the collector that
//! every check writes to, so that an operator sees all mistakes in one run. Knows nothing about any key.

use std::fmt;

use super::lines::Lines;

/// More errors than this are not collected: the first ones are the ones to fix.
pub(super) const ERRORS_MAX: usize = 100;

/// One message about one place of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// `endpoints.aoi-1.weight`, `listen[0].address`; empty for the whole file.
    pub path: String,
    /// Counted from 1; `None` where the place is missing from the file.
    pub line: Option<usize>,
    /// What was found, and what would be right.
    pub message: String,
}

/// A mistake: the configuration is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub Diagnostic);

impl ConfigError {
    /// One line: `conf.yaml:12: endpoints.aoi-1.wieght: unknown key …`.
    #[must_use]
    pub fn render(&self, file: &str) -> String {
        format!("{}{}", position(file, self.0.line), self.0)
    }
}

/// Something that works but is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub Diagnostic);

impl Warning {
    /// One line: `conf.yaml:12: warning: endpoints.aoi-1.url: …`.
    #[must_use]
    pub fn render(&self, file: &str) -> String {
        format!("{}warning: {}", position(file, self.0.line), self.0)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// One step of a key path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// A place in the file while a check runs: a list of borrowed steps that costs nothing until it is reported.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: BorrowedStep<'a>,
}

#[derive(Clone, Copy)]
enum BorrowedStep<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl At<'static> {
    pub(super) const ROOT: Self = At {
        parent: None,
        step: BorrowedStep::Root,
    };
}

impl<'a> At<'a> {
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        At {
            parent: Some(self),
            step: BorrowedStep::Key(key),
        }
    }

    pub(super) fn index(&'a self, index: usize) -> Self {
        At {
            parent: Some(self),
            step: BorrowedStep::Index(index),
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut here = Some(self);
        while let Some(at) = here {
            match at.step {
                BorrowedStep::Root => {}
                BorrowedStep::Key(key) => steps.push(Step::Key(key.to_owned())),
                BorrowedStep::Index(index) => steps.push(Step::Index(index)),
            }
            here = at.parent;
        }
        steps.reverse();
        steps
    }
}

/// Collects messages in any order.
#[derive(Default)]
pub(super) struct Diagnostics {
    errors: Vec<Entry>,
    warnings: Vec<Entry>,
    /// Places that a mistyped key was probably meant for.
    excused: Vec<Vec<Step>>,
}

struct Entry {
    path: Vec<Step>,
    /// Where the place alone does not tell the line (a key that appears twice).
    line: Option<usize>,
    message: String,
}

impl Diagnostics {
    pub(super) fn error(&mut self, at: At<'_>, message: impl Into<String>) {
        self.error_at(at.steps(), None, message);
    }

    pub(super) fn error_at(
        &mut self,
        path: Vec<Step>,
        line: Option<usize>,
        message: impl Into<String>,
    ) {
        self.errors.push(Entry {
            path,
            line,
            message: message.into(),
        });
    }

    /// An error about something that is not there, unless it is missing because of an earlier error.
    pub(super) fn missing(&mut self, at: At<'_>, message: impl Into<String>) {
        let path = at.steps();
        let around = self
            .errors
            .iter()
            .any(|error| path.starts_with(&error.path));
        if !around && !self.is_broken(&path) && !self.excused.contains(&path) {
            self.error_at(path, None, message);
        }
    }

    /// Whether an error is about this place or something inside it.
    pub(super) fn is_broken(&self, path: &[Step]) -> bool {
        self.errors.iter().any(|error| error.path.starts_with(path))
    }

    /// Marks a place as the one that a mistyped key was probably meant for.
    pub(super) fn excuse(&mut self, path: Vec<Step>) {
        self.excused.push(path);
    }

    pub(super) fn warn(&mut self, at: At<'_>, message: impl Into<String>) {
        self.warnings.push(Entry {
            path: at.steps(),
            line: None,
            message: message.into(),
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= ERRORS_MAX
    }

    /// Warnings if there are no errors, else errors; both in the order of the file.
    pub(super) fn finish(self, lines: &Lines) -> Result<Vec<Warning>, Vec<ConfigError>> {
        if self.errors.is_empty() {
            Ok(located(self.warnings, lines).map(Warning).collect())
        } else {
            Err(located(self.errors, lines)
                .take(ERRORS_MAX)
                .map(ConfigError)
                .collect())
        }
    }
}

fn located(entries: Vec<Entry>, lines: &Lines) -> impl Iterator<Item = Diagnostic> {
    let mut located: Vec<_> = entries
        .into_iter()
        .map(|entry| Diagnostic {
            line: entry.line.or_else(|| lines.find(&entry.path)),
            path: render_path(&entry.path),
            message: entry.message,
        })
        .collect();
    located.sort_by_key(|diagnostic| diagnostic.line);
    located.into_iter()
}

fn render_path(steps: &[Step]) -> String {
    use fmt::Write as _;

    let mut text = String::new();
    for step in steps {
        let written = match step {
            Step::Key(key) if text.is_empty() => write!(text, "{key}"),
            Step::Key(key) => write!(text, ".{key}"),
            Step::Index(index) => write!(text, "[{index}]"),
        };
        written.expect("a String takes every write");
    }
    text
}

fn position(file: &str, line: Option<usize>) -> String {
    line.map_or_else(|| format!("{file}: "), |line| format!("{file}:{line}: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_inside_a_broken_place_is_not_reported_again() {
        let mut diagnostics = Diagnostics::default();
        let endpoints = At::ROOT.key("endpoints");
        let endpoint = endpoints.key("aoi-1");
        diagnostics.error(endpoint, "expected a mapping");
        diagnostics.missing(endpoint.key("url"), "missing");
        diagnostics.missing(endpoints, "missing");
        diagnostics.missing(At::ROOT.key("listen"), "missing");

        let errors = diagnostics.finish(&Lines::default()).unwrap_err();

        let rendered: Vec<_> = errors.iter().map(|error| error.render("f")).collect();
        assert_eq!(
            rendered,
            [
                "f: endpoints.aoi-1: expected a mapping",
                "f: listen: missing"
            ]
        );
    }

    #[test]
    fn a_path_is_written_with_dots_and_brackets() {
        let listen = At::ROOT.key("listen");
        let first = listen.index(0);
        assert_eq!(
            render_path(&first.key("address").steps()),
            "listen[0].address"
        );
        assert_eq!(render_path(&At::ROOT.steps()), "");
    }
}
