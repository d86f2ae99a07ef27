//! CONTROL PLANE: what the operator wrote becomes a value that the rest of the program can trust.
//!
//! Reading order: [`load`] reads the file, the environment and key files (the only place that does);
//! `document` turns YAML text into a value and remembers lines; `raw` is the file's shape, key for key;
//! [`compile()`] is pure and reports every mistake at once, each with its key path and line; [`compiled`] is the
//! result. Nothing here knows pingora, sockets or time.

mod bytes;
pub mod client_key;
mod compile;
pub mod compiled;
mod diagnostics;
pub mod diff;
mod document;
mod duration;
pub mod effective;
mod lines;
pub mod load;
pub mod material;
mod raw;
pub mod schema;
pub mod secrets;
pub mod suggest;
pub mod table;

use std::path::Path;

pub use compile::{compile, is_safe_url, log_level_problems};
pub use compiled::Compiled;
pub use diagnostics::{ConfigError, Diagnostic, Warning};
pub use load::Report;

/// A configuration that was read and found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub compiled: Compiled,
    pub warnings: Vec<Warning>,
}

/// Reads and compiles the file at `path`.
///
/// # Errors
/// The file cannot be read, or everything that is wrong in it.
pub fn from_file(path: &Path) -> Result<Loaded, Report> {
    from_source(load::load(path)?)
}

/// Compiles a text as if it stood in the file at `path`.
///
/// # Errors
/// Everything that is wrong in it.
pub fn from_text(path: &Path, text: String) -> Result<Loaded, Report> {
    from_source(load::Source::new(path, text))
}

fn from_source(source: load::Source) -> Result<Loaded, Report> {
    match compile(&source.text, &source.secrets) {
        Ok((compiled, warnings)) => Ok(Loaded { compiled, warnings }),
        Err(errors) => Err(Report::Invalid {
            file: source.file,
            errors,
        }),
    }
}
