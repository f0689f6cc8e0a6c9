//! A seeded sweep over random workflows in a faulty world. A failure prints its seed; to see it alone:
//! `PILOTAGE_SEED=17 cargo test -p pilotage-engine --test sim_run`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test, a panic is the answer"
)]

#[path = "sim/made.rs"]
mod made;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/shadow.rs"]
mod shadow;
#[path = "sim/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use world::{Counts, World};

const SEEDS: u64 = 2_000;
const THREADS: u64 = 2;

#[test]
fn no_fault_breaks_a_run() {
    if let Ok(seed) = std::env::var("PILOTAGE_SEED") {
        println!("{:?}", simulate(seed.parse().unwrap()));
        return;
    }
    let sweeps: Vec<_> = (0..THREADS)
        .map(|first| thread::spawn(move || (first..SEEDS).step_by(2).map(simulate).collect::<Vec<_>>()))
        .collect();
    let total = sweeps
        .into_iter()
        .flat_map(|sweep| sweep.join().unwrap())
        .fold(Counts::default(), Counts::plus);
    println!("{total:?}");
    // A sweep without faults would prove nothing.
    let Counts {
        crashes,
        lost_jobs,
        cancels,
        reruns,
        doubled,
        dropped,
        ..
    } = total;
    assert!(
        [crashes, lost_jobs, cancels, reruns, doubled, dropped]
            .into_iter()
            .all(|n| n > 500),
        "{total:?}"
    );
}

fn simulate(seed: u64) -> Counts {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed);
        world.run().map(|()| world.counts)
    }));
    match ended {
        Ok(Ok(counts)) => counts,
        Ok(Err(broken)) => panic!("seed {seed}: {broken}"),
        Err(_) => panic!("seed {seed}: broken as said above"),
    }
}
