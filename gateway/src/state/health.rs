//! Whether something may be sent to: its cool-down (one atomic, read at every selection) and its breaker
//! (behind a lock that a closed breaker is never asked for).

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    clock::Timestamp,
    policy::{
        breaker::{Breaker, Gate},
        cause::Cause,
        outcome::BreakerSignal,
        params::BreakerParams,
        select::Standing,
    },
};

/// The cause of a cool-down is kept in the low bits of its deadline, so that one `fetch_max` sets both.
const CAUSE_BITS: u32 = 4;

#[derive(Debug, Default)]
pub struct Health {
    /// Deadline in microseconds, then the place of its cause in `Cause::ALL`.
    cool_down: AtomicU64,
    breaker: Mutex<Breaker>,
    /// The breaker is not closed.
    engaged: AtomicBool,
    since: Since,
}

/// When what holds began, microseconds; 0 = not known. Written only where something changes.
#[derive(Debug, Default)]
struct Since {
    cool_down: AtomicU64,
    /// It opened, began to let through more and more, or closed.
    breaker: AtomicU64,
}

impl Health {
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        if let Some((until, cause)) = self.cooling(now) {
            return Standing::Cooling { until, cause };
        }
        if !self.engaged.load(Ordering::Acquire) {
            return Standing::Ready;
        }
        match self.breaker.lock().gate(now) {
            Gate::Closed | Gate::Probe => Standing::Ready,
            Gate::Open { until } => Standing::Ejected { until },
            Gate::Probing => Standing::Ejected { until: now },
            Gate::Ramp { percent } => Standing::Recovering { percent },
        }
    }

    /// The breaker is half-open and waits for a request to be its probe.
    #[must_use]
    pub fn is_probe_due(&self, now: Timestamp) -> bool {
        self.engaged.load(Ordering::Acquire) && self.breaker.lock().gate(now) == Gate::Probe
    }

    /// The cool-down under way: until when, and why.
    #[must_use]
    pub fn cooling(&self, now: Timestamp) -> Option<(Timestamp, Cause)> {
        let packed = self.cool_down.load(Ordering::Relaxed);
        let until = Timestamp::from_micros(packed >> CAUSE_BITS);
        let cause = usize::try_from(packed & ((1 << CAUSE_BITS) - 1)).expect("four bits");
        (until > now).then(|| (until, Cause::ALL[cause]))
    }

    /// Since when it stands as it does, where that is known.
    #[must_use]
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        let since = match self.standing(now) {
            Standing::Cooling { .. } => self.since.cool_down.load(Ordering::Relaxed),
            Standing::Ejected { .. } | Standing::Recovering { .. } => {
                self.since.breaker.load(Ordering::Relaxed)
            }
            Standing::Ready if self.is_probe_due(now) => 0,
            Standing::Ready => {
                let cooled_until = self.cool_down.load(Ordering::Relaxed) >> CAUSE_BITS;
                cooled_until.max(self.since.breaker.load(Ordering::Relaxed))
            }
        };
        (since > 0).then(|| Timestamp::from_micros(since))
    }

    /// Deadlines only move later, also when two requests set one at the same time.
    pub fn cool_down(&self, until: Timestamp, cause: Cause, now: Timestamp) {
        if self.cooling(now).is_none() {
            self.since
                .cool_down
                .store(now.as_micros(), Ordering::Relaxed);
        }
        let cause = Cause::ALL
            .iter()
            .position(|&c| c == cause)
            .expect("every cause is in ALL");
        let packed = (until.as_micros() << CAUSE_BITS) | cause as u64;
        self.cool_down.fetch_max(packed, Ordering::Relaxed);
    }

    /// Ends a cool-down of this cause: its reason is gone.
    pub fn forgive(&self, cause: Cause, now: Timestamp) {
        let packed = self.cool_down.load(Ordering::Relaxed);
        if self.cooling(now).is_some_and(|(_, other)| other == cause) {
            // A cool-down that was set meanwhile stays.
            let _ =
                self.cool_down
                    .compare_exchange(packed, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Takes the probe if the breaker is half-open. `Err` if another request has it; `Ok(false)` if none is needed.
    pub(super) fn take_probe(&self, now: Timestamp) -> Result<bool, ProbeTaken> {
        if !self.engaged.load(Ordering::Acquire) {
            return Ok(false);
        }
        let mut breaker = self.breaker.lock();
        match breaker.gate(now) {
            Gate::Probe => Ok(breaker.try_probe(now)),
            Gate::Probing => Err(ProbeTaken),
            Gate::Closed | Gate::Open { .. } | Gate::Ramp { .. } => Ok(false),
        }
    }

    pub(super) fn release_probe(&self) {
        self.breaker.lock().release();
    }

    /// Returns true if the breaker opened.
    pub(super) fn record(
        &self,
        params: &BreakerParams,
        signal: BreakerSignal,
        probe: bool,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> bool {
        // The common case, and the only one on the way of a healthy request.
        if signal != BreakerSignal::Failure && !self.engaged.load(Ordering::Acquire) {
            return false;
        }
        let mut breaker = self.breaker.lock();
        let before = stage(&breaker, now);
        let opened = breaker.record(params, signal, probe, retry_after, now);
        if stage(&breaker, now) != before {
            self.since.breaker.store(now.as_micros(), Ordering::Relaxed);
        }
        self.engaged.store(!breaker.is_closed(), Ordering::Release);
        opened
    }
}

/// What of it outlives its use: a change of configuration, or the process.
impl Health {
    /// Whether nothing is lost if it is forgotten at `now`.
    pub(super) fn is_spent(&self, now: Timestamp) -> bool {
        self.cooling(now).is_none() && self.breaker.lock().is_spent(now)
    }

    /// The breaker, unless it is as a new one.
    pub(super) fn breaker(&self) -> Option<Breaker> {
        let breaker = self.breaker.lock();
        (*breaker != Breaker::default()).then(|| breaker.clone())
    }

    pub(super) fn set_breaker(&self, new: Breaker, now: Timestamp) {
        let mut breaker = self.breaker.lock();
        if !new.is_closed() {
            self.since.breaker.store(now.as_micros(), Ordering::Relaxed);
        }
        self.engaged.store(!new.is_closed(), Ordering::Release);
        *breaker = new;
    }
}

/// Which part of its way a breaker is on, as far as people can see it: closed, open, or recovering.
fn stage(breaker: &Breaker, now: Timestamp) -> (bool, bool) {
    let recovers = matches!(breaker.gate(now), Gate::Ramp { .. });
    (breaker.is_closed(), recovers)
}

/// Another request is the probe of this breaker.
#[derive(Debug)]
pub(super) struct ProbeTaken;

/// The more restrictive of two standings that both apply.
pub(super) fn worse(a: Standing, b: Standing) -> Standing {
    use Standing::{Cooling, Ejected, Ready, Recovering};
    match (a, b) {
        (Cooling { until: x, .. }, Cooling { until: y, .. }) => {
            if x >= y {
                a
            } else {
                b
            }
        }
        (Cooling { .. }, _) => a,
        (_, Cooling { .. }) => b,
        (Ejected { until: x }, Ejected { until: y }) => Ejected { until: x.max(y) },
        (Ejected { .. }, _) => a,
        (_, Ejected { .. }) => b,
        (Recovering { percent: x }, Recovering { percent: y }) => Recovering { percent: x.min(y) },
        (Recovering { .. }, Ready) => a,
        (Ready, _) => b,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_shorter_cool_down_never_overwrites_a_longer_one() {
        let health = Health::default();
        health.cool_down(at(100), Cause::Throttled, at(1));
        health.cool_down(at(50), Cause::Auth, at(1));
        assert_eq!(
            health.standing(at(99)),
            Standing::Cooling {
                until: at(100),
                cause: Cause::Throttled
            }
        );
        assert_eq!(health.standing(at(100)), Standing::Ready);
    }

    #[test]
    fn only_a_cool_down_of_the_same_cause_is_forgiven() {
        for (cause, expected) in [
            (Cause::Auth, None),
            (Cause::Throttled, Some((at(100), Cause::Throttled))),
        ] {
            let health = Health::default();
            health.cool_down(at(100), cause, at(1));
            health.forgive(Cause::Auth, at(1));
            assert_eq!(health.cooling(at(1)), expected);
        }
    }

    #[test]
    fn no_cool_down_is_lost_when_many_are_set_at_once() {
        let health = Health::default();
        thread::scope(|scope| {
            for thread in 0..4_u64 {
                let health = &health;
                scope.spawn(move || {
                    for i in 0..50 {
                        let until = at(1_000 + (i * 4 + thread) * 7 % 200);
                        health.cool_down(until, Cause::Throttled, at(1));
                    }
                });
            }
        });
        assert_eq!(health.cooling(at(1)), Some((at(1_199), Cause::Throttled)));
    }

    #[test]
    fn it_knows_since_when_it_stands_as_it_does() {
        let health = Health::default();
        assert_eq!(health.since(at(1)), None);
        health.cool_down(at(100), Cause::Throttled, at(10));
        health.cool_down(at(200), Cause::Throttled, at(20));
        assert_eq!(
            health.since(at(150)),
            Some(at(10)),
            "a longer one is the same"
        );
        assert_eq!(health.since(at(300)), Some(at(200)), "it is over");
        let params = BreakerParams {
            failures: std::num::NonZeroU32::MIN,
            trip: Duration::from_micros(100),
            ..BreakerParams::default()
        };
        let record = |signal, probe, now| health.record(&params, signal, probe, None, at(now));
        record(BreakerSignal::Failure, false, 300);
        assert_eq!(health.since(at(350)), Some(at(300)));
        assert_eq!(health.since(at(400)), None, "a probe is due");
        assert!(health.take_probe(at(410)).unwrap());
        record(BreakerSignal::Success, true, 420);
        assert_eq!(health.since(at(430)), Some(at(420)), "recovering");
    }

    #[test]
    fn of_two_standings_the_stricter_counts() {
        let cooling = |t| Standing::Cooling {
            until: at(t),
            cause: Cause::Auth,
        };
        let ejected = |t| Standing::Ejected { until: at(t) };
        let recovering = |percent| Standing::Recovering { percent };
        for (a, b, expected) in [
            (Standing::Ready, Standing::Ready, Standing::Ready),
            (Standing::Ready, recovering(25), recovering(25)),
            (recovering(10), recovering(25), recovering(10)),
            (recovering(10), ejected(5), ejected(5)),
            (ejected(9), ejected(5), ejected(9)),
            (ejected(9), cooling(5), cooling(5)),
            (cooling(9), cooling(5), cooling(9)),
        ] {
            assert_eq!(worse(a, b), expected);
            assert_eq!(worse(b, a), expected);
        }
    }
}
