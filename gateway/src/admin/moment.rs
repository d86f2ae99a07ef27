//! One reading of both clocks, so that all times of a page fit together: deadlines are kept as time since boot, people
//! read dates.

use std::time::Duration;

use crate::clock::{self, Timestamp};

#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    pub(super) unix_now: Duration,
}

impl Moment {
    pub(super) fn read() -> Self {
        Self {
            now: clock::now(),
            unix_now: clock::unix_now(),
        }
    }

    /// Unix time in seconds.
    pub(super) fn unix(&self, at: Timestamp) -> f64 {
        seconds(self.wall(at))
    }

    /// `12:00:07 UTC`.
    pub(super) fn clock(&self, at: Timestamp) -> String {
        let unix = i64::try_from(self.wall(at).as_secs()).ok();
        let time = unix.and_then(|unix| jiff::Timestamp::from_second(unix).ok());
        time.map(|time| time.strftime("%H:%M:%S UTC").to_string())
            .unwrap_or_default()
    }

    fn wall(&self, at: Timestamp) -> Duration {
        let later = self.unix_now + at.since(self.now);
        later.saturating_sub(self.now.since(at))
    }
}

/// Seconds, to the millisecond.
pub(super) fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_since_boot_become_dates() {
        let moment = Moment {
            now: Timestamp::from_micros(5_000_000),
            unix_now: Duration::from_secs(1_763_712_000),
        };
        for (micros, unix, clock) in [
            (5_000_000, 1_763_712_000.0, "08:00:00 UTC"),
            (12_250_000, 1_763_712_007.25, "08:00:07 UTC"),
            (1_000_000, 1_763_711_996.0, "07:59:56 UTC"),
        ] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(moment.unix(at), unix);
            assert_eq!(moment.clock(at), clock);
        }
    }
}
