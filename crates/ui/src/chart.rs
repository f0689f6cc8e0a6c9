//! Where the lines, marks and labels of a chart lie. Pure numbers and paths; no markup. The one place for it.
//!
//! A curve is drawn into a box of [`WIDTH`] by [`HEIGHT`] that is stretched to its place; what must not be stretched
//! (text, marks) is placed by percentages around it. A curve has at most [`POINTS_MAX`] points: where there are
//! more, each column keeps its lowest and its highest, so that a spike stays. What is missing is not joined.

use std::fmt::Write as _;

pub const WIDTH: f64 = 600.0;
pub const HEIGHT: f64 = 120.0;
pub const POINTS_MAX: usize = 300;
/// For an SVG around a curve.
pub const VIEW_BOX: &str = "0 0 600 120";

/// A range of values along one side of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    /// `to` is above `from`, or is put there.
    #[must_use]
    pub fn linear(from: f64, to: f64) -> Self {
        Self {
            from,
            to: if to > from { to } else { from + 1.0 },
            logarithmic: false,
        }
    }

    /// Both are above zero.
    #[must_use]
    pub fn logarithmic(from: f64, to: f64) -> Self {
        let from = from.max(f64::MIN_POSITIVE);
        Self {
            from,
            to: if to > from { to } else { from * 10.0 },
            logarithmic: true,
        }
    }

    /// From zero up to a round number that leaves `most` some room.
    #[must_use]
    pub fn up_to(most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = round_step(most / 3.0);
        Self::linear(0.0, (most / step * 1.02).ceil() * step)
    }

    #[must_use]
    pub fn to(&self) -> f64 {
        self.to
    }

    /// Where a value lies between the ends, from 0 to 1. What lies outside is put at the end.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let place = if self.logarithmic {
            (value.max(self.from).ln() - self.from.ln()) / (self.to.ln() - self.from.ln())
        } else {
            (value - self.from) / (self.to - self.from)
        };
        if place.is_nan() {
            0.0
        } else {
            place.clamp(0.0, 1.0)
        }
    }

    /// Round values from end to end, about `count` of them.
    #[must_use]
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        let mut ticks = Vec::new();
        if self.logarithmic {
            let decades = (self.to / self.from).log10().ceil().max(1.0);
            let step = (decades / float(count.max(1))).ceil().max(1.0);
            let mut exponent = (self.from.log10() - 1e-9).ceil();
            while exponent <= self.to.log10() + 1e-9 && ticks.len() < 64 {
                ticks.push(10_f64.powf(exponent));
                exponent += step;
            }
        } else {
            let step = round_step((self.to - self.from) / float(count.max(1)));
            let mut nth = (self.from / step - 1e-9).ceil();
            while nth * step <= self.to + step * 1e-9 && ticks.len() < 64 {
                ticks.push(nth * step + 0.0);
                nth += 1.0;
            }
        }
        ticks
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let least = if least.is_finite() && least > 0.0 {
        least
    } else {
        1.0
    };
    let power = 10_f64.powf(least.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|times| times * power >= least * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

#[allow(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
fn float(n: usize) -> f64 {
    n as f64
}

/// The curve through points that rise in x, as the path of an SVG. A missing value ends a part of it; a value that
/// stands alone is a short stroke.
#[must_use]
pub fn curve(points: &[(f64, Option<f64>)], x: &Axis, y: &Axis) -> String {
    let mut path = String::new();
    let parts: Vec<&[(f64, Option<f64>)]> = points
        .split(|(_, value)| value.is_none())
        .filter(|part| !part.is_empty())
        .collect();
    let per_part = POINTS_MAX / parts.len().max(1);
    for part in parts {
        let known: Vec<(f64, f64)> = part.iter().filter_map(|(x, y)| Some((*x, (*y)?))).collect();
        let thinned = thin(&known, x, per_part.max(4));
        for (index, (at, value)) in thinned.iter().enumerate() {
            let (at, value) = (x.place(*at) * WIDTH, HEIGHT - y.place(*value) * HEIGHT);
            let command = if index == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(path, "{command}{} {}", number(at), number(value));
            if thinned.len() == 1 {
                let _ = write!(path, "h1");
            }
        }
    }
    path
}

/// At most `most` points: the first and the last, and of each column the lowest and the highest.
fn thin(points: &[(f64, f64)], x: &Axis, most: usize) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    if points.len() <= most {
        return points.to_vec();
    }
    let columns = float(((most - 2) / 2).max(1));
    let (from, to) = (x.place(first.0), x.place(last.0));
    let column = |point: &(f64, f64)| ((x.place(point.0) - from) / (to - from).max(1e-9) * columns).floor();
    let mut kept = vec![*first];
    for part in points.chunk_by(|a, b| column(a).min(columns - 1.0) >= column(b).min(columns - 1.0)) {
        let low = part.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let high = part.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let (Some(low), Some(high)) = (low, high) else {
            continue;
        };
        let (before, after) = if low.0 <= high.0 { (low, high) } else { (high, low) };
        kept.push(*before);
        if before != after {
            kept.push(*after);
        }
    }
    kept.push(*last);
    kept.dedup();
    kept
}

/// Short strokes at places between 0 and 1, of a box that is `height` high; strokes in one column are one.
#[must_use]
pub fn strokes(places: impl IntoIterator<Item = f64>, height: f64) -> String {
    let mut path = String::new();
    let mut last = f64::NEG_INFINITY;
    for place in places {
        let at = (place * WIDTH).round();
        if at > last {
            let _ = write!(path, "M{} 0v{}", number(at), number(height));
            last = at;
        }
    }
    path
}

/// A place between 0 and 1 as a percentage.
#[must_use]
pub fn percent(place: f64) -> String {
    format!("{}%", hundredths(place * 100.0))
}

/// With one digit, and none where it says nothing.
#[must_use]
pub fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

fn hundredths(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(points: &[(f64, Option<f64>)], expected: &str) {
        let path = curve(points, &Axis::linear(0.0, 10.0), &Axis::linear(0.0, 100.0));
        assert_eq!(path, expected);
    }

    #[test]
    fn what_is_missing_is_not_joined() {
        check(&[], "");
        check(&[(0.0, None), (1.0, None)], "");
        check(&[(0.0, Some(0.0)), (10.0, Some(100.0))], "M0 120L600 0");
        check(&[(2.0, Some(50.0))], "M120 60h1");
        let gap = [
            (0.0, Some(0.0)),
            (1.0, Some(0.0)),
            (2.0, None),
            (5.0, Some(0.0)),
            (6.0, Some(f64::NAN)),
        ];
        check(&gap, "M0 120L60 120M300 120L360 120");
        check(&[(-5.0, Some(-1.0)), (50.0, Some(1e9))], "M0 120L600 0");
    }

    #[test]
    fn a_spike_stays_among_many_points() {
        let points: Vec<(f64, Option<f64>)> = (0..100_000)
            .map(|n| {
                (
                    f64::from(n),
                    Some(if n == 54_321 { 99.0 } else { f64::from(n % 7) }),
                )
            })
            .collect();
        let path = curve(&points, &Axis::linear(0.0, 99_999.0), &Axis::linear(0.0, 99.0));
        assert!(
            path.matches('L').count() < POINTS_MAX,
            "{}",
            path.matches('L').count()
        );
        assert_eq!(path.matches(" 0").count(), 1, "the spike");
        assert!(path.starts_with("M0 120") && path.contains("L600 "));
    }

    #[test]
    fn ticks_are_round_and_lie_on_the_axis() {
        assert_eq!(Axis::up_to(5.4).ticks(3), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(Axis::up_to(318.0).ticks(3), [0.0, 200.0, 400.0]);
        assert_eq!(Axis::up_to(0.0).ticks(3), [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(Axis::up_to(f64::INFINITY).to(), Axis::up_to(1.0).to());
        assert_eq!(Axis::logarithmic(0.1, 1e5).ticks(8).len(), 7);
        assert_eq!(Axis::logarithmic(1.0, 1e12).ticks(4), [1.0, 1e3, 1e6, 1e9, 1e12]);
        assert_eq!(Axis::linear(3.0, 3.0).place(f64::NAN), 0.0);
    }

    #[test]
    fn strokes_of_one_column_are_one() {
        assert_eq!(
            strokes([0.0, 0.0001, 0.5, 1.0], 20.0),
            "M0 0v20M300 0v20M600 0v20"
        );
        assert_eq!(percent(1.0 / 3.0), "33.33%");
    }
}
