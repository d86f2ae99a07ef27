//! Decides what one attempt was, and what follows from it for the deployment that was tried. It does not
//! decide whether to retry (`retry`) nor keep any state (`crate::state`).

use std::time::Duration;

use super::{
    cause::Cause,
    params::{BreakerParams, CoolDownParams},
};

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// `None`: it succeeded.
    pub cause: Option<Cause>,
    /// The status of the provider's answer, if there was one.
    pub status: Option<u16>,
    /// How long the provider asked us to wait.
    pub retry_after: Option<Duration>,
}

impl Outcome {
    #[must_use]
    pub const fn without_answer(cause: Cause) -> Self {
        Self {
            cause: Some(cause),
            status: None,
            retry_after: None,
        }
    }

    /// `code` is the `error.code` of the body, where it was read.
    #[must_use]
    pub fn of_answer(status: u16, code: Option<&str>, retry_after: Option<Duration>) -> Self {
        Self {
            cause: cause_of(status, code),
            status: Some(status),
            retry_after,
        }
    }

    /// Whether another deployment may answer better: the cause says so, and for answers the status too
    /// (505 and above are about the protocol, not about the deployment).
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        let Some(cause) = self.cause else {
            return false;
        };
        Cause::RETRIABLE.contains(&cause)
            && (cause != Cause::Server || matches!(self.status, Some(408 | 500..=504) | None))
    }

    /// Whether more of the same could make an outage worse, which is what the retry budget is against. A refused
    /// credential is not about load, and from the next request on the endpoint is left out.
    #[must_use]
    pub fn is_load(&self) -> bool {
        !(self.cause == Some(Cause::Auth) && self.status == Some(401))
    }

    /// Whether the request may be the reason for this failure: some prompts make every deployment fail.
    /// Throttling, refused credentials and missing connections say something about the deployment whatever was
    /// asked, and so does one that says when it is back.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        let suspect = match self.cause {
            Some(Cause::Server | Cause::Timeout) => true,
            // Resources that all lack a feature forbid it; one that refuses the key says 401.
            Some(Cause::Auth) => self.status == Some(403),
            _ => false,
        };
        suspect && self.retry_after.is_none()
    }

    /// Whether two deployments failed in the same way on the same request. Unless a third one served it, the
    /// request is to blame.
    #[must_use]
    pub fn is_same_failure(&self, other: &Self) -> bool {
        self.is_suspect()
            && other.is_suspect()
            && self.cause == other.cause
            && self.status == other.status
    }
}

fn cause_of(status: u16, code: Option<&str>) -> Option<Cause> {
    match status {
        // A provider that redirects would send the client, and its key, somewhere else.
        300..=303 | 305..=399 => Some(Cause::Server),
        0..=399 => None,
        400 if code == Some("content_filter") => Some(Cause::ContentFilter),
        401 | 403 => Some(Cause::Auth),
        404 if matches!(code, Some("DeploymentNotFound" | "model_not_found")) => {
            Some(Cause::Absent)
        }
        408 | 500.. => Some(Cause::Server),
        429 => Some(Cause::Throttled),
        _ => Some(Cause::BadRequest),
    }
}

/// What an outcome means for the health of what was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// Send nothing there for this long.
    pub cool_down: Option<Duration>,
    pub breaker: BreakerSignal,
    pub scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerSignal {
    Success,
    Failure,
    /// Says nothing about health: a half-open probe that ends so is given back.
    Neutral,
}

/// What the outcome is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Deployment,
    /// The whole resource: nothing of it can be reached, or it refuses our credential.
    Endpoint,
}

#[must_use]
pub fn effect(outcome: &Outcome, breaker: &BreakerParams, cool_down: &CoolDownParams) -> Effect {
    let asked = outcome
        .retry_after
        .map(|wait| wait.clamp(cool_down.min, cool_down.max));
    let (pause, scope) = match outcome.cause {
        Some(Cause::Throttled) => (
            Some(asked.unwrap_or(cool_down.default.min(cool_down.max))),
            Scope::Deployment,
        ),
        // Shorter where a new credential is on its way.
        Some(Cause::Auth) => (
            Some(
                outcome
                    .retry_after
                    .unwrap_or(cool_down.auth)
                    .min(cool_down.auth),
            ),
            Scope::Endpoint,
        ),
        Some(Cause::Absent) => (Some(cool_down.absent), Scope::Deployment),
        // An overloaded service that says when it is back is believed.
        Some(Cause::Server) => (asked, Scope::Deployment),
        Some(Cause::Connect | Cause::Tls | Cause::Dns) => (None, Scope::Endpoint),
        Some(
            Cause::Timeout
            | Cause::Stall
            | Cause::ClientGone
            | Cause::BadRequest
            | Cause::ContentFilter
            | Cause::Gateway,
        )
        | None => (None, Scope::Deployment),
    };
    Effect {
        cool_down: pause,
        breaker: signal(outcome, breaker),
        scope,
    }
}

fn signal(outcome: &Outcome, params: &BreakerParams) -> BreakerSignal {
    let Some(cause) = outcome.cause else {
        return BreakerSignal::Success;
    };
    let counts = match outcome.status {
        _ if matches!(cause, Cause::ClientGone | Cause::Gateway) => false,
        // A stream that broke off had a good status: what counts is how it ended.
        Some(_) if cause == Cause::Stall => params.reasons.contains(&cause),
        Some(status) => {
            // So had one with an error inside, which counts as the answer that it would have been before.
            let status = match (cause, status) {
                (Cause::Server, 200..=299) => 500,
                (Cause::Throttled, 200..=299) => 429,
                (_, _) => status,
            };
            params.statuses.iter().any(|range| range.contains(&status))
        }
        None => params.reasons.contains(&cause),
    };
    if counts {
        BreakerSignal::Failure
    } else {
        BreakerSignal::Neutral
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: Option<&str>) -> Outcome {
        Outcome::of_answer(status, code, None)
    }

    #[test]
    fn every_answer_has_exactly_one_cause() {
        for (status, code, cause) in [
            (200, None, None),
            (101, None, None),
            (304, None, None),
            (302, None, Some(Cause::Server)),
            (400, None, Some(Cause::BadRequest)),
            (400, Some("content_filter"), Some(Cause::ContentFilter)),
            (
                400,
                Some("context_length_exceeded"),
                Some(Cause::BadRequest),
            ),
            (401, None, Some(Cause::Auth)),
            (403, None, Some(Cause::Auth)),
            (404, None, Some(Cause::BadRequest)),
            (404, Some("404"), Some(Cause::BadRequest)),
            (404, Some("DeploymentNotFound"), Some(Cause::Absent)),
            (404, Some("model_not_found"), Some(Cause::Absent)),
            (408, None, Some(Cause::Server)),
            (409, None, Some(Cause::BadRequest)),
            (413, None, Some(Cause::BadRequest)),
            (422, None, Some(Cause::BadRequest)),
            (424, None, Some(Cause::BadRequest)),
            (429, None, Some(Cause::Throttled)),
            (500, None, Some(Cause::Server)),
            (503, None, Some(Cause::Server)),
            (529, None, Some(Cause::Server)),
        ] {
            assert_eq!(answer(status, code).cause, cause, "{status} {code:?}");
        }
    }

    #[test]
    fn only_what_another_deployment_could_do_better_is_retriable() {
        for status in [408, 429, 500, 502, 503, 504, 401, 403] {
            assert!(answer(status, None).is_retriable(), "{status}");
        }
        for status in [200, 302, 400, 404, 409, 413, 415, 422, 424, 505, 529] {
            assert!(!answer(status, None).is_retriable(), "{status}");
        }
        assert!(answer(404, Some("DeploymentNotFound")).is_retriable());
        assert!(!answer(400, Some("content_filter")).is_retriable());
        for cause in Cause::ALL {
            let retriable = Outcome::without_answer(cause).is_retriable();
            assert_eq!(retriable, Cause::RETRIABLE.contains(&cause), "{cause:?}");
        }
    }

    #[test]
    fn a_pause_is_clamped_and_finite() {
        let (breaker, cool) = (BreakerParams::default(), CoolDownParams::default());
        let pause = |status, wait_ms: Option<u64>| {
            let outcome = Outcome::of_answer(status, None, wait_ms.map(Duration::from_millis));
            effect(&outcome, &breaker, &cool)
                .cool_down
                .map(|d| d.as_millis())
        };
        assert_eq!(pause(429, Some(86_400_000)), Some(60_000));
        assert_eq!(pause(429, Some(20)), Some(1_000));
        assert_eq!(pause(429, Some(7_500)), Some(7_500));
        assert_eq!(pause(429, None), Some(10_000));
        assert_eq!(pause(401, Some(5_000)), Some(5_000));
        assert_eq!(pause(401, Some(86_400_000)), Some(60_000));
        assert_eq!(pause(401, None), Some(60_000));
        assert_eq!(pause(503, Some(5_000)), Some(5_000));
        assert_eq!(pause(503, None), None);
        assert_eq!(pause(400, Some(5_000)), None);
        assert_eq!(pause(200, Some(5_000)), None);
    }

    #[test]
    fn the_breaker_counts_what_it_was_told_to_and_never_the_client() {
        let params = BreakerParams {
            statuses: vec![429..=429, 500..=503],
            ..BreakerParams::default()
        };
        let of = |outcome: Outcome| effect(&outcome, &params, &CoolDownParams::default()).breaker;
        assert_eq!(of(answer(200, None)), BreakerSignal::Success);
        assert_eq!(of(answer(429, None)), BreakerSignal::Failure);
        assert_eq!(of(answer(504, None)), BreakerSignal::Neutral);
        assert_eq!(of(answer(400, None)), BreakerSignal::Neutral);
        assert_eq!(
            of(Outcome::without_answer(Cause::ClientGone)),
            BreakerSignal::Neutral
        );
        assert_eq!(
            of(Outcome::without_answer(Cause::Connect)),
            BreakerSignal::Failure
        );
        let broken_stream = Outcome {
            cause: Some(Cause::Stall),
            status: Some(200),
            retry_after: None,
        };
        assert_eq!(of(broken_stream), BreakerSignal::Failure);
        for (cause, signal) in [
            (Cause::Server, BreakerSignal::Failure),
            (Cause::Throttled, BreakerSignal::Failure),
            (Cause::BadRequest, BreakerSignal::Neutral),
            (Cause::ContentFilter, BreakerSignal::Neutral),
        ] {
            let error_inside = Outcome {
                cause: Some(cause),
                ..broken_stream
            };
            assert_eq!(of(error_inside), signal, "{cause:?}");
        }
        let left = Outcome {
            cause: Some(Cause::ClientGone),
            status: Some(500),
            retry_after: None,
        };
        assert_eq!(of(left), BreakerSignal::Neutral);
    }

    #[test]
    fn only_connections_and_credentials_are_about_the_whole_endpoint() {
        for cause in Cause::ALL {
            let scope = effect(
                &Outcome::without_answer(cause),
                &BreakerParams::default(),
                &CoolDownParams::default(),
            )
            .scope;
            let whole = matches!(
                cause,
                Cause::Auth | Cause::Connect | Cause::Tls | Cause::Dns
            );
            assert_eq!(scope == Scope::Endpoint, whole, "{cause:?}");
        }
    }

    #[test]
    fn the_same_failure_is_recognised_only_where_the_request_can_be_the_reason() {
        let same = |a: Outcome, b: Outcome| a.is_same_failure(&b);
        assert!(same(answer(500, None), answer(500, None)));
        assert!(!same(answer(500, None), answer(503, None)));
        assert!(!same(answer(429, None), answer(429, None)));
        assert!(!same(answer(401, None), answer(401, None)));
        let timeout = Outcome::without_answer(Cause::Timeout);
        assert!(same(timeout, timeout));
        let refused = Outcome::without_answer(Cause::Connect);
        assert!(!same(refused, refused));
        let back_soon = Outcome::of_answer(503, None, Some(Duration::from_secs(5)));
        assert!(!same(back_soon, back_soon));
    }
}
