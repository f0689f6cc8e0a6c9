//! The pages beside a run: what it was made of, and the question before it is deleted.

use crate::shell::{Viewer, csrf_field};
use crate::words;
use maud::{Markup, html};

/// Of a value that is shown.
const VALUE_CHARS: usize = 400;

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
            p class="note" { "The files as they were read when the run began, with what it calls. Expressions are evaluated job by job on the runner; their values stand in each job's log. Secrets are given to a job when a runner takes it and are kept nowhere, so none can stand here." }
            (values("Inputs", "cf-in", &self.inputs))
            (values("Variables", "cf-va", &self.variables))
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
