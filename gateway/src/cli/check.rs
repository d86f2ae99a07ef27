//! `tokenweir check`: everything that is wrong with a configuration, or the pools that follow from it. With `--diff`:
//! what would change if the running gateway used it. With `--auth`: whether its credentials can be had.

mod auth;

use std::process::ExitCode;

use clap::Args;

use super::{
    ConfigFile, EX_CONFIG, EX_UNAVAILABLE,
    ask::{Answer, Socket},
    complain, print, serve,
};
use crate::{
    config::{self, Loaded, diff::Diff, load as file, table},
    orders::Draft,
};

#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    config: ConfigFile,

    /// Compare with the configuration of the running gateway: what would change, and what it would lead to
    #[arg(long)]
    diff: bool,

    /// Fetch every token and every key set once, as the gateway would, and say who answered, for how long and for whom
    #[arg(long, conflicts_with = "diff")]
    auth: bool,

    #[command(flatten)]
    socket: Socket,
}

/// # Errors
/// With `--diff`: no gateway is running, or it cannot be reached. A bad configuration is an exit code.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.diff {
        return compare(options);
    }
    Ok(match load(&options.config) {
        Some(loaded) if options.auth => {
            let report = auth::report(&loaded.compiled);
            let (text, good) = serve::runtime(1)?.block_on(report);
            print(&text);
            if good {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EX_UNAVAILABLE)
            }
        }
        Some(loaded) => {
            print(&table::pools(&loaded.compiled));
            ExitCode::SUCCESS
        }
        None => ExitCode::from(EX_CONFIG),
    })
}

/// Loads a configuration, and says on standard error what is wrong or doubtful in it.
fn load(options: &ConfigFile) -> Option<Loaded> {
    match config::from_file(&options.config) {
        Ok(loaded) => {
            warn(options, &loaded);
            Some(loaded)
        }
        Err(report) => {
            complain(&report.to_string());
            None
        }
    }
}

/// Says on standard error what is doubtful in a configuration.
pub(super) fn warn(options: &ConfigFile, loaded: &Loaded) {
    let file = options.config.display().to_string();
    for warning in &loaded.warnings {
        complain(&warning.render(&file));
    }
}

/// The running gateway judges the text: it has the environment and the key files that count.
fn compare(options: &Options) -> anyhow::Result<ExitCode> {
    let source = match file::load(&options.config.config) {
        Ok(source) => source,
        Err(report) => {
            complain(&report.to_string());
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    let draft = Draft {
        file: std::path::absolute(&options.config.config)?,
        text: source.text,
    };
    let body = serde_json::to_vec(&draft)?;
    let answer = options.socket.order::<Diff>("/compare", body)?;
    Ok(match answer {
        Answer::Done(diff) => {
            print(&describe(&diff));
            ExitCode::SUCCESS
        }
        Answer::Refused(reason) => {
            complain(&reason);
            ExitCode::from(EX_CONFIG)
        }
    })
}

/// One line for each change, then what they lead to.
pub(super) fn describe(diff: &Diff) -> String {
    if diff.changes.is_empty() {
        return "nothing changes\n".to_owned();
    }
    let changes = diff
        .changes
        .iter()
        .map(|change| format!("{}\n", change.text));
    let consequences = diff
        .consequences
        .iter()
        .map(|consequence| format!("note: {consequence}\n"));
    changes.chain(consequences).collect()
}
