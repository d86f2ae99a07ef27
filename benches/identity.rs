//! Measures how a caller is recognised: what it shows is read from its header and looked up, and a token that was not
//! seen before is verified. The issuer is the identity simulator, which is asked before anything is measured. Not
//! measured: sockets, HTTP parsing, logs. One thread, so no contention.

use std::{hint::black_box, time::Duration};

use benches::World;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use gateway::{
    api::credential::client_credential,
    auth::{
        callers::{Caller, Callers},
        jwt::Verifier,
    },
    clock::unix_now,
    config::{
        client_key::{format_key_hash, key_hash},
        compiled::Access,
    },
};
use simulator::{Identity, IdentityControl, IdentityOptions};

const KEY: &str = "tw-0123456789abcdef0123456789abcdef";
const AUDIENCE: &str = "api://tokenweir";
const PATIENCE: Duration = Duration::from_secs(10);

/// A hundred clients with two keys each, so that the map of keys is not one bucket.
fn config(issuer: &IdentityControl) -> String {
    let hash = |key: &str| format_key_hash(&key_hash(key));
    let clients: String = (0..100)
        .map(|n| {
            let [one, two] = ["one", "two"].map(|key| hash(&format!("{key}-{n}")));
            format!("  team-{n}: {{ keys: [\"{one}\", \"{two}\"] }}\n")
        })
        .collect();
    format!(
        "version: 1\nlisten: [{{ address: \"127.0.0.1:0\" }}]\n\
         clients:\n{clients}  team: {{ keys: [\"{}\"] }}\n\
         jwt:\n  - issuer: [\"{}\", \"{}\"]\n    discovery: \"{}\"\n    audience: {AUDIENCE}\n    \
         rules: [{{ client: team-1, roles: Admin }}, {{ client: team, roles: Chat.Use }}]\n\
         credentials: {{ fleet: {{ api_key: {{ env: KEY }} }} }}\n\
         endpoints: {{ aoi: {{ url: \"http://10.0.0.1\", credential: fleet, deployments: {{ gpt-4o: {{}} }} }} }}\n",
        hash(KEY),
        issuer.issuer_v2(),
        issuer.issuer_v1(),
        issuer.discovery_url(),
    )
}

/// As long as Entra's tokens for applications are.
fn token(issuer: &IdentityControl) -> String {
    let mut claims = issuer.claims_v2(AUDIENCE);
    claims["roles"] = ["Chat.Use"].into();
    claims["azpacr"] = "1".into();
    claims["aio"] = "k2RgYPj/a".repeat(7).into();
    claims["rh"] = "1.AUEAv4j5cvGGr0GRqy180BHbR".repeat(2).into();
    let token = issuer.issue(claims);
    assert!((1100..1300).contains(&token.len()), "{}", token.len());
    token
}

fn recognise(callers: &Callers, api_key: Option<&str>, bearer: Option<&str>) -> Caller {
    let shown = client_credential(api_key.map(str::as_bytes), bearer.map(str::as_bytes))
        .expect("it can be read");
    let recognised = callers.recognise(shown, &[], unix_now()).now_or_never();
    recognised
        .expect("nobody is waited for")
        .expect("it is good")
}

fn identity(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let issuer = runtime
        .block_on(Identity::start(IdentityOptions::default()))
        .expect("a free port");
    let issuer = issuer.control();
    let world = World::new(&config(&issuer));
    runtime.block_on(world.auth.key_sets.warm_up(PATIENCE));
    let callers = world.snapshot.callers.as_ref().expect("keys are needed");
    let token = token(&issuer);
    let bearer = format!("Bearer {token}");

    let mut group = c.benchmark_group("identity");
    group.bench_function("a key", |b| {
        b.iter(|| recognise(callers, black_box(Some(KEY)), None));
    });
    recognise(callers, None, Some(&bearer));
    group.bench_function("a token that was seen before", |b| {
        b.iter(|| recognise(callers, None, black_box(Some(&bearer))));
    });
    let Access::Clients(clients) = &world.snapshot.config.access else {
        panic!("it has clients");
    };
    let verifier = Verifier::new(clients, &world.auth.key_sets);
    group.bench_function("a new token, RS256", |b| {
        b.iter(|| {
            let token = black_box(&*token);
            let sha256 = key_hash(token);
            let verified = verifier.verify(token, &sha256, unix_now()).now_or_never();
            assert!(verified.is_some_and(|verified| verified.is_ok()));
        });
    });
    group.finish();
}

criterion_group!(benches, identity);
criterion_main!(benches);
