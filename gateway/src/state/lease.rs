//! The right to make one attempt: it counts as in flight, and may hold the probe of a half-open breaker. Both
//! are given back on drop, so a request that is cancelled anywhere leaks nothing.

use std::sync::{Arc, atomic::Ordering};

use super::{DeploymentState, EndpointState, Trouble};
use crate::{
    clock::Timestamp,
    policy::{
        outcome::{BreakerSignal, Outcome, Scope, effect},
        params::{BreakerParams, CoolDownParams},
    },
};

#[derive(Debug)]
pub struct Lease {
    endpoint: Arc<EndpointState>,
    deployment: Arc<DeploymentState>,
    endpoint_probe: bool,
    deployment_probe: bool,
}

/// What a recorded outcome changed, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changed {
    pub cooled_until: Option<Timestamp>,
    pub breaker_opened: bool,
}

impl Lease {
    /// `None` if a breaker is half-open and another request is its probe already.
    pub fn take(
        endpoint: &Arc<EndpointState>,
        deployment: &Arc<DeploymentState>,
        now: Timestamp,
    ) -> Option<Self> {
        let mut lease = Self::beyond(endpoint, deployment);
        lease.endpoint_probe = endpoint.health.take_probe(now).ok()?;
        lease.deployment_probe = deployment.health.take_probe(now).ok()?;
        Some(lease)
    }

    /// An attempt on something that is held back: a last resort, or one let through. Never the probe.
    pub fn beyond(endpoint: &Arc<EndpointState>, deployment: &Arc<DeploymentState>) -> Self {
        deployment.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            endpoint: endpoint.clone(),
            deployment: deployment.clone(),
            endpoint_probe: false,
            deployment_probe: false,
        }
    }

    /// Whether a half-open breaker waits for the outcome.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.endpoint_probe || self.deployment_probe
    }

    /// Records how the attempt went. The lease goes on counting as in flight until it is dropped, but its
    /// probes are settled.
    pub fn record(
        &mut self,
        outcome: &Outcome,
        breaker: &BreakerParams,
        cool_down: &CoolDownParams,
        now: Timestamp,
    ) -> Changed {
        let effect = effect(outcome, breaker, cool_down);
        // What concerns the deployment was said by an endpoint that could be reached.
        let (endpoint_signal, deployment_signal) = match effect.scope {
            Scope::Endpoint => (effect.breaker, BreakerSignal::Neutral),
            Scope::Deployment if outcome.status.is_some() => {
                (BreakerSignal::Success, effect.breaker)
            }
            Scope::Deployment => (BreakerSignal::Neutral, effect.breaker),
        };
        let asked = effect.cool_down.filter(|_| outcome.retry_after.is_some());
        let opened = [
            self.endpoint
                .health
                .record(breaker, endpoint_signal, self.endpoint_probe, asked, now),
            self.deployment.health.record(
                breaker,
                deployment_signal,
                self.deployment_probe,
                asked,
                now,
            ),
        ];
        self.endpoint_probe = false;
        self.deployment_probe = false;
        let until = effect.cool_down.map(|wait| now.saturating_add(wait));
        if let (Some(until), Some(cause)) = (until, outcome.cause) {
            match effect.scope {
                Scope::Endpoint => self.endpoint.health.cool_down(until, cause, now),
                Scope::Deployment => self.deployment.health.cool_down(until, cause, now),
            }
        }
        if let Some(trouble) = Trouble::of(outcome, &effect, now) {
            match effect.scope {
                Scope::Endpoint => self.endpoint.troubles.add(trouble),
                Scope::Deployment => self.deployment.troubles.add(trouble),
            }
        }
        Changed {
            cooled_until: until,
            breaker_opened: opened.contains(&true),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.deployment.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.endpoint_probe {
            self.endpoint.health.release_probe();
        }
        if self.deployment_probe {
            self.deployment.health.release_probe();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use super::*;
    use crate::{
        policy::{cause::Cause, select::Standing},
        state::standing,
    };

    struct World {
        endpoint: Arc<EndpointState>,
        a: Arc<DeploymentState>,
        b: Arc<DeploymentState>,
        breaker: BreakerParams,
    }

    impl World {
        fn new() -> Self {
            let failures = NonZeroU32::new(2).unwrap();
            Self {
                endpoint: Arc::default(),
                a: Arc::default(),
                b: Arc::default(),
                breaker: BreakerParams {
                    failures,
                    ..BreakerParams::default()
                },
            }
        }

        fn attempt(&self, on: &Arc<DeploymentState>, outcome: Outcome, now: Timestamp) -> Changed {
            let mut lease = Lease::take(&self.endpoint, on, now).expect("no probe is out");
            lease.record(&outcome, &self.breaker, &CoolDownParams::default(), now)
        }

        fn standings(&self, now: Timestamp) -> [Standing; 2] {
            [
                standing(&self.endpoint, &self.a, now),
                standing(&self.endpoint, &self.b, now),
            ]
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn answer(status: u16) -> Outcome {
        Outcome::of_answer(status, None, None)
    }

    #[test]
    fn a_429_cools_only_the_deployment_that_sent_it() {
        let world = World::new();
        let wait = Some(Duration::from_secs(7));
        world.attempt(&world.a, Outcome::of_answer(429, None, wait), at(1));
        let cooling = Standing::Cooling {
            until: at(8),
            cause: Cause::Throttled,
        };
        assert_eq!(world.standings(at(1)), [cooling, Standing::Ready]);
        assert_eq!(world.standings(at(8)), [Standing::Ready, Standing::Ready]);
    }

    #[test]
    fn a_refused_credential_takes_the_whole_endpoint_out() {
        let world = World::new();
        world.attempt(&world.a, answer(401), at(1));
        let cooling = Standing::Cooling {
            until: at(61),
            cause: Cause::Auth,
        };
        assert_eq!(world.standings(at(1)), [cooling, cooling]);
    }

    #[test]
    fn failed_connections_open_the_breaker_of_the_endpoint() {
        let world = World::new();
        let refused = Outcome::without_answer(Cause::Connect);
        assert!(!world.attempt(&world.a, refused, at(1)).breaker_opened);
        assert!(world.attempt(&world.b, refused, at(1)).breaker_opened);
        assert_eq!(
            world.standings(at(2)),
            [Standing::Ejected { until: at(31) }; 2]
        );
    }

    #[test]
    fn errors_of_a_deployment_open_only_its_own_breaker() {
        let world = World::new();
        world.attempt(&world.a, answer(500), at(1));
        world.attempt(&world.a, answer(500), at(1));
        assert_eq!(
            world.standings(at(2)),
            [Standing::Ejected { until: at(31) }, Standing::Ready]
        );
    }

    #[test]
    fn only_one_request_probes_and_a_cancelled_probe_is_given_back() {
        let world = World::new();
        world.attempt(&world.a, answer(500), at(1));
        world.attempt(&world.a, answer(500), at(1));
        let take = |now| Lease::take(&world.endpoint, &world.a, now);
        let probe = take(at(40)).expect("half-open");
        assert!(take(at(40)).is_none());
        assert_eq!(world.a.in_flight(), 1);
        drop(probe);
        assert_eq!(world.a.in_flight(), 0);
        assert!(take(at(40)).expect("half-open again").is_probe());
    }

    #[test]
    fn a_probe_that_gets_a_429_frees_the_breaker_and_cools_down() {
        let world = World::new();
        world.attempt(&world.a, answer(500), at(1));
        world.attempt(&world.a, answer(500), at(1));
        world.attempt(&world.a, answer(429), at(40));
        assert!(matches!(
            world.standings(at(41))[0],
            Standing::Cooling { .. }
        ));
        world.attempt(&world.a, answer(200), at(60));
        assert_eq!(
            world.standings(at(60))[0],
            Standing::Recovering { percent: 10 }
        );
    }
}
