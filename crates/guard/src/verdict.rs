//! What the guard found, in a sentence, with the evidence that makes it replayable.

use crate::policy::Policy;
use crate::trace::Trace;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which test crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// E1: more of its answers fail than the limit allows.
    Errors,
    /// E2: more of its answers fail than of the old revision's.
    MoreErrors,
    /// L1 at the median.
    SlowP50,
    /// L1 at the 95th percentile.
    SlowP95,
    /// The e-CUSUM companions of the four, for faults after a long good phase.
    LateErrors,
    LateMoreErrors,
    LateSlowP50,
    LateSlowP95,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The new revision is worse: it goes back and is quarantined.
    Regression,
    /// The old revision fails the same way: it goes back, is not blamed, and a person is asked.
    Outage,
}

/// A verdict and the figures of its sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub outcome: Outcome,
    pub test: Test,
    /// The chance that a good release would have looked this bad is at most 1 in this many.
    pub one_in: f64,
    pub new: Counts,
    pub old: Counts,
}

/// Judged answers of one revision, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub answers: u64,
    pub errors: u64,
    /// Answers whose time was judged, and how many of them took longer than the bar at the median and at p95.
    pub timed: u64,
    pub over_p50: u64,
    pub over_p95: u64,
}

impl Counts {
    /// The share of answers that failed; 0 without answers.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
    pub fn error_rate(&self) -> f64 {
        if self.answers == 0 {
            0.0
        } else {
            self.errors as f64 / self.answers as f64
        }
    }
}

impl Verdict {
    /// The verdict as people read it: "the new backend failed 31 of 214 answers, the old one 12 of 1,990 (1 in 409)".
    #[must_use]
    pub fn sentence(&self, service: &str) -> String {
        let (new, old) = (&self.new, &self.old);
        let slow = |over: u64, which: &str| {
            format!(
                "{} of {} answers of the new {service} took longer than 1.5 times the old one's {which}",
                thousands(over),
                thousands(new.timed)
            )
        };
        let what = match self.test {
            Test::Errors | Test::MoreErrors | Test::LateErrors | Test::LateMoreErrors => {
                let new = format!(
                    "the new {service} failed {} of {} answers",
                    thousands(new.errors),
                    thousands(new.answers)
                );
                match old.answers {
                    0 => new,
                    n => format!("{new}, the old one {} of {}", thousands(old.errors), thousands(n)),
                }
            }
            Test::SlowP50 | Test::LateSlowP50 => slow(new.over_p50, "median"),
            Test::SlowP95 | Test::LateSlowP95 => slow(new.over_p95, "p95"),
        };
        let late = match self.test {
            Test::LateErrors | Test::LateMoreErrors | Test::LateSlowP50 | Test::LateSlowP95 => {
                " after a good phase"
            }
            _ => "",
        };
        let outage = match self.outcome {
            Outcome::Regression => "",
            Outcome::Outage => "; the old one fails the same way, so this is an outage and not the release",
        };
        format!("{what}{late} (1 in {}){outage}", thousands(whole(self.one_in)))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence("revision"))
    }
}

/// Everything that is needed to reach the same verdict again, and to draw how it came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub policy: Policy,
    pub new: Counts,
    pub old: Counts,
    /// The largest evidence against the new revision now, as "1 in so many", and of which test.
    pub one_in: f64,
    pub test: Test,
    /// What that test needs to cross, as "1 in so many".
    pub goes_back_at: f64,
    pub verdict: Option<Verdict>,
    /// The wealths at the start of the trace, if its front was cut; empty for a whole one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start: Vec<f64>,
    /// The counts at the start of the trace.
    #[serde(default)]
    pub start_counts: (Counts, Counts),
    pub trace: Trace,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped first"
)]
fn whole(n: f64) -> u64 {
    n.clamp(0.0, 1e15) as u64
}

pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
