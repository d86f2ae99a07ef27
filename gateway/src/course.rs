//! The course of one request over its attempts: which deployment is tried, what each attempt was, and whether
//! another follows. It knows no sockets and no HTTP library, so the same course is run by the proxy and by tests
//! with a clock moved by hand. The decisions are `policy`'s; the one kept here is whom to blame.
//!
//! **Blame.** A 5xx or a timeout may be the request's own fault: some prompts make every deployment fail. So
//! such a failure is recorded only when the next attempt did not fail in the same way. If it did, the request is
//! to blame, both deployments are left alone, and nothing more is tried.

use smallvec::SmallVec;

use crate::{
    clock::{Clock, Timestamp},
    policy::{
        cause::Cause,
        outcome::Outcome,
        retry::{Situation, Stop, Verdict, decide},
        select::{Blocked, Standing},
    },
    pool::{Pick, Place, Pool, Wanted},
    state::{Changed, Lease},
};

/// How often one attempt may find its kept-alive connection dead.
const STALE_MAX: u8 = 2;

#[derive(Debug, Default)]
pub struct Course {
    /// Deployments tried, the one under way included.
    pub tried: SmallVec<[Place; 4]>,
    /// Attempts that are over.
    pub history: SmallVec<[Tried; 2]>,
    /// Why there is no further attempt.
    pub stopped: Option<Stop>,
    next: Option<Pick>,
    current: Option<Attempt>,
    suspect: Option<Suspect>,
}

/// The attempt under way.
#[derive(Debug)]
struct Attempt {
    place: Place,
    lease: Lease,
    started: Timestamp,
    status: Option<u16>,
    stale: u8,
}

/// An attempt that is over.
#[derive(Debug, Clone)]
pub struct Tried {
    pub place: Place,
    /// `None`: it succeeded.
    pub cause: Option<Cause>,
    pub status: Option<u16>,
    pub millis: u64,
}

/// A failure that may turn out to be the request's own fault.
#[derive(Debug)]
struct Suspect {
    outcome: Outcome,
    lease: Lease,
    place: Place,
}

/// How an attempt ended, and what else bears on the next one.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub outcome: Outcome,
    /// Bytes of an answer went to the client.
    pub committed: bool,
    /// The request can be sent again.
    pub replayable: bool,
    pub out_of_time: bool,
}

/// What was recorded about a deployment, for metrics and the log.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    pub place: Place,
    pub outcome: Outcome,
    pub changed: Changed,
    /// Where it stood before.
    pub was: Standing,
}

/// What followed from the end of an attempt.
#[derive(Debug)]
pub struct Followed {
    pub verdict: Verdict,
    pub recorded: SmallVec<[Recorded; 2]>,
    pub request_blamed: bool,
}

impl Course {
    /// Chooses the first deployment.
    ///
    /// # Errors
    /// Why nobody can be asked.
    pub fn first<F: Fn(usize) -> bool>(
        pool: &Pool,
        serves: F,
        clock: Clock,
        now: Timestamp,
    ) -> Result<Self, Blocked> {
        pool.state.deposit(now);
        let wanted = Wanted {
            tried: &[],
            serves,
            last_resort: true,
            now,
        };
        let pick = pool.pick(&wanted, clock).or_else(|blocked| {
            // Everything is cooling down. One request a second finds out whether it still must, and its
            // answer is the provider's own.
            let may = blocked.soonest.is_some() && pool.state.try_let_through(now);
            let preferred = may.then(|| pool.preferred(&wanted.serves, clock)).flatten();
            preferred.ok_or(blocked)
        })?;
        Ok(Self {
            next: Some(pick),
            ..Self::default()
        })
    }

    /// Begins the attempt that was chosen; one that goes on (on a fresh connection) stays the same. Returns its
    /// place.
    pub fn begin(&mut self, now: Timestamp) -> Option<Place> {
        if let Some(Pick { place, lease }) = self.next.take() {
            self.tried.push(place);
            self.current = Some(Attempt {
                place,
                lease,
                started: now,
                status: None,
                stale: 0,
            });
        }
        self.place()
    }

    /// Where the attempt under way goes.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.current.as_ref().map(|attempt| attempt.place)
    }

    /// The status that the attempt under way was answered with, once it was.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.current.as_ref().and_then(|attempt| attempt.status)
    }

    /// The head of an answer has come.
    pub fn answered(&mut self, status: u16) {
        if let Some(attempt) = &mut self.current {
            attempt.status = Some(status);
        }
    }

    /// Whether the same attempt may be made on a fresh connection: its kept-alive one had died before any byte of
    /// an answer, which is nobody's fault. Costs no attempt.
    pub fn again(&mut self) -> bool {
        match &mut self.current {
            Some(attempt) if attempt.status.is_none() && attempt.stale < STALE_MAX => {
                attempt.stale += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The attempt under way is answered in a way that goes to the client. It stays under way until
    /// [`close`](Self::close): it may still break off.
    pub fn succeeded(&mut self, pool: &Pool, status: u16, now: Timestamp) -> Option<Recorded> {
        let settled = self.settle(pool, now);
        self.answered(status);
        if let Some(attempt) = &mut self.current {
            let (breaker, cool_down) = (&pool.model.breaker, &pool.model.cool_down);
            let outcome = Outcome::of_answer(status, None, None);
            let _ = attempt.lease.record(&outcome, breaker, cool_down, now);
        }
        settled
    }

    /// The attempt under way has failed. Records that, and chooses the next one if there is to be one.
    pub fn ended<F: Fn(usize) -> bool>(
        &mut self,
        pool: &Pool,
        end: &End,
        serves: F,
        clock: Clock,
        now: Timestamp,
    ) -> Followed {
        let outcome = &end.outcome;
        let Some(attempt) = self.current.take() else {
            let verdict = Verdict::Stop(Stop::NotRetriable);
            return Followed {
                verdict,
                recorded: SmallVec::new(),
                request_blamed: false,
            };
        };
        self.note(pool, &attempt, outcome.cause, outcome.status, now);
        let mut recorded = SmallVec::new();
        let request_blamed = self
            .suspect
            .as_ref()
            .is_some_and(|suspect| suspect.outcome.is_same_failure(outcome));
        if request_blamed {
            // Both leases are given back without a word.
            self.suspect = None;
        } else {
            recorded.extend(self.settle(pool, now));
        }
        let verdict = self.follow(pool, end, request_blamed, serves, clock, now);
        if !request_blamed {
            let Attempt { place, lease, .. } = attempt;
            self.suspect = Some(Suspect {
                outcome: *outcome,
                lease,
                place,
            });
            if verdict != Verdict::Retry || !outcome.may_be_the_requests_fault() {
                recorded.extend(self.settle(pool, now));
            }
        }
        if let Verdict::Stop(stop) = verdict {
            self.stopped = Some(stop);
        }
        Followed {
            verdict,
            recorded,
            request_blamed,
        }
    }

    /// Records a failure that waited for the next attempt.
    pub fn settle(&mut self, pool: &Pool, now: Timestamp) -> Option<Recorded> {
        let Suspect {
            outcome,
            mut lease,
            place,
        } = self.suspect.take()?;
        let was = pool.member(place).standing(now);
        let changed = lease.record(&outcome, &pool.model.breaker, &pool.model.cool_down, now);
        Some(Recorded {
            place,
            outcome,
            changed,
            was,
        })
    }

    /// The request is over: the attempt still under way was the one whose answer went to the client.
    pub fn close(
        &mut self,
        pool: &Pool,
        cause: impl FnOnce(Option<u16>) -> Option<Cause>,
        now: Timestamp,
    ) {
        if let Some(attempt) = self.current.take() {
            let cause = cause(attempt.status);
            self.note(pool, &attempt, cause, attempt.status, now);
        }
    }

    fn note(
        &mut self,
        pool: &Pool,
        attempt: &Attempt,
        cause: Option<Cause>,
        status: Option<u16>,
        now: Timestamp,
    ) {
        pool.member(attempt.place).metrics.attempt(cause);
        let millis = u64::try_from(now.since(attempt.started).as_millis()).unwrap_or(u64::MAX);
        self.history.push(Tried {
            place: attempt.place,
            cause,
            status,
            millis,
        });
    }

    fn follow<F: Fn(usize) -> bool>(
        &mut self,
        pool: &Pool,
        end: &End,
        request_blamed: bool,
        serves: F,
        clock: Clock,
        now: Timestamp,
    ) -> Verdict {
        let situation = Situation {
            outcome: &end.outcome,
            params: &pool.model.retry,
            attempts: u32::try_from(self.tried.len()).unwrap_or(u32::MAX),
            committed: end.committed,
            replayable: end.replayable,
            request_blamed,
            out_of_time: end.out_of_time,
        };
        let mut next = None;
        let verdict = decide(
            &situation,
            || {
                let wanted = Wanted {
                    tried: &self.tried,
                    serves,
                    last_resort: false,
                    now,
                };
                next = pool.pick(&wanted, clock).ok();
                next.is_some()
            },
            || pool.state.withdraw(&pool.model.retry, now),
        );
        self.next = next.filter(|_| verdict == Verdict::Retry);
        verdict
    }
}
