//! Certificates in files.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use simulator::TestAuthority;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder to write to, made if it is not there.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Names and addresses of the server.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(name) = arguments.names.iter().find(|name| !name.is_ascii()) {
        bail!("{name}: names in certificates are ASCII");
    }
    let directory = &arguments.dir;
    let failed = || format!("{}: cannot be written to", directory.display());
    std::fs::create_dir_all(directory).with_context(failed)?;
    let names: Vec<&str> = arguments.names.iter().map(String::as_str).collect();
    let authority = TestAuthority::new();
    let ca = authority.write(directory, "ca").with_context(failed)?;
    let server = authority
        .server(&names)
        .write(directory, "server")
        .with_context(failed)?;
    let client = authority
        .client("client", &[])
        .write(directory, "client")
        .with_context(failed)?;
    let mut stdout = std::io::stdout();
    for path in [
        ca,
        server.certificate,
        server.key,
        client.certificate,
        client.key,
    ] {
        writeln!(stdout, "{}", path.display())?;
    }
    Ok(())
}
