//! `tokenweir log-level [LEVEL]`: how much the running gateway logs.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    EX_UNAVAILABLE,
    ask::{Answer, Socket, ask},
    complain, print,
};

#[derive(Debug, Args)]
pub struct Options {
    /// What to log from now on: `debug`, or by module `info,gateway::proxy=debug,access=off`. Left out: print what it is
    level: Option<String>,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Deserialize)]
struct Level {
    level: String,
}

/// # Errors
/// No gateway is running, or it cannot be reached.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (method, body) = match &options.level {
        None => (Method::GET, Vec::new()),
        Some(level) => {
            let body = json!({ "level": level }).to_string();
            (Method::POST, body.into_bytes())
        }
    };
    Ok(
        match ask::<Level>(&options.socket.socket, method, "/log", body)? {
            Answer::Done(Level { level }) => {
                print(&format!("{level}\n"));
                ExitCode::SUCCESS
            }
            Answer::Refused(reason) => {
                complain(&reason);
                ExitCode::from(EX_UNAVAILABLE)
            }
        },
    )
}
