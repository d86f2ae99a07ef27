//! What all connections of a simulator share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::request::Parts;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::embeddings::Vector;
use crate::faults::Faults;
use crate::limits::Limiter;
use crate::request::Fields;
use crate::resource::{Deployment, Kind, Resource};
use crate::response_store::ResponseStore;
use crate::stats::{Tally, Usage};
use crate::text::quoted;

pub(crate) struct Shared {
    pub(crate) resource: Resource,
    pub(crate) region: HeaderValue,
    pub(crate) deployments: HashMap<String, Arc<DeploymentState>>,
    /// Requests outside of any deployment.
    pub(crate) tally: Arc<Tally>,
    pub(crate) faults: Faults,
    pub(crate) responses: Mutex<ResponseStore>,
    /// Tokens issued until this time since 1970 are refused.
    pub(crate) tokens_refused: Mutex<Option<Duration>>,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_open: AtomicU64,
    /// Wakes whoever waits for counts.
    pub(crate) changed: Arc<Notify>,
    /// Ends the tunnels, which outlive their connection's task.
    pub(crate) stopped: Notify,
}

impl Shared {
    pub(crate) fn new(resource: Resource) -> Self {
        let changed = Arc::new(Notify::new());
        let state =
            |spec: &Deployment| Arc::new(DeploymentState::new(spec.clone(), Arc::clone(&changed)));
        Self {
            region: header_value(&resource.region),
            deployments: resource
                .deployments
                .iter()
                .map(|spec| (spec.name.clone(), state(spec)))
                .collect(),
            tally: Arc::new(Tally::new(Arc::clone(&changed))),
            faults: Faults::new(resource.seed),
            responses: Mutex::default(),
            tokens_refused: Mutex::default(),
            connections: AtomicU64::new(0),
            connections_open: AtomicU64::new(0),
            stopped: Notify::new(),
            changed,
            resource,
        }
    }
}

pub(crate) struct DeploymentState {
    pub(crate) spec: Deployment,
    /// `"gpt-4o-2024-11-20"`, as a JSON string.
    pub(crate) model_json: String,
    pub(crate) name_header: HeaderValue,
    pub(crate) vector: Vector,
    pub(crate) tally: Arc<Tally>,
    pub(crate) limiter: Mutex<Limiter>,
    pub(crate) last: Mutex<Option<Arc<Recorded>>>,
}

impl DeploymentState {
    fn new(spec: Deployment, changed: Arc<Notify>) -> Self {
        let model = match spec.model_version.as_str() {
            "" => spec.model.clone(),
            version => format!("{}-{version}", spec.model),
        };
        Self {
            model_json: quoted(&model),
            name_header: header_value(&spec.name),
            vector: Vector::new(spec.behaviour.embedding_dimensions),
            tally: Arc::new(Tally::new(changed)),
            limiter: Mutex::new(Limiter::new(spec.limits.clone(), Instant::now())),
            last: Mutex::new(None),
            spec,
        }
    }
}

/// A request as it came.
pub(crate) struct Recorded {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
}

/// A request that a deployment answers.
pub(crate) struct Call<'a> {
    pub(crate) kind: Kind,
    pub(crate) deployment: &'a DeploymentState,
    pub(crate) fields: &'a Fields<'a>,
}

impl Call<'_> {
    /// The tokens of the answer, which the request may limit.
    pub(crate) fn usage(&self) -> Usage {
        let wanted = self.deployment.spec.behaviour.answer_tokens;
        Usage {
            prompt: self.fields.prompt_tokens(),
            completion: self
                .fields
                .max_tokens()
                .map_or(wanted, |max| max.min(wanted)),
        }
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.usage().completion < self.deployment.spec.behaviour.answer_tokens
    }
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
