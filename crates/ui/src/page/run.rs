//! P2, one run: whether it failed and why, its jobs in the order of their needs, and what may be done with it.

mod approval;
pub mod attempts;
mod failure;
mod jobs;
mod made;
pub mod more;
mod timing;

use crate::Fragment;
use crate::shell::{Viewer, csrf_field};
use crate::status::Status;
use crate::words;
pub use approval::{Approval, Decision};
pub use failure::Failure;
pub use made::{Annotation, Artifact, Level, Summary};
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
    /// May run it again, cancel and delete it.
    pub may_write: bool,
    pub facts: Facts,
    pub artifacts: Vec<Artifact>,
    /// Errors first.
    pub annotations: Vec<Annotation>,
    pub summaries: Vec<Summary>,
}

/// What the event brought.
#[derive(Default)]
pub struct Facts {
    /// Of `workflow_dispatch`.
    pub inputs: Vec<(String, String)>,
    /// Of a push: how many commits it says it has, and between which they are.
    pub commits: Option<(u64, String, String)>,
}

pub struct Job {
    pub id: i64,
    /// Its id in the workflow's file.
    pub key: String,
    /// The attempt in which it ran.
    pub attempt: u32,
    /// When it was queued; of the others, when the attempt began.
    pub created_at: i64,
    pub steps: Vec<Step>,
    /// The ids of the jobs that it needs directly.
    pub needs: Vec<i64>,
    pub name: String,
    pub status: Status,
    pub why: String,
    pub started_at: Option<i64>,
    pub ended_at: Option<i64>,
}

pub struct Step {
    pub name: String,
    pub started_at: Option<i64>,
    pub duration_ms: Option<i64>,
}

impl Run {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            (self.head()) (self.tabs()) (self.why_failed()) (self.job_list()) (self.approvals())
            (self.summaries()) (self.annotations())
            div class="cols" {
                (self.timing())
                aside { (self.trigger()) (self.artifacts()) }
            }
        }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![
            Fragment::new("run-head", self.head()),
            Fragment::new("run-tabs", self.tabs()),
            Fragment::new("run-why", self.why_failed()),
            Fragment::new("run-jobs", self.job_list()),
            Fragment::new("run-approvals", self.approvals()),
            Fragment::new("run-summary", self.summaries()),
            Fragment::new("run-annotations", self.annotations()),
            Fragment::new("run-timing", self.timing()),
            Fragment::new("run-artifacts", self.artifacts()),
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
                        @if self.attempts > 1 { span { "attempt " b { (self.attempt) } " of " (self.attempts) } }
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
                    @if failed { button class="btn pri" name="which" value="failed" aria-keyshortcuts="r" { "Rerun failed jobs" } }
                    button class="btn" name="which" value="all" { "Rerun all jobs" }
                    a class="btn no" href={ (path) "/delete" } { "Delete…" }
                }
            } @else {
                details id="run-cancel" {
                    summary class="btn" aria-keyshortcuts="x" { "Cancel…" }
                    form method="post" action={ (path) "/cancel" } class="acts" {
                        (csrf_field(&self.viewer))
                        button class="btn" { "Cancel run #" (self.id) }
                    }
                }
            }
        }
    }

    /// Where the parts of the page are; the configuration is a page of its own.
    fn tabs(&self) -> Markup {
        let parts = [
            ("run-summary", "Summary", self.summaries.len(), false),
            ("run-annotations", "Annotations", self.annotations.len(), true),
            ("run-artifacts", "Artifacts", self.artifacts.len(), true),
        ];
        html! {
            nav id="run-tabs" class="tabs" aria-label="Run" {
                a href=(self.here()) aria-current="page" { "Overview" }
                @for (id, word, count, counted) in parts {
                    @if count > 0 { a href={ "#" (id) } { (word) @if counted { " " (count) } } }
                }
                a href="#run-timing" { "Timing" }
                @if let Some(path) = self.compare_path() { a href=(path) { "Compare attempts" } }
                a href={ (self.path()) "/config" } { "Configuration" }
            }
        }
    }

    /// The workflow's file, by its name.
    fn file(&self) -> &str {
        self.workflow.rsplit('/').next().unwrap_or(&self.workflow)
    }

    fn trigger(&self) -> Markup {
        html! {
            section aria-labelledby="run-trigger" {
                div class="head" { h2 id="run-trigger" { "Trigger" } }
                dl class="kv" {
                    dt { "Event" }
                    dd { (self.event) @if let Some((count, ..)) = &self.facts.commits { ", " (words::counted(*count, "commit", "commits")) } }
                    dt { "Workflow" }
                    dd { a class="a" href={ (self.project) "/workflows/" (words::segment(self.file())) } { (self.file()) } " at " code { (words::short(&self.sha)) } }
                    @if let Some((_, before, after)) = &self.facts.commits {
                        dt { "Between" } dd { code { (words::short(before)) "…" (words::short(after)) } }
                    }
                    dt { "Ref" } dd class="t1" title=(self.git_ref) { code { (self.git_ref) } }
                    @for (name, value) in &self.facts.inputs {
                        dt { (name) } dd class="t1" title=(value) { code { (value) } }
                    }
                    dt { "Received" } dd { (words::clock_ms(self.created_at)) }
                    dt { "Attempt" }
                    dd {
                        @for attempt in 1..=self.attempts {
                            @if attempt == self.attempt { b { (attempt) } } @else {
                                a class="a" href={ (self.path()) "?attempt=" (attempt) } { (attempt) }
                            }
                            " "
                        }
                        @if let Some(path) = self.compare_path() { a class="a" href=(path) { "compare" } }
                    }
                }
            }
        }
    }

    /// This attempt beside the one before it, or the first beside the second.
    fn compare_path(&self) -> Option<String> {
        let before = self.attempt.saturating_sub(1).max(1);
        (self.attempts > 1).then(|| attempts::path(&self.path(), self.attempt.max(2), before))
    }
}
