//! The only file that reads time or waits for it.

use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "the one place that reads time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Returns at once where the time has passed. The kernel wakes a thread some 60 µs late, for every target alike.
pub(crate) fn sleep_until(time: Instant) {
    sleep(time.saturating_duration_since(now()));
}

#[expect(
    clippy::disallowed_methods,
    reason = "every connection has a thread of its own here"
)]
pub(crate) fn sleep(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}
