//! The strings of the puppet: faults, limits and counts, for whoever runs the simulator in the same process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use crate::clock::unix_now;
use crate::faults::Fault;
use crate::limits::Limiter;
use crate::resource::Limits;
use crate::state::Shared;
use crate::stats::{Counts, Stats};
use crate::tls::ClientSubject;

#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

/// A request as a deployment got it.
#[derive(Clone, Debug, Serialize)]
pub struct LastRequest {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    /// In the order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The subject of the client's certificate, such as `CN=client`, where the resource asks for one.
    pub client_subject: Option<String>,
    #[serde(serialize_with = "as_text")]
    pub body: Bytes,
    pub body_bytes: usize,
    pub body_crc32: u32,
}

impl LastRequest {
    /// The first header of that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Adds a fault after the ones already set.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Sets the limits of a deployment, or of all, and starts their windows anew.
    pub fn set_limits(&self, deployment: Option<&str>, limits: &Limits) {
        for (name, state) in &self.shared.deployments {
            if deployment.is_none_or(|wanted| wanted == name) {
                *state.limiter.lock() = Limiter::new(limits.clone(), Instant::now());
            }
        }
    }

    /// Whether the tokens issued up to now are refused, even unexpired; later ones are accepted.
    pub fn refuse_tokens(&self, refuse: bool) {
        *self.shared.tokens_refused.lock() = refuse.then(unix_now);
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let deployments = self.shared.deployments.iter();
        Stats {
            name: self.shared.resource.name.clone(),
            connections: self.shared.connections.load(Ordering::Relaxed),
            connections_open: self.shared.connections_open.load(Ordering::Relaxed),
            resource: self.shared.tally.counts(),
            deployments: deployments
                .map(|(name, state)| (name.clone(), state.tally.counts()))
                .collect(),
        }
    }

    /// The counts of one deployment; all zero for one that does not exist.
    #[must_use]
    pub fn counts(&self, deployment: &str) -> Counts {
        let state = self.shared.deployments.get(deployment);
        state.map(|state| state.tally.counts()).unwrap_or_default()
    }

    /// Waits until a deployment's counts satisfy `reached`. Returns at once for one that does not exist.
    pub async fn wait_for(&self, deployment: &str, reached: impl Fn(&Counts) -> bool) -> Counts {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let counts = self.counts(deployment);
            if reached(&counts) || !self.shared.deployments.contains_key(deployment) {
                return counts;
            }
            changed.await;
        }
    }

    /// The last request whose body a deployment got.
    #[must_use]
    pub fn last(&self, deployment: &str) -> Option<LastRequest> {
        let recorded = self
            .shared
            .deployments
            .get(deployment)?
            .last
            .lock()
            .clone()?;
        let parts = &recorded.parts;
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Some(LastRequest {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            client_subject: parts
                .extensions
                .get()
                .map(|ClientSubject(subject)| subject.as_ref().to_owned()),
            body_bytes: recorded.body.len(),
            body_crc32: crc32fast::hash(&recorded.body),
            body: recorded.body.clone(),
        })
    }
}

fn as_text<S: serde::Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(body))
}
