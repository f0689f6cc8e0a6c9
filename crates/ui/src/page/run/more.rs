//! The pages beside a run: what it was made of, and the question before it is deleted.

use crate::shell::{Viewer, csrf_field};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

/// Of a value that is shown.
const VALUE_CHARS: usize = 400;
/// Beyond so many, jobs are counted.
const JOBS_MAX: usize = 200;

/// What the run was made of, as the server keeps it.
pub struct Config {
    /// `/owner/name/runs/7`.
    pub run: String,
    pub id: i64,
    pub title: String,
    pub sha: String,
    /// The run's file first, then what it calls: path and text.
    pub files: Vec<(String, String)>,
    pub inputs: Vec<(String, String)>,
    /// The project's, as they were when it began.
    pub variables: Vec<(String, String)>,
    /// Of the latest attempt.
    pub jobs: Vec<Became>,
}

/// What the expressions of a job came to, as far as it is recorded; masked.
pub struct Became {
    pub id: i64,
    pub name: String,
    pub status: Status,
    /// Why it was skipped, where it was.
    pub why: String,
    pub runs_on: Vec<String>,
    pub environment: String,
    pub own: Values,
    /// Those of which there is something to say.
    pub steps: Vec<StepBecame>,
}

pub struct StepBecame {
    pub number: u32,
    pub name: String,
    /// Why it was skipped, where it was.
    pub why: String,
    pub own: Values,
}

#[derive(Default)]
pub struct Values {
    /// The `if` that was met, as it is written.
    pub condition: String,
    pub env: Vec<(String, String)>,
    pub with: Vec<(String, String)>,
}

impl Config {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="title" { div {
                h1 { "Configuration " span class="m nb" { "#" (self.id) } }
                p class="meta" { span { (self.title) } span { code { (words::short(&self.sha)) } } }
            } }
            nav class="tabs" aria-label="Run" {
                a href=(self.run) { "Overview" }
                a href={ (self.run) "/config" } aria-current="page" { "Configuration" }
            }
            p class="note" { "The files as they were read when the run began, with what it calls. What expressions came to is told by the runner, job by job, with secrets masked as in the log. Secrets are given to a job when a runner takes it and are kept nowhere, so none can stand here." }
            (values("Inputs", "cf-in", &self.inputs))
            (values("Variables", "cf-va", &self.variables))
            (self.became())
            @for (index, (path, text)) in self.files.iter().enumerate() {
                section aria-labelledby={ "cf-" (index) } {
                    div class="head" { h2 id={ "cf-" (index) } { (path) } @if index > 0 { span class="m" { "called" } } }
                    ol class="ex file" {
                        @for (number, line) in text.lines().enumerate() {
                            li id={ "f" (index) "-" (number + 1) } { a class="n" href={ "#f" (index) "-" (number + 1) } { (number + 1) } span { (line) } }
                        }
                    }
                }
            }
        }
    }
}

impl Config {
    fn became(&self) -> Markup {
        html! {
            @if !self.jobs.is_empty() {
                section aria-labelledby="cf-jo" {
                    div class="head" { h2 id="cf-jo" { "What expressions became" } span class="m" { "in the latest attempt" } }
                    @for job in self.jobs.iter().take(JOBS_MAX) { (self.job(job)) }
                    @if let Some(more) = self.jobs.len().checked_sub(JOBS_MAX + 1) { p class="m s more1" { (more + 1) " more jobs are not shown." } }
                }
            }
        }
    }

    fn job(&self, job: &Became) -> Markup {
        html! {
            details class="bec" {
                summary { span class="st" { (job.status.icon()) b { (job.name) } span class="m s" { (job.status.word()) } } }
                dl class="kv" {
                    @if !job.runs_on.is_empty() { (value("runs-on", &job.runs_on.join(", "))) }
                    @if !job.environment.is_empty() { (value("environment", &job.environment)) }
                    (job.own.listed(&job.why))
                }
                @for step in &job.steps {
                    p class="s" { a href={ (self.run) "/jobs/" (job.id) "?step=" (step.number) } { b { (step.name) } } span class="m" { " step " (step.number) } }
                    dl class="kv" { (step.own.listed(&step.why)) }
                }
            }
        }
    }
}

impl Values {
    fn listed(&self, why: &str) -> Markup {
        html! {
            @if !self.condition.is_empty() { dt { "if" } dd { code { (self.condition) } " " span class="m" { "was met" } } }
            @if !why.is_empty() { dt { "if" } dd { (why) } }
            @for (name, text) in &self.env { (value(&format!("env {name}"), text)) }
            @for (name, text) in &self.with { (value(&format!("with {name}"), text)) }
        }
    }
}

fn value(name: &str, text: &str) -> Markup {
    html! { dt { (name) } dd { code { (text.chars().take(VALUE_CHARS).collect::<String>()) } } }
}

fn values(word: &str, id: &str, values: &[(String, String)]) -> Markup {
    html! {
        @if !values.is_empty() {
            section aria-labelledby=(id) {
                div class="head" { h2 id=(id) { (word) } }
                dl class="kv" { @for (name, value) in values {
                    dt { (name) } dd class="t1" { code { (value.chars().take(VALUE_CHARS).collect::<String>()) } }
                } }
            }
        }
    }
}

/// The question before a run is deleted.
pub struct Delete {
    pub viewer: Viewer,
    /// `/owner/name/runs/7`.
    pub run: String,
    pub id: i64,
    pub title: String,
    pub jobs: usize,
    pub lines: u64,
    /// How many, and their bytes.
    pub artifacts: (usize, u64),
    /// Why it cannot be.
    pub refusal: Option<String>,
}

impl Delete {
    #[must_use]
    pub fn main(&self) -> Markup {
        let (count, bytes) = self.artifacts;
        html! {
            div class="rollback" {
                h1 { "Delete run #" (self.id) "?" }
                p class="m" { (self.title) }
                @match &self.refusal {
                    Some(refusal) => {
                        p class="note refused" role="alert" { (refusal) }
                        p class="foot" { a class="btn" href=(self.run) { "Back to the run" } }
                    }
                    None => {
                        p class="ad" {
                            "Gone for good: " (words::counted(self.jobs as u64, "job", "jobs")) " with their logs ("
                            (words::counted(self.lines, "line", "lines")) "), annotations and summaries"
                            @if count > 0 { ", and " (words::counted(count as u64, "artifact", "artifacts")) " of " (words::bytes(bytes)) }
                            ". What was deployed stays; the audit log keeps that you deleted it."
                        }
                        form method="post" action={ (self.run) "/delete" } class="foot" {
                            (csrf_field(&self.viewer))
                            a class="btn" href=(self.run) { "Keep it" }
                            button class="btn pri" { "Delete run #" (self.id) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_was_made_of_is_said_and_stays_text() {
        let hostile = "\"><script>alert(1)</script>";
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let became = |id, name: &str, status| Became {
            id,
            name: name.to_owned(),
            status,
            why: String::new(),
            runs_on: Vec::new(),
            environment: String::new(),
            own: Values::default(),
            steps: Vec::new(),
        };
        let build = Became {
            runs_on: vec!["self-hosted".to_owned(), hostile.to_owned()],
            environment: "staging".to_owned(),
            own: Values {
                condition: "github.ref_name == 'main'".to_owned(),
                env: pair("WHERE", "***"),
                with: Vec::new(),
            },
            steps: vec![
                StepBecame {
                    number: 2,
                    name: hostile.to_owned(),
                    why: String::new(),
                    own: Values {
                        condition: String::new(),
                        env: pair(hostile, hostile),
                        with: pair("path", "dist\nout"),
                    },
                },
                StepBecame {
                    number: 3,
                    name: "Late".to_owned(),
                    why: "`success()` is false".to_owned(),
                    own: Values::default(),
                },
            ],
            ..became(4, "build", Status::Passed)
        };
        let ship = Became {
            why: "skipped: `github.ref_name` is 'dev'".to_owned(),
            ..became(5, "ship", Status::Skipped)
        };
        let config = Config {
            run: "/o/p/runs/7".to_owned(),
            id: 7,
            title: hostile.to_owned(),
            sha: "b83d0e2".to_owned(),
            files: pair("ci.yml", "on: push"),
            inputs: pair("level", "3"),
            variables: Vec::new(),
            jobs: vec![build, ship],
        };
        let html = config.main().into_string();
        assert!(!html.contains("<script"), "{html}");
        insta::assert_snapshot!(html.replace("><", ">\n<"));
    }
}
