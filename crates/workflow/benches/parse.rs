//! What reading an ordinary workflow file costs: at least 5,000 a second on one core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pilotage_workflow::lint;
use pilotage_workflow::parse::{NoResolver, ParseOptions, workflow};
use pilotage_workflow::source::Source;
use std::hint::black_box;

/// As projects have it: two jobs, a matrix, conditions, secrets, scripts of some lines.
const ORDINARY: &str = include_str!("ordinary.yml");

fn ordinary(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(ORDINARY.len() as u64));
    let options = ParseOptions::default();
    group.bench_function("ordinary workflow", |bencher| {
        bencher.iter(|| {
            let source = Source::new("ordinary.yml", black_box(ORDINARY));
            black_box(workflow(&source, &NoResolver, &options))
        });
    });
    let source = Source::new("ordinary.yml", ORDINARY);
    let (parsed, diagnostics) = workflow(&source, &NoResolver, &options);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    if let Some(parsed) = parsed {
        group.bench_function("lints", |bencher| {
            bencher.iter(|| black_box(lint::check(&parsed)));
        });
    }
    group.finish();
}

criterion_group!(benches, ordinary);
criterion_main!(benches);
