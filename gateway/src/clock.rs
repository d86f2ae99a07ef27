//! The only file that reads time. Everything else takes a [`Timestamp`] as an argument, so that decisions
//! are functions of their inputs and tests move time by hand.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds of monotonic time since the process's [`Clock`] was made. Zero means "never" where a
/// deadline is stored in an atomic: the clock starts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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

/// Monotonic time, measured from a fixed start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
impl Clock {
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(micros(self.start.elapsed()).saturating_add(1))
    }

    /// Wall-clock time since the Unix epoch: only for dates that come from outside (HTTP-date).
    #[must_use]
    pub fn unix_now() -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
