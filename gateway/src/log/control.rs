//! What is logged: a filter by level and module that can be changed while the process runs, and under it one that
//! cannot.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Registry,
    filter::filter_fn,
    layer::SubscriberExt as _,
    reload::{self, Handle},
    util::SubscriberInitExt as _,
};

use super::events::Events;
use crate::config;

/// What is wrong with a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected for example `info` or `warn,gateway=debug`")]
pub struct BadFilter(String);

/// What was set by hand, for a process that takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    level: String,
    /// What the configuration said meanwhile.
    instead_of: String,
}

/// The filter in use: `info`, `warn,gateway=debug,access=info`. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    texts: Mutex<Texts>,
    /// `None` where nothing is logged.
    filter: Option<Handle<EnvFilter, Registry>>,
}

#[derive(Debug, Default)]
struct Texts {
    current: String,
    configured: String,
}

impl Control {
    /// Has the process's events written, those that `configured` lets pass.
    pub(super) fn install(configured: &str, events: Events) -> Result<Self, BadFilter> {
        let (control, subscriber) = Self::over(configured, events)?;
        subscriber.init();
        Ok(control)
    }

    fn over(
        configured: &str,
        events: Events,
    ) -> Result<(Self, impl Subscriber + Send + Sync + 'static), BadFilter> {
        let (filter, handle) = reload::Layer::new(parse(configured)?);
        let subscriber = Registry::default()
            .with(filter)
            .with(filter_fn(is_discreet))
            .with(events);
        let inner = Inner {
            texts: Mutex::new(Texts {
                current: configured.to_owned(),
                configured: configured.to_owned(),
            }),
            filter: Some(handle),
        };
        Ok((Self(Arc::new(inner)), subscriber))
    }

    /// From now on, until the configuration changes its own.
    ///
    /// # Errors
    /// Everything that is wrong with it; the one before stays.
    pub fn set(&self, filter: &str) -> Result<(), BadFilter> {
        let parsed = parse(filter)?;
        let mut texts = self.0.texts.lock();
        if let Some(handle) = &self.0.filter {
            handle
                .reload(parsed)
                .map_err(|error| BadFilter(error.to_string()))?;
        }
        filter.clone_into(&mut texts.current);
        Ok(())
    }

    #[must_use]
    pub fn current(&self) -> String {
        self.0.texts.lock().current.clone()
    }

    /// `None` if that is what the configuration says.
    #[must_use]
    pub fn by_hand(&self) -> Option<ByHand> {
        let texts = self.0.texts.lock();
        (texts.current != texts.configured).then(|| ByHand {
            level: texts.current.clone(),
            instead_of: texts.configured.clone(),
        })
    }

    /// Goes on with what was set by hand in the process before, unless the configuration says something new. Returns
    /// whether it does.
    ///
    /// # Errors
    /// As [`Control::set`].
    pub fn resume(&self, by_hand: &ByHand) -> Result<bool, BadFilter> {
        let same = self.0.texts.lock().configured == by_hand.instead_of;
        if same {
            self.set(&by_hand.level)?;
        }
        Ok(same)
    }

    /// The configuration says `configured`. That replaces what was set by hand, but only if it says something new.
    ///
    /// # Errors
    /// As [`Control::set`].
    pub fn follow(&self, configured: &str) -> Result<(), BadFilter> {
        if self.0.texts.lock().configured != configured {
            self.set(configured)?;
            configured.clone_into(&mut self.0.texts.lock().configured);
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<EnvFilter, BadFilter> {
    let problems = config::log_level_problems(text);
    if !problems.is_empty() {
        return Err(BadFilter(problems.join("; ")));
    }
    // It takes no spaces.
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    EnvFilter::try_new(directives.join(",")).map_err(|error| BadFilter(error.to_string()))
}

/// Below `info` the libraries log whole heads and bodies: keys and prompts. Only our own lines go that deep.
/// Pingora's reader for the admin listener quotes a head it cannot read at any level; and what anybody can cause
/// without a credential (a connection that says nothing, an odd handshake) is no error of ours.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    let level = match metadata.target() {
        "pingora_core::apps::http_app" | "pingora_proxy" => return false,
        target if target.starts_with("gateway") => Level::TRACE,
        target if target.starts_with("rustls") => Level::ERROR,
        _ => Level::INFO,
    };
    *metadata.level() <= level
}

#[cfg(test)]
mod tests;
