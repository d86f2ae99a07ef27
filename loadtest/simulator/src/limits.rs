//! Rate limits: whether a request is admitted and what the headers say about what is left. Pure: time is an
//! argument. Standard deployments count in fixed minutes, provisioned ones drain a bucket of one minute.

use std::time::Duration;

use tokio::time::Instant;

use crate::resource::Limits;

const MINUTE: Duration = Duration::from_secs(60);
/// What Azure answers where one request alone is larger than the whole limit.
const NEVER: Duration = Duration::from_secs(86_400);

/// What is left, as the headers tell it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Quota {
    Unlimited,
    Standard {
        requests: Option<Left>,
        tokens: Option<Left>,
    },
    /// Utilisation in percent.
    Provisioned {
        utilization: f64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Left {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) reset: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Calls,
    Tokens,
    Utilization,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Throttled {
    pub(crate) reason: Reason,
    pub(crate) wait: Duration,
    pub(crate) quota: Quota,
}

pub(crate) struct Limiter {
    limits: Limits,
    requests: Window,
    tokens: Window,
    burst: Window,
    bucket: Bucket,
}

impl Limiter {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        let burst = Duration::from_secs(limits.burst_window_s.unwrap_or(60).max(1));
        Self {
            limits,
            requests: Window::new(MINUTE, now),
            tokens: Window::new(MINUTE, now),
            burst: Window::new(burst, now),
            bucket: Bucket {
                level: 0.0,
                at: now,
            },
        }
    }

    /// Counts a request of `tokens` estimated tokens, or refuses it.
    ///
    /// # Errors
    /// [`Throttled`], with the time to wait.
    pub(crate) fn admit(&mut self, tokens: u64, now: Instant) -> Result<Quota, Throttled> {
        if self.limits.ptu {
            return self.admit_provisioned(tokens, now);
        }
        if self.limits.rpm.is_none() && self.limits.tpm.is_none() {
            return Ok(Quota::Unlimited);
        }
        for window in [&mut self.requests, &mut self.tokens, &mut self.burst] {
            window.roll(now);
        }
        let refusal = self.refusal(tokens, now);
        if refusal.is_none() {
            self.requests.used += 1;
            self.burst.used += 1;
            self.tokens.used += tokens;
        }
        let quota = Quota::Standard {
            requests: self.limits.rpm.map(|limit| self.requests.left(limit, now)),
            tokens: self.limits.tpm.map(|limit| self.tokens.left(limit, now)),
        };
        match refusal {
            None => Ok(quota),
            Some((reason, wait)) => Err(Throttled {
                reason,
                wait,
                quota,
            }),
        }
    }

    fn refusal(&self, tokens: u64, now: Instant) -> Option<(Reason, Duration)> {
        if let Some(rpm) = self.limits.rpm {
            if self.requests.used >= rpm {
                return Some((Reason::Calls, self.requests.rest(now)));
            }
            let burst = (rpm * self.burst.length.as_secs()).div_ceil(60);
            if self.limits.burst_window_s.is_some() && self.burst.used >= burst {
                return Some((Reason::Calls, self.burst.rest(now)));
            }
        }
        let tpm = self.limits.tpm?;
        if tokens > tpm {
            return Some((Reason::Tokens, NEVER));
        }
        (self.tokens.used + tokens > tpm).then(|| (Reason::Tokens, self.tokens.rest(now)))
    }

    fn admit_provisioned(&mut self, tokens: u64, now: Instant) -> Result<Quota, Throttled> {
        let Some(tpm) = self.limits.tpm else {
            return Ok(Quota::Provisioned { utilization: 0.0 });
        };
        let size = as_f64(tpm);
        self.bucket.drain(size, now);
        let over = self.bucket.level - size;
        if over >= 0.0 {
            let wait = MINUTE.mul_f64(over / size).max(Duration::from_millis(1));
            return Err(Throttled {
                reason: Reason::Utilization,
                wait,
                quota: self.bucket.quota(size),
            });
        }
        self.bucket.level += as_f64(tokens);
        Ok(self.bucket.quota(size))
    }
}

/// A counter that starts anew at fixed times.
struct Window {
    length: Duration,
    start: Instant,
    used: u64,
}

impl Window {
    fn new(length: Duration, start: Instant) -> Self {
        Self {
            length,
            start,
            used: 0,
        }
    }

    fn roll(&mut self, now: Instant) {
        if now.duration_since(self.start) >= self.length {
            self.start = now;
            self.used = 0;
        }
    }

    fn rest(&self, now: Instant) -> Duration {
        (self.start + self.length).duration_since(now)
    }

    fn left(&self, limit: u64, now: Instant) -> Left {
        Left {
            limit,
            remaining: limit.saturating_sub(self.used),
            reset: self.rest(now),
        }
    }
}

struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    fn drain(&mut self, per_minute: f64, now: Instant) {
        let minutes = now.duration_since(self.at).as_secs_f64() / 60.0;
        self.level = (self.level - minutes * per_minute).max(0.0);
        self.at = now;
    }

    fn quota(&self, size: f64) -> Quota {
        Quota::Provisioned {
            utilization: 100.0 * self.level / size,
        }
    }
}

/// Exact for the sizes of limits: below 2^32, and saturated above.
fn as_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(
        rpm: Option<u64>,
        tpm: Option<u64>,
        burst_window_s: Option<u64>,
        ptu: bool,
    ) -> (Limiter, Instant) {
        let now = Instant::now();
        let limits = Limits {
            rpm,
            tpm,
            burst_window_s,
            ptu,
        };
        (Limiter::new(limits, now), now)
    }

    #[test]
    fn requests_beyond_the_minute_wait_for_the_next_one() {
        let (mut limiter, start) = limiter(Some(2), None, None, false);
        let at = |s| start + Duration::from_secs(s);
        assert!(limiter.admit(1, at(0)).is_ok());
        assert!(limiter.admit(1, at(10)).is_ok());
        let refused = limiter.admit(1, at(20)).unwrap_err();
        assert_eq!(
            (refused.reason, refused.wait.as_secs()),
            (Reason::Calls, 40)
        );
        assert!(limiter.admit(1, at(60)).is_ok());
    }

    #[test]
    fn a_burst_is_refused_while_the_minute_has_room() {
        let (mut limiter, start) = limiter(Some(60), None, Some(1), false);
        assert!(limiter.admit(1, start).is_ok());
        let refused = limiter.admit(1, start).unwrap_err();
        assert_eq!((refused.reason, refused.wait.as_secs()), (Reason::Calls, 1));
    }

    #[test]
    fn tokens_are_estimated_and_a_request_larger_than_the_limit_waits_a_day() {
        let (mut limiter, start) = limiter(None, Some(100), None, false);
        assert!(limiter.admit(60, start).is_ok());
        assert_eq!(limiter.admit(60, start).unwrap_err().wait, MINUTE);
        assert_eq!(limiter.admit(101, start).unwrap_err().wait, NEVER);
    }

    #[test]
    fn provisioned_units_refuse_above_full_utilisation_for_as_long_as_draining_takes() {
        let (mut limiter, start) = limiter(None, Some(600), None, true);
        assert_eq!(
            limiter.admit(300, start),
            Ok(Quota::Provisioned { utilization: 50.0 })
        );
        assert!(limiter.admit(310, start).is_ok());
        let refused = limiter.admit(1, start).unwrap_err();
        assert_eq!(
            (refused.reason, refused.wait.as_secs()),
            (Reason::Utilization, 1)
        );
        assert!(limiter.admit(1, start + Duration::from_secs(2)).is_ok());
    }
}
