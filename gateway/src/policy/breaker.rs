//! The circuit breaker of one deployment (or endpoint): decides whether failures are enough to stop sending,
//! and how traffic comes back.
//!
//! ```text
//! closed ── `failures` within `interval` ──▶ open ── after `trip` ──▶ half-open ── probe succeeds ──▶ ramp ──▶ closed
//!    ▲                                        ▲ ◀── probe fails ──────────┘                          │
//!    └────────────────────────────────────────┴──────────────── a failure ───────────────────────────┘
//! ```
//! Half-open lets exactly one request through. A recovered deployment then gets 10, 25, 50 and at last 100 % of
//! its share, because one that was overloaded falls over again under full load. What a breaker says is advice:
//! the selection ignores it for the last usable deployment of a model.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};

use super::{outcome::BreakerSignal, params::BreakerParams};
use crate::clock::Timestamp;

/// Shares of its traffic a recovering deployment gets, in percent, before it is closed again.
pub const RAMP_PERCENT: [u8; 3] = [10, 25, 50];
/// Successes that lead to the next share, if a tenth of `trip` has passed as well: many requests in one second
/// prove little. A third of `trip` and one success do for a quiet deployment.
const RAMP_SUCCESSES: u32 = 3;
/// A recovery that nothing was sent to for so long is no longer remembered: only traffic ends it.
const RAMP_REMEMBERED: Duration = Duration::from_secs(10 * 60);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Breaker {
    phase: Phase,
    /// Times of the failures inside the interval, oldest first; at most `failures` of them.
    failures: VecDeque<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Timestamp,
        trip: Duration,
    },
    /// One probe is under way. One that says nothing for a whole trip time is no reason to wait for it: a
    /// reasoning model may take minutes to its first byte.
    HalfOpen {
        until: Timestamp,
        trip: Duration,
    },
    Ramp {
        #[serde(deserialize_with = "ramp_step")]
        step: usize,
        since: Timestamp,
        successes: u32,
    },
}

/// What the breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Closed,
    Open {
        until: Timestamp,
    },
    /// A probe may start; whoever sends must take it first with [`Breaker::try_probe`].
    Probe,
    /// Another request is the probe.
    Probing,
    Ramp {
        percent: u8,
    },
}

impl Breaker {
    #[must_use]
    pub fn gate(&self, now: Timestamp) -> Gate {
        match self.phase {
            Phase::Closed => Gate::Closed,
            Phase::Open { until, .. } if now < until => Gate::Open { until },
            Phase::HalfOpen { until, .. } if now < until => Gate::Probing,
            Phase::Open { .. } | Phase::HalfOpen { .. } => Gate::Probe,
            Phase::Ramp { step, .. } => Gate::Ramp {
                percent: RAMP_PERCENT[step],
            },
        }
    }

    /// Takes the one probe of a half-open breaker. The caller must [`record`](Self::record) its outcome or
    /// [`release`](Self::release) it.
    pub fn try_probe(&mut self, now: Timestamp) -> bool {
        let (Phase::Open { until, trip } | Phase::HalfOpen { until, trip }) = self.phase else {
            return false;
        };
        let free = now >= until;
        if free {
            self.phase = Phase::HalfOpen {
                until: now.saturating_add(trip),
                trip,
            };
        }
        free
    }

    /// A probe that ended without saying anything (the client left, say) is given back: the next is due at once.
    pub fn release(&mut self) {
        if let Phase::HalfOpen { trip, .. } = self.phase {
            self.phase = Phase::Open {
                until: Timestamp::default(),
                trip,
            };
        }
    }

    /// `probe`: this outcome is that of the half-open probe. Returns true if the breaker opened.
    pub fn record(
        &mut self,
        params: &BreakerParams,
        signal: BreakerSignal,
        probe: bool,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> bool {
        if !params.enabled {
            // For this model; another one may share it.
            if probe {
                self.release();
            }
            return false;
        }
        match signal {
            BreakerSignal::Neutral => {
                if probe {
                    self.release();
                }
                false
            }
            BreakerSignal::Success => {
                self.succeed(params, probe, now);
                false
            }
            BreakerSignal::Failure => self.fail(params, probe, retry_after, now),
        }
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether it may be forgotten at `now`, if nothing uses it: it holds nobody back and prepares no return.
    #[must_use]
    pub fn is_spent(&self, now: Timestamp) -> bool {
        match self.phase {
            Phase::Closed => true,
            Phase::Open { until, .. } | Phase::HalfOpen { until, .. } => now >= until,
            Phase::Ramp { since, .. } => now.since(since) >= RAMP_REMEMBERED,
        }
    }

    /// How a process goes on with the breaker of its predecessor. A probe under way stays there and its outcome
    /// is not heard of here, so the next is due at once. What cannot be true would hold for ever: nothing but
    /// the end of a trip lies in the future, and no trip takes more than `longest`.
    #[must_use]
    pub fn resumed(mut self, longest: Duration, now: Timestamp) -> Self {
        self.release();
        match &mut self.phase {
            Phase::Closed | Phase::HalfOpen { .. } => {}
            Phase::Open { until, trip } => {
                *until = (*until).min(now.saturating_add(longest));
                *trip = (*trip).min(longest);
            }
            Phase::Ramp { since, .. } => *since = (*since).min(now),
        }
        for failure in &mut self.failures {
            *failure = (*failure).min(now);
        }
        self
    }

    fn succeed(&mut self, params: &BreakerParams, probe: bool, now: Timestamp) {
        match self.phase {
            Phase::HalfOpen { .. } if probe => {
                self.phase = Phase::Ramp {
                    step: 0,
                    since: now,
                    successes: 0,
                };
            }
            Phase::Ramp {
                step,
                since,
                successes,
            } => {
                let successes = successes.saturating_add(1);
                let passed = now.since(since);
                let enough = successes >= RAMP_SUCCESSES && passed >= params.trip / 10
                    || passed >= params.trip / 3;
                self.phase = if !enough {
                    Phase::Ramp {
                        step,
                        since,
                        successes,
                    }
                } else if step + 1 < RAMP_PERCENT.len() {
                    Phase::Ramp {
                        step: step + 1,
                        since: now,
                        successes: 0,
                    }
                } else {
                    self.failures.clear();
                    Phase::Closed
                };
            }
            // Requests sent before the trip may still succeed; they say nothing about now.
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen { .. } => {}
        }
    }

    fn fail(
        &mut self,
        params: &BreakerParams,
        probe: bool,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> bool {
        let trips = match self.phase {
            Phase::Closed => self.count(params, now),
            Phase::HalfOpen { .. } => probe,
            Phase::Ramp { .. } => true,
            Phase::Open { .. } => false,
        };
        if trips {
            let asked = retry_after.filter(|_| params.accept_retry_after);
            let trip = asked.unwrap_or(params.trip);
            self.phase = Phase::Open {
                until: now.saturating_add(trip),
                trip,
            };
            self.failures.clear();
        }
        trips
    }

    /// Adds a failure; true if they are enough.
    fn count(&mut self, params: &BreakerParams, now: Timestamp) -> bool {
        self.failures.push_back(now);
        while self
            .failures
            .front()
            .is_some_and(|&oldest| now.since(oldest) > params.interval)
        {
            self.failures.pop_front();
        }
        self.failures.len() >= params.failures.get() as usize
    }
}

/// A version of the program with more steps may have written it.
fn ramp_step<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    usize::deserialize(deserializer).map(|step| step.min(RAMP_PERCENT.len() - 1))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn params() -> BreakerParams {
        BreakerParams {
            failures: NonZeroU32::new(3).unwrap(),
            interval: Duration::from_secs(60),
            trip: Duration::from_secs(30),
            ..BreakerParams::default()
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn fail(breaker: &mut Breaker, seconds: u64) -> bool {
        breaker.record(&params(), BreakerSignal::Failure, false, None, at(seconds))
    }

    fn tripped() -> Breaker {
        let mut breaker = Breaker::default();
        assert!(!fail(&mut breaker, 1) && !fail(&mut breaker, 2) && fail(&mut breaker, 3));
        breaker
    }

    #[test]
    fn it_opens_at_the_configured_number_of_failures_for_the_trip_time() {
        let breaker = tripped();
        assert_eq!(breaker.gate(at(3)), Gate::Open { until: at(33) });
        assert_eq!(breaker.gate(at(32)), Gate::Open { until: at(33) });
        assert_eq!(breaker.gate(at(33)), Gate::Probe);
    }

    #[test]
    fn failures_older_than_the_interval_do_not_count() {
        let mut breaker = Breaker::default();
        assert!(!fail(&mut breaker, 1) && !fail(&mut breaker, 2));
        assert!(!fail(&mut breaker, 63));
        assert_eq!(breaker.gate(at(63)), Gate::Closed);
    }

    #[test]
    fn retry_after_replaces_the_trip_time_only_where_it_is_accepted() {
        for (accept, until) in [(true, at(8)), (false, at(31))] {
            let params = BreakerParams {
                failures: NonZeroU32::MIN,
                accept_retry_after: accept,
                ..params()
            };
            let mut breaker = Breaker::default();
            let wait = Some(Duration::from_secs(7));
            assert!(breaker.record(&params, BreakerSignal::Failure, false, wait, at(1)));
            assert_eq!(breaker.gate(at(1)), Gate::Open { until });
        }
    }

    #[test]
    fn half_open_lets_exactly_one_probe_through() {
        let mut breaker = tripped();
        assert!(!breaker.try_probe(at(32)));
        assert!(breaker.try_probe(at(33)));
        assert!(!breaker.try_probe(at(33)));
        assert_eq!(breaker.gate(at(40)), Gate::Probing);
    }

    #[test]
    fn a_probe_that_says_nothing_is_given_back() {
        for release in [true, false] {
            let mut breaker = tripped();
            assert!(breaker.try_probe(at(33)));
            if release {
                breaker.release();
            } else {
                breaker.record(&params(), BreakerSignal::Neutral, true, None, at(34));
            }
            assert!(breaker.try_probe(at(34)));
        }
    }

    #[test]
    fn a_probe_that_takes_too_long_makes_room_for_another() {
        let mut breaker = tripped();
        assert!(breaker.try_probe(at(33)));
        assert!(!breaker.try_probe(at(62)));
        assert!(breaker.try_probe(at(63)));
        breaker.record(&params(), BreakerSignal::Success, true, None, at(64));
        assert_eq!(breaker.gate(at(64)), Gate::Ramp { percent: 10 });
    }

    #[test]
    fn a_failed_probe_opens_it_again_and_late_failures_do_not_prolong_it() {
        let mut breaker = tripped();
        assert!(breaker.try_probe(at(33)));
        assert!(breaker.record(&params(), BreakerSignal::Failure, true, None, at(34)));
        assert_eq!(breaker.gate(at(34)), Gate::Open { until: at(64) });
        assert!(!fail(&mut breaker, 50));
        assert_eq!(breaker.gate(at(50)), Gate::Open { until: at(64) });
    }

    #[test]
    fn an_old_request_that_fails_while_the_probe_runs_does_not_end_the_probe() {
        let mut breaker = tripped();
        assert!(breaker.try_probe(at(33)));
        assert!(!fail(&mut breaker, 34));
        breaker.record(&params(), BreakerSignal::Success, false, None, at(34));
        assert_eq!(breaker.gate(at(34)), Gate::Probing);
    }

    #[test]
    fn traffic_comes_back_in_steps_that_take_their_time() {
        let mut breaker = tripped();
        assert!(breaker.try_probe(at(33)));
        breaker.record(&params(), BreakerSignal::Success, true, None, at(33));
        let ramp = |percent| Gate::Ramp { percent };
        for (second, gate) in [
            (33, ramp(10)),
            (35, ramp(10)),
            (36, ramp(25)),
            (38, ramp(25)),
            (39, ramp(50)),
            (42, Gate::Closed),
        ] {
            for _ in 0..100 {
                breaker.record(&params(), BreakerSignal::Success, false, None, at(second));
            }
            assert_eq!(breaker.gate(at(second)), gate, "at {second} s");
        }
    }

    #[test]
    fn a_quiet_deployment_gets_its_share_back_by_time() {
        let mut breaker = tripped();
        assert!(breaker.try_probe(at(33)));
        breaker.record(&params(), BreakerSignal::Success, true, None, at(33));
        breaker.record(&params(), BreakerSignal::Success, false, None, at(43));
        assert_eq!(breaker.gate(at(43)), Gate::Ramp { percent: 25 });
    }

    #[test]
    fn a_failure_on_the_ramp_opens_it_again() {
        let mut breaker = tripped();
        assert!(breaker.try_probe(at(33)));
        breaker.record(&params(), BreakerSignal::Success, true, None, at(33));
        assert!(fail(&mut breaker, 35));
        assert_eq!(breaker.gate(at(35)), Gate::Open { until: at(65) });
    }

    #[test]
    fn a_process_goes_on_where_its_predecessor_was() {
        let at_step = |step| Phase::Ramp {
            step,
            since: at(90),
            successes: 2,
        };
        let open = |until, trip| Phase::Open {
            until,
            trip: Duration::from_secs(trip),
        };
        let half_open = |until| Phase::HalfOpen {
            until,
            trip: Duration::from_secs(30),
        };
        for (phase, gate, spent) in [
            (Phase::Closed, Gate::Closed, true),
            (open(at(110), 30), Gate::Open { until: at(110) }, false),
            (open(at(100), 30), Gate::Probe, true),
            (half_open(at(90)), Gate::Probe, true),
            (at_step(1), Gate::Ramp { percent: 25 }, false),
            // The probe of the other process is not waited for.
            (half_open(at(120)), Gate::Probe, true),
            // What no version of the program writes.
            (at_step(9), Gate::Ramp { percent: 50 }, false),
            (
                open(at(u64::MAX / 1_000_000), 30),
                Gate::Open { until: at(160) },
                false,
            ),
            (
                open(at(110), u64::MAX),
                Gate::Open { until: at(110) },
                false,
            ),
        ] {
            let old = Breaker {
                phase,
                failures: VecDeque::from([at(70), at(99), at(500)]),
            };
            let text = serde_json::to_string(&old).unwrap();
            let new: Breaker = serde_json::from_str(&text).unwrap();
            let mut new = new.resumed(Duration::from_secs(60), at(100));
            assert_eq!(new.gate(at(100)), gate, "{text}");
            assert_eq!(new.is_spent(at(100)), spent, "{text}");
            assert_eq!(new.failures, [at(70), at(99), at(100)]);
            if new.try_probe(at(200)) {
                assert_eq!(new.gate(at(260)), Gate::Probe, "{text}");
            }
        }
    }

    #[test]
    fn a_recovery_that_nothing_is_sent_to_is_forgotten_in_the_end() {
        let mut breaker = tripped();
        assert!(breaker.try_probe(at(33)));
        breaker.record(&params(), BreakerSignal::Success, true, None, at(33));
        assert!(!breaker.is_spent(at(632)));
        assert!(breaker.is_spent(at(633)));
    }

    #[test]
    fn one_that_is_off_counts_nothing_and_leaves_what_others_counted() {
        let off = BreakerParams {
            enabled: false,
            failures: NonZeroU32::MIN,
            ..params()
        };
        let mut breaker = Breaker::default();
        breaker.record(&off, BreakerSignal::Failure, false, None, at(1));
        assert!(breaker.is_closed());
        let mut breaker = tripped();
        breaker.record(&off, BreakerSignal::Success, false, None, at(4));
        assert_eq!(breaker.gate(at(4)), Gate::Open { until: at(33) });
    }
}
