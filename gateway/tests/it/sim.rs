//! Policy and state together, without sockets: scripted endpoints, a clock moved by hand, seeded randomness. What
//! must hold at every step is checked at every step; a failure names its seed.

use std::time::Duration;

use gateway::{
    auth::Auth,
    clock::Timestamp,
    config::{
        self,
        secrets::{SecretError, SecretSource},
    },
    course::{Course, End},
    metrics::Metrics,
    policy::{cause::Cause, outcome::Outcome, reason::Service, retry::Verdict, select::Standing},
    pool::Pool,
    resolve::Resolver,
    secret::Secret,
    snapshot::Snapshot,
    state::Registry,
    traces::Exports,
};

const ENDPOINTS: usize = 4;
/// Between two requests.
const PACE: Duration = Duration::from_millis(20);

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn env(&self, _: &str) -> Result<Secret, SecretError> {
        Err(SecretError::Absent)
    }

    fn file(&self, _: &std::path::Path) -> Result<Secret, SecretError> {
        Err(SecretError::Absent)
    }

    fn credential(&self, _: &str) -> Result<Secret, SecretError> {
        Err(SecretError::Absent)
    }
}

/// How an endpoint behaves for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    Fine,
    Throttling,
    Erring,
    Unreachable,
    /// Fails with this probability, in percent.
    Flaky(u8),
}

impl Behaviour {
    fn any(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(0..6) {
            0 => Self::Throttling,
            1 => Self::Erring,
            2 => Self::Unreachable,
            3 => Self::Flaky(rng.u8(1..50)),
            _ => Self::Fine,
        }
    }

    fn answer(self, rng: &mut fastrand::Rng) -> Outcome {
        let wait = Some(Duration::from_secs(rng.u64(1..20)));
        match self {
            Self::Flaky(percent) if rng.u8(0..100) >= percent => {
                Outcome::of_answer(200, None, None)
            }
            Self::Fine => Outcome::of_answer(200, None, None),
            Self::Throttling => Outcome::of_answer(429, None, wait),
            Self::Erring => Outcome::of_answer(500, None, None),
            Self::Flaky(_) => Outcome::of_answer(503, None, None),
            Self::Unreachable => Outcome::without_answer(Cause::Connect),
        }
    }
}

/// The endpoints in two priority groups of two, and the time.
struct World {
    snapshot: Snapshot,
    now: Timestamp,
    rng: fastrand::Rng,
    behaviours: [Behaviour; ENDPOINTS],
    seed: u64,
    requests: u64,
    attempts: u64,
    served: [u64; ENDPOINTS],
    failed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        // The product's own draws come from the thread's generator.
        fastrand::seed(seed);
        let mut text = String::from(
            "version: 1\nopen: true\nlisten: [{ address: \"127.0.0.1:1\" }]\nendpoints:\n",
        );
        for (index, priority) in [1, 1, 2, 2].iter().enumerate() {
            text += &format!(
                "  e{index}: {{ url: \"http://127.0.0.1:{}\", credential: none, priority: {priority}, \
                 deployments: {{ m: {{}} }} }}\n",
                1000 + index
            );
        }
        let (config, _) = config::compile(&text, &NoSecrets).unwrap();
        let metrics = Metrics::new();
        let snapshot = Snapshot::link(
            config,
            &Registry::default(),
            &Resolver::default(),
            &Auth::default(),
            &metrics,
            &Exports::new(&metrics),
        );
        Self {
            snapshot,
            now: Timestamp::from_micros(1_000_000_000),
            rng: fastrand::Rng::with_seed(seed),
            behaviours: [Behaviour::Fine; ENDPOINTS],
            seed,
            requests: 0,
            attempts: 0,
            served: [0; ENDPOINTS],
            failed: 0,
        }
    }

    fn pool(&self) -> &Pool {
        &self.snapshot.pools[0]
    }

    /// One request from its arrival to its end, checking what must hold.
    fn request(&mut self) {
        self.requests += 1;
        let (now, seed) = (self.now, self.seed);
        let snapshot = &self.snapshot;
        let pool = &snapshot.pools[0];
        let nobody_usable = pool
            .places()
            .all(|place| matches!(pool.standing(place, now), Standing::Cooling { .. }));
        let mut course = Course::default();
        let Ok(()) = course.choose_first(pool, |_| Service::Possible, now) else {
            assert!(
                nobody_usable,
                "seed {seed}: refused although somebody was usable"
            );
            self.failed += 1;
            return;
        };
        loop {
            let place = course.begin(now).unwrap();
            let member = pool.member(place);
            let cooling = matches!(pool.standing(place, now), Standing::Cooling { .. });
            assert!(
                !cooling || nobody_usable,
                "seed {seed}: sent to a deployment that cools down"
            );
            let repeated = course.tried.iter().filter(|&&tried| tried == place).count();
            assert_eq!(repeated, 1, "seed {seed}: a deployment was tried twice");
            assert!(
                course.tried.len() <= 3,
                "seed {seed}: more attempts than allowed"
            );
            self.attempts += 1;

            let outcome = self.behaviours[member.endpoint].answer(&mut self.rng);
            if outcome.cause.is_none() {
                course.succeeded(pool, outcome, now);
                course.close(pool, |_| None, now);
                self.served[member.endpoint] += 1;
                break;
            }
            let end = End {
                outcome,
                committed: false,
                replayable: true,
                out_of_time: false,
            };
            let (verdict, _) = course.ended(pool, &end, |_| Service::Possible, now);
            if verdict != Verdict::Retry {
                self.failed += 1;
                break;
            }
        }
        drop(course);
        let in_flight: u32 = pool
            .places()
            .map(|place| pool.member(place).state.in_flight())
            .sum();
        assert_eq!(in_flight, 0, "seed {seed}: a lease leaked");
    }

    fn run(&mut self, span: Duration) {
        let end = self.now.saturating_add(span);
        while self.now < end {
            self.request();
            self.now = self.now.saturating_add(PACE);
        }
    }

    /// Forgets the counts, for the next part.
    fn recount(&mut self) {
        (self.requests, self.attempts, self.failed) = (0, 0, 0);
        self.served = [0; ENDPOINTS];
    }
}

#[test]
fn whatever_happens_the_rules_hold_and_traffic_comes_back() {
    for seed in 0..25 {
        let mut world = World::new(seed);
        for _ in 0..12 {
            for index in 0..ENDPOINTS {
                world.behaviours[index] = Behaviour::any(&mut world.rng);
            }
            let span = Duration::from_secs(world.rng.u64(1..40));
            world.run(span);
        }
        world.behaviours = [Behaviour::Fine; ENDPOINTS];
        // The longest cool-down and trip, and the ramp after it.
        world.run(Duration::from_secs(180));
        world.recount();
        world.run(Duration::from_secs(20));
        assert_eq!(
            world.served,
            [500, 500, 0, 0],
            "seed {seed}: traffic did not come back"
        );
        assert_eq!((world.failed, world.attempts), (0, 1000), "seed {seed}");
    }
}

#[test]
fn an_outage_of_everything_is_not_made_worse() {
    for behaviour in [
        Behaviour::Erring,
        Behaviour::Unreachable,
        Behaviour::Throttling,
        Behaviour::Flaky(99),
    ] {
        let mut world = World::new(7);
        world.behaviours = [behaviour; ENDPOINTS];
        world.run(Duration::from_secs(120));
        let amplification = world.attempts as f64 / world.requests as f64;
        assert!(
            amplification <= 1.3,
            "{behaviour:?}: {amplification} attempts for each request"
        );
    }
}

#[test]
fn one_failing_endpoint_of_four_is_never_seen_by_a_client() {
    for behaviour in [
        Behaviour::Erring,
        Behaviour::Unreachable,
        Behaviour::Throttling,
    ] {
        let mut world = World::new(3);
        world.behaviours[0] = behaviour;
        world.run(Duration::from_secs(300));
        assert_eq!(world.failed, 0, "{behaviour:?}");
        assert_eq!(
            world.served[2..],
            [0, 0],
            "{behaviour:?}: the preferred group had a usable member"
        );
        let usable = world
            .pool()
            .places()
            .filter(|&place| matches!(world.pool().standing(place, world.now), Standing::Ready));
        assert!(usable.count() >= 3, "{behaviour:?}");
    }
}
