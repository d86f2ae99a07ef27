//! The command line: one file a mode, each thin. The only folder that writes to the terminal.

mod ask;
pub mod check;
pub mod demo;
pub mod endpoint;
pub mod explain;
pub mod keys;
pub mod level;
pub mod manual;
pub mod reload;
pub mod schema;
pub mod serve;
mod shown;
pub mod status;
pub mod top;
pub mod upgrade;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use self::ask::Socket;
use crate::hand_over::FLAG;

/// The command line is wrong (sysexits.h).
const EX_USAGE: u8 = 64;
/// Something that must not happen: a successor died (sysexits.h).
const EX_SOFTWARE: u8 = 70;
/// The configuration is wrong (sysexits.h).
pub const EX_CONFIG: u8 = 78;
/// The service cannot be had: a port is taken, a promise of the demo broke (sysexits.h).
pub const EX_UNAVAILABLE: u8 = 69;

const FIRST_STEPS: &str = "First steps:
  tokenweir demo                      see it work, without a key or an account
  tokenweir check -c tokenweir.yaml   what is wrong with a configuration, or the pools that follow
  tokenweir -c tokenweir.yaml         serve";

/// One reliable endpoint for all your Azure OpenAI resources.
///
/// Tokenweir balances LLM requests over many Azure OpenAI and OpenAI-compatible endpoints, knows which of them
/// has which model, and moves on when one is throttled or fails. Applications keep their SDK and change base URL
/// and key.
#[derive(Debug, Parser)]
#[command(name = "tokenweir", version, max_term_width = 100, after_help = FIRST_STEPS)]
pub struct Arguments {
    #[command(subcommand)]
    mode: Option<Mode>,

    #[command(flatten)]
    serve: ConfigFile,

    /// Its standard input is the process that it takes over from.
    #[arg(skip)]
    pub take_over: bool,
}

impl Arguments {
    /// The command line of this process.
    ///
    /// # Errors
    /// It is wrong, or it asked for help; that has been printed.
    pub fn read() -> Result<Self, ExitCode> {
        // Not clap's: completions would show it to people.
        let (flags, arguments): (Vec<_>, Vec<_>) =
            std::env::args_os().partition(|argument| argument == FLAG);
        let mut read = Self::try_parse_from(arguments).map_err(|error| {
            let _ = error.print();
            if error.use_stderr() {
                ExitCode::from(EX_USAGE)
            } else {
                ExitCode::SUCCESS
            }
        })?;
        if let None | Some(Mode::Serve(_)) = read.mode {
            read.take_over = !flags.is_empty();
        }
        Ok(read)
    }

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
    Check(check::Options),
    /// Have the running gateway read its configuration again, and print what changed
    Reload(Socket),
    /// Have the running gateway hand over to the program that is now installed, without losing a request
    Upgrade(Socket),
    /// Print the state of every deployment of the running gateway
    ///
    /// Exits with 0 if every model has a deployment that can be used, with 1 if one has none, and with 69 if the gateway
    /// does not answer.
    Status(status::Options),
    /// Print or change how much the running gateway logs
    LogLevel(level::Options),
    /// Watch the running gateway in the terminal, and switch its endpoints
    Top(top::Options),
    /// Print why requests for a model go where they go, and what speaks against the others
    Explain(explain::Options),
    /// Take an endpoint of the running gateway out, and back in
    #[command(subcommand)]
    Endpoint(endpoint::Command),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Make keys for clients
    #[command(subcommand)]
    Keys(keys::Command),
    /// Show the gateway at work on three simulated Azure OpenAI resources
    Demo(demo::Options),
    /// Print completions for a shell
    Completions(manual::Completions),
    /// Print the manual page
    Man,
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

/// The same for a text with styles, which are left out where nobody sees them.
pub(crate) fn print_styled(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

/// Writes to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// What could not be done, for a person.
#[must_use]
pub fn explain(error: anyhow::Error) -> ExitCode {
    // As clap says what is wrong with the command line; no colour where nobody sees it.
    complain(&format!("\x1b[1;31merror:\x1b[0m {error:#}"));
    ExitCode::from(EX_UNAVAILABLE)
}
