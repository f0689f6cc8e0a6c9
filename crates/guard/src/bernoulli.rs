//! Tests of a yes-or-no rate against a limit: E1 (is the error rate over 5 %?) and L1 (do more than half of the
//! answers take longer than the bar?).
//!
//! The wealth is a mixture over a grid of worse rates p of Π (p/p0)^x ((1-p)/(1-p0))^(1-x). Each factor is linear
//! in the true rate and 1 at the limit p0, so it is a supermartingale for every true rate up to the limit, and the
//! bound is exact for any number of looks.

/// Wealth against "the rate is at most `limit`", from the first answer on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixture<const N: usize> {
    weights: [f64; N],
    yes: [f64; N],
    no: [f64; N],
    wealth: [f64; N],
}

impl<const N: usize> Mixture<N> {
    /// `weights` say how much of the wealth is put on each point of the grid at the start; they add up to 1.
    pub(crate) fn new(limit: f64, grid: [f64; N], weights: [f64; N]) -> Self {
        Self {
            weights,
            yes: grid.map(|p| p / limit),
            no: grid.map(|p| (1.0 - p) / (1.0 - limit)),
            wealth: weights,
        }
    }

    /// Takes one answer and gives the wealth after it.
    pub(crate) fn observe(&mut self, yes: bool) -> f64 {
        let factors = if yes { &self.yes } else { &self.no };
        let mut sum = 0.0;
        for (wealth, factor) in self.wealth.iter_mut().zip(factors) {
            *wealth *= factor;
            sum += *wealth;
        }
        sum
    }

    pub(crate) fn wealth(&self) -> f64 {
        self.wealth.iter().sum()
    }

    pub(crate) fn parts(&self) -> [f64; N] {
        self.wealth
    }

    pub(crate) fn restore(&mut self, parts: [f64; N]) {
        self.wealth = parts;
    }
}

/// The same against a fault that comes late: an e-CUSUM (Shin, Ramdas, Rinaldo 2024), M = max(M, 1)·factor, which a
/// long good phase cannot make poor. If the rate stays within its limit, the expected number of answers until it
/// first reaches c is at least c, and the chance to reach it within T answers at most T/c.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cusum<const N: usize> {
    test: Mixture<N>,
}

impl<const N: usize> Cusum<N> {
    pub(crate) fn new(limit: f64, grid: [f64; N], weights: [f64; N]) -> Self {
        Self {
            test: Mixture::new(limit, grid, weights),
        }
    }

    pub(crate) fn observe(&mut self, yes: bool) -> f64 {
        for (wealth, weight) in self.test.wealth.iter_mut().zip(self.test.weights) {
            *wealth = wealth.max(weight);
        }
        self.test.observe(yes)
    }

    pub(crate) fn wealth(&self) -> f64 {
        self.test.wealth()
    }

    pub(crate) fn parts(&self) -> [f64; N] {
        self.test.parts()
    }

    pub(crate) fn restore(&mut self, parts: [f64; N]) {
        self.test.restore(parts);
    }
}

/// The bar of a late-fault test at the n-th answer. The first `expected` answers share half of α, the next
/// twice as many a quarter, and so on: the sum of (answers / bar) never exceeds α.
pub(crate) fn late_bar(n: f64, expected: f64, alpha: f64) -> f64 {
    let mut length = expected.max(1.0);
    let mut end = length;
    let mut part = alpha / 2.0;
    while n > end {
        length *= 2.0;
        end += length;
        part /= 2.0;
    }
    length / part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_from_the_first_request_on_cross() {
        let mut test = Mixture::new(0.05, [0.075, 0.10, 0.15, 0.25, 0.40, 0.70, 0.95], [1.0 / 7.0; 7]);
        assert!(test.observe(true) < 400.0);
        assert!(test.observe(true) < 400.0);
        assert!(test.observe(true) > 400.0);
    }

    #[test]
    fn wealth_is_fair_at_the_limit() {
        // The expectation of one factor at the limit is 1: what is won on an error is lost on the good answers.
        let start = Mixture::new(0.05, [0.075, 0.95], [0.5, 0.5]);
        let won = start.clone().observe(true);
        let lost = start.clone().observe(false);
        assert!((0.05 * won + 0.95 * lost - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_long_good_phase_does_not_hide_a_late_fault() {
        let grid = [0.075, 0.10, 0.15, 0.25, 0.40, 0.70, 0.95];
        let (mut whole, mut late) = (
            Mixture::new(0.05, grid, [1.0 / 7.0; 7]),
            Cusum::new(0.05, grid, [1.0 / 7.0; 7]),
        );
        for _ in 0..2_000 {
            whole.observe(false);
            late.observe(false);
        }
        let bar = late_bar(2_000.0, 50_000.0, 0.0005);
        let needed = (1..).find(|_| late.observe(true) >= bar).unwrap();
        assert_eq!(needed, 8);
        for _ in 0..needed {
            whole.observe(true);
        }
        assert!(
            whole.wealth() < 400.0,
            "the test of the whole run is still paying back"
        );
    }

    #[test]
    fn the_late_bar_keeps_its_budget_for_ever() {
        let (expected, alpha) = (1_000.0, 0.001);
        let mut spent = 0.0;
        for n in 1..=2_000_000_u32 {
            spent += 1.0 / late_bar(f64::from(n), expected, alpha);
        }
        assert!(spent < alpha, "{spent}");
    }
}
