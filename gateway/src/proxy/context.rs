//! What is remembered about one request, from its head to its log line.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use pingora::http::ResponseHeader;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{body::Buffered, trace};
use crate::{
    api::{
        answer::{Counted, Usage},
        body::BodyFacts,
        error::ApiError,
        operation::{Operation, Shape, Target},
        sse::{Summary, Tap, unasked::Unasked},
        table::{ModelPlace, UrlForm, model_place, url_form},
        trace_context::TraceContext,
        unary,
    },
    clock::Timestamp,
    config::compiled::{Access, Client, EndpointKind},
    course::Course,
    metrics::{Asked, Caller, Open},
    policy::reason::Service,
    pool::{Place, Pool},
    snapshot::Snapshot,
};

pub struct RequestContext {
    pub(super) started: Timestamp,
    /// Taken once; a reload in between does not concern this request.
    pub(super) snapshot: Arc<Snapshot>,
    /// Its place in a trace: the client's, or one that began here.
    pub(super) trace: TraceContext,
    pub(super) caller: Caller,
    pub(super) asked: Asked,
    /// How long the client took to send its body.
    pub(super) waited: Duration,
    /// What the client showed is not one of the gateway's own keys, and may be handed on where that is configured.
    pub(super) hands_on: bool,
    /// The client asks why its request goes where it goes, and may know.
    pub(super) explains: bool,
    /// What the request wants, once that is known.
    pub(super) wanted: Option<Wanted>,
    /// Place of the pool of a model that the client may not use.
    pub(super) denied: Option<usize>,
    /// Its attempts.
    pub(super) course: Course,
    /// The body as it goes to the deployment of the attempt under way.
    pub(super) outgoing: Bytes,
    /// The credential that the attempt under way was sent with.
    pub(super) sent: Option<HeaderValue>,
    /// The attempt under way asks for the tokens of its stream, and the client did not.
    pub(super) asks: bool,
    /// The deployment that refused this, so no attempt does it any more.
    pub(super) refused_by: Option<Place>,
    pub(super) reply: Reply,
    pub(super) answer: AnswerFacts,
    /// The error now on its way through pingora was made by us: its fate is decided.
    pub(super) decided: bool,
    _counted: TaskTrackerToken,
}

/// A request whose pool is known.
pub(super) struct Wanted {
    /// Place of its pool in the snapshot.
    pub(super) pool: usize,
    pub(super) operation: Operation,
    pub(super) shape: Shape,
    pub(super) facts: BodyFacts,
    pub(super) body: Buffered,
    pub(super) upgrade: bool,
    /// As in [`RequestContext`].
    pub(super) hands_on: bool,
}

impl Wanted {
    /// How an endpoint of this kind is asked, if it can be.
    pub(super) fn url_form(&self, kind: EndpointKind) -> Option<UrlForm> {
        let form = url_form(kind, self.operation, self.shape)?;
        // A body that is streamed through cannot be rewritten.
        let rewritten = model_place(form, self.operation) == ModelPlace::Body;
        (self.body.is_whole() || !rewritten).then_some(form)
    }

    /// Whether the endpoint has this operation at all.
    pub(super) fn is_offered(&self, snapshot: &Snapshot, endpoint: usize) -> bool {
        self.url_form(snapshot.upstreams[endpoint].endpoint.kind)
            .is_some()
    }

    /// What the endpoint can do for it.
    pub(super) fn service(&self, snapshot: &Snapshot, endpoint: usize, now: Timestamp) -> Service {
        let offered = self.is_offered(snapshot, endpoint);
        snapshot.upstreams[endpoint].service(offered, self.hands_on, now)
    }

    pub(super) fn target<'a>(&self, query: Option<&'a str>) -> Target<'a> {
        Target {
            operation: self.operation,
            shape: self.shape,
            deployment: None,
            query,
        }
    }
}

/// What the gateway itself answers when pingora gives up.
#[derive(Default)]
pub(super) enum Reply {
    #[default]
    None,
    Own(ApiError),
    /// A provider's answer that was held back until its body told what it is.
    Held(Box<Held>),
}

pub(super) struct Held {
    pub(super) head: ResponseHeader,
    pub(super) body: BytesMut,
}

impl Held {
    /// All of the body that was announced is here.
    pub(super) fn is_complete(&self) -> bool {
        let length = self.head.headers.get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        length.is_some_and(|length| self.body.len() >= length)
    }
}

/// What passed to the client.
#[derive(Default)]
pub(super) struct AnswerFacts {
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) first_byte: Option<Timestamp>,
    /// Watches a stream of events.
    pub(super) tap: Option<Tap>,
    /// While a stream is under way.
    pub(super) open: Option<Open>,
    /// Watches an answer that is JSON.
    pub(super) json: Option<unary::Tap>,
    /// Takes out of a stream what only the gateway asked for.
    pub(super) unasked: Option<Unasked>,
    /// Of a stream of text, for the case that it reports nothing.
    pub(super) prompt_estimate: Option<u64>,
    /// The start of an error's body, to learn its code.
    pub(super) error_body: Option<BytesMut>,
    pub(super) error_code: Option<String>,
    /// Broke off after it had begun.
    pub(super) cut: bool,
    /// The `x-request-id` that the client got.
    pub(super) request_id: Option<String>,
}

impl AnswerFacts {
    /// What the stream said so far, if it is one. Made anew each time.
    pub(super) fn stream(&self) -> Option<Summary> {
        self.tap.as_ref().map(Tap::summary)
    }

    /// The tokens of the request. As the provider reported them; or, of a stream of text that broke off before that or
    /// never reports any, as many as can be told from what passed. `None`: it failed, or nothing counts its tokens.
    /// `stream`: what it said, if it is one.
    pub(super) fn tokens(&self, stream: Option<&Summary>) -> Option<Counted> {
        if !(200..300).contains(&self.status) {
            return None;
        }
        let reported = stream.and_then(|stream| stream.usage);
        if let Some(usage) = reported.or_else(|| self.json.as_ref()?.usage()) {
            return Some(Counted {
                usage,
                estimated: false,
            });
        }
        let usage = Usage {
            prompt: self.prompt_estimate?,
            completion: stream?.deltas,
            ..Usage::default()
        };
        Some(Counted {
            usage,
            estimated: true,
        })
    }
}

impl RequestContext {
    pub(super) fn new(requests: &Requests, started: Timestamp, snapshot: Arc<Snapshot>) -> Self {
        Self {
            started,
            trace: trace::begin(&snapshot),
            snapshot,
            caller: Caller::Nobody,
            asked: Asked::Nothing,
            waited: Duration::ZERO,
            hands_on: false,
            explains: false,
            wanted: None,
            denied: None,
            course: Course::default(),
            outgoing: Bytes::new(),
            sent: None,
            asks: false,
            refused_by: None,
            reply: Reply::None,
            answer: AnswerFacts::default(),
            decided: false,
            _counted: requests.under_way.token(),
        }
    }

    /// Whose request it is, if it is a configured client's.
    pub(super) fn client(&self) -> Option<&Client> {
        match (&self.snapshot.config.access, self.caller) {
            (Access::Clients(clients), Caller::Client(place)) => clients.list.get(place),
            (Access::Open { .. } | Access::Clients(_), _) => None,
        }
    }

    pub(super) fn pool(&self) -> Option<&Pool> {
        self.wanted
            .as_ref()
            .map(|wanted| &self.snapshot.pools[wanted.pool])
    }

    /// Place of the pool of the model that was asked for, if there is one.
    pub(super) fn named(&self) -> Option<usize> {
        let wanted = self.wanted.as_ref();
        wanted.map(|wanted| wanted.pool).or(self.denied)
    }
}

/// Counts the requests under way, so that a stop can wait for the last one.
#[derive(Clone, Default)]
pub struct Requests {
    under_way: TaskTracker,
    stopping: Arc<AtomicBool>,
}

impl Requests {
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// From now on answers say that the connection will be closed.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Returns when no request is under way.
    pub async fn none_left(&self) {
        // Only a closed tracker is waited for; it counts on all the same.
        self.under_way.close();
        self.under_way.wait().await;
    }
}
