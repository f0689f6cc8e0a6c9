//! A seeded sweep over random workflows in a faulty world. A failure prints its seed; to see it alone:
//! `PILOTAGE_SEED=17 cargo test -p pilotage-engine --test sim_run`.

#[path = "sim/made.rs"]
mod made;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/shadow.rs"]
mod shadow;
#[path = "sim/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Counts, World};

const SEEDS: u64 = 2_000;

#[test]
fn no_fault_breaks_a_run() {
    let seeds = match std::env::var("PILOTAGE_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    let sweep = seeds.end - seeds.start > 1;
    let mut total = Counts::default();
    for seed in seeds {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::new(seed);
            world.run().map(|()| world.counts)
        }));
        let counts = match ended {
            Ok(Ok(counts)) => counts,
            Ok(Err(broken)) => panic!("seed {seed}: {broken}"),
            Err(_) => panic!("seed {seed}: see above"),
        };
        total.events += counts.events;
        total.crashes += counts.crashes;
        total.lost_jobs += counts.lost_jobs;
        total.cancels += counts.cancels;
        total.reruns += counts.reruns;
        total.doubled += counts.doubled;
        total.dropped += counts.dropped;
    }
    println!("{total:?}");
    // A sweep without faults would prove nothing.
    if sweep {
        let least = [
            total.crashes,
            total.lost_jobs,
            total.cancels,
            total.reruns,
            total.doubled,
            total.dropped,
        ]
        .into_iter()
        .min();
        assert!(least > Some(200), "{total:?}");
    }
}
