//! What was measured, and the figures made of it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::connection::Answer;

/// Longest time that is told apart, in microseconds: ten minutes.
const MICROS_MAX: u64 = 600_000_000;

/// Of one run against one target, or of several added up.
#[derive(Clone)]
pub(crate) struct Sample {
    /// Microseconds from the moment a request was due to the end of its answer.
    pub(crate) whole: Histogram<u64>,
    /// The same to the first byte of the answer's body.
    pub(crate) first_byte: Histogram<u64>,
    pub(crate) errors: u64,
    /// Arrivals that were due before the end of the run and could not be sent.
    pub(crate) unsent: u64,
    pub(crate) events: u64,
    pub(crate) attempts: u64,
    /// From the first arrival to the last answer.
    pub(crate) span: Duration,
    pub(crate) cpu: Option<Duration>,
    pub(crate) resident_bytes_max: u64,
}

pub(crate) struct Timing {
    /// Of the run.
    pub(crate) start: Instant,
    pub(crate) due: Instant,
    pub(crate) end: Instant,
}

impl Default for Sample {
    fn default() -> Self {
        let histogram =
            Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("these bounds are valid");
        Self {
            whole: histogram.clone(),
            first_byte: histogram,
            errors: 0,
            unsent: 0,
            events: 0,
            attempts: 0,
            span: Duration::ZERO,
            cpu: None,
            resident_bytes_max: 0,
        }
    }
}

impl Sample {
    /// `None` for a request without a whole answer; one that is not 200 is an error too.
    pub(crate) fn record(&mut self, answer: Option<&Answer>, timing: Timing, events: u64) {
        self.span = self.span.max(timing.end - timing.start);
        match answer {
            Some(answer) if answer.status == 200 => {
                let first = answer.first_byte - timing.due;
                self.first_byte.saturating_record(micros(first));
                self.whole
                    .saturating_record(micros(timing.end - timing.due));
                self.attempts += answer.attempts;
                self.events += events;
            }
            Some(_) | None => self.errors += 1,
        }
    }

    /// Of another thread in the same run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.merge(other);
        self.span = self.span.max(other.span);
    }

    /// Of a later run against the same target.
    pub(crate) fn append(&mut self, later: &Self) {
        self.merge(later);
        self.span += later.span;
        self.cpu = match (self.cpu, later.cpu) {
            (Some(before), Some(cpu)) => Some(before + cpu),
            (before, cpu) => before.or(cpu),
        };
        self.resident_bytes_max = self.resident_bytes_max.max(later.resident_bytes_max);
    }

    fn merge(&mut self, other: &Self) {
        self.whole
            .add(&other.whole)
            .expect("all histograms have the same bounds");
        self.first_byte
            .add(&other.first_byte)
            .expect("all histograms have the same bounds");
        self.errors += other.errors;
        self.unsent += other.unsent;
        self.events += other.events;
        self.attempts += other.attempts;
    }

    pub(crate) fn requests(&self) -> u64 {
        self.whole.len()
    }

    pub(crate) fn figures(&self, target: &str) -> Figures {
        let (requests, seconds) = (self.requests() as f64, self.span.as_secs_f64());
        let cpu_per = |count: u64| {
            let micros = self.cpu?.as_secs_f64() * 1e6;
            (count > 0).then(|| micros / count as f64)
        };
        Figures {
            target: target.to_owned(),
            requests: self.requests(),
            errors: self.errors,
            unsent: self.unsent,
            requests_per_second: requests / seconds,
            events_per_second: self.events as f64 / seconds,
            whole_ms: Percentiles::of(&self.whole),
            first_byte_ms: Percentiles::of(&self.first_byte),
            attempts_per_request: self.attempts as f64 / requests,
            cpu_us_per_request: cpu_per(self.requests()),
            cpu_us_per_event: cpu_per(self.events),
            resident_mib: (self.resident_bytes_max > 0)
                .then(|| self.resident_bytes_max as f64 / f64::from(1 << 20)),
        }
    }
}

/// One line of a report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) target: String,
    /// Answered with 200.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) unsent: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) events_per_second: f64,
    pub(crate) whole_ms: Percentiles,
    pub(crate) first_byte_ms: Percentiles,
    pub(crate) attempts_per_request: f64,
    pub(crate) cpu_us_per_request: Option<f64>,
    pub(crate) cpu_us_per_event: Option<f64>,
    pub(crate) resident_mib: Option<f64>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

impl Percentiles {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
        }
    }
}

/// Of a figure in several rounds: the median stands for all, the smallest and the largest say how far it can be
/// trusted.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` without a round.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = if values.len() % 2 == 1 {
            upper
        } else {
            f64::midpoint(values[middle - 1], upper)
        };
        Some(Self {
            median,
            min: values[0],
            max: values[values.len() - 1],
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_for_the_rounds() {
        let spread = Spread::of(vec![3.0, -1.0, 1.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (1.0, -1.0, 3.0));
        assert_eq!(Spread::of(vec![1.0, 4.0]).unwrap().median, 2.5);
        assert!(Spread::of(Vec::new()).is_none());
    }

    #[test]
    fn a_request_counts_from_when_it_was_due_and_errors_have_no_time() {
        let start = crate::clock::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let timing = || Timing {
            start,
            due: ms(100),
            end: ms(350),
        };
        let answer = |status| Answer {
            status,
            first_byte: ms(200),
            attempts: 2,
            closes: false,
        };
        let mut sample = Sample::default();
        sample.record(Some(&answer(200)), timing(), 4);
        sample.record(Some(&answer(429)), timing(), 4);
        sample.record(None, timing(), 0);
        let figures = sample.figures("x");
        assert_eq!((figures.requests, figures.errors), (1, 2));
        assert!((249.0..251.0).contains(&figures.whole_ms.p99));
        assert!((99.0..101.0).contains(&figures.first_byte_ms.p50));
        assert_eq!((sample.events, sample.attempts), (4, 2));
    }
}
