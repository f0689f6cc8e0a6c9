//! The bar of the response-time tests: 1.5 times the old revision's quantile *now*, so that load that slows down
//! both is no regression. Kept over the old revision's last answers.

/// How many of the old revision's answers the bar follows, and how few are enough.
const WINDOW: usize = 4096;
const ENOUGH: usize = 200;
/// Bins grow by half a per cent from 10 µs on; the last holds everything above about 150 s.
const BINS: usize = 3300;
const GROWTH: f64 = 1.005;
const FLOOR_US: f64 = 10.0;
/// The bar stands on the upper end of the quantile's own uncertainty: one standard error of its rank.
const RANK_ERRORS: f64 = 1.0;

#[derive(Clone, Debug)]
pub(crate) struct Bar {
    ring: Vec<u16>,
    next: usize,
    counts: Vec<u16>,
    p50: Pointer,
    p95: Pointer,
    factor_bins: f64,
}

/// The bin that holds the r-th smallest answer, moved along as answers come and go.
#[derive(Clone, Debug)]
struct Pointer {
    quantile: f64,
    bin: usize,
    /// Answers in bins below `bin`.
    below: usize,
}

impl Bar {
    /// `slower`: 0.5 for a bar at 1.5 times the quantile.
    pub(crate) fn new(slower: f64) -> Self {
        Self {
            ring: Vec::with_capacity(WINDOW),
            next: 0,
            counts: vec![0; BINS],
            p50: Pointer {
                quantile: 0.50,
                bin: 0,
                below: 0,
            },
            p95: Pointer {
                quantile: 0.95,
                bin: 0,
                below: 0,
            },
            factor_bins: (1.0 + slower).ln() / GROWTH.ln(),
        }
    }

    /// Takes one answer of the old revision.
    pub(crate) fn observe(&mut self, latency_us: u64) {
        let bin = bin_of(latency_us);
        if self.ring.len() < WINDOW {
            self.ring.push(bin);
        } else {
            let gone = std::mem::replace(&mut self.ring[self.next], bin);
            self.next = (self.next + 1) % WINDOW;
            self.change(gone, false);
        }
        self.change(bin, true);
    }

    fn change(&mut self, bin: u16, come: bool) {
        let bin = usize::from(bin);
        if come {
            self.counts[bin] += 1;
        } else {
            self.counts[bin] -= 1;
        }
        for pointer in [&mut self.p50, &mut self.p95] {
            if bin < pointer.bin {
                pointer.below = if come {
                    pointer.below + 1
                } else {
                    pointer.below - 1
                };
            }
        }
    }

    /// Whether an answer of the new revision is over the bar, at the median and at the 95th percentile; none while
    /// the old revision has answered too little for a bar.
    pub(crate) fn exceeds(&mut self, latency_us: u64) -> Option<(bool, bool)> {
        let n = self.ring.len();
        if n < ENOUGH {
            return None;
        }
        let bin = f64::from(bin_of(latency_us));
        let p50 = self.p50.settle(&self.counts, n);
        let p95 = self.p95.settle(&self.counts, n);
        Some((
            bin > to_f64(p50) + self.factor_bins,
            bin > to_f64(p95) + self.factor_bins,
        ))
    }
}

impl Pointer {
    fn settle(&mut self, counts: &[u16], n: usize) -> usize {
        let n = to_f64(n);
        let rank = n * self.quantile + RANK_ERRORS * (n * self.quantile * (1.0 - self.quantile)).sqrt();
        while self.bin + 1 < BINS && to_f64(self.below + usize::from(counts[self.bin])) < rank {
            self.below += usize::from(counts[self.bin]);
            self.bin += 1;
        }
        while self.bin > 0 && to_f64(self.below) >= rank {
            self.bin -= 1;
            self.below -= usize::from(counts[self.bin]);
        }
        self.bin
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
fn to_f64(n: usize) -> f64 {
    n as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of bins"
)]
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of any response fit a double"
)]
fn bin_of(latency_us: u64) -> u16 {
    let ratio = (latency_us as f64 / FLOOR_US).max(1.0);
    (ratio.ln() / GROWTH.ln()).clamp(0.0, (BINS - 1) as f64) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_stands_half_as_high_again_as_the_quantiles() {
        let mut bar = Bar::new(0.5);
        assert_eq!(bar.exceeds(1), None, "no bar without answers");
        for i in 0..10_000_u64 {
            bar.observe(10_000 + (i * 7919) % 10_000); // evenly between 10 and 20 ms
        }
        // p50 is 15 ms, its bar 22.5 ms; p95 is 19.5 ms, its bar 29.25 ms; plus one error of the rank and a bin.
        assert_eq!(bar.exceeds(22_300), Some((false, false)));
        assert_eq!(bar.exceeds(23_100), Some((true, false)));
        assert_eq!(bar.exceeds(29_000), Some((true, false)));
        assert_eq!(bar.exceeds(29_900), Some((true, true)));
    }

    #[test]
    fn the_bar_follows_the_recent_answers() {
        let mut bar = Bar::new(0.5);
        (0..WINDOW).for_each(|_| bar.observe(10_000));
        assert_eq!(bar.exceeds(30_000), Some((true, true)));
        (0..WINDOW).for_each(|_| bar.observe(30_000));
        assert_eq!(bar.exceeds(30_000), Some((false, false)));
        (0..WINDOW).for_each(|_| bar.observe(10_000));
        assert_eq!(bar.exceeds(30_000), Some((true, true)));
    }

    #[test]
    fn extremes_stay_within_the_bins() {
        let mut bar = Bar::new(0.5);
        (0..300).for_each(|i| bar.observe(if i % 2 == 0 { 0 } else { u64::MAX }));
        assert_eq!(bar.exceeds(0), Some((false, false)));
    }
}
