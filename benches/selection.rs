//! Measures which deployment a pure selection takes out of one priority group, and smooth weighted round robin
//! among those that are left. Not measured: where standings come from (see `decision`), locks, contention.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::{
    clock::Timestamp,
    policy::{
        balance::SmoothRoundRobin,
        cause::Cause,
        select::{Group, Selection, Standing, select},
    },
};

struct Weights(Vec<u32>);

impl Group for Weights {
    fn weights(&self) -> &[u32] {
        &self.0
    }
}

const COOLING: Standing = Standing::Cooling {
    until: Timestamp::from_micros(60_000_000),
    cause: Cause::Throttled,
};

fn selection(c: &mut Criterion) {
    let mut bench = c.benchmark_group("selection");
    for (name, every_second) in [
        ("all ready", Standing::Ready),
        ("half cooling down", COOLING),
    ] {
        for members in [3, 10, 100] {
            let groups = [Weights((1..=members).collect())];
            let standings: Vec<Standing> = (0..members)
                .map(|member| {
                    if member % 2 == 0 {
                        Standing::Ready
                    } else {
                        every_second
                    }
                })
                .collect();
            let mut wheel = SmoothRoundRobin::default();
            bench.bench_function(BenchmarkId::new(name, members), |b| {
                b.iter(|| {
                    let chosen = select(
                        black_box(&groups),
                        |_, member| standings[member],
                        black_box(50),
                    );
                    match chosen {
                        Selection::Among { members, .. } => wheel.pick(&groups[0].0, &members),
                        Selection::Nobody(_) => None,
                    }
                });
            });
        }
    }
    bench.finish();
}

criterion_group!(benches, selection);
criterion_main!(benches);
