//! `tokenweir log-level [LEVEL]`: how much the running gateway logs.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    ask::{Place, understood},
    print,
};

#[derive(Debug, Args)]
pub struct Options {
    /// What to log from now on: `debug`, or by module `info,gateway::proxy=debug,access=off`. Left out: print what it is
    level: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Deserialize)]
struct Level {
    level: String,
}

/// # Errors
/// No gateway is running, it cannot be reached, or it knows no such level.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (method, body) = match &options.level {
        None => (Method::GET, Vec::new()),
        Some(level) => {
            let body = json!({ "level": level }).to_string();
            (Method::POST, body.into_bytes())
        }
    };
    let Level { level } = understood(&options.place.ask(method, "/log", body)?)?;
    print(&format!("{level}\n"));
    Ok(ExitCode::SUCCESS)
}
