//! A seeded sweep over deployments in a faulty world: each step is held against what a deployment may do, seen from
//! the target. A failure prints its seed; to see what happened:
//! `PILOTAGE_SEED=17 cargo test -p pilotage-engine --test sim_deployment -- --nocapture`.
//! More seeds: `PILOTAGE_SEEDS=100000`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test, a panic is the answer"
)]

#[path = "sim_deployment/law.rs"]
mod law;
#[path = "sim_deployment/made.rs"]
mod made;
#[path = "sim/random.rs"]
mod random;
#[path = "sim_deployment/target.rs"]
mod target;
#[path = "sim_deployment/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use world::{Counts, WORDS, World};

const SEEDS: u64 = 10_000;
const THREADS: u64 = 2;
static BROKEN: AtomicUsize = AtomicUsize::new(0);

#[test]
fn no_fault_breaks_a_deployment() {
    if let Ok(seed) = std::env::var("PILOTAGE_SEED") {
        simulate(seed.parse().unwrap(), true).unwrap();
        return;
    }
    let seeds = std::env::var("PILOTAGE_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let step = usize::try_from(THREADS).unwrap();
    let sweep = move |first| {
        let mut worlds = Vec::new();
        for seed in (first..seeds).step_by(step) {
            worlds.push(simulate(seed, false));
            // Enough is known.
            if worlds.last().is_some_and(Result::is_err) && BROKEN.fetch_add(1, Ordering::Relaxed) > 4 {
                break;
            }
        }
        worlds
    };
    let sweeps: Vec<_> = (0..THREADS)
        .map(|first| thread::spawn(move || sweep(first)))
        .collect();
    let (mut total, mut broken) = (Counts::default(), Vec::new());
    for world in sweeps.into_iter().flat_map(|sweep| sweep.join().unwrap()) {
        match world {
            Ok(counts) => total = total.plus(counts),
            Err(why) => broken.push(why),
        }
    }
    let shown: Vec<&str> = broken.iter().take(10).map(String::as_str).collect();
    assert!(
        broken.is_empty(),
        "{} worlds broke:\n{}",
        broken.len(),
        shown.join("\n")
    );
    let seen: Vec<String> = WORDS
        .iter()
        .zip(total.0)
        .map(|(word, n)| format!("{n} {word}"))
        .collect();
    println!("{}", seen.join(", "));
    // A sweep without faults would prove nothing.
    let least = usize::try_from(seeds / 100).unwrap();
    for (word, n) in WORDS.iter().zip(total.0) {
        assert!(n >= least, "only {n} {word} in {seeds} worlds");
    }
}

fn simulate(seed: u64, told: bool) -> Result<Counts, String> {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, told);
        world.run().map(|()| world.counts)
    }));
    match ended {
        Ok(Ok(counts)) => Ok(counts),
        Ok(Err(broken)) => Err(format!("seed {seed}: {broken}")),
        Err(_) => Err(format!("seed {seed}: broken as said above")),
    }
}
