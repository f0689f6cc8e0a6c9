//! Composite actions: steps of their own, with their own inputs and outputs, in the log of the step that calls them.

use super::{ActionError, Directory};
use crate::contexts::Env;
use crate::job::Job;
use crate::log::{LogClosed, StepLog};
use crate::process::Stop;
use crate::program::Left;
use crate::step::{self, Frame};
use pilotage_workflow::model::{ActionRuns, Step};
use pilotage_workflow::sequence::{Outcome, Sequence};

/// GitHub's limit of composites in composites.
const DEPTH_MAX: usize = 9;

pub(crate) fn is(directory: &Directory) -> bool {
    matches!(directory.action.runs, ActionRuns::Composite { .. })
}

/// Runs the steps. `env` is the calling step's whole environment, which they see.
pub(crate) async fn run(
    job: &mut Job,
    outer: &mut Frame,
    directory: &Directory,
    inputs: &Env,
    env: &Env,
    log: &mut StepLog,
    stop: &Stop,
) -> (Left, Result<(), ActionError>) {
    let ActionRuns::Composite { steps } = &directory.action.runs else {
        return (
            Left::default(),
            Err(ActionError::failed("this is no composite action")),
        );
    };
    if let Err(error) = check_depth(outer) {
        return (Left::default(), Err(error));
    }
    let mut frame = frame_of(job, outer, directory, inputs, env);
    let mut left = Left::default();
    let ran = run_steps(job, &mut frame, steps, log, stop, &mut left).await;
    let outcome = match ran {
        Ok(outcome) => outcome,
        Err(closed) => return (left, Err(closed.into())),
    };
    for (name, value) in &directory.action.outputs {
        let Some(template) = value else { continue };
        match template.evaluate(&frame.contexts) {
            Ok(value) => drop(left.outputs.insert(name.clone(), value.to_text())),
            Err(error) => return (left, Err(ActionError::expression(name, &error))),
        }
    }
    let result = match outcome {
        Outcome::Success | Outcome::Skipped => Ok(()),
        Outcome::Cancelled => Err(ActionError::Stopped),
        Outcome::Failure => Err(ActionError::Told),
    };
    (left, result)
}

/// What is known of a composite's inside before the job's first step.
pub(crate) fn known_frame(outer: &Frame, step: &Step, inputs: &Env) -> Result<Frame, ActionError> {
    check_depth(outer)?;
    Ok(Frame {
        contexts: outer.contexts.for_composite(inputs),
        overlay: outer.overlay.clone(),
        depth: outer.depth + 1,
        key: format!("{}/", outer.key_of(&step.id)),
    })
}

fn check_depth(outer: &Frame) -> Result<(), ActionError> {
    if outer.depth < DEPTH_MAX {
        return Ok(());
    }
    let message = format!("composite actions are nested more than {DEPTH_MAX} times");
    Err(ActionError::Failed(message))
}

fn frame_of(job: &Job, outer: &Frame, directory: &Directory, inputs: &Env, env: &Env) -> Frame {
    let mut contexts = outer.contexts.for_composite(inputs);
    contexts.set_github("action_path", directory.path.to_string_lossy().into_owned());
    contexts.set_github("action_repository", directory.repository.as_str());
    contexts.set_github("action_ref", directory.reference.as_str());
    let mut overlay = outer.overlay.clone();
    let of_step = env
        .iter()
        .filter(|(name, value)| job.env.get(*name) != Some(*value));
    overlay.extend(of_step.map(|(name, value)| (name.clone(), value.clone())));
    Frame {
        contexts,
        overlay,
        depth: outer.depth + 1,
        key: format!("{}/", outer.key_of(&outer.contexts.github("action"))),
    }
}

async fn run_steps(
    job: &mut Job,
    frame: &mut Frame,
    steps: &[Step],
    log: &mut StepLog,
    stop: &Stop,
    left: &mut Left,
) -> Result<Outcome, LogClosed> {
    let mut sequence = Sequence::new(steps);
    while let Some(turn) = sequence.next() {
        if job.cancel.is_cancelled() {
            sequence.cancel();
        }
        // The calling step is out of time: nothing more is begun.
        if stop.cancel.is_cancelled() || stop.kill.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        let status = sequence.status().clone();
        let name = step::display_name(turn.step, &frame.contexts);
        let finished = step::perform(job, frame, turn.step, &status, log, stop).await?;
        if let Some(reason) = &finished.reason {
            log.line(&format!("Skipped `{name}`: {reason}"));
        }
        if finished.conclusion() == Outcome::Failure && left.error.is_none() {
            left.error.clone_from(&finished.error);
        }
        sequence.record(&name, finished.outcome, finished.continue_on_error);
    }
    Ok(sequence.conclusion())
}
