//! `tokenweir man` and `tokenweir completions`: made from the same description of the command line as `--help`.

use std::{io, process::ExitCode};

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::Arguments;

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell that is to complete commands
    shell: Shell,
}

/// # Errors
/// Standard output cannot be written to.
pub fn completions(options: &Completions) -> anyhow::Result<ExitCode> {
    let mut command = Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "tokenweir", &mut script);
    write(&script)
}

/// One page for the program and all of its commands.
///
/// # Errors
/// Standard output cannot be written to.
pub fn man() -> anyhow::Result<ExitCode> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for subcommand in command.get_subcommands() {
        section(subcommand, &mut page)?;
    }
    page.extend_from_slice(include_bytes!("manual.roff"));
    man.render_version_section(&mut page)?;
    write(&page)
}

/// A subcommand as a section of its own, its commands after it.
fn section(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut text = Vec::new();
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let text = String::from_utf8_lossy(&text)
        .replace(".SH DESCRIPTION", &format!(".SH {}", name.to_uppercase()))
        .replace(".SH OPTIONS", ".SS Options");
    page.extend_from_slice(text.as_bytes());
    for subcommand in command.get_subcommands() {
        section(subcommand, page)?;
    }
    Ok(())
}

fn write(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    use io::Write as _;
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
