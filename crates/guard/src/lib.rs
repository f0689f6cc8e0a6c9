//! The judge of a release: is the new revision worse than the old one?
//!
//! Owns the statistics: tests of errors and of response times that may be looked at after every answer without
//! raising the chance of a false alarm, their verdicts in a sentence, and the replay of a verdict from what was
//! stored. It is pure and has no clock: the proxy feeds it, the engine replays it, `pilotage simulate` plays it.
//!
//! The whole guarantee is Ville's inequality: each test is a wealth that a gambler against "the release is good"
//! could have; if the release is good, the chance that this wealth ever reaches 1/α is at most α.

mod bar;
mod bernoulli;
mod guard;
mod policy;
mod ratio;
mod replay;
pub mod simulate;
mod trace;
mod verdict;

pub use guard::{Answer, Arm, Guard, Standing};
pub use policy::{Alpha, Policy};
pub use replay::{Odds, Step, replay, standing, steps};
pub use trace::Trace;
pub use verdict::{Counts, Evidence, Outcome, Test, Verdict};
