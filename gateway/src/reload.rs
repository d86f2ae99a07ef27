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
    config::{
        self, Compiled,
        compiled::{Access, Endpoint},
        diff::{self, Diff},
    },
    orders::{Applied, Draft, LastReload},
    policy::cause::Cause,
    server::{
        Shared,
        tls::{self, ListenerTls},
    },
    snapshot::Snapshot,
    state::EndpointKey,
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
        Ok(Prepared {
            snapshot,
            certificates,
            applied,
        }) => {
            shared.warm_up().await;
            let put_to_use = move |shared: &Shared| {
                // Together, and the stricter one first: who needs no certificate any more must not meet a configuration
                // in which everybody may call.
                let opens = snapshot.as_ref().is_some_and(|new| is_open(&new.config));
                let apply = || {
                    for (tls, prepared) in certificates {
                        tls.apply(prepared);
                    }
                };
                let swap = || snapshot.map(|new| shared.snapshot.swap(Arc::from(new)));
                let old = if opens {
                    apply();
                    swap()
                } else {
                    let old = swap();
                    apply();
                    old
                };
                if let Some(old) = &old {
                    forgive(shared, &old.config);
                }
                Ok(old)
            };
            match off_the_workers(shared, put_to_use).await {
                Ok(old) => {
                    if let Some(old) = old {
                        tokio::spawn(retire(shared.clone(), old));
                    }
                    Ok(applied)
                }
                Err(reason) => Err(reason),
            }
        }
        Err(reason) => Err(reason),
    };
    let at = clock::unix_now();
    shared.metrics.reloaded(result.is_ok(), at);
    *shared.last_reload.lock() = Some(LastReload {
        at,
        result: match &result {
            Ok(applied) => Ok(applied.lines()),
            Err(reason) => Err(reason.clone()),
        },
    });
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

/// A configuration that is good, not yet in use.
struct Prepared {
    /// None if nothing has changed.
    snapshot: Option<Box<Snapshot>>,
    certificates: Vec<(Arc<ListenerTls>, tls::Prepared)>,
    applied: Applied,
}

fn prepare(shared: &Shared, path: &Path) -> Result<Prepared, String> {
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
    let running = &shared.snapshot.load().config;
    let listen = loaded.compiled.listen.clone();
    loaded.compiled.keep_process(running);
    if is_open(&loaded.compiled) && !is_open(running) && loaded.compiled.listen != listen {
        return Err(
            "`open: true` would count at once, but the changed `listen` only after a restart or a hand-over: \
             change one after the other"
                .to_owned(),
        );
    }
    let mut certificates = Vec::new();
    for (listen, tls) in loaded.compiled.listen.iter().zip(&shared.tls) {
        if let (Some(files), Some(tls)) = (&listen.tls, tls) {
            // Also where nothing has changed but what the files hold.
            let prepared = tls
                .prepare(files)
                .map_err(|problem| format!("listen {}: {problem}", listen.address))?;
            certificates.push((tls.clone(), prepared));
        }
    }
    let changed = !applied.diff.changes.is_empty();
    let snapshot = changed.then(|| Box::new(shared.link(loaded.compiled)));
    Ok(Prepared {
        snapshot,
        certificates,
        applied,
    })
}

fn is_open(config: &Compiled) -> bool {
    matches!(config.access, Access::Open { .. })
}

/// Endpoints that refused a credential which is now another one need not be left out any longer.
fn forgive(shared: &Shared, old: &Compiled) {
    for endpoint in &shared.snapshot.load().config.endpoints {
        let same = |other: &&Endpoint| {
            other.url == endpoint.url && other.credential.name == endpoint.credential.name
        };
        let before = old.endpoints.iter().find(same);
        if before.is_some_and(|before| before.credential.kind != endpoint.credential.kind) {
            let key = EndpointKey {
                url: endpoint.url.clone(),
                credential: endpoint.credential.name.clone(),
            };
            let state = shared.registry.endpoint(&key);
            state.health.forgive(Cause::Auth, clock::now());
        }
    }
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
        shared.metrics.forget(&shared.snapshot.load().config);
    });
    let _ = forgotten.await;
    tracing::debug!("the last request of the previous configuration has ended");
}
