//! The workflows of a project, and one of them: what starts it, how its runs went, what is wrong with its file, and
//! the form that starts it by hand.

mod form;
mod history;
mod list;

use crate::icon::{Icon, icon};
use crate::page::runners::quoted;
use crate::shell::Viewer;
use crate::words;
pub use form::{Form, Input, Kind, Start};
pub use history::{History, Ran};
pub(crate) use list::table;
pub use list::{Last, Row, Workflows};
use maud::{Markup, html};

/// Beyond so many of a file, findings are counted.
const FINDINGS_MAX: usize = 20;

pub struct Workflow {
    pub viewer: Viewer,
    /// `/owner/name`
    pub project: String,
    /// Its file's name: `ci.yml`.
    pub file: String,
    pub name: String,
    /// The branch or tag whose file is shown, and its commit; none where it has no such file.
    pub at: Option<(String, String)>,
    pub enabled: bool,
    /// Why the viewer may not switch it on and off; none if they may.
    pub refusal: Option<String>,
    pub triggers: Vec<Trigger>,
    pub findings: Vec<Finding>,
    pub start: Start,
    pub history: History,
}

/// What starts a workflow, in words.
pub struct Trigger {
    pub words: String,
    /// Why this server never does that; none where it does.
    pub never: Option<String>,
}

/// What is wrong with a file, and where.
pub struct Finding {
    pub error: bool,
    pub code: String,
    pub message: String,
    /// Where it is not the workflow's own file.
    pub file: Option<String>,
    /// Both count from 1, columns in characters.
    pub line: u32,
    pub column: u32,
    /// On the same line.
    pub end_column: u32,
    /// The line.
    pub text: String,
    pub label: String,
    pub help: Option<String>,
}

impl Workflow {
    #[must_use]
    pub fn main(&self) -> Markup {
        let wrong = self.findings.iter().any(|finding| finding.error);
        html! {
            (self.head())
            @if wrong { (self.lint()) }
            div class="cols" {
                div { (self.history.markup()) @if !wrong { (self.lint()) } }
                aside { (self.start.markup(self)) (self.triggers()) (self.switch()) }
            }
        }
    }

    fn path(&self) -> String {
        format!("{}/workflows/{}", self.project, words::segment(&self.file))
    }

    fn head(&self) -> Markup {
        html! {
            div class="title" {
                div {
                    h1 { (self.name) }
                    p class="meta" {
                        span { code { (self.file) } }
                        @match &self.at {
                            Some((place, sha)) => { span { "at " b { (words::branch(place)) } " " code { (words::short(sha)) } } }
                            None => { span { "the file is gone" } }
                        }
                        @if !self.enabled { span class="run" { "switched off" } }
                    }
                }
                @if matches!(self.start, Start::Form(_)) {
                    div class="acts only-s" { a class="btn pri" href="#wf-start" { "Run workflow" } }
                }
            }
        }
    }

    fn triggers(&self) -> Markup {
        html! {
            section aria-labelledby="wf-on" {
                div class="head" { h2 id="wf-on" { "Starts" } }
                @if self.triggers.is_empty() { p class="m s" { "Nothing is known to start it." } }
                ul class="starts" {
                    @for trigger in &self.triggers {
                        li class=[trigger.never.is_some().then_some("m")] {
                            (icon(if trigger.never.is_some() { Icon::Cancelled } else { Icon::Right }))
                            div {
                                (sentence(&trigger.words))
                                @if let Some(why) = &trigger.never { p class="m" { "Never here: " (why) "." } }
                            }
                        }
                    }
                }
            }
        }
    }

    fn switch(&self) -> Markup {
        let (word, value) = if self.enabled {
            ("Switch off", "no")
        } else {
            ("Switch on", "yes")
        };
        html! {
            section aria-labelledby="wf-switch" {
                div class="head" { h2 id="wf-switch" { @if self.enabled { "Switched on" } @else { "Switched off" } } }
                @if !self.enabled { p class="m s" { "Nothing starts it until it is switched on again." } }
                @match &self.refusal {
                    Some(refusal) => { p class="m s" { "You cannot change that: " (quoted(refusal)) "." } }
                    None => {
                        form method="post" action={ (self.path()) "/enabled" } {
                            (crate::shell::csrf_field(&self.viewer))
                            button class="btn sm ad" name="enabled" value=(value) { (word) " " (self.file) }
                        }
                    }
                }
            }
        }
    }

    fn lint(&self) -> Markup {
        let errors = self.findings.iter().filter(|finding| finding.error).count();
        html! {
            section aria-labelledby="wf-lint" {
                div class="head" {
                    h2 id="wf-lint" { "The file" }
                    span class=(if errors > 0 { "bad" } else { "m" }) { (findings(errors, self.findings.len() - errors)) }
                }
                @if errors > 0 { p { "While it has errors, nothing starts it." } }
                @for finding in self.findings.iter().take(FINDINGS_MAX) { (finding.markup()) }
                @if let Some(more) = self.findings.len().checked_sub(FINDINGS_MAX + 1) {
                    p class="m s" { (more + 1) " more; " code { "pilotage lint" } " shows all." }
                }
            }
        }
    }
}

impl Finding {
    fn markup(&self) -> Markup {
        // Tabs are as wide under the line as in it.
        let before = self.column.saturating_sub(1) as usize;
        let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
        let mut under: String = self.text.chars().take(before).map(blank).collect();
        let wide = self.end_column.saturating_sub(self.column).max(1) as usize;
        let room = self.text.chars().count().saturating_sub(before).max(1);
        under.push_str(&"^".repeat(wide.min(room)));
        html! {
            div class="finding" {
                p {
                    b class=(if self.error { "bad" } else { "run" }) { (if self.error { "error" } else { "warning" }) }
                    " " (quoted(&self.message)) " " code class="m" { (self.code) }
                }
                div class="ex" tabindex="0" role="group" aria-label={ "line " (self.line) } {
                    p class="m s in1" { @if let Some(file) = &self.file { (file) ", " } "line " (self.line) ", column " (self.column) }
                    ol {
                        li { span class="n" { (self.line) } span { (self.text) } }
                        li aria-hidden="true" { span class="n" {} span class=(if self.error { "bad" } else { "run" }) { (under) " " (self.label) } }
                    }
                }
                @if let Some(help) = &self.help { p class="m s" { (sentence(help)) } }
            }
        }
    }
}

/// `2 errors, 1 warning`; `no faults`.
pub(crate) fn findings(errors: usize, warnings: usize) -> String {
    let mut parts = Vec::new();
    for (count, one, many) in [(errors, "error", "errors"), (warnings, "warning", "warnings")] {
        if count > 0 {
            parts.push(words::counted(count as u64, one, many));
        }
    }
    if parts.is_empty() {
        return "no faults".to_owned();
    }
    parts.join(", ")
}

/// With a capital, and code in its backticks.
fn sentence(text: &str) -> Markup {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    quoted(&format!("{first}{}", chars.as_str()))
}

#[cfg(test)]
mod tests;
