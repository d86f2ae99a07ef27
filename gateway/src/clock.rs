//! The only file that reads time. Everything else takes a [`Timestamp`] as an argument, so that decisions
//! are functions of their inputs and tests move time by hand.
//!
//! Time is the kernel's `CLOCK_MONOTONIC`, which begins at boot, and not an `Instant`, which says nothing outside
//! its process: all processes of a machine then share one time line, so a deadline that is handed to a successor
//! means the same there. It is also the number that systemd calls `MONOTONIC_USEC`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Microseconds since boot. Zero means "never" where a deadline is stored in an atomic: the clock never says it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp(u64);

impl Timestamp {
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds, for windows counted by the second.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

#[must_use]
pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither is ever negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let micros = u64::try_from(time.tv_nsec / 1_000).unwrap_or_default();
    Timestamp((seconds * 1_000_000 + micros).max(1))
}

/// Wall-clock time since the Unix epoch: only for what speaks of dates (HTTP-date, a metric).
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
pub fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back_and_is_never_the_zero_that_means_never() {
        let first = now();
        let second = now();
        assert!(Timestamp::default() < first);
        assert!(first <= second);
    }
}
