//! What the answers of a deployment say about it: how long they take, and what is left of its quota. For people and
//! metrics; no decision is made on it. Written once an answer, each value an atomic of its own.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{api::limits::Limits, policy::ewma};

/// A number that no quota has.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
pub struct Reading {
    /// Bits of a float; 0 before the first.
    first_byte_ms: AtomicU64,
    total_ms: AtomicU64,
    remaining_requests: AtomicU64,
    remaining_tokens: AtomicU64,
    /// Bits of a float.
    utilization: AtomicU64,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            first_byte_ms: AtomicU64::new(0),
            total_ms: AtomicU64::new(0),
            remaining_requests: AtomicU64::new(UNKNOWN),
            remaining_tokens: AtomicU64::new(UNKNOWN),
            utilization: AtomicU64::new(UNKNOWN),
        }
    }
}

/// Moving averages, milliseconds; `None` before the first answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Averages {
    pub first_byte_ms: Option<f64>,
    pub total_ms: Option<f64>,
}

/// As the last answer that spoke of it said; `None` where none did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
    /// Of a provisioned deployment, 1 = all of it.
    pub utilization: Option<f64>,
}

impl Reading {
    /// An answer has ended well.
    pub fn served(&self, first_byte: Option<Duration>, total: Duration) {
        if let Some(first_byte) = first_byte {
            average(&self.first_byte_ms, first_byte);
        }
        average(&self.total_ms, total);
    }

    /// What is not said stays as it was.
    pub fn limits(&self, limits: &Limits) {
        let said = [
            (&self.remaining_requests, limits.remaining_requests),
            (&self.remaining_tokens, limits.remaining_tokens),
            (&self.utilization, limits.utilization.map(f64::to_bits)),
        ];
        for (kept, said) in said {
            if let Some(said) = said {
                kept.store(said, Ordering::Relaxed);
            }
        }
    }

    #[must_use]
    pub fn averages(&self) -> Averages {
        let of = |kept: &AtomicU64| known_average(kept.load(Ordering::Relaxed));
        Averages {
            first_byte_ms: of(&self.first_byte_ms),
            total_ms: of(&self.total_ms),
        }
    }

    #[must_use]
    pub fn quota(&self) -> Quota {
        let of = |kept: &AtomicU64| Some(kept.load(Ordering::Relaxed)).filter(|&n| n != UNKNOWN);
        Quota {
            requests: of(&self.remaining_requests),
            tokens: of(&self.remaining_tokens),
            utilization: of(&self.utilization).map(f64::from_bits),
        }
    }
}

fn known_average(bits: u64) -> Option<f64> {
    (bits != 0).then(|| f64::from_bits(bits))
}

fn average(kept: &AtomicU64, value: Duration) {
    let value = value.as_secs_f64() * 1e3;
    let next = |bits| Some(ewma::next(known_average(bits), value).to_bits());
    // Never gives up: there is always a next one.
    let _ = kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_averaged_and_what_is_not_said_stays() {
        let reading = Reading::default();
        let nothing = Averages {
            first_byte_ms: None,
            total_ms: None,
        };
        assert_eq!(reading.averages(), nothing);
        let ms = Duration::from_millis;
        reading.served(Some(ms(10)), ms(100));
        reading.served(None, ms(200));
        let averages = Averages {
            first_byte_ms: Some(10.0),
            total_ms: Some(110.0),
        };
        assert_eq!(reading.averages(), averages);

        let said = |requests, tokens| Limits {
            remaining_requests: requests,
            remaining_tokens: tokens,
            utilization: None,
        };
        reading.limits(&said(Some(7), None));
        reading.limits(&said(None, Some(0)));
        let quota = Quota {
            requests: Some(7),
            tokens: Some(0),
            utilization: None,
        };
        assert_eq!(reading.quota(), quota);
    }
}
