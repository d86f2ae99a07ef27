//! Sends spans to a collector: OTLP over HTTP, protobuf, one batch after the other. A batch that is not taken is not
//! sent again: a collector near by is the one to buffer, and what is new is worth more than what is old.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use prometheus::IntCounter;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    count,
    otlp::{Envelope, Written, rejected},
};
use crate::{
    auth::http::{HttpError, client_for, exchange},
    config::compiled,
};

/// About 1 MB. A batch is a connection of its own, so one of 256 costs each of its requests twice as much, and collectors
/// take several MB.
const BATCH_REQUESTS_MAX: usize = 1024;
/// The first of a batch waits a second for others, if it does not fill up before. That is looked at from time to time:
/// to be woken by each request would cost the request more than its spans. The queue must hold what comes in between.
const LOOKS: usize = 10;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What OTLP has as its default.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Collector {
    url: Arc<str>,
    /// Marked as sensitive.
    headers: HeaderMap,
    envelope: Envelope,
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
        Self {
            url: config.url.clone(),
            headers: headers.collect(),
            envelope: Envelope::new(&config.service_name),
            dropped,
            failing: false,
        }
    }

    /// Ends when nobody can add to the queue any more, or soon after `stop`; in both cases with what is left in it.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Written>, stop: CancellationToken) {
        let mut batch = Vec::new();
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
            gather(&mut batch, &mut queue, &stop).await;
            let spans = batch.iter().map(|spans| spans.count).sum();
            let body = self.envelope.around(&batch);
            batch.clear();
            self.deliver(spans, body).await;
        }
    }

    async fn deliver(&mut self, sent: usize, body: Vec<u8>) {
        match self.send(body).await {
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
    async fn send(&self, body: Vec<u8>) -> Result<usize, Refused> {
        let request = client_for(&self.url)
            .post(&*self.url)
            .headers(self.headers.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(body);
        let (status, _, answer) = exchange(request, ANSWER_BYTES_MAX, EXPORT_TIMEOUT).await?;
        if !status.is_success() {
            return Err(Refused::Status(status));
        }
        Ok(rejected(answer))
    }
}

/// Waits for a full batch, but not for long.
async fn gather(
    batch: &mut Vec<Written>,
    queue: &mut mpsc::Receiver<Written>,
    stop: &CancellationToken,
) {
    for _ in 0..LOOKS {
        if batch.len() >= BATCH_REQUESTS_MAX {
            return;
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => {}
        }
        while batch.len() < BATCH_REQUESTS_MAX
            && let Ok(spans) = queue.try_recv()
        {
            batch.push(spans);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_a_second_unless_it_is_full_before() {
        for (waiting, joining, waits) in [
            (BATCH_REQUESTS_MAX, 0, Duration::ZERO),
            (1, BATCH_REQUESTS_MAX, LOOK_EVERY),
            (1, 1, Duration::from_secs(1)),
        ] {
            let (sender, mut queue) = mpsc::channel(BATCH_REQUESTS_MAX);
            let mut batch = Vec::new();
            batch.resize_with(waiting, Written::default);
            for _ in 0..joining {
                sender.try_send(Written::default()).unwrap();
            }
            let stop = CancellationToken::new();
            let now = || sleep(Duration::ZERO).deadline();
            let begin = now();
            gather(&mut batch, &mut queue, &stop).await;
            assert_eq!(now() - begin, waits, "{waiting} and {joining}");
            assert_eq!(batch.len(), BATCH_REQUESTS_MAX.min(waiting + joining));
        }
    }
}
