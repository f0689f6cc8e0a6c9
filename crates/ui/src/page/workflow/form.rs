//! The form that starts a workflow by hand.

use super::Workflow;
use crate::page::runners::quoted;
use crate::shell::csrf_field;
use crate::words;
use maud::{Markup, html};

/// Whether it can be started by hand here and now.
pub enum Start {
    Form(Form),
    /// Why not, as a fragment.
    Refused(String),
}

pub struct Form {
    /// The whole name of what it starts on: `refs/heads/main`.
    pub git_ref: String,
    /// All that it could start on.
    pub refs: Vec<String>,
    pub inputs: Vec<Input>,
    /// The environments that are known, for inputs that ask for one.
    pub environments: Vec<String>,
    /// What was refused.
    pub problem: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Boolean,
    Number,
    Choice,
    Environment,
}

pub struct Input {
    pub name: String,
    pub kind: Kind,
    pub description: String,
    pub required: bool,
    pub value: String,
    /// Of a choice.
    pub options: Vec<String>,
}

impl Start {
    pub(super) fn markup(&self, workflow: &Workflow) -> Markup {
        html! {
            section id="wf-start" aria-labelledby="wf-start-h" class="sec1" {
                div class="head" { h2 id="wf-start-h" { "Run workflow" } }
                @match self {
                    Start::Refused(why) => { p class="m s" { (quoted(why)) } }
                    Start::Form(form) => { (form.markup(workflow)) }
                }
            }
        }
    }
}

impl Form {
    fn markup(&self, workflow: &Workflow) -> Markup {
        let path = workflow.path();
        html! {
            @if let Some(problem) = &self.problem { p class="note refused" role="alert" { (quoted(problem)) } }
            // Another branch may have another form, so it is looked at first.
            form class="frm tall" method="get" action={ (path) "#wf-start" } {
                label { span { "On" }
                    select name="ref" {
                        @for name in &self.refs {
                            option value=(name) selected[*name == self.git_ref] { (shown(name)) }
                        }
                    }
                }
                button class="btn" { "Choose" }
            }
            form class="frm tall" method="post" action={ (path) "/runs" } {
                (csrf_field(&workflow.viewer))
                input type="hidden" name="ref" value=(self.git_ref);
                @for input in &self.inputs { (input.field(&self.environments)) }
                button class="btn pri" { "Run on " (words::branch(&self.git_ref)) }
            }
        }
    }
}

impl Input {
    fn field(&self, environments: &[String]) -> Markup {
        let name = format!("input.{}", self.name);
        html! {
            @if self.kind == Kind::Boolean {
                label class="tick" {
                    // What is not ticked is not sent; the last one counts.
                    input type="hidden" name=(name) value="false";
                    input type="checkbox" name=(name) value="true" checked[self.value == "true"];
                    span { b { (self.name) } @if !self.description.is_empty() { " " (self.description) } }
                }
            } @else {
                label {
                    span { b { (self.name) } @if self.required { " (required)" } @if !self.description.is_empty() { ": " (self.description) } }
                    @match self.kind {
                        Kind::Choice => (self.select(&name, &self.options)),
                        Kind::Environment if !environments.is_empty() => (self.select(&name, environments)),
                        Kind::Number => { input type="number" step="any" name=(name) value=(self.value) required[self.required]; }
                        _ => { input name=(name) value=(self.value) required[self.required] maxlength="65535" autocomplete="off" spellcheck="false"; }
                    }
                }
            }
        }
    }

    fn select(&self, name: &str, options: &[String]) -> Markup {
        let listed = options.contains(&self.value);
        html! {
            select name=(name) required[self.required] {
                // Nothing chosen is a choice, and so is what the file says though it is not in the list.
                @if self.value.is_empty() { option value="" { } }
                @else if !listed { option value=(self.value) selected { (self.value) } }
                @for option in options {
                    option value=(option) selected[*option == self.value] { (option) }
                }
            }
        }
    }
}

/// `main`, `tag v1`.
fn shown(name: &str) -> String {
    match name.strip_prefix("refs/tags/") {
        Some(tag) => format!("tag {tag}"),
        None => words::branch(name).to_owned(),
    }
}
