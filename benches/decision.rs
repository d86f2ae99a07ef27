//! Measures everything that is decided about one request, in the order of its way: route, client key, body,
//! model, deployment, upstream URL, rewritten body, outcome, state, retry. Not measured: sockets, HTTP parsing,
//! headers, pingora, metrics, logs. One thread, so no contention.

use std::{hint::black_box, time::Duration};

use benches::World;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use gateway::{
    api::{
        body::{BodyFacts, Changes, inspect, rewritten},
        credential::client_credential,
        operation::{Route, Target, route},
        table::{ModelPlace, model_place, upstream_path_and_query, url_form},
    },
    clock::Timestamp,
    config::client_key::{format_key_hash, key_hash},
    course::{Course, End},
    policy::{outcome::Outcome, reason::Service, retry::Verdict},
    pool::{Place, Pool},
};
use http::{Method, Uri};

const KEY: &str = "tw-0123456789abcdef0123456789abcdef";
const DATED: (&str, Option<&str>) = (
    "/openai/deployments/gpt-4o/chat/completions",
    Some("api-version=2024-10-21"),
);
const V1: (&str, Option<&str>) = ("/v1/chat/completions", None);
/// A 429 that asks for one second; each request comes two seconds after the one before.
const WAIT: Duration = Duration::from_secs(1);
const APART: Duration = Duration::from_secs(2);

fn world() -> World {
    let hash = format_key_hash(&key_hash(KEY));
    let endpoints: String = (1..=3)
        .map(|n| {
            format!(
                "  aoi-{n}: {{ url: \"http://10.0.0.{n}\", credential: fleet, deployments: \
                 {{ gpt-4o: {{ deployment: gpt-4o-v{n} }}, gpt-4o-mini: {{}} }} }}\n"
            )
        })
        .collect();
    World::new(&format!(
        "version: 1\nlisten: [{{ address: \"127.0.0.1:0\" }}]\n\
         credentials: {{ fleet: {{ api_key: {{ env: KEY }} }} }}\n\
         clients: {{ team: {{ keys: [\"{hash}\"] }} }}\nendpoints:\n{endpoints}"
    ))
}

/// A chat request of about `bytes`, its model at the end, as the npm SDK may write it.
fn body(bytes: usize) -> Bytes {
    let text = "All work and no play makes Jack a dull boy. \\\"Here\\\" we are.\\n";
    let content = text.repeat(bytes / text.len() + 1);
    let content = &content[..bytes / text.len() * text.len()];
    format!(r#"{{"messages":[{{"role":"user","content":"{content}"}}],"model":"gpt-4o"}}"#).into()
}

/// Some day in 2026.
const UNIX_NOW: Duration = Duration::from_secs(1_790_000_000);
const SERVED: Outcome = Outcome {
    cause: None,
    status: Some(200),
    retry_after: None,
};

struct Request<'a> {
    world: &'a World,
    target: Target<'a>,
    pool: &'a Pool,
    facts: BodyFacts,
    body: &'a Bytes,
    now: Timestamp,
}

/// Until it is known what is wanted.
fn admit<'a>(
    world: &'a World,
    (path, query): (&'a str, Option<&'a str>),
    body: &'a Bytes,
    now: Timestamp,
) -> Request<'a> {
    let key = client_credential(Some(KEY.as_bytes()), None).expect("it is one");
    let callers = world.snapshot.callers.as_ref().expect("keys are needed");
    let caller = callers.recognise(key, &[], UNIX_NOW).now_or_never();
    assert!(caller.is_some_and(|caller| caller.is_ok()));
    let Ok(Route::Model(target)) = route(&Method::POST, path, query, false) else {
        panic!("{path} is not served");
    };
    let facts = inspect(Some("application/json"), body).expect("good JSON");
    let named = target.deployment.as_deref();
    let model = named.or(facts.model.as_ref().map(|model| model.value.as_str()));
    let pool = model.and_then(|model| world.snapshot.pool_of(model));
    let pool = &world.snapshot.pools[pool.expect("the model is served")];
    Request {
        world,
        target,
        pool,
        facts,
        body,
        now,
    }
}

impl Request<'_> {
    fn serves(&self, endpoint: usize) -> Service {
        let upstream = &self.world.snapshot.upstreams[endpoint];
        let (operation, shape) = (self.target.operation, self.target.shape);
        let offered = url_form(upstream.endpoint.kind, operation, shape).is_some();
        upstream.service(offered, true, self.now)
    }

    /// What goes to the deployment.
    fn rewrite(&self, place: Place) -> (Uri, Bytes) {
        let member = self.pool.member(place);
        let endpoint = &self.world.snapshot.upstreams[member.endpoint].endpoint;
        let form = url_form(endpoint.kind, self.target.operation, self.target.shape)
            .expect("it was picked because it serves this");
        let url = upstream_path_and_query(
            form,
            &endpoint.url.base_path,
            &self.target,
            &member.deployment,
            endpoint.api_version.as_deref(),
        );
        let model = match model_place(form, self.target.operation) {
            ModelPlace::Body => Some(&member.deployment),
            ModelPlace::Path | ModelPlace::Query => None,
        };
        let usage = false;
        let body = rewritten(self.body, &self.facts, Changes { model, usage });
        (url.parse().expect("a URL"), body)
    }

    fn begin(&self) -> Course {
        let mut course = Course::default();
        let serves = |endpoint| self.serves(endpoint);
        course
            .choose_first(self.pool, serves, self.now)
            .expect("all are well");
        course
    }

    /// The next attempt, answered with 200.
    fn succeed(&self, course: &mut Course) -> (Uri, Bytes) {
        let place = course.begin(self.now).expect("it was chosen");
        let sent = self.rewrite(place);
        black_box(course.succeeded(self.pool, SERVED, self.now));
        course.close(self.pool, |_| None, self.now);
        sent
    }

    /// One attempt that is answered with 200.
    fn served(&self) -> (Uri, Bytes) {
        self.succeed(&mut self.begin())
    }

    /// A 429, and what follows from it: a cool-down and an attempt elsewhere.
    fn failed_over(&self) -> (Uri, Bytes) {
        let mut course = self.begin();
        let place = course.begin(self.now).expect("it was chosen");
        black_box(self.rewrite(place));
        let end = End {
            outcome: Outcome::of_answer(429, None, Some(WAIT)),
            committed: false,
            replayable: true,
            out_of_time: false,
        };
        let serves = |endpoint| self.serves(endpoint);
        let (verdict, settled) = course.ended(self.pool, &end, serves, self.now);
        assert_eq!(verdict, Verdict::Retry);
        black_box(settled);
        self.succeed(&mut course)
    }
}

fn decision(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let world = world();
    let mut now = Timestamp::from_micros(1);
    let mut group = c.benchmark_group("decision");
    for (shape, line) in [
        ("served, model in the path", DATED),
        ("served, model in the body", V1),
    ] {
        for (size, bytes) in [("1 KB", 1 << 10), ("100 KB", 100 << 10), ("1 MB", 1 << 20)] {
            let body = body(bytes);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(BenchmarkId::new(shape, size), |b| {
                b.iter(|| admit(&world, black_box(line), black_box(&body), now).served());
            });
        }
    }
    let body = body(1 << 10);
    group.throughput(Throughput::Elements(1));
    group.bench_function("failed over after a 429, model in the path, 1 KB", |b| {
        b.iter(|| {
            now = now.saturating_add(APART);
            admit(&world, black_box(DATED), black_box(&body), now).failed_over()
        });
    });
    group.finish();
}

criterion_group!(benches, decision);
criterion_main!(benches);
