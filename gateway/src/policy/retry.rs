//! Decides what follows a failed attempt: another one, or the end. One function for all three places where an
//! attempt can fail (no connection, a broken connection, an answer that is an error).

use super::{outcome::Outcome, params::RetryParams};

/// What is known about the request when an attempt has failed.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    pub outcome: &'a Outcome,
    pub params: &'a RetryParams,
    /// Attempts made so far, the failed one included.
    pub attempts: u32,
    /// Bytes of an answer went to the client.
    pub committed: bool,
    /// The request body can be sent again.
    pub replayable: bool,
    /// The request's total time is used up.
    pub out_of_time: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Retry,
    Stop(Stop),
}

/// Why there is no further attempt; a word for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    NotRetriable,
    Committed,
    NotReplayable,
    OutOfTime,
    AttemptsUsed,
    NobodyLeft,
    BudgetSpent,
}

impl Stop {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRetriable => "not_retriable",
            Self::Committed => "committed",
            Self::NotReplayable => "not_replayable",
            Self::OutOfTime => "out_of_time",
            Self::AttemptsUsed => "attempts_used",
            Self::NobodyLeft => "nobody_left",
            Self::BudgetSpent => "budget_spent",
        }
    }
}

/// `next` finds the next deployment; `budget` takes one retry out of the budget. They are asked last, in this
/// order, and only if everything else speaks for a retry, so that neither is used up in vain.
pub fn decide(
    situation: &Situation<'_>,
    next: impl FnOnce() -> bool,
    budget: impl FnOnce() -> bool,
) -> Verdict {
    let wanted = situation.outcome.is_retriable()
        && situation
            .outcome
            .cause
            .is_some_and(|cause| situation.params.on.contains(&cause));
    let stop = if situation.committed {
        Stop::Committed
    } else if !wanted {
        Stop::NotRetriable
    } else if !situation.replayable {
        Stop::NotReplayable
    } else if situation.out_of_time {
        Stop::OutOfTime
    } else if situation.attempts >= situation.params.attempts.get() {
        Stop::AttemptsUsed
    } else if !next() {
        Stop::NobodyLeft
    } else if situation.outcome.is_load() && !budget() {
        Stop::BudgetSpent
    } else {
        return Verdict::Retry;
    };
    Verdict::Stop(stop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cause::Cause;

    fn first<'a>(outcome: &'a Outcome, params: &'a RetryParams) -> Situation<'a> {
        Situation {
            outcome,
            params,
            attempts: 1,
            committed: false,
            replayable: true,
            out_of_time: false,
        }
    }

    fn after(outcome: Outcome, change: impl FnOnce(&mut Situation<'_>)) -> Verdict {
        let params = RetryParams::default();
        let mut situation = first(&outcome, &params);
        change(&mut situation);
        decide(&situation, || true, || true)
    }

    fn answer(status: u16) -> Outcome {
        Outcome::of_answer(status, None, None)
    }

    #[test]
    fn a_failure_that_another_deployment_may_not_have_is_retried() {
        for outcome in [answer(429), answer(500), answer(408), answer(401)] {
            assert_eq!(after(outcome, |_| {}), Verdict::Retry, "{outcome:?}");
        }
        assert_eq!(
            after(Outcome::without_answer(Cause::Connect), |_| {}),
            Verdict::Retry
        );
    }

    #[test]
    fn the_budget_is_for_load_and_not_for_a_refused_credential() {
        let params = RetryParams::default();
        for (status, expected) in [
            (401, Verdict::Retry),
            (403, Verdict::Stop(Stop::BudgetSpent)),
            (429, Verdict::Stop(Stop::BudgetSpent)),
            (503, Verdict::Stop(Stop::BudgetSpent)),
        ] {
            let outcome = answer(status);
            let verdict = decide(&first(&outcome, &params), || true, || false);
            assert_eq!(verdict, expected, "{status}");
        }
    }

    #[test]
    fn everything_that_speaks_against_a_retry_stops_it() {
        let stop = |reason| Verdict::Stop(reason);
        assert_eq!(after(answer(400), |_| {}), stop(Stop::NotRetriable));
        assert_eq!(
            after(Outcome::without_answer(Cause::ClientGone), |_| {}),
            stop(Stop::NotRetriable)
        );
        assert_eq!(
            after(answer(429), |s| s.committed = true),
            stop(Stop::Committed)
        );
        assert_eq!(
            after(answer(429), |s| s.replayable = false),
            stop(Stop::NotReplayable)
        );
        assert_eq!(
            after(answer(500), |s| s.out_of_time = true),
            stop(Stop::OutOfTime)
        );
        assert_eq!(
            after(answer(500), |s| s.attempts = 3),
            stop(Stop::AttemptsUsed)
        );
        assert_eq!(after(answer(500), |s| s.attempts = 2), Verdict::Retry);
    }

    #[test]
    fn causes_left_out_of_the_configuration_are_not_retried() {
        let params = RetryParams {
            on: vec![Cause::Throttled],
            ..RetryParams::default()
        };
        for (outcome, verdict) in [
            (answer(429), Verdict::Retry),
            (answer(500), Verdict::Stop(Stop::NotRetriable)),
        ] {
            let situation = first(&outcome, &params);
            assert_eq!(decide(&situation, || true, || true), verdict);
        }
    }

    #[test]
    fn the_budget_is_only_asked_when_there_is_somebody_to_retry_on() {
        let (outcome, params) = (answer(500), RetryParams::default());
        let situation = first(&outcome, &params);
        let verdict = decide(&situation, || false, || panic!("budget used in vain"));
        assert_eq!(verdict, Verdict::Stop(Stop::NobodyLeft));
        assert_eq!(
            decide(&situation, || true, || false),
            Verdict::Stop(Stop::BudgetSpent)
        );
    }
}
