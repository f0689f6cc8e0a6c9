//! W0603: `steps.x` where no step `x` has run before.

use super::visit;
use crate::diagnostic::Diagnostic;
use crate::model::{JobKind, Workflow};
use crate::parse::closest;

pub(super) fn check(workflow: &Workflow, found: &mut Vec<Diagnostic>) {
    visit::expressions(workflow, &mut |site, expr| {
        let Some(JobKind::Steps(job)) = site.job.map(|j| &j.kind) else {
            return;
        };
        let end = site.step.unwrap_or(job.steps.len());
        for (names, range) in expr.references() {
            let [context, id, ..] = names.as_slice() else {
                continue;
            };
            if context != "steps" {
                continue;
            }
            let position = job.steps.iter().position(|s| s.id.eq_ignore_ascii_case(id));
            let message = match position {
                Some(index) if index < end => continue,
                Some(index) if Some(index) == site.step => {
                    format!("the step `{id}` has no outputs before it ran")
                }
                Some(_) => format!("the step `{id}` runs later"),
                None => format!("no step of this job has the id `{id}`"),
            };
            let span = visit::place(workflow, expr, &range);
            let mut warning =
                Diagnostic::warning("W0603", &workflow.source, span, message).label("this is null");
            if position.is_none() {
                let ids = job
                    .steps
                    .iter()
                    .map(|s| s.id.as_str())
                    .filter(|i| !i.starts_with("__"));
                warning.help = closest(id, ids).map(|i| format!("did you mean `{i}`?"));
            }
            found.push(warning);
        }
    });
}
