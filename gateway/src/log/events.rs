//! Events of `tracing`, and of `log` by way of it, as lines.

use std::fmt;

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::layer::{Context, Layer};

use super::{
    form::{Form, Line},
    writer::Lines,
};

pub(super) struct Events {
    lines: Lines,
    form: Form,
}

impl Events {
    pub(super) fn new(lines: Lines, form: Form) -> Self {
        Self { lines, form }
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        // A record of `log` carries where it comes from in its fields.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let (level, target) = (*metadata.level(), metadata.target());
        super::write(&self.lines, self.form, level, target, |line| {
            event.record(&mut Fields(line));
        });
    }
}

struct Fields<'a, 'b>(&'a mut Line<'b>);

impl Fields<'_, '_> {
    fn add(&mut self, field: &Field, value: impl super::form::Value) {
        let name = field.name();
        if !name.starts_with("log.") {
            self.0.field(name.strip_prefix("r#").unwrap_or(name), value);
        }
    }
}

impl Visit for Fields<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").as_str());
    }
}
