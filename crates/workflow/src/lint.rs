//! What GitHub takes and people mostly do not mean. Warnings only: an error is where GitHub refuses, and that
//! is found by [`crate::parse`].
//!
//! One rule is one file, and one line in [`RULES`].

mod always_true;
mod injection;
mod number;
mod property;
mod step_id;
pub(crate) mod visit;

use crate::diagnostic::Diagnostic;
use crate::model::Workflow;

/// A rule looks at one file, not at what it calls.
type Rule = fn(&Workflow, &mut Vec<Diagnostic>);

const RULES: &[Rule] = &[
    injection::check,
    always_true::check,
    step_id::check,
    property::check,
    number::check,
];

/// All warnings of all rules, in the order of the file.
#[must_use]
pub fn check(workflow: &Workflow) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for rule in RULES {
        rule(workflow, &mut found);
    }
    found.sort_by_key(|d| d.span);
    found
}

#[cfg(test)]
mod tests;
