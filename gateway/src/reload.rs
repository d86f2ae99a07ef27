//! A new configuration in a running process: read, compiled, linked, and swapped in as a whole or not at all. All of
//! it happens beside the requests; they see one pointer change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    clock,
    config::{self, diff, diff::Diff},
    orders::{Applied, Draft},
    server::Shared,
    snapshot::Snapshot,
};

/// How often a replaced snapshot is looked at: it is dropped when the last request that holds it has ended.
const RETIRED_EVERY: Duration = Duration::from_secs(1);

/// Makes the file at `path` the configuration of new requests.
///
/// # Errors
/// Everything that is wrong with it, for the operator. The old configuration stays in use.
pub async fn reload(shared: &Arc<Shared>, path: PathBuf) -> Result<Applied, String> {
    let prepared = off_the_workers(shared, move |shared| prepare(shared, &path)).await;
    let result = match prepared {
        Ok((snapshot, applied)) => {
            if let Some(snapshot) = snapshot {
                let old = shared.swap(*snapshot).await;
                tokio::spawn(retire(shared.clone(), old));
            }
            Ok(applied)
        }
        Err(reason) => Err(reason),
    };
    shared.metrics.reloaded(result.is_ok(), clock::unix_now());
    result
}

/// What would change if a draft were the configuration.
///
/// # Errors
/// Everything that is wrong with it.
pub async fn compare(shared: &Arc<Shared>, draft: Draft) -> Result<Diff, String> {
    off_the_workers(shared, move |shared| {
        let new =
            config::from_text(&draft.file, draft.text).map_err(|report| report.to_string())?;
        Ok(diff::diff(&shared.snapshot.load().config, &new.compiled))
    })
    .await
}

/// Files are read and thousands of deployments linked: neither is for a worker.
async fn off_the_workers<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let shared = shared.clone();
    spawn_blocking(move || work(&shared))
        .await
        .unwrap_or_else(|panicked| Err(panicked.to_string()))
}

/// No snapshot if nothing has changed.
fn prepare(shared: &Shared, path: &Path) -> Result<(Option<Box<Snapshot>>, Applied), String> {
    let mut loaded = config::from_file(path).map_err(|report| report.to_string())?;
    let file = path.display().to_string();
    let applied = Applied {
        diff: diff::diff(&shared.snapshot.load().config, &loaded.compiled),
        warnings: loaded
            .warnings
            .iter()
            .map(|warning| warning.render(&file))
            .collect(),
    };
    // What is read at the start only stays what this process has, so that it is still said the next time.
    loaded.compiled.keep_process(&shared.snapshot.load().config);
    for (listen, tls) in loaded.compiled.listen.iter().zip(&shared.tls) {
        if let (Some(files), Some(tls)) = (&listen.tls, tls) {
            // Also where nothing has changed but what the files hold.
            let place = listen.address;
            tls.apply(files)
                .map_err(|problem| format!("listen {place}: {problem}"))?;
        }
    }
    let changed = !applied.diff.changes.is_empty();
    let snapshot = changed.then(|| Box::new(shared.link(loaded.compiled)));
    Ok((snapshot, applied))
}

/// Waits until no request holds the old snapshot, and forgets what only it knew. Dropping thousands of deployments
/// takes a while: it must not happen at the end of some request.
async fn retire(shared: Arc<Shared>, old: Arc<Snapshot>) {
    while Arc::strong_count(&old) > 1 {
        sleep(RETIRED_EVERY).await;
    }
    let forgotten = spawn_blocking(move || {
        drop(old);
        shared.registry.prune(clock::now());
        shared.resolver.prune();
        shared.auth.prune();
    });
    let _ = forgotten.await;
    tracing::debug!("the last request of the previous configuration has ended");
}
