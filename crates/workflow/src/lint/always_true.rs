//! W0602: an `if` with text around `${{ }}`, which is a text, and a text that is not empty is true.

use super::visit::{self, Part};
use crate::diagnostic::Diagnostic;
use crate::model::Workflow;

pub(super) fn check(workflow: &Workflow, found: &mut Vec<Diagnostic>) {
    visit::expressions(workflow, &mut |site, expr| {
        // What was one expression stands in the file without its braces; what became a text is the whole scalar.
        if site.part != Part::Condition || !workflow.source.slice(expr.span).contains("${{") {
            return;
        }
        if !expr.text.starts_with("format('") {
            return;
        }
        let message = "this `if` is always true: with text around `${{ }}` it is a text";
        let help = "put all of it into one `${{ }}`, or leave the braces out";
        found.push(Diagnostic::warning("W0602", &workflow.source, expr.span, message).help(help));
    });
}
