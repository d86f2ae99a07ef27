//! The command line: one file a mode, each thin. The only folder that writes to the terminal.

pub mod check;
pub mod demo;
pub mod keys;
pub mod schema;
pub mod serve;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// The configuration is wrong (sysexits.h).
pub const EX_CONFIG: u8 = 78;
/// The service cannot be had: a port is taken, a promise of the demo broke (sysexits.h).
pub const EX_UNAVAILABLE: u8 = 69;

/// One reliable endpoint for all your Azure OpenAI resources.
///
/// Tokenweir balances LLM requests over many Azure OpenAI and OpenAI-compatible endpoints, knows which of them
/// has which model, and moves on when one is throttled or fails. Applications keep their SDK and change base URL
/// and key.
#[derive(Debug, Parser)]
#[command(name = "tokenweir", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    mode: Option<Mode>,

    #[command(flatten)]
    serve: ConfigFile,
}

impl Arguments {
    /// Without a subcommand: serve.
    #[must_use]
    pub fn mode(self) -> Mode {
        self.mode.unwrap_or(Mode::Serve(self.serve))
    }
}

#[derive(Debug, Subcommand)]
pub enum Mode {
    /// Serve requests (the default)
    Serve(ConfigFile),
    /// Check a configuration and print the pools that follow from it
    Check(ConfigFile),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Make keys for clients
    #[command(subcommand)]
    Keys(keys::Command),
    /// Show the gateway at work on three simulated Azure OpenAI resources
    Demo(demo::Options),
}

#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/tokenweir/tokenweir.yaml"
    )]
    pub config: PathBuf,
}

/// Writes to standard output. A reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What could not be done, for a person.
#[must_use]
pub fn explain(error: anyhow::Error) -> ExitCode {
    complain(&format!("tokenweir: {error:#}"));
    ExitCode::from(EX_UNAVAILABLE)
}
