//! What counts as worse, and how much chance of a false alarm is allowed for it.

use serde::{Deserialize, Serialize};

/// The limits of one deployment's guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// The share of failing answers that a revision may have: 0.05 is 5 %.
    pub error_rate: f64,
    /// How much slower than the old revision's p50 and p95 it may be: 0.5 is half as slow again.
    pub response_time: f64,
    /// The chance of taking back a good release, over the whole deployment with its watch.
    pub false_alarms: f64,
    /// Answers of the new revision that are not judged by their time: caches are cold. Fixed beforehand, so that
    /// leaving them out cannot favour a result.
    pub warm_up: u32,
    /// How many answers of the new revision are expected until the watch ends (T). Sets the bar of the tests for
    /// late faults at c = T/α; past it the bar rises, so that the bound holds for however long it watches.
    pub expected_answers: f64,
    /// The new revision must fail this much more of its answers than the old one (0.01: one in a hundred),
    /// before "more errors than the old one" counts.
    pub least_difference: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            error_rate: 0.05,
            response_time: 0.5,
            false_alarms: 0.01,
            warm_up: 5,
            expected_answers: 50_000.0,
            least_difference: 0.01,
        }
    }
}

/// How the allowed chance of a false alarm is spent: the parts add up to the whole (Bonferroni).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alpha {
    /// E1: more errors than the limit.
    pub errors: f64,
    /// E2: more errors than the old revision.
    pub more_errors: f64,
    /// L1 at the median, and at the 95th percentile.
    pub p50: f64,
    pub p95: f64,
    /// Each of the four tests for late faults.
    pub late: f64,
}

impl Policy {
    #[must_use]
    pub fn alpha(&self) -> Alpha {
        let whole = self.false_alarms;
        Alpha {
            errors: 0.25 * whole,
            more_errors: 0.25 * whole,
            p50: 0.24 * whole,
            p95: 0.06 * whole,
            late: 0.05 * whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_alpha_add_up_to_the_whole() {
        let alpha = Policy::default().alpha();
        let sum = alpha.errors + alpha.more_errors + alpha.p50 + alpha.p95 + 4.0 * alpha.late;
        assert!((sum - 0.01).abs() < 1e-12, "{sum}");
    }
}
