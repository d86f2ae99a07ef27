//! `tokenweir schema`: lets editors complete and validate configuration files.

use std::process::ExitCode;

use super::print;
use crate::config::schema::schema;

/// # Errors
/// The schema cannot be written as JSON, which would be a bug.
pub fn run() -> anyhow::Result<ExitCode> {
    print(&(serde_json::to_string_pretty(&schema())? + "\n"));
    Ok(ExitCode::SUCCESS)
}
