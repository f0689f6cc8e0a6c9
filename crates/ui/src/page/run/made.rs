//! What a run made and said: artifacts, annotations, summaries.

use super::Run;
use crate::icon::{Icon, coloured};
use crate::markdown;
use crate::page::log;
use crate::words;
use maud::{Markup, html};

/// Beyond so many, annotations are counted.
const ANNOTATIONS_MAX: usize = 50;
const SUMMARIES_MAX: usize = 20;
/// Of an annotation's message.
const MESSAGE_CHARS: usize = 1000;

pub struct Artifact {
    pub id: i64,
    pub name: String,
    pub size_bytes: u64,
    pub digest: String,
    pub expires_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
    Notice,
}

/// What a step told of a place.
pub struct Annotation {
    pub level: Level,
    pub message: String,
    pub title: String,
    /// `app.py:3`; empty for none.
    pub place: String,
    pub job: i64,
    pub job_name: String,
    pub step: u32,
    /// Of the job's log, from 0; none where the runner did not say.
    pub line: Option<u64>,
}

/// What a step wrote for people, in Markdown.
pub struct Summary {
    pub job: i64,
    pub job_name: String,
    pub step: u32,
    pub markdown: String,
}

impl Level {
    fn mark(self) -> (&'static str, &'static str, Icon) {
        match self {
            Level::Error => ("error", "bad", Icon::Bad),
            Level::Warning => ("warning", "run", Icon::Shield),
            Level::Notice => ("notice", "q", Icon::Dot),
        }
    }
}

impl Run {
    pub(super) fn summaries(&self) -> Markup {
        html! {
            section id="run-summary" aria-label="Summaries" {
                @if !self.summaries.is_empty() {
                    div class="head" { h2 { "Summary" } }
                    @for summary in self.summaries.iter().take(SUMMARIES_MAX) {
                        div class="md" {
                            p class="m s" { a href={ (self.job_path(summary.job)) "?step=" (summary.step) } { (summary.job_name) } }
                            (markdown::markup(&summary.markdown))
                        }
                    }
                    @if let Some(more) = self.summaries.len().checked_sub(SUMMARIES_MAX + 1) {
                        p class="m s" { "Summaries of " (more + 1) " more steps are not shown." }
                    }
                }
            }
        }
    }

    pub(super) fn annotations(&self) -> Markup {
        let count = |level| self.annotations.iter().filter(|a| a.level == level).count() as u64;
        let counts = [
            (count(Level::Error), "error", "errors"),
            (count(Level::Warning), "warning", "warnings"),
            (count(Level::Notice), "notice", "notices"),
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| words::counted(count, one, many))
            .collect();
        html! {
            section id="run-annotations" aria-label="Annotations" {
                @if !self.annotations.is_empty() {
                    div class="head" { h2 { "Annotations" } span class="m" { (counts.join(", ")) } }
                    ol class="rows ann" {
                        @for annotation in self.annotations.iter().take(ANNOTATIONS_MAX) { (self.annotation(annotation)) }
                    }
                    @if let Some(more) = self.annotations.len().checked_sub(ANNOTATIONS_MAX + 1) {
                        p class="m s more1" { (more + 1) " more stand in the logs." }
                    }
                }
            }
        }
    }

    fn annotation(&self, annotation: &Annotation) -> Markup {
        let (word, class, shape) = annotation.level.mark();
        let message: String = annotation.message.chars().take(MESSAGE_CHARS).collect();
        html! {
            li {
                (coloured(shape, class))
                div {
                    p { span class="vh" { (word) ": " }
                        @if !annotation.title.is_empty() { b { (annotation.title) } " " }
                        @if !annotation.place.is_empty() { code { (annotation.place) } }
                    }
                    p class="msg" { (message) }
                }
                @let path = self.job_path(annotation.job);
                @match annotation.line {
                    Some(line) => { a class="m end" href=(log::link(&path, annotation.step, line)) { (annotation.job_name) ", line " (words::count(line + 1)) } }
                    None => { a class="m end" href={ (path) "?step=" (annotation.step) } { (annotation.job_name) ", step " (annotation.step) } }
                }
            }
        }
    }

    pub(super) fn artifacts(&self) -> Markup {
        html! {
            section id="run-artifacts" aria-label="Artifacts" {
                @if !self.artifacts.is_empty() {
                    div class="head" { h2 { "Artifacts" } span class="m" { (self.artifacts.len()) } }
                    dl class="kv art" {
                        @for artifact in &self.artifacts {
                            dt { a class="a t1" download href={ (self.path()) "/artifacts/" (artifact.id) } title={ "Download " (artifact.name) ".zip" } { (artifact.name) } }
                            dd {
                                code title=(artifact.digest) { (words::digest(&artifact.digest)) }
                                span class="m nw" title={ "kept until " (words::full(artifact.expires_at)) } { (words::bytes(artifact.size_bytes)) }
                            }
                        }
                    }
                    @if let Some(first) = self.artifacts.iter().map(|artifact| artifact.expires_at).min() {
                        p class="m s" { "Kept until " (words::date(first)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Failure;
    use super::super::jobs::tests::run;
    use super::super::more::Delete;
    use super::*;

    #[test]
    fn what_was_made_is_said_and_names_stay_text() {
        let hostile = "\"><script>alert(1)</script>";
        let mut run = run(Vec::new());
        run.artifacts = vec![Artifact {
            id: 9,
            name: hostile.to_owned(),
            size_bytes: 1_258_291,
            digest: format!("sha256:9b2e{}41c7", "0".repeat(56)),
            expires_at: 0,
        }];
        run.annotations = vec![Annotation {
            level: Level::Error,
            message: format!("expected {hostile}"),
            title: hostile.to_owned(),
            place: format!("{hostile}.py:3"),
            job: 4,
            job_name: hostile.to_owned(),
            step: 2,
            line: None,
        }];
        run.summaries = vec![Summary {
            job: 4,
            job_name: hostile.to_owned(),
            step: 2,
            markdown: format!("# Done\n{hostile}"),
        }];
        run.failures = vec![Failure {
            job: 4,
            name: hostile.to_owned(),
            step: 2,
            step_name: hostile.to_owned(),
            after_ms: Some(3_000),
            error: hostile.to_owned(),
            lines: vec![(7, hostile.to_owned())],
            marked: Some(7),
            also: vec![(5, hostile.to_owned())],
        }];
        let html = run.main().into_string();
        for part in [
            "/o/p/runs/7/artifacts/9",
            "1.2 MiB",
            "1 error",
            "?step=2",
            "<h3 class=\"h1\">Done</h3>",
            "Also in",
            "the same line in 2 jobs",
            "Open line 8",
            "failed after 3.0 s",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("<script"), "{html}");
        for told in &mut run.annotations {
            told.line = Some(4181);
        }
        let html = run.annotations().into_string();
        for part in ["/jobs/4?line=4182#s2:4182", "line 4,182"] {
            assert!(html.contains(part), "{part}: {html}");
        }
        let delete = Delete {
            viewer: run.viewer.clone(),
            run: "/o/p/runs/7".to_owned(),
            id: 7,
            title: hostile.to_owned(),
            jobs: 1,
            lines: 2,
            artifacts: (1, 2_000),
            refusal: None,
        };
        let html = delete.main().into_string();
        assert!(
            html.contains("1 job with their logs (2 lines)") && !html.contains("<script"),
            "{html}"
        );
    }
}
