//! Spans of requests, sent to an OpenTelemetry collector. They are made once, when a sampled request is over (`spans`),
//! written then and there as they are sent (`otlp`), and sent beside the requests, in batches (`export`). Whatever the
//! collector does, no request waits for it: what finds no place in the queue, or is not taken, is dropped and counted.
//!
//! OpenTelemetry's own crate gives the messages and their encoding. Its SDK is left out on purpose: its tracer records
//! while things happen, and here all is known at the end; its batch processor hides what it drops and holds up a stop
//! with a thread of its own; its OTLP exporter lets the environment overrule the configuration, shows headers in Debug
//! and says of a failure only that there was one (opentelemetry-otlp 0.33.1, exporter/http/mod.rs).

mod export;
mod otlp;
mod spans;

use std::time::Duration;

use prometheus::IntCounter;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::spans::{Attempt, Ended};
use self::{export::Collector, otlp::Written};
use crate::{config::compiled, metrics::Metrics};

/// Requests whose spans wait to be sent: about half a KiB for each, and as much for each of its attempts.
const QUEUE_REQUESTS_MAX: usize = 4096;
/// On a stop: for what is left to be sent. A collector that hangs must not hold it up.
const FAREWELL: Duration = Duration::from_secs(1);

/// Everything that is being exported. Outlives a configuration.
pub struct Exports {
    tasks: TaskTracker,
    stop: CancellationToken,
    dropped: IntCounter,
}

impl Exports {
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            dropped: metrics.spans_dropped().clone(),
        }
    }

    /// Exports until the last owner of what is returned is gone. Must be called inside a tokio runtime.
    #[must_use]
    pub fn link(&self, config: &compiled::Traces) -> Traces {
        let (queue, waiting) = mpsc::channel(QUEUE_REQUESTS_MAX);
        let collector = Collector::new(config, self.dropped.clone());
        self.tasks.spawn(collector.run(waiting, self.stop.clone()));
        Traces {
            sample_percent: config.sample_percent,
            queue,
            dropped: self.dropped.clone(),
        }
    }

    /// Sends what is waiting, and exports no more. Takes a moment, and a second at most.
    pub async fn finish(&self) {
        self.tasks.close();
        self.stop.cancel();
        let _ = timeout(FAREWELL, self.tasks.wait()).await;
    }
}

/// Where the requests of one configuration leave their spans.
#[derive(Debug)]
pub struct Traces {
    sample_percent: u32,
    queue: mpsc::Sender<Written>,
    dropped: IntCounter,
}

impl Traces {
    /// Whether a trace that begins here is recorded. `draw` is random, from 0 to 99.
    #[must_use]
    pub fn samples(&self, draw: u32) -> bool {
        draw < self.sample_percent
    }

    /// Records a request that is over. Never waits.
    pub fn request(&self, ended: &Ended<'_>) {
        match self.queue.try_reserve() {
            Ok(place) => place.send(ended.spans()),
            Err(_) => count(&self.dropped, ended.count()),
        }
    }
}

fn count(dropped: &IntCounter, spans: usize) {
    dropped.inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests;
