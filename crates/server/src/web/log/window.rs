//! Which lines a window shows: so many from a place on, before it or around it. Of long groups that are closed only
//! the head counts, so that who goes through a log goes past them in one step.

use super::index::Group;

/// A group longer than this is not sent while it is closed.
const LONG: u64 = 500;

/// Lines of a log, from 0: ranges in order, and the place that they are of. Between them lie closed groups.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) ranges: Vec<(u64, u64)>,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// What the reader wants to see inside of: an error, a line that was asked for, a hit.
pub(super) struct Layout<'g> {
    groups: &'g [Group],
    total: u64,
    seen: Vec<u64>,
}

impl<'g> Layout<'g> {
    pub(super) fn new(groups: &'g [Group], total: u64, seen: Vec<u64>) -> Self {
        Self { groups, total, seen }
    }

    /// Whether it is shown unfolded.
    pub(super) fn is_open(&self, group: &Group) -> bool {
        let until = group.until.unwrap_or(self.total);
        let seen = |line: &u64| group.start < *line && *line < until;
        group.until.is_none() || group.failed || self.seen.iter().any(seen)
    }

    pub(super) fn is_left_out(&self, group: &Group) -> bool {
        let lines = group.until.map_or(0, |until| until - group.start);
        lines > LONG && !self.is_open(group)
    }

    /// Those that reach into these lines.
    pub(super) fn within(&self, from: u64, until: u64) -> impl Iterator<Item = &'g Group> {
        let first = (self.groups).partition_point(|group| group.until.is_some_and(|until| until <= from));
        let groups = self.groups.get(first..).unwrap_or_default();
        groups.iter().take_while(move |group| group.start < until)
    }

    fn long(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        let long = self.groups.iter().filter(|group| self.is_left_out(group));
        long.filter_map(|group| Some((group.start, group.until?)))
    }

    /// From this line on.
    pub(super) fn forward(&self, from: u64, most: u64) -> Window {
        let mut at = from.min(self.total);
        // Inside of a closed group begins with its head.
        if let Some((start, _)) = self.long().find(|(start, until)| *start < at && at < *until) {
            at = start;
        }
        let begin = at;
        let (mut ranges, mut left) = (Vec::new(), most);
        let mut long = self.long().peekable();
        while at < self.total && left > 0 {
            while long.next_if(|(_, until)| *until <= at).is_some() {}
            let next = long.peek().copied().unwrap_or((self.total, self.total));
            let until = (next.0 + 1).min(at + left).min(self.total);
            ranges.push((at, until));
            left -= until - at;
            at = if until == next.0 + 1 { next.1 } else { until };
        }
        Window {
            ranges,
            from: begin,
            until: at,
        }
    }

    /// Up to this line and not with it.
    pub(super) fn backward(&self, until: u64, most: u64) -> Window {
        let end = until.min(self.total);
        let (mut at, mut ranges, mut left) = (end, Vec::new(), most);
        let mut long = self.long().rev().peekable();
        while at > 0 && left > 0 {
            while long.next_if(|(start, _)| *start >= at).is_some() {}
            let (start, until) = long.peek().copied().unwrap_or((0, 0));
            let (begin, next) = if at <= until {
                (start, start)
            } else {
                let begin = until.max(at.saturating_sub(left));
                (begin, begin)
            };
            let end = if at <= until { start + 1 } else { at };
            ranges.push((begin, end));
            left = left.saturating_sub(end - begin);
            at = next;
        }
        ranges.reverse();
        Window {
            ranges,
            from: at,
            until: end,
        }
    }

    /// With this line in its middle, as far as there are lines on both sides.
    pub(super) fn around(&self, line: u64, most: u64) -> Window {
        let line = line.min(self.total.saturating_sub(1));
        let shown = |window: &Window| {
            window
                .ranges
                .iter()
                .map(|(from, until)| until - from)
                .sum::<u64>()
        };
        let before = self.backward(line, most / 2);
        let mut behind = self.forward(line, most - shown(&before));
        let mut before = self.backward(line, most - shown(&behind));
        if before.until > behind.from {
            // The line is in a closed group, whose head both have.
            before = self.backward(behind.from, most / 2);
        }
        before.ranges.append(&mut behind.ranges);
        Window {
            ranges: before.ranges,
            from: before.from,
            until: behind.until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(start: u64, until: u64) -> Group {
        Group {
            start,
            until: Some(until),
            title: String::new(),
            at_ms: 0,
            until_ms: 0,
            ended: true,
            failed: false,
        }
    }

    #[test]
    fn a_window_passes_over_long_groups_that_are_closed() {
        let groups = [
            group(10, 20),
            group(100, 5000),
            group(5000, 6000),
            group(7000, 9000),
        ];
        let layout = Layout::new(&groups, 10_000, vec![7500]);
        let check = |window: Window, ranges: &[(u64, u64)], from: u64, until: u64| {
            assert_eq!(
                window,
                Window {
                    ranges: ranges.to_vec(),
                    from,
                    until
                }
            );
        };
        check(layout.forward(0, 50), &[(0, 50)], 0, 50);
        check(
            layout.forward(50, 100),
            &[(50, 101), (5000, 5001), (6000, 6048)],
            50,
            6048,
        );
        check(layout.forward(50, 51), &[(50, 101)], 50, 5000);
        check(layout.forward(300, 2), &[(100, 101), (5000, 5001)], 100, 6000);
        check(layout.forward(9990, 50), &[(9990, 10_000)], 9990, 10_000);
        check(layout.forward(99_999, 50), &[], 10_000, 10_000);
        check(
            layout.backward(6010, 20),
            &[(92, 100), (100, 101), (5000, 5001), (6000, 6010)],
            92,
            6010,
        );
        check(layout.backward(8000, 100), &[(7900, 8000)], 7900, 8000);
        check(layout.backward(30, 100), &[(0, 30)], 0, 30);
        check(
            layout.around(7500, 100),
            &[(7450, 7500), (7500, 7550)],
            7450,
            7550,
        );
        check(layout.around(5, 100), &[(0, 5), (5, 100)], 0, 100);
        check(
            layout.around(9999, 100),
            &[(9900, 9999), (9999, 10_000)],
            9900,
            10_000,
        );
        check(Layout::new(&[], 0, Vec::new()).around(5, 10), &[], 0, 0);
    }

    #[test]
    fn what_goes_forward_and_back_meets() {
        let groups = [
            group(5, 900),
            group(900, 1500),
            group(1700, 1800),
            group(1900, 9000),
        ];
        let layout = Layout::new(&groups, 9500, Vec::new());
        for most in [1, 2, 7, 100, 1000] {
            let mut at = 0;
            let mut seen = Vec::new();
            while at < 9500 {
                let window = layout.forward(at, most);
                assert_eq!(window.from, at);
                assert!(window.until > at);
                seen.extend(window.ranges.iter().flat_map(|(from, until)| *from..*until));
                at = window.until;
            }
            let mut back = Vec::new();
            while at > 0 {
                let window = layout.backward(at, most);
                assert!(window.from < at);
                back.extend(
                    window
                        .ranges
                        .iter()
                        .rev()
                        .flat_map(|(from, until)| (*from..*until).rev()),
                );
                at = window.from;
            }
            back.reverse();
            assert_eq!(seen, back, "{most}");
        }
    }
}
