//! `tokenweir check`: everything that is wrong with a configuration, or the pools that follow from it.

use std::process::ExitCode;

use super::{ConfigFile, EX_CONFIG, complain, print};
use crate::config::{self, Loaded, table};

/// # Errors
/// None; a bad configuration is an exit code.
pub fn run(options: &ConfigFile) -> anyhow::Result<ExitCode> {
    Ok(match load(options) {
        Some(loaded) => {
            print(&table::pools(&loaded.compiled));
            ExitCode::SUCCESS
        }
        None => ExitCode::from(EX_CONFIG),
    })
}

/// Loads a configuration, and says on standard error what is wrong or doubtful in it.
pub(super) fn load(options: &ConfigFile) -> Option<Loaded> {
    match config::from_file(&options.config) {
        Ok(loaded) => {
            let file = options.config.display().to_string();
            for warning in &loaded.warnings {
                complain(&warning.render(&file));
            }
            Some(loaded)
        }
        Err(report) => {
            complain(&report.to_string());
            None
        }
    }
}
