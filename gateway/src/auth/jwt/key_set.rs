//! The keys of an issuer as they are known now: fetched in the background about once a day, and when a token names
//! a key that is not among them. All who need that wait for one fetch, and 30 seconds pass before the next, so
//! that forged names of keys make no storm at the issuer. (While there are no keys at all it is tried sooner at first,
//! but not because somebody asks.)
//!
//! The last good keys stay, whatever happens to the issuer, and are kept in a file for the next process. That a key
//! does not exist is said only after the issuer was asked and answered: while it does not answer, or nothing is known
//! at all, the key is [`Unfound::Unavailable`], which costs an attacker's token a 503 and no good client a 401.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    fetch::{FetchError, Publisher, Remote},
    kept,
    keys::{Key, Keys, Source},
};
use crate::{clock::unix_now, config::compiled::KeysAt};

const REFRESH_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two fetches, whoever asks.
const REFETCH_PAUSE: Duration = Duration::from_secs(30);
/// After failures while there are keys to go on with.
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);
/// The first failure while there are none: a network that is not up yet comes soon.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How long a request waits for a fetch.
const WAIT_MAX: Duration = Duration::from_secs(5);
const ERROR_CHARS_MAX: usize = 400;

/// What the background task is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Fetching,
    /// Has just fetched, and will not do so again for whoever asks.
    Pausing,
    /// Waits for the next day, or to be asked.
    Idle,
    Asked,
}

struct Progress {
    step: Step,
    /// The first fetch is over.
    tried: bool,
    /// Of the last fetch.
    error: Option<Arc<str>>,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfound {
    /// The issuer does not publish it.
    Unknown,
    /// Nobody can say.
    Unavailable,
}

/// What is known about the keys of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where they are published.
    pub at: KeysAt,
    pub keys: usize,
    /// `None` while there are no keys.
    pub source: Option<Source>,
    /// Since the issuer gave them out.
    pub age: Option<Duration>,
    /// Why the last fetch failed, if it did.
    pub error: Option<Arc<str>>,
}

struct Shared {
    at: KeysAt,
    keys: ArcSwapOption<Keys>,
    progress: watch::Sender<Progress>,
    directory: Directory,
}

type Directory = Arc<Mutex<Option<Arc<Path>>>>;

/// The keys of an issuer, kept fresh for as long as somebody holds this.
pub struct KeySet {
    shared: Arc<Shared>,
    /// Holds what is shared and not the set: who holds the set are the registry and those who use it.
    task: JoinHandle<()>,
}

impl Drop for KeySet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KeySet {
    pub(super) fn new(
        at: KeysAt,
        publisher: impl Publisher + 'static,
        known: Option<Arc<Keys>>,
        directory: Directory,
    ) -> Self {
        let (progress, _) = watch::channel(Progress {
            step: Step::Fetching,
            tried: false,
            error: None,
        });
        let shared = Arc::new(Shared {
            at,
            keys: ArcSwapOption::new(known),
            progress,
            directory,
        });
        let task = tokio::spawn(keep(shared.clone(), publisher));
        Self { shared, task }
    }

    /// What [`Keys::generation`] is now, without waiting.
    pub(super) fn generation(&self) -> Option<u64> {
        let keys = self.shared.keys.load();
        keys.as_ref().map(|keys| keys.generation)
    }

    /// Keys with one of this name among them. Asks the issuer if it is new.
    pub(super) async fn with(&self, kid: &str) -> Result<Arc<Keys>, Unfound> {
        if let Some(keys) = self.now_with(kid) {
            return Ok(keys);
        }
        let mut progress = self.shared.progress.subscribe();
        if self.shared.keys.load().is_none() && progress.borrow().tried {
            // It is being fetched all the time: nobody needs to wait for that.
            return Err(Unfound::Unavailable);
        }
        self.shared.progress.send_if_modified(|progress| {
            let is_idle = progress.step == Step::Idle;
            if is_idle {
                progress.step = Step::Asked;
            }
            is_idle
        });
        let is_over = |progress: &Progress| matches!(progress.step, Step::Pausing | Step::Idle);
        let was_answered = matches!(
            timeout(WAIT_MAX, progress.wait_for(is_over)).await,
            Ok(Ok(progress)) if progress.error.is_none()
        );
        self.now_with(kid).ok_or(if was_answered {
            Unfound::Unknown
        } else {
            Unfound::Unavailable
        })
    }

    fn now_with(&self, kid: &str) -> Option<Arc<Keys>> {
        let keys = self.shared.keys.load_full()?;
        keys.has(kid).then_some(keys)
    }

    #[must_use]
    pub fn report(&self, unix_now: Duration) -> Report {
        let keys = self.shared.keys.load();
        Report {
            at: self.shared.at.clone(),
            keys: keys.as_ref().map_or(0, |keys| keys.list.len()),
            source: keys.as_ref().map(|keys| keys.source),
            age: keys
                .as_ref()
                .map(|keys| unix_now.saturating_sub(keys.fetched)),
            error: self.shared.progress.borrow().error.clone(),
        }
    }

    /// Waits for keys, or for the first fetch to fail.
    pub(super) async fn tried(&self) {
        let mut progress = self.shared.progress.subscribe();
        let is_tried = |progress: &Progress| progress.tried || self.shared.keys.load().is_some();
        let _ = progress.wait_for(is_tried).await;
    }
}

async fn keep(shared: Arc<Shared>, publisher: impl Publisher) {
    shared.restore().await;
    let mut failures = 0;
    loop {
        let fetched = publisher.keys().await;
        failures = if fetched.is_ok() { 0 } else { failures + 1 };
        shared.end(fetched).await;
        let rest = rest(failures, shared.keys.load().is_some());
        sleep(rest.min(REFETCH_PAUSE)).await;
        shared.go_on(Step::Idle);
        let mut asked = shared.progress.subscribe();
        let asked = asked.wait_for(|progress| progress.step == Step::Asked);
        // Nobody asked, or somebody did: the next fetch is due either way.
        let _ = timeout(rest.saturating_sub(REFETCH_PAUSE), asked).await;
        shared.go_on(Step::Fetching);
    }
}

/// How long the issuer is left alone if nobody asks. Many gateways that began together do not end up in step.
fn rest(failures: u32, has_keys: bool) -> Duration {
    let doubled = |first: Duration| first.saturating_mul(1 << (failures - 1).min(16));
    let rest = match (failures, has_keys) {
        (0, _) => REFRESH_EVERY,
        (_, true) => doubled(REFETCH_PAUSE).min(RETRY_MAX),
        (_, false) => doubled(FIRST_RETRY).min(REFETCH_PAUSE),
    };
    rest.mul_f64(1.0 + 0.2 * fastrand::f64())
}

impl Shared {
    fn go_on(&self, step: Step) {
        self.progress.send_modify(|progress| progress.step = step);
    }

    async fn restore(&self) {
        let Some(directory) = self.directory.lock().clone() else {
            return;
        };
        if self.keys.load().is_some() {
            return;
        }
        let at = kept::url(&self.at);
        match kept::read(&directory, &self.at).await {
            Ok((list, fetched)) => {
                tracing::info!(
                    at,
                    keys = list.len(),
                    "the keys of an earlier process are used"
                );
                let keys = Keys::after(None, list, Source::Persisted, fetched);
                self.keys.store(Some(Arc::new(keys)));
                // Wakes those who wait for keys.
                self.go_on(Step::Fetching);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(at, %error, "the kept keys of an issuer cannot be read and are not used");
            }
        }
    }

    /// Takes what a fetch brought.
    async fn end(&self, fetched: Result<Vec<Key>, FetchError>) {
        let at = kept::url(&self.at);
        let (error, keys) = match fetched {
            Ok(list) => {
                let before = self.keys.load_full();
                let keys = Keys::after(before.as_deref(), list, Source::Fetched, unix_now());
                let keys = Arc::new(keys);
                self.keys.store(Some(keys.clone()));
                tracing::debug!(at, keys = keys.list.len(), "fetched the keys of an issuer");
                (None, Some(keys))
            }
            Err(error) => {
                let keys = self.keys.load().as_ref().map_or(0, |keys| keys.list.len());
                let error = shown(&error);
                tracing::warn!(at, %error, keys, "an issuer's keys cannot be fetched; the last good ones stay");
                (Some(Arc::from(error)), None)
            }
        };
        self.progress.send_replace(Progress {
            step: Step::Pausing,
            tried: true,
            error,
        });
        let directory = self.directory.lock().clone();
        if let (Some(keys), Some(directory)) = (keys, directory)
            && let Err(error) = kept::write(&directory, &self.at, &keys).await
        {
            tracing::warn!(at, %error, "the keys of an issuer cannot be kept for the next process");
        }
    }
}

/// The text of an error, which others may have written, for a log and a page: no longer than one reads, and a line.
fn shown(error: &FetchError) -> String {
    let text = error.to_string();
    let visible = text.chars().filter(|character| !character.is_control());
    visible.take(ERROR_CHARS_MAX).collect()
}

/// Keeps the keys of every issuer that a configuration has mentioned, until they are [pruned](KeySets::prune).
#[derive(Default)]
pub struct KeySets {
    directory: Directory,
    sets: Mutex<HashMap<Place, Arc<KeySet>>>,
    /// From the predecessor.
    inherited: Mutex<Vec<Value>>,
}

/// The names belong to it: they say whether a discovery document is the right one.
type Place = (KeysAt, Vec<Arc<str>>);

impl KeySets {
    /// Where keys are kept for the next process, from now on.
    pub fn set_directory(&self, directory: Option<Arc<Path>>) {
        *self.directory.lock() = directory;
    }

    /// The keys of an issuer of these names. Must be called inside a tokio runtime: a set that is new gets a task that
    /// fetches it, at once and then again and again.
    pub fn key_set(&self, at: &KeysAt, names: &[Arc<str>]) -> Arc<KeySet> {
        let mut sets = self.sets.lock();
        let place = (at.clone(), names.to_vec());
        if let Some(set) = sets.get(&place) {
            return set.clone();
        }
        // An issuer that gets another name beside the one it had keeps its keys.
        let of_other_names = || sets.iter().find(|((other, _), _)| other == at);
        let known = of_other_names()
            .and_then(|(_, set)| set.shared.keys.load_full())
            .or_else(|| self.inherited(at));
        let remote = Remote {
            at: at.clone(),
            names: names.to_vec(),
        };
        let directory = self.directory.clone();
        let set = Arc::new(KeySet::new(at.clone(), remote, known, directory));
        sets.insert(place, set.clone());
        set
    }

    fn inherited(&self, at: &KeysAt) -> Option<Arc<Keys>> {
        let inherited = self.inherited.lock();
        let mut understood = inherited
            .iter()
            .filter_map(|document| kept::understand(document.clone(), at).ok());
        let (list, fetched) = understood.next()?;
        Some(Arc::new(Keys::after(
            None,
            list,
            Source::Persisted,
            fetched,
        )))
    }

    /// The keys, which are public, for a successor process.
    #[must_use]
    pub fn kept(&self) -> Vec<Value> {
        let sets = self.sets.lock();
        sets.iter()
            .filter_map(|((at, _), set)| {
                let keys = set.shared.keys.load();
                Some(kept::document(at, keys.as_deref()?))
            })
            .collect()
    }

    /// What the predecessor had, before the first [`key_set`](Self::key_set).
    pub fn restore(&self, kept: Vec<Value>) {
        *self.inherited.lock() = kept;
    }

    /// Waits until every set has keys, or has been fetched in vain, at most `limit`: so that the first requests
    /// need not wait.
    pub async fn warm_up(&self, limit: Duration) {
        let sets: Vec<Arc<KeySet>> = self.sets.lock().values().cloned().collect();
        let tried = async {
            for set in &sets {
                set.tried().await;
            }
        };
        let _ = timeout(limit, tried).await;
    }

    /// Forgets the sets that nobody uses any more, and fetches them no longer.
    pub fn prune(&self) {
        self.sets.lock().retain(|_, set| Arc::strong_count(set) > 1);
        self.inherited.lock().clear();
    }

    /// What is known about each set.
    #[must_use]
    pub fn reports(&self, unix_now: Duration) -> Vec<Report> {
        let sets = self.sets.lock();
        sets.values().map(|set| set.report(unix_now)).collect()
    }
}
