//! Measures which deployment a pure selection takes out of one priority group, and smooth weighted round robin
//! among those that are left. Not measured: where reasons come from (see `decision`), locks, contention.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::{
    clock::Timestamp,
    policy::{
        balance::SmoothRoundRobin,
        cause::Cause,
        reason::Reason,
        select::{Group, Selection, select},
    },
};

struct Weights(Vec<u32>);

impl Group for Weights {
    fn weights(&self) -> &[u32] {
        &self.0
    }
}

const COOLING: Reason = Reason::CoolingDown {
    until: Timestamp::from_micros(60_000_000),
    cause: Cause::Throttled,
};

fn selection(c: &mut Criterion) {
    let mut bench = c.benchmark_group("selection");
    for (name, every_second) in [("all ready", Reason::Ready), ("half cooling down", COOLING)] {
        for members in [3, 10, 100] {
            let groups = [Weights((1..=members).collect())];
            let reasons: Vec<Reason> = (0..members)
                .map(|member| {
                    if member % 2 == 0 {
                        Reason::Ready
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
                        |_, member| reasons[member],
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
