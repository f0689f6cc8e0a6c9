//! Plays the shipped guard against imagined traffic: how soon is a fault found, how many requests meet it, how
//! often is a good release taken back? Used by `pilotage simulate` and by the guard's own tests.

use crate::guard::{Answer, Arm, Guard};
use crate::policy::Policy;
use crate::verdict::{Outcome, Verdict};
use serde::Serialize;

/// The course of a deployment: shares of the new revision and how long each stands.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub policy: Policy,
    /// Requests a second, of all revisions together.
    pub rate: f64,
    /// (share of 10,000, seconds); a last entry at 10,000 is the watch.
    pub steps: Vec<(u32, f64)>,
    /// Median response time of a good answer, and the σ of its lognormal distribution.
    pub median_us: f64,
    pub sigma: f64,
    /// How much neighbouring answers resemble each other: 0 independent, below 1.
    pub correlation: f64,
    /// The share of answers that fail in a good revision.
    pub base_errors: f64,
    pub new: Fault,
    pub both: Weather,
}

/// What is wrong with the new revision, from a number of its answers on.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub errors: f64,
    pub slower: f64,
    pub after: u64,
}

impl Fault {
    pub const NONE: Fault = Fault {
        errors: 0.0,
        slower: 1.0,
        after: 0,
    };
}

/// What happens to both revisions alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    Calm,
    /// Errors come in bursts: for `length_s` in each `every_s`, this share of all answers fails.
    Bursts {
        errors: f64,
        every_s: f64,
        length_s: f64,
    },
    /// Load rises to this multiple until the end, and response times with its root.
    Ramp {
        load: f64,
    },
    /// From this moment on, this share of all answers fails.
    Outage {
        at_s: f64,
        errors: f64,
    },
}

/// How one play ended.
#[derive(Clone, Debug)]
pub struct Play {
    pub verdict: Option<Verdict>,
    /// Answers of the new revision since the fault began, until the verdict.
    pub answers: u64,
    pub seconds: f64,
}

/// What many plays gave.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub plays: u32,
    pub taken_back: u32,
    pub outages: u32,
    /// Of those taken back: answers of the new revision and seconds from the fault to the verdict.
    pub answers_p50: u64,
    pub answers_p95: u64,
    pub seconds_p50: f64,
    pub seconds_p95: f64,
}

/// Plays a scenario with seeds `first_seed..first_seed + plays`. The same seeds give the same summary.
#[must_use]
pub fn summarise(scenario: &Scenario, first_seed: u64, plays: u32) -> Summary {
    let (mut answers, mut seconds, mut outages) = (Vec::new(), Vec::new(), 0);
    for seed in first_seed..first_seed + u64::from(plays) {
        let play = play(scenario, seed);
        match play.verdict.map(|v| v.outcome) {
            Some(Outcome::Regression) => {
                answers.push(play.answers);
                seconds.push(play.seconds);
            }
            Some(Outcome::Outage) => outages += 1,
            None => {}
        }
    }
    answers.sort_unstable();
    seconds.sort_by(f64::total_cmp);
    let at = |len: usize, part: usize| (len * part / 100).min(len.saturating_sub(1));
    Summary {
        plays,
        taken_back: u32::try_from(answers.len()).unwrap_or(u32::MAX),
        outages,
        answers_p50: answers.get(at(answers.len(), 50)).copied().unwrap_or(0),
        answers_p95: answers.get(at(answers.len(), 95)).copied().unwrap_or(0),
        seconds_p50: seconds.get(at(seconds.len(), 50)).copied().unwrap_or(0.0),
        seconds_p95: seconds.get(at(seconds.len(), 95)).copied().unwrap_or(0.0),
    }
}

/// Plays a scenario once. After a verdict the old revision answers alone for ten more seconds, as it does in
/// service, so that an outage can show.
#[must_use]
pub fn play(scenario: &Scenario, seed: u64) -> Play {
    let mut random = Random::new(seed);
    let mut guard = Guard::new(scenario.policy.clone());
    let whole: f64 = scenario.steps.iter().map(|(_, seconds)| seconds).sum();
    let (mut now, mut end, mut of_new, mut since_fault, mut common) = (0.0, 0.0, 0_u64, 0_u64, 0.0_f64);
    let mut fault_at = None;
    // The old revision was alone before: the bar has something to stand on.
    guard.set_share(0);
    let warm = 1_000.0 / scenario.rate;
    while now < warm {
        now += random.exponential(scenario.rate);
        let answer = answer(scenario, &mut random, &mut common, now, now - warm, whole, false);
        guard.observe(Arm::Old, answer);
    }
    for (share, seconds) in &scenario.steps {
        end += seconds;
        guard.set_share(*share);
        while now - warm < end {
            now += random.exponential(scenario.rate * scenario.load(now - warm, whole));
            let on_new = random.uniform() * 10_000.0 < f64::from(*share);
            let faulty = on_new && of_new >= scenario.new.after;
            let answer = answer(scenario, &mut random, &mut common, now, now - warm, whole, faulty);
            if on_new {
                of_new += 1;
                since_fault += u64::from(faulty);
                fault_at = fault_at.or(faulty.then_some(now));
            }
            if guard
                .observe(if on_new { Arm::New } else { Arm::Old }, answer)
                .is_some()
            {
                let decided = now;
                while now < decided + 10.0 {
                    now += random.exponential(scenario.rate * scenario.load(now - warm, whole));
                    let answer =
                        self::answer(scenario, &mut random, &mut common, now, now - warm, whole, false);
                    guard.observe(Arm::Old, answer);
                }
                let seconds = decided - fault_at.unwrap_or(decided);
                return Play {
                    verdict: guard.verdict().cloned(),
                    answers: since_fault,
                    seconds,
                };
            }
        }
    }
    Play {
        verdict: None,
        answers: since_fault,
        seconds: now - fault_at.unwrap_or(now),
    }
}

impl Scenario {
    fn load(&self, at: f64, whole: f64) -> f64 {
        match self.both {
            Weather::Ramp { load } => 1.0 + (load - 1.0) * (at / whole).clamp(0.0, 1.0),
            _ => 1.0,
        }
    }

    fn common_errors(&self, at: f64) -> f64 {
        match self.both {
            Weather::Bursts {
                errors,
                every_s,
                length_s,
            } if at > 0.0 && at % every_s < length_s => errors,
            Weather::Outage { at_s, errors } if at >= at_s => errors,
            _ => 0.0,
        }
    }
}

fn answer(
    scenario: &Scenario,
    random: &mut Random,
    common: &mut f64,
    now: f64,
    at: f64,
    whole: f64,
    faulty: bool,
) -> Answer {
    let rho = scenario.correlation;
    *common = rho * *common + (1.0 - rho * rho).sqrt() * random.normal();
    let own = if rho > 0.0 { *common } else { random.normal() };
    let slower = if faulty { scenario.new.slower } else { 1.0 };
    let latency =
        scenario.median_us * slower * scenario.load(at, whole).sqrt() * (scenario.sigma * own).exp();
    let mut good = 1.0 - scenario.base_errors.max(scenario.common_errors(at));
    if faulty {
        good *= 1.0 - scenario.new.errors;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times are positive and small"
    )]
    Answer {
        at_us: (now * 1e6) as u64 + 1,
        error: random.uniform() >= good,
        latency_us: latency as u64,
    }
}

/// A small generator (`SplitMix64`), so that a seed gives the same play everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly in [0, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    fn exponential(&mut self, rate: f64) -> f64 {
        -(1.0 - self.uniform()).ln() / rate
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
