//! W0605: `3.10` in a matrix is the number 3.1.

use crate::diagnostic::Diagnostic;
use crate::expr::Value;
use crate::model::{Tree, TreeKind, Workflow};

pub(super) fn check(workflow: &Workflow, found: &mut Vec<Diagnostic>) {
    for job in workflow.jobs.values() {
        if let Some(matrix) = job.strategy.as_ref().and_then(|s| s.matrix.as_ref()) {
            numbers(workflow, matrix, found);
        }
    }
}

fn numbers(workflow: &Workflow, tree: &Tree, found: &mut Vec<Diagnostic>) {
    match &tree.kind {
        TreeKind::Scalar(value @ Value::Number(_)) => {
            let raw = workflow.source.slice(tree.span);
            let text = value.to_text();
            // Only what lost a digit that somebody wrote: `1e3` and `0x1F` are meant as numbers.
            let is_decimal = raw.contains('.') && raw.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            if is_decimal && raw != text {
                let message = format!("`{raw}` is the number {text}");
                let help = format!("write '{raw}' in quotes to keep it as it is");
                found.push(Diagnostic::warning("W0605", &workflow.source, tree.span, message).help(help));
            }
        }
        TreeKind::Scalar(_) | TreeKind::Template(_) => {}
        TreeKind::Seq(items) => items.iter().for_each(|t| numbers(workflow, t, found)),
        TreeKind::Map(entries) => entries.iter().for_each(|(_, t)| numbers(workflow, t, found)),
    }
}
