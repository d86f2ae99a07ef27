//! The process's own log: events of every module (`tracing`), and one access line a request. Lines are put into a form
//! by whoever has something to say and written by a thread of their own, so a reader or a disk that stalls costs lines,
//! which are counted, and never a request's time.
//!
//! Below `info` libraries log whole heads and bodies: whatever level is asked for, `control` keeps them quiet.

pub mod access;
mod control;
mod events;
mod form;
mod output;
mod writer;

use std::{cell::Cell, io, path::Path, sync::Arc};

use tracing::Level;

pub use self::{
    access::AccessLine,
    control::{BadFilter, ByHand, Control},
    writer::LastLines,
};
use self::{
    events::Events,
    form::{Form, Line},
    output::Output,
    writer::Lines,
};
use crate::{clock, config::compiled};

/// A thread's buffer is given back to the allocator when a line has made it larger.
const LINE_BYTES_KEPT: usize = 16 * 1024;

thread_local! {
    /// Where this thread forms its lines.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("log.file: cannot open {path}: {source}")]
    File { path: String, source: io::Error },
    #[error("log: cannot write to standard output: {0}")]
    Output(io::Error),
    #[error("log.level: {0}")]
    Level(#[from] BadFilter),
    #[error("log: cannot start the thread that writes it: {0}")]
    Thread(io::Error),
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    /// What is logged, changed while it runs.
    pub control: Control,
    lines: Lines,
    form: Form,
    file: Option<Arc<Path>>,
}

impl Log {
    /// Makes this the log of the process, once. The second value writes the last lines when it is dropped.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn start(config: &compiled::Log) -> Result<(Self, LastLines), StartError> {
        let output = match &config.file {
            Some(path) => Output::file(path).map_err(|source| StartError::File {
                path: path.display().to_string(),
                source,
            })?,
            None => Output::stdout().map_err(StartError::Output)?,
        };
        let form = Form::of(config.format, output.terminal);
        let (lines, last_lines) = writer::start(output, |lines| {
            tracing::warn!(
                lines,
                "log lines were lost: they could not be written as fast as they came"
            );
        })
        .map_err(StartError::Thread)?;
        let events = Events::new(lines.clone(), form);
        let log = Self {
            control: Control::install(&config.level, events)?,
            lines,
            form,
            file: config.file.clone(),
        };
        Ok((log, last_lines))
    }

    /// A log that nobody reads, for the demo.
    #[must_use]
    pub fn none() -> Self {
        Self {
            control: Control::default(),
            lines: Lines::default(),
            form: Form::Json,
            file: None,
        }
    }

    /// Whether access lines are written. Asked before one is made.
    #[must_use]
    pub fn wants_access(&self) -> bool {
        tracing::enabled!(target: access::TARGET, Level::INFO)
    }

    /// Writes one line for a request.
    pub fn access(&self, line: &AccessLine<'_>) {
        write(&self.lines, self.form, Level::INFO, access::TARGET, |to| {
            line.write(to);
        });
    }

    /// Goes on as the process before was told to by hand.
    pub fn resume(&self, by_hand: &ByHand) {
        let before = self.control.current();
        match self.control.resume(by_hand) {
            Ok(true) => self.level_changed("hand-over", &before, &self.control.current()),
            Ok(false) => {}
            // Of another version.
            Err(error) => {
                tracing::warn!(%error, "the level of the log that was set by hand is forgotten")
            }
        }
    }

    /// Writes that the level is another one now. No filter keeps that out: it would be the first line that is missed.
    pub fn level_changed(&self, by: &str, before: &str, after: &str) {
        let target = "gateway::admin::level";
        write(&self.lines, self.form, Level::WARN, target, |to| {
            to.field("message", "an operator has changed the level of the log");
            to.field("by", by);
            to.field("before", before);
            to.field("after", after);
        });
    }

    /// Lines that were lost since the start: the reader was too slow, or the disk full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lines.dropped()
    }

    /// Opens the file again, wherever it lies now: somebody may have moved it away. Blocks on the file system.
    ///
    /// # Errors
    /// It cannot be opened; the old one is written on.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.file {
            self.lines.redirect(Output::file(path)?);
        }
        Ok(())
    }
}

fn write(
    lines: &Lines,
    form: Form,
    level: Level,
    target: &str,
    content: impl FnOnce(&mut Line<'_>),
) {
    // Taken, not borrowed: a value that is formatted may itself log something. None while the thread ends.
    let mut bytes = LINE.try_with(Cell::take).unwrap_or_default();
    bytes.clear();
    let mut line = Line::begin(&mut bytes, form, clock::unix_now(), level, target);
    content(&mut line);
    line.end();
    lines.push(&bytes);
    if bytes.capacity() <= LINE_BYTES_KEPT {
        let _ = LINE.try_with(|kept| kept.set(bytes));
    }
}
