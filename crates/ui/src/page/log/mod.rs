//! P3, the log of a job: its steps, a window of its lines, what is looked for in it, and a strip that shows where in
//! the whole log errors, warnings and hits are. Lines are counted over the whole job, from 1, as the REST log does
//! from 0: step 3's line 4182 is `#s3:4182`.

mod find;
mod map;
mod rows;
#[cfg(test)]
mod tests;

use crate::Fragment;
use crate::ansi::Ansi;
use crate::icon::{Icon, icon};
use crate::status::Status;
use crate::words;
pub use find::{Find, Hit, QUERY_CHARS_MAX};
pub use map::Map;
use maud::{Markup, html};
pub(crate) use rows::levelled;
pub use rows::{Group, Line, read};

/// How many lines one window shows.
pub const WINDOW: u64 = 1000;
/// Longer lines are cut in view, in bytes.
pub const SHOWN_BYTES_MAX: usize = 4096;
/// Other jobs of the run that the page leads to.
const SIBLINGS_MAX: usize = 100;

pub struct Log {
    /// `/owner/name/runs/7`.
    pub run: String,
    pub run_title: String,
    /// `/owner/name/runs/7/jobs/9`.
    pub path: String,
    pub job: i64,
    pub name: String,
    pub status: Status,
    pub why: String,
    pub runner: String,
    pub now: i64,
    pub started_at: Option<i64>,
    pub duration_ms: Option<i64>,
    pub steps: Vec<Step>,
    /// The other jobs of the run, and this one.
    pub siblings: Vec<Sibling>,
    /// Of the window.
    pub lines: Vec<Line>,
    /// How some of the lines begin to look; a line that is not named goes on as the one before it.
    pub looks: Vec<(u64, Ansi)>,
    /// Those that reach into the window.
    pub groups: Vec<Group>,
    /// When the first line of each step came.
    pub began: Vec<(u32, i64)>,
    /// Of the whole log.
    pub total: u64,
    /// The first line of the window, from 0, and the first behind it.
    pub from: u64,
    pub until: u64,
    /// Lines that never came, from 0: from, up to and not with.
    pub missing: Option<(u64, u64)>,
    /// More lines may come.
    pub live: bool,
    /// The error that matters, from 0.
    pub error: Option<u64>,
    /// The lines that were asked for, from 0: the first and the last.
    pub asked: Option<(u64, u64)>,
    pub find: Find,
    pub map: Map,
}

pub struct Step {
    pub number: u32,
    pub name: String,
    pub status: Status,
    pub started_at: Option<i64>,
    pub duration_ms: Option<i64>,
    /// With which its command ended, where that was not 0.
    pub exit: Option<i32>,
}

pub struct Sibling {
    pub name: String,
    pub status: Status,
    pub duration_ms: Option<i64>,
    pub href: String,
    pub current: bool,
}

/// Where a line lies: a page with it, and its anchor. `line` is counted from 0.
#[must_use]
pub fn link(job_path: &str, step: u32, line: u64) -> String {
    format!("{job_path}?line={}#{}", line + 1, anchor(step, line))
}

/// `s3:4182`.
fn anchor(step: u32, line: u64) -> String {
    format!("s{step}:{}", line + 1)
}

impl Log {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            (self.nav())
            section class="first" aria-label="Log" {
                (self.bar())
                (self.find.list(&self.path))
                div class="lgw" {
                    div class="lgs" role="log" aria-live="off" tabindex="0" aria-label="Lines" {
                        (self.earlier())
                        (self.window())
                        (self.later())
                        // Shown by `log.js` where lines came below what is read.
                        button class="btn pill" id="below" type="button" hidden { (icon(Icon::ArrowDown)) span {} }
                    }
                    (self.map.svg(&self.path, (self.from, self.until)))
                }
            }
        }
    }

    /// What changes while the job runs, beside its lines.
    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        let mut fragments = vec![Fragment::new("steps", self.nav())];
        for step in &self.steps {
            fragments.push(Fragment::new(
                format!("head-{}", step.number),
                rows::head(step, self.now),
            ));
        }
        fragments
    }

    fn nav(&self) -> Markup {
        html! {
            nav id="steps" aria-label="Jobs and steps" {
                p class="s m" { a href=(self.run) aria-keyshortcuts="Escape" { (self.run_title) } }
                h1 class="lh" { (self.status.icon()) (self.name) }
                p class="s m" {
                    (self.status.word())
                    @match (self.started_at, self.duration_ms) {
                        (Some(at), None) if self.live => { " " (words::since(at, self.now)) }
                        (_, Some(ms)) => { " in " (words::duration(ms)) }
                        _ => {}
                    }
                    @if !self.runner.is_empty() { br; (self.runner) }
                }
                @if !self.why.is_empty() { p class="s m" { (self.why) } }
                details class="fold" id="steps-fold" open {
                    summary { "Steps" }
                    ol class="steps" {
                        @for step in &self.steps { li { (self.step(step)) } }
                    }
                }
                @if self.siblings.len() > 1 { (self.others()) }
            }
        }
    }

    fn others(&self) -> Markup {
        html! {
            details class="fold hs" id="jobs-fold" open[self.siblings.len() <= 12] {
                summary { "Jobs of this run" }
                ol class="steps" {
                    @for job in self.siblings.iter().take(SIBLINGS_MAX) {
                        li {
                            a href=(job.href) aria-current=[job.current.then_some("page")] {
                                (job.status.icon())
                                span class="t1" title=(job.name) { (job.name) }
                                span class="vh" { (job.status.word()) }
                                span class="d" { @if let Some(ms) = job.duration_ms { (words::duration(ms)) } }
                            }
                        }
                    }
                    @if self.siblings.len() > SIBLINGS_MAX {
                        li { a href=(self.run) { (words::counted((self.siblings.len() - SIBLINGS_MAX) as u64, "more", "more")) } }
                    }
                }
            }
        }
    }

    fn bar(&self) -> Markup {
        html! {
            div class="bar" {
                (self.find.form(&self.path))
                @if let Some((step, line)) = self.next_error() {
                    a class="btn" id="next-error" aria-keyshortcuts="e" href=(link(&self.path, step, line)) {
                        span class="st bad" { (icon(Icon::Bad)) } "Next error" kbd { "e" }
                    }
                    @let (step, line) = self.error_before().unwrap_or((step, line));
                    a class="btn no hs" id="error-before" aria-keyshortcuts="Shift+E" href=(link(&self.path, step, line))
                        aria-label="Error before" { (icon(Icon::ArrowUp)) }
                }
                span class="s m hs" id="said" role="status" { (self.said()) }
                span class="end acts hs" {
                    label class="tog" { input type="checkbox" id="times" aria-keyshortcuts="t" checked; "Times" }
                    label class="tog" { input type="checkbox" id="wrap" aria-keyshortcuts="w"; "Wrap" }
                    // Only scripts can follow.
                    label class="tog" id="follow-label" hidden { input type="checkbox" id="follow" aria-keyshortcuts="f"; "Follow" }
                    a class="btn" href={ (self.path) "/log.txt" } { "Raw" }
                }
            }
        }
    }

    /// The first error behind what was asked for; the one that matters before any was.
    fn next_error(&self) -> Option<(u32, u64)> {
        let errors = &self.map.errors;
        let after = match self.asked {
            Some((_, last)) => last + 1,
            None => self.error.unwrap_or_default(),
        };
        let next = errors.iter().find(|(_, line)| *line >= after);
        let matters = self.lines.iter().find(|line| Some(line.number) == self.error);
        let matters = matters.map(|line| (line.step, line.number));
        next.or(errors.first()).copied().or(matters)
    }

    /// The last error before what was asked for.
    fn error_before(&self) -> Option<(u32, u64)> {
        let errors = &self.map.errors;
        let before = self
            .asked
            .map(|(first, _)| first)
            .or(self.error)
            .unwrap_or_default();
        let before = errors.iter().rev().find(|(_, line)| *line < before);
        before.or(errors.last()).copied()
    }

    fn said(&self) -> String {
        match self.total {
            0 => "Nothing written yet".to_owned(),
            total => words::counted(total, "line", "lines"),
        }
    }

    /// What stands above the window, for those who cannot scroll to it.
    fn earlier(&self) -> Markup {
        html! {
            a class="more" id="earlier" href={ (self.path) "?before=" (self.from) } hidden[self.from == 0] {
                "Earlier lines"
            }
        }
    }

    fn later(&self) -> Markup {
        html! {
            a class="more" id="later" href={ (self.path) "?from=" (self.until) } hidden[self.until >= self.total] {
                "Later lines"
            }
        }
    }

    /// The step that matters now: that of the error, the first that failed or runs, otherwise the last.
    fn current(&self) -> Option<u32> {
        let asked = self.asked.map(|(first, _)| first).or(self.error);
        let line = self.lines.iter().find(|line| Some(line.number) == asked);
        if let Some(line) = line {
            return Some(line.step);
        }
        let matters = |step: &&Step| matches!(step.status, Status::Failed | Status::Running);
        let step = self.steps.iter().find(matters).or(self.steps.last())?;
        Some(step.number)
    }

    fn step(&self, step: &Step) -> Markup {
        let current = self.current() == Some(step.number);
        html! {
            a href={ (self.path) "?step=" (step.number) } aria-current=[current.then_some("step")] {
                (step.status.icon())
                span class="t1" title=(step.name) { (step.name) }
                span class="vh" { (step.status.word()) }
                span class="d" { (rows::lasted(step, self.now)) }
            }
        }
    }
}
