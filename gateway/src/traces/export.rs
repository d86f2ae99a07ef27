//! Sends spans to a collector: OTLP over HTTP, protobuf, one batch after the other. A batch that is not taken is not
//! sent again: a collector near by is the one to buffer, and what is new is worth more than what is old.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use opentelemetry_proto::{
    tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prometheus::IntCounter;
use prost::Message as _;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::count;
use crate::{
    auth::http::{HttpError, client_for, exchange},
    config::compiled,
};

const BATCH_REQUESTS_MAX: usize = 256;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// What OTLP has as its default.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Spans by request.
type Batch = Vec<Vec<SpanData>>;

pub(super) struct Collector {
    url: Arc<str>,
    /// Marked as sensitive.
    headers: HeaderMap,
    resource: ResourceAttributesWithSchema,
    dropped: IntCounter,
    /// The last batch was not taken: one outage is one line in the log.
    failing: bool,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the collector {0}")]
    Http(#[from] HttpError),
    #[error("the collector answered {0}")]
    Status(StatusCode),
}

impl Collector {
    pub(super) fn new(config: &compiled::Traces, dropped: IntCounter) -> Self {
        let headers = config.headers.iter().map(|(name, secret)| {
            let mut value = HeaderValue::from_str(secret.expose()).expect("it was checked");
            value.set_sensitive(true);
            (name.clone(), value)
        });
        // Not the SDK's detectors: they read the environment.
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.clone())
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        Self {
            url: config.url.clone(),
            headers: headers.collect(),
            resource: (&resource).into(),
            dropped,
            failing: false,
        }
    }

    /// Ends when nobody can add to the queue any more, or soon after `stop`; in both cases with what is left in it.
    pub(super) async fn run(
        mut self,
        mut queue: mpsc::Receiver<Vec<SpanData>>,
        stop: CancellationToken,
    ) {
        let mut batch = Batch::new();
        loop {
            tokio::select! {
                _ = queue.recv_many(&mut batch, BATCH_REQUESTS_MAX) => {}
                () = stop.cancelled() => {
                    queue.close();
                    queue.recv_many(&mut batch, BATCH_REQUESTS_MAX).await;
                }
            }
            if batch.is_empty() {
                return;
            }
            if batch.len() < BATCH_REQUESTS_MAX {
                tokio::select! {
                    () = sleep(GATHER) => {}
                    () = stop.cancelled() => {}
                }
                while batch.len() < BATCH_REQUESTS_MAX
                    && let Ok(spans) = queue.try_recv()
                {
                    batch.push(spans);
                }
            }
            self.deliver(batch.drain(..).flatten().collect()).await;
        }
    }

    async fn deliver(&mut self, spans: Vec<SpanData>) {
        let sent = spans.len();
        match self.send(spans).await {
            Ok(rejected) => {
                count(&self.dropped, rejected);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(reason) => {
                count(&self.dropped, sent);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%reason, "spans are dropped");
                }
            }
        }
    }

    /// Returns how many spans the collector did not want.
    async fn send(&self, spans: Vec<SpanData>) -> Result<usize, Refused> {
        let body = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &self.resource),
        };
        let request = client_for(&self.url)
            .post(&*self.url)
            .headers(self.headers.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(body.encode_to_vec());
        let (status, _, answer) = exchange(request, ANSWER_BYTES_MAX, EXPORT_TIMEOUT).await?;
        if !status.is_success() {
            return Err(Refused::Status(status));
        }
        let partial = ExportTraceServiceResponse::decode(answer)
            .ok()
            .and_then(|answer| answer.partial_success);
        let rejected = partial.map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(rejected).unwrap_or(0))
    }
}
