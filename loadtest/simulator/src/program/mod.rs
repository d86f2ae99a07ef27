//! The modes of the program, and what they share.

pub(crate) mod certificates;
pub(crate) mod identity;
pub(crate) mod resource;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use simulator::ServerTls;
use tokio::signal::unix::{SignalKind, signal};

/// Serves https in place of http.
#[derive(clap::Args)]
pub(crate) struct TlsArguments {
    /// The certificate of https, with its chain, in PEM. Without one it is http.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The authorities of client certificates, in PEM, which are then required.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    client_ca: Option<PathBuf>,
}

impl TlsArguments {
    fn read(&self) -> anyhow::Result<Option<ServerTls>> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else {
            return Ok(None);
        };
        Ok(Some(ServerTls {
            chain_pem: read(certificate)?,
            key_pem: read(key)?,
            client_ca_pem: self.client_ca.as_deref().map(read).transpose()?,
        }))
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))
}

/// Tells where it listens, and waits for SIGTERM or SIGINT.
async fn until_told(url: &str) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    writeln!(std::io::stdout(), "{url}")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    let parse = |digits: &str| {
        digits
            .parse()
            .map_err(|_| format!("{text}: not a duration such as 50ms or 1s"))
    };
    match text.strip_suffix("ms") {
        Some(digits) => parse(digits).map(Duration::from_millis),
        None => parse(text.strip_suffix('s').unwrap_or("")).map(Duration::from_secs),
    }
}
