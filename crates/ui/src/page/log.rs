//! P3, the log of a job: its steps, and a window of its lines. Lines are counted over the whole job, from 1, as the
//! REST log does from 0: step 3's line 4182 is `#s3:4182`.

use crate::Fragment;
use crate::ansi::Ansi;
use crate::icon::{Icon, icon};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

/// How many lines one page shows.
pub const WINDOW: u64 = 1000;
/// From so many lines on, their numbers need more room.
const LONG: u64 = 100_000;
/// Longer lines are cut in view.
const SHOWN_BYTES_MAX: usize = 4096;

pub struct Log {
    /// `/owner/name/runs/7`.
    pub run: String,
    pub run_title: String,
    /// `/owner/name/runs/7/jobs/9`.
    pub path: String,
    pub name: String,
    pub status: Status,
    pub why: String,
    pub runner: String,
    pub steps: Vec<Step>,
    pub lines: Vec<Line>,
    /// Of the whole log.
    pub total: u64,
    /// The first line of the window, from 0, and the first behind it.
    pub from: u64,
    pub until: u64,
    /// Lines that never came, from 0: from, up to and not with.
    pub missing: Option<(u64, u64)>,
    /// More lines may come.
    pub live: bool,
    /// The first error, from 0.
    pub error: Option<u64>,
}

pub struct Step {
    pub number: u32,
    pub name: String,
    pub status: Status,
    pub duration_ms: Option<i64>,
}

pub struct Line {
    pub step: u32,
    /// From 0.
    pub number: u64,
    pub at_ms: i64,
    pub text: String,
}

/// Where a line lies: a page with it, and its anchor. `line` is counted from 0.
#[must_use]
pub fn link(job_path: &str, step: u32, line: u64) -> String {
    format!("{job_path}?line={}#s{step}:{}", line + 1, line + 1)
}

impl Log {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            (self.nav())
            section class="first" aria-label="Log" {
                div class="bar" {
                    span class="s m" id="said" role="status" { (self.said()) }
                    span class="end acts" {
                        @if let Some((step, line)) = self.first_error() {
                            a class="btn" href=(link(&self.path, step, line)) { "First error" }
                        }
                        @if self.from > 0 {
                            a class="btn no" href={ (self.path) "?from=" (self.from.saturating_sub(WINDOW)) } { "Before" }
                        }
                        @if self.until < self.total {
                            a class="btn no" href={ (self.path) "?from=" (self.until) } { "After" }
                        }
                        a class="btn" href={ (self.path) "/log.txt" } { "Raw" }
                    }
                }
                div class="lgw" role="log" aria-live="off" tabindex="0" aria-label="Lines" {
                    (self.rows())
                    // Shown by `log.js` where lines came below what is read.
                    button class="btn pill" id="below" type="button" hidden { (icon(Icon::ArrowDown)) span {} }
                }
            }
        }
    }

    /// What changes while the job runs, beside its lines.
    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        let mut fragments = vec![Fragment::new("steps", self.nav())];
        for step in &self.steps {
            fragments.push(Fragment::new(format!("head-{}", step.number), head(step)));
        }
        fragments
    }

    fn first_error(&self) -> Option<(u32, u64)> {
        let line = self.lines.iter().find(|line| Some(line.number) == self.error)?;
        Some((line.step, line.number))
    }

    fn nav(&self) -> Markup {
        html! {
            nav id="steps" aria-label="Steps" {
                p class="s m" { a href=(self.run) { (self.run_title) } }
                h1 class="lh" { (self.status.icon()) (self.name) }
                p class="s m" { (self.status.word()) @if !self.runner.is_empty() { ", " (self.runner) } }
                @if !self.why.is_empty() { p class="s m" { (self.why) } }
                details class="fold" open {
                    summary { "Steps" }
                    ol class="steps" {
                        @for step in &self.steps { li { (self.step(step)) } }
                    }
                }
            }
        }
    }

    fn said(&self) -> String {
        match self.total {
            0 => "Nothing written yet".to_owned(),
            total => format!(
                "Lines {} to {} of {}",
                words::count(self.from + 1),
                words::count(self.until),
                words::count(total)
            ),
        }
    }

    /// The step that matters now: the first that failed or runs, otherwise the last.
    fn current(&self) -> Option<u32> {
        let matters = |step: &&Step| matches!(step.status, Status::Failed | Status::Running);
        let step = self.steps.iter().find(matters).or(self.steps.last())?;
        Some(step.number)
    }

    fn step(&self, step: &Step) -> Markup {
        let current = self.current() == Some(step.number);
        html! {
            a href={ (self.path) "?step=" (step.number) } aria-current=[current.then_some("step")] {
                (step.status.icon())
                span class="t1" { (step.name) }
                span class="vh" { (step.status.word()) }
                span class="d" { @if let Some(ms) = step.duration_ms { (words::duration(ms)) } }
            }
        }
    }

    /// The lines of the window. What they are followed by, and where from, stands on the list for `log.js`.
    #[must_use]
    pub fn rows(&self) -> Markup {
        self.more(None)
    }

    /// The same for lines that follow others; `headed` is the step whose head stands already.
    #[must_use]
    pub fn more(&self, headed: Option<u32>) -> Markup {
        let mut ansi = Ansi::default();
        let mut step = None;
        let mut texts = Vec::new();
        for line in &self.lines {
            // Each step begins plain.
            if step.replace(line.step) != Some(line.step) {
                ansi = Ansi::default();
            }
            texts.push(row(line, &mut ansi, self.error == Some(line.number)));
        }
        let mut last = headed;
        html! {
            ol class={ "lg" @if self.total >= LONG { " long" } } id="lines"
                data-error=[self.first_error().map(|(step, line)| anchor(step, line))]
                data-next=(self.until)
                data-total=(self.total)
                data-step=[texts.last().and(step)]
                data-follow=[(self.live && self.until >= self.total).then(|| format!("{}/lines", self.path))]
            {
                @if self.lines.is_empty() { li class="none" { span class="n" {} span class="m" { "nothing written yet" } } }
                @for (line, text) in self.lines.iter().zip(&texts) {
                    @if last.replace(line.step) != Some(line.step) {
                        @if let Some(step) = self.steps.iter().find(|step| step.number == line.step) { (head(step)) }
                    }
                    (text)
                }
                @if let (Some((from, to)), true) = (self.missing, self.until >= self.total) {
                    li class="e1" {
                        span class="n" {}
                        span class="f1" { (words::count(from + 1)) " to " (words::count(to)) " never arrived" }
                    }
                }
            }
        }
    }
}

/// `s3:4182`.
fn anchor(step: u32, line: u64) -> String {
    format!("s{step}:{}", line + 1)
}

/// What stands above a step's lines.
fn head(step: &Step) -> Markup {
    html! {
        li class="gp" id={ "head-" (step.number) } {
            div class="cmd" {
                (step.status.icon()) span class="t1" { (step.name) }
                span class="end" { @if let Some(ms) = step.duration_ms { (words::duration(ms)) } }
            }
        }
    }
}

fn row(line: &Line, ansi: &mut Ansi, error: bool) -> Markup {
    let id = anchor(line.step, line.number);
    let (class, text) = levelled(&line.text);
    let shown = text
        .get(..text.floor_char_boundary(SHOWN_BYTES_MAX))
        .unwrap_or(text);
    html! {
        li id=(id) class=[(error || class == Some("f1")).then_some("e1")] {
            a class="n" href={ "#" (id) } { (line.number + 1) }
            span {
                @match class {
                    Some(class) => { span class=(class) { (ansi.markup(shown.as_bytes())) } }
                    None => { (ansi.markup(shown.as_bytes())) }
                }
                @if shown.len() < text.len() { span class="m" { " … " (words::bytes(text.len() as u64)) " in the raw log" } }
            }
        }
    }
}

/// The class of a line that a command marked, and its text.
fn levelled(text: &str) -> (Option<&'static str>, &str) {
    for (mark, class) in [
        ("##[error]", "f1"),
        ("##[warning]", "f3"),
        ("##[notice]", "f4"),
        ("##[debug]", "m"),
        ("##[group]", "fb"),
        ("##[endgroup]", "m"),
    ] {
        if let Some(rest) = text.strip_prefix(mark) {
            return (Some(class), rest);
        }
    }
    (None, text)
}
