//! What a request costs in metrics: everything that is recorded at the end of one streamed chat request.

use std::{hint::black_box, time::Duration};

use benches::{World, fleet};
use criterion::{Criterion, criterion_group, criterion_main};
use gateway::{
    api::{
        answer::{Counted, Usage},
        operation::Operation,
    },
    metrics::{Asked, Caller},
    pool::Place,
};

fn recording(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = runtime.block_on(async { World::new(&fleet(8, 8)) });
    let snapshot = &world.snapshot;
    let (model, place) = (3, Place { tier: 0, member: 0 });
    let counted = Counted {
        usage: Usage {
            prompt: 1200,
            completion: 350,
            cached: 1024,
            reasoning: 0,
        },
        estimated: false,
    };
    let asked = Asked::Model(Operation::ChatCompletions);
    let ms = Duration::from_millis;
    criterion.bench_function("metrics of a streamed request", |bencher| {
        bencher.iter(|| {
            let accounts = &snapshot.accounts;
            accounts.request(Caller::Anonymous, Some(model), asked, black_box(200));
            snapshot.model_metrics[model].request(ms(900), Duration::from_micros(70));
            accounts.tokens(Caller::Anonymous, model, place, black_box(&counted));
            let member = snapshot.pools[model].member(place);
            snapshot.upstreams[member.endpoint].metrics.connected(true);
            member.metrics.attempt(None, ms(890));
            member.metrics.stream(ms(210), ms(680), 350);
        });
    });
}

criterion_group!(benches, recording);
criterion_main!(benches);
