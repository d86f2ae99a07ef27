//! SIGHUP: reads the configuration again and swaps it in, as a whole or not at all.

use std::path::Path;

use crate::{config, server::Shared};

/// Makes the file at `path` the configuration of new requests. If anything is wrong with it, the old one stays
/// and every mistake is logged.
pub fn reload(shared: &Shared, path: &Path) -> bool {
    let loaded = match config::from_file(path) {
        Ok(loaded) => loaded,
        Err(report) => {
            tracing::error!(%report, "the new configuration is not used, the old one stays");
            return false;
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.render(&path.display().to_string()));
    }
    let old = &shared.snapshot.load().config;
    if *old == loaded.compiled {
        tracing::info!("the configuration has not changed");
        return true;
    }
    if (&old.listen, old.admin, old.threads)
        != (
            &loaded.compiled.listen,
            loaded.compiled.admin,
            loaded.compiled.threads,
        )
    {
        tracing::warn!(
            "`listen`, `admin` and `threads` are read at the start only: they need a restart"
        );
    }
    shared.swap(loaded.compiled);
    tracing::info!("the new configuration is in use");
    true
}
