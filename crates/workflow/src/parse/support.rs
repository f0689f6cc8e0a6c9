//! What the language allows and Pilotage cannot run yet: found before the first step, never skipped.

use crate::diagnostic::Diagnostic;
use crate::model::{Job, JobKind, Step, StepKind, StepsJob, Tree, TreeKey, TreeKind, Workflow};
use crate::source::{Span, Spanned};

/// What the caller can run. All that is not named here is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Supported<'a> {
    /// Built-in actions, `owner/name[/path]`, and the versions that each stands for (`v4`; any `v4.x` fits too).
    pub builtin: &'a [(&'a str, &'a [&'a str])],
    /// Whether actions of other repositories can be fetched.
    pub remote_actions: bool,
    /// Whether `container`, `services` and Docker actions can be run.
    pub containers: bool,
    /// What is wrong with an input of a built-in action: its name, the input's, and its value where that is known.
    pub input: Option<CheckInput>,
}

pub type CheckInput = fn(&str, &str, Option<&str>) -> Result<(), String>;

/// Every part of a workflow, and of those it calls, that cannot be run; as errors.
#[must_use]
pub fn unsupported(workflow: &Workflow, supported: &Supported<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for job in workflow.jobs.values() {
        match &job.kind {
            JobKind::Steps(steps) => of_steps(workflow, job, steps, supported, &mut found),
            JobKind::Call(call) => match &call.workflow {
                Some(called) => found.extend(unsupported(called, supported)),
                None => {
                    let message = format!("the workflow `{}` is not at hand", call.uses.value);
                    found.push(Diagnostic::error(
                        "W0506",
                        &workflow.source,
                        call.uses.span,
                        message,
                    ));
                }
            },
        }
    }
    found
}

fn of_steps(
    workflow: &Workflow,
    job: &Job,
    steps: &StepsJob,
    supported: &Supported<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let mut refuse = |code, span, what: &str| {
        found.push(Diagnostic::error(
            code,
            &workflow.source,
            span,
            format!("{what} not supported yet"),
        ));
    };
    if let Some(snapshot) = &steps.snapshot {
        refuse("W0503", snapshot.span, "`snapshot` is");
    }
    if !supported.containers {
        if let Some(container) = &steps.container {
            refuse("W0501", container.span, "`container` is");
        }
        if let Some(services) = &steps.services {
            refuse("W0502", services.span, "`services` are");
        }
    }
    for step in &steps.steps {
        if let Some((code, span, what)) = of_step(step, supported) {
            refuse(code, span, &what);
        }
    }
    for (span, message) in steps.steps.iter().flat_map(|step| of_inputs(step, supported)) {
        found.push(Diagnostic::error("W0508", &workflow.source, span, message));
    }
    if steps.steps.is_empty() {
        let message = format!("the job `{}` has no steps", job.id.value);
        found.push(Diagnostic::error("W0507", &workflow.source, job.id.span, message));
    }
}

fn of_step(step: &Step, supported: &Supported<'_>) -> Option<(&'static str, Span, String)> {
    match &step.kind {
        StepKind::Background(word) => Some(("W0504", word.span, format!("the step `{}` is", word.value))),
        StepKind::Run { background: true, .. } | StepKind::Uses { background: true, .. } => {
            Some(("W0504", step.span, "a step in the background is".to_owned()))
        }
        StepKind::Run { .. } => None,
        StepKind::Uses { action, .. } => of_action(action, supported),
    }
}

/// Inputs of a built-in action that it does not have, or not with this value.
fn of_inputs(step: &Step, supported: &Supported<'_>) -> Vec<(Span, String)> {
    let (
        StepKind::Uses {
            action,
            with: Some(with),
            ..
        },
        Some(check),
    ) = (&step.kind, supported.input)
    else {
        return Vec::new();
    };
    let name = action.value.split('@').next().unwrap_or_default();
    let is_built_in = supported
        .builtin
        .iter()
        .any(|(n, _)| n.eq_ignore_ascii_case(name));
    let (TreeKind::Map(entries), true) = (&with.kind, is_built_in) else {
        return Vec::new();
    };
    let fault = |(key, value): &(TreeKey, Tree)| {
        let TreeKey::Plain(input) = key else { return None };
        let value = match &value.kind {
            TreeKind::Scalar(value) => Some(value.to_text()),
            _ => None,
        };
        let fault = check(name, &input.value, value.as_deref()).err()?;
        Some((input.span, fault))
    };
    entries.iter().filter_map(fault).collect()
}

fn of_action(action: &Spanned<String>, supported: &Supported<'_>) -> Option<(&'static str, Span, String)> {
    let uses = action.value.as_str();
    if uses.starts_with("./") || uses.starts_with("$/") {
        return None;
    }
    if uses.starts_with("docker://") {
        return (!supported.containers)
            .then(|| ("W0505", action.span, format!("the image `{uses}` as a step is")));
    }
    let (name, version) = uses.split_once('@').unwrap_or((uses, ""));
    let known = supported
        .builtin
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name));
    // A whole commit says nothing of its version; people pin to one, so it stands for the newest.
    let commit = matches!(version.len(), 40 | 64) && version.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = |majors: &[&str]| {
        commit
            || majors
                .iter()
                .any(|m| version == *m || version.strip_prefix(m).is_some_and(|r| r.starts_with('.')))
    };
    match known {
        Some((_, majors)) if fits(majors) => None,
        _ if supported.remote_actions => None,
        Some((name, majors)) => {
            let list = majors.join("`, `");
            Some((
                "W0505",
                action.span,
                format!("`{name}` is built in as `{list}`; `{version}` is"),
            ))
        }
        None => Some((
            "W0505",
            action.span,
            format!("the action `{uses}` is not built in, and fetching it is"),
        )),
    }
}
