//! E2: does the new revision fail more often than the old one, right now?
//!
//! Only errors are looked at. With a share s of the traffic on the new revision and equal error rates, an error
//! lands on it with probability s, whatever the common rate does over time; s is set by us and may change while
//! the test runs. The wealth is a mixture over odds o of Π p/s (error on new) or (1-p)/(1-s) (on old) with
//! p = os/(os+1-s).

const ODDS: [f64; 6] = [1.5, 2.0, 4.0, 10.0, 50.0, 300.0];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ratio {
    wealth: [f64; 6],
    /// M = max(M, 1)·factor instead of the whole run.
    late: bool,
}

impl Ratio {
    pub(crate) fn new(late: bool) -> Self {
        Self {
            wealth: [START; 6],
            late,
        }
    }

    /// Takes one error. `share` is the new revision's share of the traffic at that instant, between 0 and 1; at 0
    /// and 1 there is nothing to compare, and the wealth stays.
    pub(crate) fn observe(&mut self, on_new: bool, share: f64) -> f64 {
        if share > 0.0 && share < 1.0 {
            for (wealth, odds) in self.wealth.iter_mut().zip(ODDS) {
                if self.late {
                    *wealth = wealth.max(START);
                }
                let p = odds * share / (odds * share + 1.0 - share);
                *wealth *= if on_new {
                    p / share
                } else {
                    (1.0 - p) / (1.0 - share)
                };
            }
        }
        self.wealth()
    }

    pub(crate) fn wealth(&self) -> f64 {
        self.wealth.iter().sum()
    }

    pub(crate) fn parts(&self) -> [f64; 6] {
        self.wealth
    }

    pub(crate) fn restore(&mut self, parts: [f64; 6]) {
        self.wealth = parts;
    }
}

const START: f64 = 1.0 / 6.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wealth_is_fair_at_equal_rates_and_any_share() {
        for share in [0.05, 0.1, 0.5, 0.9] {
            let start = Ratio::new(false);
            let fair = share * start.clone().observe(true, share)
                + (1.0 - share) * start.clone().observe(false, share);
            assert!((fair - 1.0).abs() < 1e-12, "{share}: {fair}");
        }
    }

    #[test]
    fn nothing_is_compared_without_two_arms() {
        let mut test = Ratio::new(false);
        for share in [0.0, 1.0] {
            assert!((test.observe(true, share) - 1.0).abs() < 1e-12);
        }
    }
}
