//! Turns YAML text into a value and the lines of its keys. One parser for both, so that they cannot disagree.
//!
//! The YAML 1.2 core rules for plain scalars; anchors and aliases are followed. A key that appears twice is an
//! error, and reading goes on with the first. Tags and several documents are refused: nothing needs them.

use std::collections::{HashMap, hash_map::Entry};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_yaml::{Mapping, Value};

use super::{
    diagnostics::{ConfigError, Diagnostic, Diagnostics, Step},
    lines::{Children, Lines},
};

/// Deepest nesting: the configuration needs six levels.
const DEPTH_MAX: usize = 32;
/// Most values that aliases may repeat: a few nested aliases can otherwise fill the memory.
const REPEATED_MAX: usize = 100_000;

pub(super) struct Document {
    pub(super) value: Value,
    pub(super) lines: Lines,
}

/// Reads the text; keys that appear twice go to `diagnostics`.
///
/// # Errors
/// The text is not YAML, or uses what is refused here: line and column of the first such place.
pub(super) fn read(text: &str, diagnostics: &mut Diagnostics) -> Result<Document, ConfigError> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        repeated: 0,
        path: Vec::new(),
        diagnostics,
    };
    let (value, children) = reader.document()?;
    Ok(Document {
        value,
        lines: Lines { line: 0, children },
    })
}

struct Reader<'t, 'd> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Value>,
    repeated: usize,
    path: Vec<Step>,
    diagnostics: &'d mut Diagnostics,
}

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Result<(Value, Children), ConfigError> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root.unwrap_or((Value::Null, Children::None))),
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(refused(span, "a second document begins here, expected one"));
                }
                Event::DocumentStart(_) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span)?);
                }
                _ => return Err(refused(span, "unexpected here")),
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Result<(Value, Children), ConfigError> {
        if self.path.len() > DEPTH_MAX {
            return Err(refused(span, "nested too deeply"));
        }
        let (anchor, value, children) = match event {
            Event::Alias(anchor) => return Ok((self.repeat(anchor, span)?, Children::None)),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(refused(span, "tags (`!…`) are not used in this file"));
            }
            Event::Scalar(text, style, anchor, None) => {
                (anchor, scalar(&text, style), Children::None)
            }
            Event::SequenceStart(anchor, None) => {
                let (items, lines) = self.sequence()?;
                (anchor, Value::Sequence(items), Children::Items(lines))
            }
            Event::MappingStart(anchor, None) => {
                let (mapping, lines) = self.mapping()?;
                (anchor, Value::Mapping(mapping), Children::Keys(lines))
            }
            _ => return Err(refused(span, "unexpected here")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok((value, children))
    }

    fn sequence(&mut self) -> Result<(Vec<Value>, Vec<Lines>), ConfigError> {
        let (mut items, mut lines) = (Vec::new(), Vec::new());
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok((items, lines));
            }
            self.path.push(Step::Index(items.len()));
            let (value, children) = self.node(event, span)?;
            self.path.pop();
            items.push(value);
            lines.push(Lines {
                line: span.start.line(),
                children,
            });
        }
    }

    fn mapping(&mut self) -> Result<(Mapping, HashMap<String, Lines>), ConfigError> {
        let (mut mapping, mut lines) = (Mapping::new(), HashMap::new());
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok((mapping, lines)),
                Event::Scalar(text, _, _, None) => text.into_owned(),
                _ => return Err(refused(span, "a key must be plain text")),
            };
            let line = span.start.line();
            self.path.push(Step::Key(key.clone()));
            let (event, span) = self.next()?;
            let (value, children) = self.node(event, span)?;
            match lines.entry(key) {
                Entry::Vacant(place) => {
                    mapping.insert(Value::String(place.key().clone()), value);
                    place.insert(Lines { line, children });
                }
                Entry::Occupied(first) => {
                    let message = format!("the same key again, first in line {}", first.get().line);
                    self.diagnostics
                        .error_at(self.path.clone(), Some(line), message);
                }
            }
            self.path.pop();
        }
    }

    fn repeat(&mut self, anchor: usize, span: Span) -> Result<Value, ConfigError> {
        let value = self.anchors.get(&anchor);
        let value = value.ok_or_else(|| refused(span, "an alias of something not complete yet"))?;
        self.repeated += size(value);
        if self.repeated > REPEATED_MAX {
            return Err(refused(span, "aliases repeat too much"));
        }
        Ok(value.clone())
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), ConfigError> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(invalid(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }
}

/// The core schema of YAML 1.2, decimal numbers only.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    // `inf` and `nan` parse as floating point in Rust and are words in YAML.
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return Value::String(text.to_owned());
    }
    if let Ok(number) = text.parse::<u64>() {
        Value::Number(number.into())
    } else if let Ok(number) = text.parse::<i64>() {
        Value::Number(number.into())
    } else if let Ok(number) = text.parse::<f64>() {
        Value::Number(number.into())
    } else {
        Value::String(text.to_owned())
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Mapping(mapping) => 1 + mapping.values().map(size).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => 1,
    }
}

fn invalid(error: &ScanError) -> ConfigError {
    located(error.marker().line(), error.marker().col(), error.info())
}

fn refused(span: Span, message: &str) -> ConfigError {
    located(span.start.line(), span.start.col(), message)
}

fn located(line: usize, column: usize, message: &str) -> ConfigError {
    ConfigError(Diagnostic {
        path: String::new(),
        line: Some(line),
        message: format!("not valid here, column {}: {message}", column + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        let mut diagnostics = Diagnostics::default();
        let document = read(text, &mut diagnostics).unwrap();
        diagnostics.finish(&document.lines).unwrap();
        document.value
    }

    #[test]
    fn scalars_mean_what_an_independent_reader_says() {
        for text in [
            "",
            "a:",
            "[~, null, true, False, no, yes, off]",
            "[0, 1, -1, 18446744073709551615, 1.5, 1e3, -0.5]",
            "[500-599, 2024-10-21, 1m30s, 20%, 127.0.0.1:8080, .5x, inf, nan]",
            "['1', \"true\", '']",
            "a: {b: {c: [1, {d: e}]}}\nf: |\n  two\n  lines\n",
            "a: &x {b: 1}\nc: *x",
            "# only a comment",
        ] {
            let expected: Value = serde_yaml::from_str(text).unwrap();
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_as_keys_are_names() {
        assert_eq!(
            value("4: x"),
            serde_yaml::from_str::<Value>("'4': x").unwrap()
        );
    }

    #[test]
    fn what_is_refused_says_line_and_column() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        let bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned()
            + &('b'..='g')
                .map(|c| {
                    let previous = char::from(u8::try_from(c).unwrap() - 1);
                    format!(
                        "{c}: &{c} [{}]\n",
                        vec![format!("*{previous}"); 10].join(", ")
                    )
                })
                .collect::<String>();
        for (text, expected) in [
            ("a: 1\nb: [", "f:3: not valid here, column 1"),
            ("a: 1\n b: 2", "f:2: not valid here"),
            ("a: !x 1", "f:1: not valid here, column"),
            ("--- a\n--- b", "f:2: not valid here"),
            ("[a]: b", "f:1: not valid here"),
            ("a: *b", "f:1: not valid here"),
            (&deep, "f:1: not valid here, column 34: nested too deeply"),
            (&bomb, "aliases repeat too much"),
        ] {
            let error = read(text, &mut Diagnostics::default()).err();
            let rendered = error.expect(text).render("f");
            assert!(rendered.contains(expected), "{text}: {rendered}");
        }
    }

    #[test]
    fn keys_that_appear_twice_are_all_reported_with_both_lines() {
        let mut diagnostics = Diagnostics::default();
        let document = read("a: 1\nb: {c: 1, c: 2}\na: 3\n", &mut diagnostics).unwrap();
        assert_eq!(document.value["a"], Value::Number(1.into()));
        let errors = diagnostics.finish(&document.lines).unwrap_err();
        let rendered: Vec<_> = errors.iter().map(|error| error.render("f")).collect();
        assert_eq!(
            rendered,
            [
                "f:2: b.c: the same key again, first in line 2",
                "f:3: a: the same key again, first in line 1"
            ]
        );
    }
}
