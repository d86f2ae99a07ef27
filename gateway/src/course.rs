//! The course of one request over its attempts: which deployment is tried, what each attempt was, and whether
//! another follows. It knows no sockets and no HTTP library, so the same course is run by the proxy and by tests
//! with a clock moved by hand. The decisions are `policy`'s; the one kept here is whom to blame.
//!
//! **Blame.** A 5xx or a timeout may be the request's own fault: some prompts make every deployment fail. So such
//! a failure is recorded only when the request is over. If two deployments failed in the same way and nobody
//! served it, the request is to blame and they are left alone.

use std::time::Duration;

use smallvec::SmallVec;

use crate::{
    clock::Timestamp,
    policy::{
        cause::Cause,
        outcome::Outcome,
        reason::Service,
        retry::{Situation, Stop, Verdict, decide},
        select::{Blocked, Standing},
    },
    pool::{Decision, Pick, Place, Pool, Wanted},
    state::{Changed, Lease},
};

/// How often one attempt may find its kept-alive connection dead.
const STALE_MAX: u8 = 1;
const SWITCHING_PROTOCOLS: u16 = 101;
/// A connection that breaks later than this after the request was sent was at work on it.
const STALE_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Course {
    /// Deployments tried, the one under way included.
    pub tried: SmallVec<[Place; 4]>,
    /// Attempts that are over.
    pub history: SmallVec<[Tried; 2]>,
    /// Why there is no further attempt.
    pub stopped: Option<Stop>,
    /// Its failures were its own fault, and are held against nobody.
    pub blamed: bool,
    /// Of the last pick.
    pub decision: Decision,
    next: Option<Pick>,
    current: Option<Attempt>,
    /// Failures that wait for the end of the request.
    suspects: SmallVec<[Suspect; 2]>,
}

/// The attempt under way.
#[derive(Debug)]
struct Attempt {
    place: Place,
    lease: Lease,
    started: Timestamp,
    first_byte: Option<Timestamp>,
    status: Option<u16>,
    stale: u8,
    /// Sent again with the other of two keys.
    other_key: bool,
}

/// An attempt that is over.
#[derive(Debug, Clone)]
pub struct Tried {
    pub place: Place,
    /// `None`: it succeeded.
    pub cause: Option<Cause>,
    pub status: Option<u16>,
    pub started: Timestamp,
    pub ended: Timestamp,
}

impl Tried {
    #[must_use]
    pub fn took(&self) -> Duration {
        self.ended.since(self.started)
    }
}

/// A failure whose record may have to wait: it can turn out to be the request's own fault.
#[derive(Debug)]
struct Suspect {
    outcome: Outcome,
    lease: Lease,
    place: Place,
}

impl Suspect {
    fn record(mut self, pool: &Pool, now: Timestamp) -> Recorded {
        let Self { outcome, place, .. } = self;
        let was = pool.standing(place, now);
        let (breaker, cool_down) = (&pool.model.breaker, &pool.model.cool_down);
        let changed = self.lease.record(&outcome, breaker, cool_down, now);
        Recorded {
            place,
            outcome,
            changed,
            was,
        }
    }
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

/// What came of the failures of a request so far.
#[derive(Debug, Default)]
pub struct Settled {
    pub recorded: SmallVec<[Recorded; 2]>,
    pub request_blamed: bool,
}

impl Course {
    /// Chooses the first deployment.
    ///
    /// # Errors
    /// Why nobody can be asked.
    pub fn choose_first<F: Fn(usize) -> Service>(
        &mut self,
        pool: &Pool,
        serves: F,
        now: Timestamp,
    ) -> Result<(), Blocked> {
        pool.state.deposit(now);
        let wanted = Wanted {
            tried: &[],
            serves,
            now,
        };
        let pick = pool.pick(&wanted, &mut self.decision).or_else(|blocked| {
            // Everything is cooling down. One request a second finds out whether it still must, and its
            // answer is the provider's own.
            let may = blocked.soonest.is_some() && pool.state.try_let_through(now);
            let preferred = may.then(|| pool.preferred(&wanted)).flatten();
            let preferred = preferred.ok_or(blocked)?;
            let priority = pool.tiers[preferred.place.tier].priority;
            self.decision.let_through(preferred.place, priority);
            Ok(preferred)
        })?;
        self.next = Some(pick);
        Ok(())
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
                first_byte: None,
                status: None,
                stale: 0,
                other_key: false,
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

    /// The first byte of its body has come.
    pub fn first_byte(&mut self, now: Timestamp) {
        if let Some(attempt) = &mut self.current {
            attempt.first_byte.get_or_insert(now);
        }
    }

    /// Whether the same attempt may be made on a fresh connection: its kept-alive one had died before any byte of
    /// an answer, which is nobody's fault. Costs no attempt.
    pub fn again(&mut self, now: Timestamp) -> bool {
        match &mut self.current {
            Some(attempt)
                if attempt.status.is_none()
                    && attempt.stale < STALE_MAX
                    && now.since(attempt.started) < STALE_WITHIN =>
            {
                attempt.stale += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether the same attempt may be made with another key: its first one was refused. Once, and costs no attempt.
    pub fn with_other_key(&mut self) -> bool {
        match &mut self.current {
            Some(attempt) if !attempt.other_key => {
                attempt.other_key = true;
                attempt.status = None;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The same attempt is made again, without what the gateway had added to it. Costs no attempt.
    pub fn anew(&mut self) {
        if let Some(attempt) = &mut self.current {
            attempt.status = None;
        }
    }

    /// The attempt under way is answered in a way that goes to the client. It stays under way until
    /// [`close`](Self::close): it may still break off.
    pub fn succeeded(&mut self, pool: &Pool, outcome: Outcome, now: Timestamp) -> Settled {
        let served = outcome.cause.is_none();
        let settled = self.settle(pool, served, now);
        if let Some(status) = outcome.status {
            self.answered(status);
        }
        if let Some(attempt) = &mut self.current {
            let (breaker, cool_down) = (&pool.model.breaker, &pool.model.cool_down);
            let _ = attempt.lease.record(&outcome, breaker, cool_down, now);
        }
        settled
    }

    /// The attempt under way has failed. Records that, and chooses the next one if there is to be one.
    pub fn ended<F: Fn(usize) -> Service>(
        &mut self,
        pool: &Pool,
        end: &End,
        serves: F,
        now: Timestamp,
    ) -> (Verdict, Settled) {
        let outcome = end.outcome;
        let Some(attempt) = self.current.take() else {
            return (Verdict::Stop(Stop::NotRetriable), Settled::default());
        };
        self.note(pool, &attempt, outcome.cause, outcome.status, now);
        let verdict = self.follow(pool, end, serves, now);
        let Attempt { place, lease, .. } = attempt;
        let failure = Suspect {
            outcome,
            lease,
            place,
        };
        let mut settled = Settled::default();
        if outcome.is_suspect() {
            self.suspects.push(failure);
        } else {
            settled.recorded.push(failure.record(pool, now));
        }
        if let Verdict::Stop(stop) = verdict {
            self.stopped = Some(stop);
            let Settled {
                recorded,
                request_blamed,
            } = self.settle(pool, false, now);
            settled.recorded.extend(recorded);
            settled.request_blamed = request_blamed;
        }
        (verdict, settled)
    }

    /// Records the failures that waited for the end of the request. `served`: some deployment answered it.
    pub fn settle(&mut self, pool: &Pool, served: bool, now: Timestamp) -> Settled {
        let suspects = std::mem::take(&mut self.suspects);
        let is_shared = |outcome: &Outcome| {
            let same = suspects
                .iter()
                .filter(|suspect| suspect.outcome.is_same_failure(outcome));
            same.count() > 1
        };
        let blamed: SmallVec<[bool; 2]> = suspects
            .iter()
            // What a probe found must be said: its breaker waits for it.
            .map(|suspect| !served && !suspect.lease.is_probe() && is_shared(&suspect.outcome))
            .collect();
        let request_blamed = blamed.contains(&true);
        self.blamed |= request_blamed;
        // The lease of one that is not to blame is given back without a word.
        let guilty = suspects
            .into_iter()
            .zip(blamed)
            .filter(|&(_, innocent)| !innocent);
        let recorded = guilty
            .map(|(suspect, _)| suspect.record(pool, now))
            .collect();
        Settled {
            recorded,
            request_blamed,
        }
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
        let tried = Tried {
            place: attempt.place,
            cause,
            status,
            started: attempt.started,
            ended: now,
        };
        let member = pool.member(attempt.place);
        member.metrics.attempt(cause, tried.took());
        // How long a tunnel is held says nothing about who holds its other end.
        if cause.is_none() && status != Some(SWITCHING_PROTOCOLS) {
            let first_byte = attempt.first_byte.map(|at| at.since(attempt.started));
            member.state.reading.served(first_byte, tried.took());
        }
        self.history.push(tried);
    }

    fn follow<F: Fn(usize) -> Service>(
        &mut self,
        pool: &Pool,
        end: &End,
        serves: F,
        now: Timestamp,
    ) -> Verdict {
        let situation = Situation {
            outcome: &end.outcome,
            params: &pool.model.retry,
            attempts: u32::try_from(self.tried.len()).unwrap_or(u32::MAX),
            committed: end.committed,
            replayable: end.replayable,
            out_of_time: end.out_of_time,
        };
        let mut next = None;
        let mut decision = None;
        let verdict = decide(
            &situation,
            || {
                let wanted = Wanted {
                    tried: &self.tried,
                    serves,
                    now,
                };
                let decision = decision.insert(Decision::default());
                next = pool.pick(&wanted, decision).ok();
                next.is_some()
            },
            || pool.state.withdraw(&pool.model.retry, now),
        );
        // Whoever was picked and may not be asked after all was not decided for.
        if let Some(decision) = decision.filter(|_| verdict == Verdict::Retry || next.is_none()) {
            self.decision = decision;
        }
        self.next = next.filter(|_| verdict == Verdict::Retry);
        verdict
    }
}
