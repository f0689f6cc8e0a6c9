//! All workflows of a project.

use super::{Trigger, findings};
use crate::Fragment;
use crate::bars::{Bar, bars};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

pub struct Workflows {
    /// `/owner/name`
    pub project: String,
    pub now: i64,
    pub rows: Vec<Row>,
    /// The default branch.
    pub branch: String,
    /// What brings the first one.
    pub push: String,
}

pub struct Row {
    pub file: String,
    pub name: String,
    pub enabled: bool,
    /// On the default branch.
    pub there: bool,
    pub triggers: Vec<Trigger>,
    pub errors: usize,
    pub warnings: usize,
    pub last: Option<Last>,
    /// The oldest first.
    pub bars: Vec<Bar>,
}

/// The newest run.
pub struct Last {
    pub id: i64,
    pub status: Status,
    pub at: i64,
}

impl Workflows {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! { h1 class="vh" { "Workflows" } (self.list()) }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![Fragment::new("workflows", self.list())]
    }

    fn list(&self) -> Markup {
        html! {
            section id="workflows" class="first" aria-labelledby="wfs" {
                div class="head" { h2 id="wfs" { "Workflows" } span class="m" { (self.rows.len()) @if !self.rows.is_empty() { ", at " (self.branch) } } }
                @if self.rows.is_empty() {
                    p { b { "No workflow yet" } }
                    p class="m" { "A file in " code { ".github/workflows" } " is one, from the push that brings it." }
                    pre class="one" { (self.push) }
                } @else { (table(&self.project, &self.rows, self.now)) }
            }
        }
    }
}

/// On this page, and on the project's.
pub(crate) fn table(project: &str, rows: &[Row], now: i64) -> Markup {
    html! {
        table class="wfs" {
            thead { tr {
                th scope="col" { "Workflow" } th scope="col" class="tb ht" { "Starts" } th scope="col" { "Last run" }
                th scope="col" { "Last 30 runs" } th scope="col" class="r" { "File" }
            } }
            tbody { @for row in rows { (row.markup(project, now)) } }
        }
    }
}

impl Row {
    fn markup(&self, project: &str, now: i64) -> Markup {
        let href = format!("{project}/workflows/{}", words::segment(&self.file));
        let starts: Vec<&str> = self
            .triggers
            .iter()
            .filter(|trigger| trigger.never.is_none())
            .map(|trigger| trigger.words.as_str())
            .collect();
        let starts = starts.join("; ");
        let fine = self.there && self.errors + self.warnings == 0;
        html! {
            tr {
                td class="wf" { a href=(href) { b { (self.name) } } @if self.name != self.file { " " code class="m" { (self.file) } } }
                td class="w m ht" title=(starts) { (starts) }
                td class="pr" {
                    @match &self.last {
                        Some(last) => { a href={ (project) "/runs/" (last.id) } { (last.status.mark()) } " " span class="m" { (words::ago(last.at, now)) } }
                        None => { span class="m" { "never ran" } }
                    }
                }
                td class="full" { @if !self.bars.is_empty() { (bars(project, &self.bars)) } }
                td class={ "r full" @if fine { " hs" } } data-l="file" { (self.file_state(&href)) }
            }
            @for reason in self.reasons() { tr class="why" { td colspan="5" class="full" { (reason) } } }
        }
    }

    fn file_state(&self, href: &str) -> Markup {
        let said = findings(self.errors, self.warnings);
        html! {
            @if !self.there { span class="m" { "gone" } }
            @else if self.errors > 0 { a class="bad" href={ (href) "#wf-lint" } { (said) } }
            @else if self.warnings > 0 { a class="run" href={ (href) "#wf-lint" } { (said) } }
            @else { span class="m" { (said) } }
        }
    }

    /// What a reader would not expect.
    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.enabled {
            reasons.push("Switched off: nothing starts it.".to_owned());
        }
        for trigger in &self.triggers {
            if let Some(never) = &trigger.never {
                let mut words = trigger.words.chars();
                let first: String = words.next().into_iter().flat_map(char::to_uppercase).collect();
                reasons.push(format!("{first}{} starts nothing here: {never}.", words.as_str()));
            }
        }
        reasons
    }
}
