//! SIGHUP: reads the configuration again and swaps it in, as a whole or not at all.

use std::path::PathBuf;

use tokio::task::spawn_blocking;

use crate::{config, server::Shared};

/// Makes the file at `path` the configuration of new requests. If anything is wrong with it, the old one stays
/// and every mistake is logged.
pub async fn reload(shared: &Shared, path: PathBuf) {
    let file = path.display().to_string();
    // Files are read: not on a worker.
    let loaded = match spawn_blocking(move || config::from_file(&path)).await {
        Ok(Ok(loaded)) => loaded,
        Err(panicked) => {
            tracing::error!(%panicked, "the new configuration is not used, the old one stays");
            return;
        }
        Ok(Err(report)) => {
            tracing::error!(%report, "the new configuration is not used, the old one stays");
            return;
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.render(&file));
    }
    let old = shared.snapshot.load_full();
    let old = &old.config;
    if *old == loaded.compiled {
        tracing::info!("the configuration has not changed");
        return;
    }
    let new = &loaded.compiled;
    for (key, same) in [
        ("listen", old.listen == new.listen),
        ("admin", old.admin == new.admin),
        ("threads", old.threads == new.threads),
        ("log", old.log == new.log),
        ("drain_timeout", old.drain_timeout == new.drain_timeout),
    ] {
        if !same {
            tracing::warn!(key, "changed, but read at the start only: needs a restart");
        }
    }
    shared.swap(loaded.compiled).await;
    tracing::info!("the new configuration is in use");
}
