//! Decides when a token is fetched next. Pure: time and randomness are arguments; `draw` is from 0 to below 1.
//!
//! What answers for tokens is shared by everybody on a machine or in a tenant, and says 429 to those who ask too
//! often. So a token is renewed at half of its life, which leaves the other half for trying again, and nothing that is
//! decided here is ever "at once".

use std::time::Duration;

/// What a failure says about when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// As long as the answer asks for.
    After(Duration),
    /// Longer each time.
    Backoff,
    /// The Instance Metadata Service is being updated, which takes 70 s at most.
    Updating,
    /// Somebody must change something first, so seldom; but again, because identities and roles are often assigned
    /// after the machine has started.
    Permanent,
}

/// Between two fetches of a token that lives long enough for it.
const BETWEEN: Duration = Duration::from_secs(30);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// While there is no token, or soon none: each second without one costs requests.
const BACKOFF_URGENT: Duration = Duration::from_secs(10);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
const RETRY_AFTER_URGENT: Duration = Duration::from_secs(60);
const UPDATING: Duration = Duration::from_secs(70);
const UPDATING_EVERY: Duration = Duration::from_secs(5);
const UPDATING_URGENT: Duration = Duration::from_secs(2);
const PERMANENT: Duration = Duration::from_secs(300);
const PERMANENT_URGENT: Duration = Duration::from_secs(60);

/// How long a token is used before the next one is asked for: half of its life, or what the answer advises.
#[must_use]
pub fn after_success(lifetime: Duration, refresh_in: Option<Duration>, draw: f64) -> Duration {
    let wait = match refresh_in.filter(|wait| !wait.is_zero() && *wait < lifetime) {
        // Not before it: the service would give the same token again.
        Some(advice) => advice.mul_f64(1.0 + draw / 10.0).min(lifetime.mul_f64(0.9)),
        None => lifetime.mul_f64(0.45 + draw / 10.0),
    };
    // The Instance Metadata Service gives the token that it holds, so towards the end of that one a half would be
    // shorter each time.
    wait.max(BETWEEN.min(lifetime.mul_f64(0.8)))
        .max(BACKOFF_FIRST)
}

/// How long to wait after a failure, the `consecutive`th in a row (from 1). `token_left` is how long the token that is
/// held will last; `None` if there is none.
#[must_use]
pub fn after_failure(
    retry: Retry,
    consecutive: u32,
    token_left: Option<Duration>,
    draw: f64,
) -> Duration {
    let left = token_left.unwrap_or_default();
    let wait = match retry {
        Retry::After(wait) => {
            let wait = wait.min(most(left, RETRY_AFTER_URGENT, RETRY_AFTER_MAX));
            // Never before the time that was asked for, and not with all the others.
            return (wait + wait.mul_f64(draw / 10.0)).max(BACKOFF_FIRST);
        }
        Retry::Backoff => backoff(consecutive, left),
        Retry::Updating => {
            let every = most(left.mul_f64(0.1), UPDATING_URGENT, UPDATING_EVERY);
            if every * consecutive.min(100) <= UPDATING {
                every
            } else {
                backoff(consecutive, left)
            }
        }
        Retry::Permanent => most(left, PERMANENT_URGENT, PERMANENT),
    };
    wait.mul_f64(0.75 + draw / 4.0).max(BACKOFF_FIRST)
}

fn backoff(consecutive: u32, left: Duration) -> Duration {
    let doubled = BACKOFF_FIRST * 2_u32.pow(consecutive.saturating_sub(1).min(10));
    doubled.min(most(left, BACKOFF_URGENT, BACKOFF_MAX))
}

/// At least `urgent`, at most `calm`, and in between half of the time that is left.
fn most(left: Duration, urgent: Duration, calm: Duration) -> Duration {
    (left / 2).clamp(urgent, calm)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));
    const ALMOST_ONE: f64 = 0.999_999;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_token_is_renewed_at_half_of_its_life_or_when_advised() {
        for (lifetime, refresh_in, least, most) in [
            (secs(3600), None, secs(1620), secs(1980)),
            (secs(86_400), None, secs(38_880), secs(47_520)),
            (secs(86_400), Some(secs(43_200)), secs(43_200), secs(47_520)),
            (secs(3600), Some(secs(3500)), secs(3240), secs(3240)),
            // No advice that can be followed.
            (secs(3600), Some(secs(0)), secs(1620), secs(1980)),
            (secs(3600), Some(secs(3600)), secs(1620), secs(1980)),
            // Short ones: not every second, and still before the end if there is a moment left.
            (secs(60), None, secs(30), ms(33_000)),
            (secs(30), None, secs(24), secs(24)),
            (secs(10), None, secs(8), secs(8)),
            (secs(10), Some(ms(1)), secs(8), secs(8)),
            (secs(1), None, secs(1), secs(1)),
        ] {
            for (draw, expected) in [(0.0, least), (ALMOST_ONE, most)] {
                let wait = after_success(lifetime, refresh_in, draw);
                let off = wait.abs_diff(expected);
                assert!(
                    off < ms(10),
                    "{lifetime:?} {refresh_in:?} {draw}: {wait:?}, not {expected:?}"
                );
            }
        }
    }

    #[test]
    fn a_failure_is_tried_again_by_its_class_and_faster_without_a_token() {
        use Retry::{After, Backoff, Permanent, Updating};
        for (retry, consecutive, left, least, most) in [
            (Backoff, 1, HOUR, 1_000, 1_000),
            (Backoff, 2, HOUR, 1_500, 2_000),
            (Backoff, 5, HOUR, 12_000, 16_000),
            (Backoff, 7, HOUR, 45_000, 60_000),
            (Backoff, u32::MAX, HOUR, 45_000, 60_000),
            (Backoff, 9, Some(secs(50)), 18_750, 25_000),
            (Backoff, 9, Some(secs(1)), 7_500, 10_000),
            (Backoff, 1, None, 1_000, 1_000),
            (Backoff, 9, None, 7_500, 10_000),
            (After(secs(20)), 9, HOUR, 20_000, 22_000),
            (After(secs(20)), 1, None, 20_000, 22_000),
            (After(secs(86_400)), 1, HOUR, 300_000, 330_000),
            (After(secs(86_400)), 1, None, 60_000, 66_000),
            (After(Duration::MAX), 1, HOUR, 300_000, 330_000),
            (After(Duration::ZERO), 1, None, 1_000, 1_000),
            // Fourteen times five seconds, thirty-five times two.
            (Updating, 1, HOUR, 3_750, 5_000),
            (Updating, 14, HOUR, 3_750, 5_000),
            (Updating, 15, HOUR, 45_000, 60_000),
            (Updating, 1, None, 1_500, 2_000),
            (Updating, 35, None, 1_500, 2_000),
            (Updating, 36, None, 7_500, 10_000),
            (Updating, u32::MAX, None, 7_500, 10_000),
            (Permanent, 1, HOUR, 225_000, 300_000),
            (Permanent, 99, Some(secs(200)), 75_000, 100_000),
            (Permanent, 1, None, 45_000, 60_000),
        ] {
            for (draw, expected) in [(0.0, least), (ALMOST_ONE, most)] {
                let wait = after_failure(retry, consecutive, left, draw);
                let off = wait.abs_diff(ms(expected));
                assert!(
                    off < ms(10),
                    "{retry:?} {consecutive} {left:?} {draw}: {wait:?}, not {expected} ms"
                );
            }
        }
    }

    #[test]
    fn nothing_is_ever_at_once() {
        let spans = [0, 1, 1_000, 59_000, 3_600_000, 2_592_000_000].map(ms);
        for (a, b) in spans.iter().flat_map(|a| spans.map(|b| (*a, b))) {
            assert!(after_success(a, Some(b), 0.0) >= secs(1), "{a:?} {b:?}");
            let classes = [Retry::Backoff, Retry::Updating, Retry::Permanent];
            for retry in classes.into_iter().chain([Retry::After(a)]) {
                for consecutive in [0, 1, 50, u32::MAX] {
                    let wait = after_failure(retry, consecutive, Some(b), 0.0);
                    assert!(wait >= secs(1), "{retry:?} {consecutive} {b:?}");
                }
            }
        }
    }
}
