//! P2, one run: whether it failed and why, its jobs in the order of their needs, and what may be done with it.

mod approval;
mod jobs;

use crate::Fragment;
use crate::ansi::Ansi;
use crate::page::log;
use crate::shell::{Viewer, csrf_field};
use crate::status::Status;
use crate::words;
pub use approval::{Approval, Decision};
use maud::{Markup, html};

pub struct Run {
    pub viewer: Viewer,
    /// `/owner/name`.
    pub project: String,
    pub id: i64,
    pub title: String,
    pub status: Status,
    /// Why it waits, or by whom it was cancelled; empty where there is nothing to say.
    pub why: String,
    pub event: String,
    pub git_ref: String,
    pub sha: String,
    pub actor: String,
    pub workflow: String,
    pub attempt: u32,
    pub attempts: u32,
    pub created_at: i64,
    pub started_at: i64,
    pub ended_at: Option<i64>,
    pub now: i64,
    pub jobs: Vec<Job>,
    pub failures: Vec<Failure>,
    /// Failed jobs beyond those shown.
    pub failures_more: usize,
    /// The matrix whose jobs are shown apart.
    pub unfold: Option<String>,
    pub approvals: Vec<Approval>,
    /// Why what was asked for by a form was refused.
    pub problem: Option<String>,
    /// May run it again and cancel it.
    pub may_write: bool,
}

pub struct Job {
    pub id: i64,
    /// Its id in the workflow's file.
    pub key: String,
    /// The ids of the jobs that it needs directly.
    pub needs: Vec<i64>,
    pub name: String,
    pub status: Status,
    pub why: String,
    pub started_at: Option<i64>,
    pub ended_at: Option<i64>,
}

/// The lines around a failure.
pub struct Failure {
    pub job: i64,
    pub name: String,
    pub step: u32,
    pub step_name: String,
    /// In words: the first error.
    pub error: String,
    /// Each with its number, counted over the job, from 0.
    pub lines: Vec<(u64, String)>,
    /// The line that says it, where it is among them.
    pub marked: Option<u64>,
}

impl Run {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! { (self.head()) (self.why_failed()) (self.job_list()) (self.approvals()) (self.trigger()) }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![
            Fragment::new("run-head", self.head()),
            Fragment::new("run-why", self.why_failed()),
            Fragment::new("run-jobs", self.job_list()),
            Fragment::new("run-approvals", self.approvals()),
        ]
    }

    fn path(&self) -> String {
        format!("{}/runs/{}", self.project, self.id)
    }

    /// This page, with the attempt that it shows.
    fn here(&self) -> String {
        if self.attempt == self.attempts {
            self.path()
        } else {
            format!("{}?attempt={}", self.path(), self.attempt)
        }
    }

    fn job_path(&self, job: i64) -> String {
        format!("{}/jobs/{job}", self.path())
    }

    fn head(&self) -> Markup {
        html! {
            div id="run-head" class="title" {
                div {
                    h1 { (self.status.icon()) span { (self.title) " " span class="m nb" { "#" (self.id) } } }
                    p class="meta" {
                        span class=(self.status.class()) { (self.status.word()) }
                        @if !self.why.is_empty() { span { (self.why) } }
                        span { (self.event) " to " b { (words::branch(&self.git_ref)) } }
                        span { code { (words::short(&self.sha)) } " by " b { (self.actor) } }
                        span { (words::date(self.created_at)) }
                        span { b {
                            @match self.ended_at {
                                Some(end) => { (words::duration(end - self.started_at)) }
                                None => { (words::since(self.started_at, self.now)) }
                            }
                        } }
                    }
                }
                (self.actions())
            }
        }
    }

    fn actions(&self) -> Markup {
        let path = self.path();
        let failed = self.jobs.iter().any(|job| job.status == Status::Failed);
        html! {
            @if !self.may_write {
                p class="m s" { "Your token lacks the scope " code { "write" } " to run it again or cancel it." }
            } @else if self.attempt != self.attempts {
                p class="m s" { "An older attempt. " a class="a" href=(path) { "Show attempt " (self.attempts) } }
            } @else if self.ended_at.is_some() {
                form method="post" action={ (path) "/rerun" } class="acts" {
                    (csrf_field(&self.viewer))
                    @if failed { button class="btn pri" name="which" value="failed" { "Rerun failed jobs" } }
                    button class="btn" name="which" value="all" { "Rerun all jobs" }
                }
            } @else {
                details id="run-cancel" {
                    summary class="btn" { "Cancel…" }
                    form method="post" action={ (path) "/cancel" } class="acts" {
                        (csrf_field(&self.viewer))
                        button class="btn" { "Cancel run #" (self.id) }
                    }
                }
            }
        }
    }

    fn why_failed(&self) -> Markup {
        html! {
            section id="run-why" class="sec1" {
                @if !self.failures.is_empty() {
                    div class="head" {
                        h2 { "Why it failed" }
                        @if self.failures_more > 0 { span class="m" { (self.failures_more) " more failed jobs" } }
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
                            span { (ansi.markup(line.as_bytes())) }
                        }
                    }
                }
                div {
                    p { a href=(path) { b { (failure.name) } } }
                    @if !failure.step_name.is_empty() { p class="s m" { "step " (failure.step) ", " (failure.step_name) } }
                    p class="s" { (failure.error) }
                }
            }
        }
    }

    fn trigger(&self) -> Markup {
        html! {
            section aria-labelledby="run-trigger" {
                div class="head" { h2 id="run-trigger" { "Trigger" } }
                dl class="kv" {
                    dt { "Event" } dd { (self.event) }
                    dt { "Workflow" } dd { (self.workflow) " at " code { (words::short(&self.sha)) } }
                    dt { "Received" } dd { (words::clock_ms(self.created_at)) }
                    dt { "Attempt" }
                    dd {
                        @for attempt in 1..=self.attempts {
                            @if attempt == self.attempt { b { (attempt) } } @else {
                                a class="a" href={ (self.path()) "?attempt=" (attempt) } { (attempt) }
                            }
                            " "
                        }
                    }
                }
            }
        }
    }
}
