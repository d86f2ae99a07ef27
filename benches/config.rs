//! Measures a reload of a large configuration, 10,000 deployments at 1,000 endpoints: text to checked values, what they
//! change, and values to a snapshot linked to state that exists already. Not measured: reading files, name lookups.

use std::hint::black_box;

use benches::{World, compiled, fleet};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gateway::{config::diff::diff, snapshot::Snapshot};

const ENDPOINTS: usize = 1_000;
const MODELS: usize = 10;

fn config(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let text = fleet(ENDPOINTS, MODELS);
    let world = World::new(&text);
    let mut group = c.benchmark_group("config, 10,000 deployments");
    group.sample_size(10);
    group.bench_function("compile", |b| b.iter(|| compiled(black_box(&text))));
    let renamed = compiled(&text.replace("-v1", "-v2"));
    group.bench_function("compare, every deployment changed", |b| {
        b.iter(|| diff(black_box(&world.snapshot.config), black_box(&renamed)));
    });
    group.bench_function("link again", |b| {
        b.iter_batched(
            || world.snapshot.config.clone(),
            |config| {
                Snapshot::link(
                    config,
                    &world.registry,
                    &world.resolver,
                    &world.auth,
                    &world.metrics,
                    &world.exports,
                )
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, config);
criterion_main!(benches);
