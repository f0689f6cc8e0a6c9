//! Why a run failed: the first errors with the lines around them.

use super::Run;
use crate::ansi::Ansi;
use crate::page::log;
use crate::words;
use maud::{Markup, html};

/// The lines around a failure.
pub struct Failure {
    pub job: i64,
    pub name: String,
    pub step: u32,
    pub step_name: String,
    /// How long the step took, where that is known.
    pub after_ms: Option<i64>,
    /// In words: the first error.
    pub error: String,
    /// Each with its number, counted over the job, from 0.
    pub lines: Vec<(u64, String)>,
    /// The line that says it, where it is among them.
    pub marked: Option<u64>,
    /// Other failed jobs that say the same.
    pub also: Vec<(i64, String)>,
}

/// Jobs that are named beside a failure that they share.
const ALSO_MAX: usize = 5;

impl Run {
    pub(super) fn why_failed(&self) -> Markup {
        let shared = self
            .failures
            .iter()
            .map(|failure| failure.also.len())
            .max()
            .unwrap_or_default();
        html! {
            section id="run-why" class="sec1" {
                @if !self.failures.is_empty() {
                    div class="head" {
                        h2 { "Why it failed" }
                        @if shared > 0 { span class="m" { "the same line in " (shared + 1) " jobs" } }
                        @if self.failures_more > 0 { span class="m" { (words::counted(self.failures_more as u64, "more failed job", "more failed jobs")) } }
                    }
                    @for failure in &self.failures { (self.failure(failure)) }
                }
            }
        }
    }

    fn failure(&self, failure: &Failure) -> Markup {
        let path = self.job_path(failure.job);
        let mut ansi = Ansi::default();
        html! {
            div class="fail" {
                ol class="ex" {
                    @for (number, line) in &failure.lines {
                        li class=[(failure.marked == Some(*number)).then_some("e1")] {
                            a class="n" href=(log::link(&path, failure.step, *number)) { (number + 1) }
                            @let (class, text) = log::levelled(line);
                            span class=[class] { (ansi.markup(text.as_bytes())) }
                        }
                    }
                }
                div {
                    p { a href=(path) { b { (failure.name) } } }
                    @if !failure.step_name.is_empty() {
                        p class="s m" {
                            "step " (failure.step) ", " (failure.step_name)
                            @if let Some(ms) = failure.after_ms { ", failed after " (words::duration(ms)) }
                        }
                    }
                    p class="s said" { (failure.error) }
                    @if !failure.also.is_empty() {
                        dl class="kv kv1" {
                            dt { "Also in" }
                            dd {
                                @for (job, name) in failure.also.iter().take(ALSO_MAX) { a class="also" href=(self.job_path(*job)) { (name) } }
                                @if let Some(more) = failure.also.len().checked_sub(ALSO_MAX + 1) { span class="m" { "and " (more + 1) " more" } }
                            }
                        }
                    }
                    @if let Some(line) = failure.marked {
                        p class="acts" { a class="btn" href=(log::link(&path, failure.step, line)) { "Open line " (words::count(line + 1)) } }
                    }
                }
            }
        }
    }
}
