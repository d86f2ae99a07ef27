//! `tokenweir upgrade`: has the running gateway hand over to the program that is now installed.

use std::process::ExitCode;

use serde::Deserialize;

use super::{
    EX_UNAVAILABLE,
    ask::{Answer, Socket},
    complain, print,
};

#[derive(Deserialize)]
struct Handed {
    pid: u32,
}

/// # Errors
/// No gateway is running, or it cannot be reached.
pub fn run(options: &Socket) -> anyhow::Result<ExitCode> {
    let answer = options.order::<Handed>("/upgrade", Vec::new())?;
    Ok(match answer {
        Answer::Done(Handed { pid }) => {
            print(&format!(
                "process {pid} serves; the old one finishes its requests\n"
            ));
            ExitCode::SUCCESS
        }
        Answer::Refused(reason) => {
            complain(&reason);
            complain("the old process serves on");
            ExitCode::from(EX_UNAVAILABLE)
        }
    })
}
