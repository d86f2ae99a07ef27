//! `tokenweir keys`: a key is shown once, the configuration gets its hash.

use std::{io::BufRead as _, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;

use super::print;
use crate::config::client_key::{format_key_hash, key_hash};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new key; print it once, with the line for the configuration
    New,
    /// Read a key from standard input and print the line for the configuration
    Hash,
}

/// Enough that no two keys are ever equal and none is guessed.
const KEY_BYTES: usize = 32;

/// # Errors
/// The system has no random numbers, or standard input cannot be read.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::New => {
            let mut random = [0; KEY_BYTES];
            getrandom::fill(&mut random)
                .map_err(|error| anyhow::anyhow!("the system gave no random numbers: {error}"))?;
            let key = format!("tw-{}", hex::encode(random));
            print(&format!(
                "key, for the client (it is not shown again):\n  {key}\n"
            ));
            print(&line(&key));
        }
        Command::Hash => {
            let mut key = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut key)
                .context("cannot read standard input")?;
            print(&line(key.trim_end_matches(['\n', '\r'])));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(key: &str) -> String {
    format!(
        "line for the configuration, under `clients.NAME.keys`:\n  - \"{}\"\n",
        format_key_hash(&key_hash(key))
    )
}
