//! What this binary can run of the workflow language, from the runner's own tables.

use pilotage_runner::builtin;
use pilotage_workflow::diagnostic::Diagnostic;
use pilotage_workflow::model::Workflow;
use pilotage_workflow::parse::{Supported, unsupported};

/// What of a workflow cannot be run here, as errors with their places.
pub(crate) fn refused(workflow: &Workflow, remote_actions: bool) -> Vec<Diagnostic> {
    let majors: Vec<Vec<String>> = builtin::supported()
        .iter()
        .map(|b| b.majors.iter().map(|m| format!("v{m}")).collect())
        .collect();
    let majors: Vec<Vec<&str>> = majors
        .iter()
        .map(|m| m.iter().map(String::as_str).collect())
        .collect();
    let table: Vec<(&str, &[&str])> = builtin::supported()
        .iter()
        .zip(&majors)
        .map(|(b, m)| (b.name, m.as_slice()))
        .collect();
    unsupported(
        workflow,
        &Supported {
            builtin: &table,
            remote_actions,
            containers: false,
            input: Some(|action, input, value| {
                builtin::find(action).map_or(Ok(()), |found| found.check_input(input, value))
            }),
        },
    )
}
