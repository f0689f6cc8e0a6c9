//! W0604: `needs.x`, `matrix.x` and `inputs.x` where there is no `x`: it is null, and mostly a slip.

use super::visit;
use crate::diagnostic::Diagnostic;
use crate::model::{Job, JobKind, Tree, TreeKey, TreeKind, Workflow};
use crate::parse::closest;

pub(super) fn check(workflow: &Workflow, found: &mut Vec<Diagnostic>) {
    let inputs = inputs(workflow);
    visit::expressions(workflow, &mut |site, expr| {
        for (names, range) in expr.references() {
            let [context, name, rest @ ..] = names.as_slice() else {
                continue;
            };
            let unknown = match (context.as_str(), site.job) {
                ("needs", Some(job)) => need(workflow, job, name, rest),
                ("matrix", Some(job)) => {
                    known_matrix(job).and_then(|keys| missing("matrix", "this job's matrix", name, &keys))
                }
                ("inputs", _) => inputs
                    .as_ref()
                    .and_then(|known| missing("inputs", "this workflow", name, known)),
                _ => None,
            };
            let Some((message, help)) = unknown else { continue };
            let span = visit::place(workflow, expr, &range);
            let mut warning =
                Diagnostic::warning("W0604", &workflow.source, span, message).label("this is null");
            warning.help = help;
            found.push(warning);
        }
    });
}

type Unknown = (String, Option<String>);

fn missing(context: &str, owner: &str, name: &str, known: &[&str]) -> Option<Unknown> {
    if known.iter().any(|k| k.eq_ignore_ascii_case(name)) {
        return None;
    }
    let help = closest(name, known.iter().copied()).map(|k| format!("did you mean `{context}.{k}`?"));
    Some((format!("{owner} has no `{context}.{name}`"), help))
}

fn need(workflow: &Workflow, job: &Job, name: &str, rest: &[String]) -> Option<Unknown> {
    let needs: Vec<&str> = job.needs.iter().map(|n| n.value.as_str()).collect();
    if !needs.iter().any(|n| n.eq_ignore_ascii_case(name)) {
        let is_other = !job.id.value.eq_ignore_ascii_case(name);
        let exists = is_other && workflow.jobs.keys().any(|id| id.eq_ignore_ascii_case(name));
        let near = closest(name, needs.iter().copied()).map(|n| format!("did you mean `needs.{n}`?"));
        let help = if exists {
            Some(format!("add `{name}` to the job's `needs`"))
        } else {
            near
        };
        return Some((format!("the job `{}` does not need `{name}`", job.id.value), help));
    }
    let [what, output, ..] = rest else { return None };
    let needed = workflow
        .jobs
        .iter()
        .find(|(id, _)| id.eq_ignore_ascii_case(name))
        .map(|(_, j)| j)?;
    let known: Vec<&str> = match &needed.kind {
        JobKind::Steps(steps) => steps.outputs.keys().map(String::as_str).collect(),
        JobKind::Call(call) => {
            let called = call.workflow.as_ref()?;
            let trigger = called.on.iter().find(|t| t.event.value == "workflow_call")?;
            trigger.outputs.keys().map(String::as_str).collect()
        }
    };
    if what != "outputs" || known.iter().any(|k| k.eq_ignore_ascii_case(output)) {
        return None;
    }
    let help = closest(output, known).map(|k| format!("did you mean `{k}`?"));
    Some((format!("the job `{name}` has no output `{output}`"), help))
}

/// The inputs of both kinds; none where no event of this workflow has inputs of its own (others may bring some).
fn inputs(workflow: &Workflow) -> Option<Vec<&str>> {
    let with_inputs = |event: &str| matches!(event, "workflow_dispatch" | "workflow_call");
    let mut triggers = workflow
        .on
        .iter()
        .filter(|t| with_inputs(&t.event.value))
        .peekable();
    triggers.peek()?;
    Some(
        triggers
            .flat_map(|t| t.inputs.keys().map(String::as_str))
            .collect(),
    )
}

/// The names of a matrix, where all of them can be read from the file.
fn known_matrix(job: &Job) -> Option<Vec<&str>> {
    let Some(strategy) = &job.strategy else {
        return Some(Vec::new());
    };
    if strategy.whole.is_some() {
        return None;
    }
    let Some(matrix) = &strategy.matrix else {
        return Some(Vec::new());
    };
    let mut names = Vec::new();
    for (name, value) in plain(matrix)? {
        match name {
            "exclude" => {}
            "include" => {
                let TreeKind::Seq(items) = &value.kind else {
                    return None;
                };
                for item in items {
                    names.extend(plain(item)?.into_iter().map(|(n, _)| n));
                }
            }
            _ => names.push(name),
        }
    }
    Some(names)
}

fn plain(tree: &Tree) -> Option<Vec<(&str, &Tree)>> {
    let TreeKind::Map(entries) = &tree.kind else {
        return None;
    };
    let plain = entries.iter().map(|(key, value)| match key {
        TreeKey::Plain(name) => Some((name.value.as_str(), value)),
        TreeKey::Template(_) | TreeKey::Insert(_) => None,
    });
    plain.collect()
}
