//! What a scenario found, as tables for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::{
    sample::{Figures, Spread},
    tally::{Fate, Tally},
};

/// Title of a column and how its cells are written; an empty one where nothing was measured.
pub(crate) struct Column(
    pub(crate) &'static str,
    pub(crate) fn(&Figures) -> Option<String>,
);

pub(crate) struct Report {
    scenario: &'static str,
    text: String,
    tables: Vec<Value>,
    facts: Map<String, Value>,
    /// Everything that was promised held.
    pub(crate) kept: bool,
}

impl Report {
    pub(crate) fn new(scenario: &'static str) -> Self {
        Self {
            scenario,
            text: String::new(),
            tables: Vec::new(),
            facts: Map::new(),
            kept: true,
        }
    }

    pub(crate) fn table(&mut self, title: &str, columns: &[Column], rows: Vec<Figures>) {
        let mut cells = vec![
            std::iter::once("target".to_owned())
                .chain(columns.iter().map(|column| column.0.to_owned()))
                .collect::<Vec<String>>(),
        ];
        cells.extend(rows.iter().map(|row| {
            let values = columns
                .iter()
                .map(|column| (column.1)(row).unwrap_or_default());
            std::iter::once(row.target.clone()).chain(values).collect()
        }));
        self.lay_out(title, &cells);
        self.tables.push(json!({ "title": title, "rows": rows }));
    }

    /// What each kind of client counted, and some of what it may complain about.
    pub(crate) fn tallies(&mut self, title: &str, tallies: &[Tally]) {
        let mut cells = vec![vec!["clients".to_owned()]];
        cells[0].extend(Fate::ALL.map(|fate| fate.name().to_owned()));
        cells[0].push("slowest ms".to_owned());
        cells.extend(tallies.iter().map(|tally| {
            let mut line = vec![tally.kind.to_owned()];
            line.extend(Fate::ALL.map(|fate| tally.of(fate).to_string()));
            line.push(format!("{:.1}", tally.slowest.as_secs_f64() * 1e3));
            line
        }));
        self.lay_out(title, &cells);
        for example in tallies.iter().flat_map(|tally| &tally.examples) {
            self.line(example);
        }
        let rows: Vec<Value> = tallies.iter().map(Tally::json).collect();
        self.tables.push(json!({ "title": title, "rows": rows }));
    }

    /// The first line holds the names of the columns.
    fn lay_out(&mut self, title: &str, cells: &[Vec<String>]) {
        let widths: Vec<usize> = (0..cells[0].len())
            .map(|column| {
                let widths = cells.iter().map(|line| line[column].chars().count());
                widths.max().unwrap_or(0)
            })
            .collect();
        self.line(&format!("\n{title}"));
        for line in cells {
            let mut text = format!("{:<width$}", line[0], width = widths[0]);
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                write!(text, "  {cell:>width$}").expect("writing to a String does not fail");
            }
            self.line(&text);
        }
    }

    pub(crate) fn added(&mut self, figure: &str, added: Vec<(&'static str, Spread)>) {
        for (name, by) in added {
            self.line(&format!(
                "added by {name}: {figure}: {:.2} (rounds: {:.2} to {:.2})",
                by.median, by.min, by.max
            ));
            self.facts
                .insert(format!("added by {name}: {figure}"), json!(by));
        }
    }

    /// A figure of several rounds.
    pub(crate) fn spread(&mut self, name: &str, values: Vec<f64>) {
        let Some(by) = Spread::of(values) else { return };
        self.line(&format!(
            "{name}: median {:.1} ({:.1} to {:.1})",
            by.median, by.min, by.max
        ));
        self.facts.insert(name.to_owned(), json!(by));
    }

    pub(crate) fn note(&mut self, name: &str, text: &str) {
        self.line(&format!("{name}: {text}"));
        self.facts.insert(name.to_owned(), json!(text));
    }

    pub(crate) fn fact(&mut self, name: &str, value: f64) {
        self.line(&format!("{name}: {value:.1}"));
        self.facts.insert(name.to_owned(), json!(value));
    }

    pub(crate) fn promise(&mut self, name: &str, kept: bool) {
        self.line(&format!("{name}: {}", if kept { "yes" } else { "NO" }));
        self.facts.insert(name.to_owned(), json!(kept));
        self.kept &= kept;
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "scenario": self.scenario, "tables": self.tables, "facts": self.facts })
    }
}
