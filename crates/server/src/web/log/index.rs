//! What a log is looked through for once: its errors and warnings, its groups, and how lines begin to look. Kept in
//! memory and carried on as the log grows; a log of a gigabyte is looked through in pieces, between which others are
//! served, and a page does not wait for the end of it.

use crate::app::App;
use crate::error::AppResult;
use pilotage_store::LogPiece;
use pilotage_ui::ansi::Ansi;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of each kind; what is beyond is in the log, but not in the strip.
const MARKS_MAX: usize = 10_000;
const GROUPS_MAX: usize = 10_000;
const LOOKS_MAX: usize = 100_000;
const TITLE_CHARS_MAX: usize = 120;
/// Logs that are kept in mind.
const KEPT_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Index {
    /// Lines that were looked at, from the first on.
    pub(super) lines: u64,
    /// Step and line.
    pub(super) errors: Vec<(u32, u64)>,
    pub(super) warnings: Vec<(u32, u64)>,
    /// As they follow one another: none lies in another.
    pub(super) groups: Vec<Group>,
    pub(super) steps: Vec<Part>,
    /// Lines from which on a look holds.
    looks: Vec<(u64, Ansi)>,
    look: Ansi,
}

/// The lines of a step.
pub(super) struct Part {
    pub(super) step: u32,
    pub(super) first: u64,
    pub(super) at_ms: i64,
    /// With which its command ended, as the log says.
    pub(super) exit: Option<i32>,
}

pub(super) struct Group {
    pub(super) start: u64,
    /// The first line behind it; none while it may grow.
    pub(super) until: Option<u64>,
    pub(super) title: String,
    pub(super) at_ms: i64,
    pub(super) until_ms: i64,
    /// Its last line is the one that ends it.
    pub(super) ended: bool,
    /// An error is in it.
    pub(super) failed: bool,
}

impl Index {
    /// One that knows only of the lines from this one on.
    pub(super) fn from(line: u64) -> Self {
        Self {
            lines: line,
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, piece: &LogPiece) {
        for (line, text) in (piece.first_line..).zip(piece.text.split_terminator('\n')) {
            if line < self.lines {
                continue;
            }
            self.lines = line + 1;
            self.line(piece.step, line, piece.at_ms, text);
        }
    }

    fn line(&mut self, step: u32, line: u64, at_ms: i64, text: &str) {
        let mut look = self.look;
        if self.steps.last().is_none_or(|last| last.step != step) {
            self.end_group(line, at_ms);
            self.steps.push(Part {
                step,
                first: line,
                at_ms,
                exit: None,
            });
            look = Ansi::default();
        }
        let before = self.looks.last().map(|(_, look)| *look).unwrap_or_default();
        if look != before && self.looks.len() < LOOKS_MAX {
            self.looks.push((line, look));
        }
        look.pass(text.as_bytes());
        self.look = look;
        if let Some(open) = self.groups.last_mut().filter(|group| group.until.is_none()) {
            open.until_ms = at_ms;
        }
        let Some((mark, rest)) = text.strip_prefix("##[").and_then(|text| text.split_once(']')) else {
            return;
        };
        match mark {
            "error" => {
                mark_line(&mut self.errors, step, line);
                let exit = rest.strip_prefix("Process completed with exit code ");
                if let (Some(exit), Some(part)) = (exit, self.steps.last_mut()) {
                    part.exit = exit.trim_end_matches('.').parse().ok();
                }
                if let Some(open) = self.groups.last_mut().filter(|group| group.until.is_none()) {
                    open.failed = true;
                }
            }
            "warning" => mark_line(&mut self.warnings, step, line),
            "group" => {
                self.end_group(line, at_ms);
                if self.groups.len() < GROUPS_MAX {
                    self.groups.push(Group {
                        start: line,
                        until: None,
                        title: pilotage_ui::ansi::plain(rest.as_bytes())
                            .chars()
                            .take(TITLE_CHARS_MAX)
                            .collect(),
                        at_ms,
                        until_ms: at_ms,
                        ended: false,
                        failed: false,
                    });
                }
            }
            "endgroup" => {
                if let Some(open) = self.groups.last_mut().filter(|group| group.until.is_none()) {
                    open.ended = true;
                }
                self.end_group(line + 1, at_ms);
            }
            _ => {}
        }
    }

    fn end_group(&mut self, until: u64, at_ms: i64) {
        if let Some(open) = self.groups.last_mut().filter(|group| group.until.is_none()) {
            open.until = Some(until);
            open.until_ms = at_ms;
        }
    }

    /// How a line begins to look.
    pub(super) fn look(&self, line: u64) -> Ansi {
        let behind = self.looks.partition_point(|(at, _)| *at <= line);
        let known = behind.checked_sub(1).and_then(|at| self.looks.get(at));
        known.map(|(_, look)| *look).unwrap_or_default()
    }
}

fn mark_line(marks: &mut Vec<(u32, u64)>, step: u32, line: u64) {
    if marks.len() < MARKS_MAX {
        marks.push((step, line));
    }
}

type Shared = Arc<Mutex<Index>>;

/// Those of the logs that people looked at last.
#[derive(Default)]
pub(crate) struct Indexes(Mutex<VecDeque<(i64, Shared)>>);

impl Indexes {
    fn of(&self, job: i64) -> Shared {
        let mut kept = lock(&self.0);
        let at = kept.iter().position(|(kept, _)| *kept == job);
        let found = at.and_then(|at| kept.remove(at));
        let (job, index) = found.unwrap_or_else(|| (job, Shared::default()));
        kept.push_front((job, Arc::clone(&index)));
        kept.truncate(KEPT_MAX);
        index
    }
}

/// The index of a log, as far as it can be brought in this time.
pub(super) async fn index(app: &App, job: i64, lines: u64, patience: Duration) -> AppResult<Shared> {
    let index = app.log_indexes.of(job);
    let grown = async {
        loop {
            let from = lock(&index).lines;
            if from >= lines {
                return Ok(());
            }
            let (pieces, next) = app.store.logs.read(job, None, from).await?;
            if next <= from {
                return Ok(());
            }
            let index = Arc::clone(&index);
            let take = move || pieces.iter().for_each(|piece| lock(&index).take(piece));
            // Dropped, a piece is still taken: what comes twice is passed over.
            let _ = tokio::task::spawn_blocking(take).await;
        }
    };
    match tokio::time::timeout(patience, grown).await {
        Ok(grown) => grown.map(|()| index),
        Err(_) => Ok(index),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[(u32, &str)]) -> Index {
        let mut index = Index::default();
        for (step, text) in pieces {
            let piece = LogPiece {
                step: *step,
                first_line: index.lines,
                at_ms: 0,
                text: (*text).to_owned(),
            };
            index.take(&piece);
            // What comes again changes nothing.
            index.take(&piece);
        }
        index
    }

    #[test]
    fn marks_and_groups_are_found() {
        let index = of(&[
            (
                1,
                "a\n##[group]One\nb\n##[error]broke\n##[endgroup]\n##[warning]w\n",
            ),
            (2, "##[group]Two \u{1b}[31mred\u{1b}[0m\n##[group]Three\n"),
            (3, "c\n##[error]Process completed with exit code 2.\n"),
        ]);
        assert_eq!(index.errors, [(1, 3), (3, 9)]);
        assert_eq!(index.warnings, [(1, 5)]);
        let steps: Vec<_> = (index.steps.iter())
            .map(|part| (part.step, part.first, part.exit))
            .collect();
        assert_eq!(steps, [(1, 0, None), (2, 6, None), (3, 8, Some(2))]);
        let groups: Vec<_> = (index.groups.iter())
            .map(|group| (group.start, group.until, group.title.as_str(), group.failed))
            .collect();
        assert_eq!(
            groups,
            [
                (1, Some(5), "One", true),
                (6, Some(7), "Two red", false),
                (7, Some(8), "Three", false)
            ]
        );
    }

    #[test]
    fn a_look_holds_until_it_is_changed_or_the_step_ends() {
        let index = of(&[(1, "a\n\u{1b}[31mb\nc\nd\u{1b}[0m\ne\n\u{1b}[1mf\n"), (2, "g\n")]);
        let mut red = Ansi::default();
        red.pass(b"\x1b[31m");
        let plain = Ansi::default();
        let looks = [0, 1, 2, 3, 4, 5, 6].map(|line| index.look(line));
        assert_eq!(looks, [plain, plain, red, red, plain, plain, plain]);
    }
}
