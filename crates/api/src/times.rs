//! Response times as counts: how many answers took how long, in steps of a sixteenth. What was counted later less what
//! was counted before is what was counted between, so that quantiles of any window can be told.

use serde::{Deserialize, Serialize};

/// Microseconds in steps of a sixteenth, up to 2^36 (19 hours).
pub const BUCKETS: usize = 33 * 16;

/// The bucket of a time.
#[must_use]
pub fn bucket(us: u64) -> usize {
    let us = us.min((1 << 36) - 1);
    if us < 16 {
        return usize::try_from(us).unwrap_or(0);
    }
    let exponent = us.ilog2() - 4;
    let index = u64::from(exponent) * 16 + (us >> exponent);
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// The middle of a bucket, in microseconds.
fn middle_us(index: u64) -> u64 {
    match index {
        0..16 => index,
        _ => {
            let exponent = (index / 16 - 1).min(40);
            let width = 1 << exponent;
            (16 + index % 16) * width + width / 2
        }
    }
}

/// Counts of the buckets that have any, in the order of the buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Times(Vec<(u16, u64)>);

impl Times {
    #[must_use]
    pub fn of(counts: &[u64; BUCKETS]) -> Self {
        let some = (0_u16..).zip(counts).filter(|(_, count)| **count > 0);
        Self(some.map(|(index, count)| (index, *count)).collect())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What came after `before` was counted. A count that fell began anew.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let was = |index: u16| {
            before
                .0
                .iter()
                .find(|(known, _)| *known == index)
                .map_or(0, |(_, count)| *count)
        };
        let anew = self.total() < before.total();
        let rest = self.0.iter().map(|(index, count)| {
            let was = if anew { 0 } else { was(*index) };
            (*index, count.saturating_sub(was))
        });
        Self(rest.filter(|(_, count)| *count > 0).collect())
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (index, count) in &other.0 {
            match self.0.binary_search_by_key(index, |(known, _)| *known) {
                Ok(at) => {
                    if let Some(known) = self.0.get_mut(at) {
                        known.1 = known.1.saturating_add(*count);
                    }
                }
                Err(at) => self.0.insert(at, (*index, *count)),
            }
        }
    }

    /// The time, in microseconds, below which `per_mille` of the counted ones lie; none when there are none.
    #[must_use]
    pub fn quantile_us(&self, per_mille: u64) -> Option<u64> {
        let wanted = (u128::from(self.total()) * u128::from(per_mille)).div_ceil(1000);
        let mut seen = 0_u128;
        let found = self.0.iter().find(|(_, count)| {
            seen += u128::from(*count);
            *count > 0 && seen >= wanted
        });
        found.map(|(index, _)| middle_us(u64::from(*index)))
    }

    fn total(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = u64>) -> Times {
        let mut counts = [0; BUCKETS];
        for us in times {
            counts[bucket(us)] += 1;
        }
        Times::of(&counts)
    }

    #[test]
    fn quantiles_are_within_a_sixteenth() {
        for us in [0, 1, 15, 16, 17, 31, 32, 100, 999, 12_345, 1_000_000, 59_000_000] {
            let got = of([us]).quantile_us(500).unwrap();
            assert!(got.abs_diff(us) <= us / 16 + 1, "{us} came back as {got}");
        }
        assert!(bucket(u64::MAX) < BUCKETS);
        assert_eq!(Times::default().quantile_us(950), None);
    }

    #[test]
    fn a_window_is_what_came_after_what_was_there_before() {
        let before = of(1..=1000);
        let mut all = before.clone();
        all.add(&of([5_000; 100]));
        let window = all.since(&before);
        assert!(window.quantile_us(500).unwrap().abs_diff(5_000) <= 320);
        assert_eq!(window, of([5_000; 100]));
        // The proxy was started again: what it has is all there is.
        assert_eq!(of([7]).since(&before), of([7]));
        let text = serde_json::to_string(&window).unwrap();
        assert_eq!(serde_json::from_str::<Times>(&text).unwrap(), window);
    }

    #[test]
    fn counts_from_elsewhere_do_no_harm() {
        let times: Times = serde_json::from_str(&format!("[[65535,{}],[3,{}]]", u64::MAX, u64::MAX)).unwrap();
        assert!(times.quantile_us(950).is_some());
        let mut sum = times.clone();
        sum.add(&times);
        assert!(sum.quantile_us(1000).is_some());
    }
}
