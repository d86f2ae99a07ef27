//! `tokenweir reload`: has the running gateway read its configuration again, and says what changed.

use std::process::ExitCode;

use super::{
    EX_CONFIG,
    ask::{Answer, Socket},
    check, complain, print,
};
use crate::orders::Applied;

/// # Errors
/// No gateway is running, or it cannot be reached.
pub fn run(options: &Socket) -> anyhow::Result<ExitCode> {
    let answer = options.order::<Applied>("/reload", Vec::new())?;
    Ok(match answer {
        Answer::Done(applied) => {
            for warning in &applied.warnings {
                complain(warning);
            }
            print(&check::describe(&applied.diff));
            ExitCode::SUCCESS
        }
        Answer::Refused(reason) => {
            complain(&reason);
            complain("the configuration before it stays in use");
            ExitCode::from(EX_CONFIG)
        }
    })
}
