//! What the guard costs for each answer, as the proxy pays it.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use pilotage_guard::{Answer, Arm, Guard, Policy, replay};
use std::hint::black_box;

/// A guard at a share of 10 %, and the answers that come to it: a hundred a second, one in a hundred fails, response
/// times between 10 and 42 ms.
struct Traffic {
    guard: Guard,
    number: u64,
}

impl Traffic {
    fn new() -> Self {
        // Millions of answers are played: no bar that they could reach by chance.
        let mut guard = Guard::new(Policy {
            false_alarms: 1e-12,
            ..Policy::default()
        });
        guard.set_share(1_000);
        Self { guard, number: 0 }
    }

    fn answer(&mut self) -> (Arm, Answer) {
        self.number += 1;
        // Fibonacci hashing: spread evenly, the same at each run.
        let spread = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let arm = if spread.is_multiple_of(10) {
            Arm::New
        } else {
            Arm::Old
        };
        let answer = Answer {
            at_us: self.number * 10_000,
            error: spread.is_multiple_of(101),
            latency_us: 10_000 + spread % 32_768,
        };
        (arm, answer)
    }

    fn after(answers: u64) -> Self {
        let mut traffic = Self::new();
        for _ in 0..answers {
            let (arm, answer) = traffic.answer();
            traffic.guard.observe(arm, answer);
        }
        traffic
    }
}

fn answers(criterion: &mut Criterion) {
    let mut traffic = Traffic::after(5_000);
    criterion.bench_function("answer", |bencher| {
        bencher.iter(|| {
            let (arm, answer) = traffic.answer();
            black_box(traffic.guard.observe(arm, black_box(answer)))
        });
    });
    let traffic = Traffic::after(5_000);
    criterion.bench_function("evidence of 5,000 answers", |bencher| {
        bencher.iter(|| black_box(&traffic.guard).evidence());
    });
    let evidence = traffic.guard.evidence();
    criterion.bench_function("replay of 5,000 answers", |bencher| {
        bencher.iter(|| replay(black_box(&evidence)));
    });
    criterion.bench_function("a guard is armed", |bencher| {
        bencher.iter_batched(Policy::default, Guard::new, BatchSize::SmallInput);
    });
}

criterion_group!(benches, answers);
criterion_main!(benches);
