//! One step, in a job or in a composite action: its environment, its condition, its time, and what it came to.
//!
//! The order of steps and the meaning of conditions belong to `workflow::sequence`; what a step does belongs to
//! `program` and `action`.

mod script;
mod values;
mod watch;

pub(crate) use values::{evaluate_flag, evaluate_minutes, inputs, known_inputs, map_of, text_of};
pub(crate) use watch::{Watch, minutes};

use script::{Script, prepare_script};
use values::{given, step_env};

use crate::action::{ActionError, Code, composite, javascript, resolve};
use crate::builtin;
use crate::contexts::{Contexts, Env};
use crate::job::Job;
use crate::log::{LogClosed, StepLog};
use crate::process::Stop;
use crate::program::{self, Left};
use pilotage_api::runner::Annotation;
use pilotage_workflow::expr::{Part, Scope, Template};
use pilotage_workflow::model::{Step, StepKind};
use pilotage_workflow::sequence::{Decision, Implicit, Outcome, Status};
use std::future::Future;
use std::pin::Pin;

/// Where a step stands: in the job, or in a composite action.
pub(crate) struct Frame {
    pub(crate) contexts: Contexts,
    /// `env` of the steps around it; nearer ones win over the job's.
    pub(crate) overlay: Env,
    /// 0 in the job itself.
    pub(crate) depth: usize,
    /// The ids of the steps around it, each with a slash behind it.
    pub(crate) key: String,
}

impl Frame {
    /// What tells a step from all others of the job, those in composite actions too.
    pub(crate) fn key_of(&self, step: &str) -> String {
        format!("{}{step}", self.key)
    }
}

/// How a step ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    pub(crate) continue_on_error: bool,
    /// Of a skipped step: why.
    pub(crate) reason: Option<String>,
    /// Of a failed step: its first error, in a line.
    pub(crate) error: Option<String>,
}

impl Finished {
    pub(crate) fn skipped(reason: Option<String>) -> Self {
        Self {
            outcome: Outcome::Skipped,
            continue_on_error: false,
            reason,
            error: None,
        }
    }

    /// What a result comes to; an error is told in the log and in an annotation.
    pub(crate) async fn of(
        job: &mut Job,
        log: &mut StepLog,
        left: &Left,
        result: Result<(), ActionError>,
    ) -> Result<Self, LogClosed> {
        let (outcome, error) = match result {
            Ok(()) => (Outcome::Success, None),
            Err(ActionError::Stopped) => {
                log.line(&format!("##[error]{}", ActionError::Stopped));
                (Outcome::Cancelled, None)
            }
            Err(fault) => (Outcome::Failure, Some(tell(job, log, left, fault).await?)),
        };
        log.flush().await?;
        Ok(Self {
            outcome,
            continue_on_error: false,
            reason: None,
            error,
        })
    }

    pub(crate) fn conclusion(&self) -> Outcome {
        match self.outcome {
            Outcome::Failure if self.continue_on_error => Outcome::Success,
            outcome => outcome,
        }
    }
}

/// What a step does when its turn has come, and its condition is met.
type Work<'a> = Pin<Box<dyn Future<Output = (Left, Result<(), ActionError>)> + Send + 'a>>;

/// Performs a main step from its environment to its entry in `steps`.
pub(crate) async fn perform(
    job: &mut Job,
    frame: &mut Frame,
    step: &Step,
    status: &Status,
    log: &mut StepLog,
    stop: &Stop,
) -> Result<Finished, LogClosed> {
    frame.contexts.set_github("action", step.id.as_str());
    frame.contexts.set_job_status(job.status_for(frame, status));
    let env = step_env(job, frame, step);
    let decision = match &env {
        Ok(_) => status.decide(step.condition.as_ref(), Implicit::Success, &frame.contexts),
        Err(_) => Decision::Run,
    };
    let (left, result, reason) = match (decision, env) {
        (Decision::Skip(reason), _) => {
            let reason = job.log.masker().mask_str(&reason).into_owned();
            (Left::default(), None, Some(reason))
        }
        (Decision::Fault(error), _) => (
            Left::default(),
            Some(Err(ActionError::expression("if", &error))),
            None,
        ),
        (Decision::Run, Err(error)) => (Left::default(), Some(Err(error)), None),
        (Decision::Run, Ok(env)) => {
            let watch = Watch::new(
                job,
                frame,
                step.condition.as_ref(),
                Implicit::Success,
                status,
                stop,
            );
            let watch = match watch.with_timeout(step, &frame.contexts) {
                Ok(watch) => watch,
                Err(error) => {
                    return finish(job, frame, step, log, Left::default(), Some(Err(error)), None).await;
                }
            };
            let inner = watch.stop.clone();
            let (left, result) = watch.over(run_kind(job, frame, step, &env, log, &inner)).await;
            (left, Some(result), None)
        }
    };
    finish(job, frame, step, log, left, result, reason).await
}

/// Writes the error to the log, and the step to `steps`.
async fn finish(
    job: &mut Job,
    frame: &mut Frame,
    step: &Step,
    log: &mut StepLog,
    left: Left,
    result: Option<Result<(), ActionError>>,
    reason: Option<String>,
) -> Result<Finished, LogClosed> {
    let mut finished = match result {
        None => Finished::skipped(reason),
        Some(result) => Finished::of(job, log, &left, result).await?,
    };
    if finished.outcome == Outcome::Failure {
        match evaluate_flag(step.continue_on_error.as_ref(), &frame.contexts) {
            Ok(flag) => finished.continue_on_error = flag,
            Err(fault) => log.line(&format!("##[error]cannot evaluate `continue-on-error`: {fault}")),
        }
    }
    let conclusion = finished.conclusion();
    frame
        .contexts
        .set_step(visible_id(step), &left.outputs, finished.outcome, conclusion);
    log.flush().await?;
    Ok(finished)
}

/// Says in the log and in an annotation why a step failed; gives the first error in a line.
async fn tell(
    job: &mut Job,
    log: &mut StepLog,
    left: &Left,
    fault: ActionError,
) -> Result<String, LogClosed> {
    let message = fault.sentence();
    if let ActionError::Log(closed) = fault {
        return Err(closed);
    }
    if matches!(fault, ActionError::Told) {
        return Ok(left.error.clone().unwrap_or(message));
    }
    // What was refused was told where the program asked for it.
    if !matches!(fault, ActionError::Refused(_)) {
        log.line(&format!("##[error]{message}"));
        log.annotate(Annotation::error(log.step(), message.clone()));
    }
    log.flush().await?;
    let error = match (&left.error, fault) {
        (Some(error), _) => error.clone(),
        (None, ActionError::Exit(code)) if left.last_line.is_empty() => format!("exit code {code}"),
        (None, ActionError::Exit(code)) => format!("exit code {code}: {}", left.last_line),
        (None, _) => message,
    };
    let line = error.lines().next().unwrap_or_default();
    Ok(job.log.masker().mask_str(line).into_owned())
}

/// The step's id where the user gave one; the others are in no context.
pub(crate) fn visible_id(step: &Step) -> &str {
    if step.id.starts_with("__") { "" } else { &step.id }
}

/// How people know a step. Before its turn some of it may not be known yet.
pub(crate) fn display_name(step: &Step, scope: &dyn Scope) -> String {
    let text = |template: &Template| {
        template
            .evaluate(scope)
            .map_or_else(|_| as_written(template), |value| value.to_text())
    };
    if let Some(name) = step
        .name
        .as_ref()
        .map(text)
        .filter(|name| !name.trim().is_empty())
    {
        return name;
    }
    match &step.kind {
        StepKind::Run { script, .. } => {
            let script = text(script);
            let line = script
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty())
                .unwrap_or_default();
            format!("Run {line}")
        }
        StepKind::Uses { action, .. } => format!("Run {}", action.value),
        StepKind::Background(kind) => kind.value.clone(),
    }
}

fn as_written(template: &Template) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Expr(expr) => format!("${{{{ {} }}}}", expr.text),
    };
    template.parts.iter().map(part).collect()
}

/// What the expressions of a step came to that is about to run. Of steps inside composite actions nothing is told.
async fn tell_values(
    job: &Job,
    frame: &Frame,
    step: &Step,
    env: &Env,
    with: &Env,
    log: &StepLog,
) -> Result<(), ActionError> {
    if frame.depth > 0 {
        return Ok(());
    }
    let own = env
        .iter()
        .filter(|(name, value)| job.env.get(*name) != Some(*value));
    let own: Env = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    let told = job.evaluated(log.step(), step.condition.as_ref(), &own, with);
    Ok(told.await?)
}

fn run_kind<'a>(
    job: &'a mut Job,
    frame: &'a mut Frame,
    step: &'a Step,
    env: &'a Env,
    log: &'a mut StepLog,
    stop: &'a Stop,
) -> Work<'a> {
    Box::pin(async move {
        match &step.kind {
            StepKind::Run { background: true, .. } | StepKind::Uses { background: true, .. } => (
                Left::default(),
                Err(ActionError::failed("background steps are not supported yet")),
            ),
            StepKind::Background(kind) => {
                let message = format!("`{}`: background steps are not supported yet", kind.value);
                (Left::default(), Err(ActionError::failed(message)))
            }
            StepKind::Run {
                script,
                shell,
                working_directory,
                ..
            } => {
                let script = Script {
                    script,
                    shell: shell.as_ref(),
                    directory: working_directory.as_ref(),
                };
                let told = tell_values(job, frame, step, env, &Env::new(), log).await;
                match told.and_then(|()| prepare_script(job, frame, script, env, log)) {
                    Ok((launch, _file)) => program::run(job, frame, launch.borrow(env), log, stop).await,
                    Err(error) => (Left::default(), Err(error)),
                }
            }
            StepKind::Uses { action, with, .. } => {
                let code = resolve::resolve(&action.value, &job.dirs.workspace, &job.host.actions_from);
                let code = code.map_err(|e| ActionError::failed(e.0));
                match code.and_then(|code| Ok((inputs(&code, with.as_ref(), frame, log)?, code))) {
                    Ok((inputs, code)) => {
                        if let Err(closed) =
                            tell_values(job, frame, step, env, &given(with.as_ref(), &inputs), log).await
                        {
                            return (Left::default(), Err(closed));
                        }
                        run_action(job, frame, &code, inputs, &action.value, env, log, stop).await
                    }
                    Err(error) => (Left::default(), Err(error)),
                }
            }
        }
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "a step's whole surroundings, passed on as they are"
)]
async fn run_action(
    job: &mut Job,
    frame: &mut Frame,
    code: &Code,
    inputs: Env,
    uses: &str,
    env: &Env,
    log: &mut StepLog,
    stop: &Stop,
) -> (Left, Result<(), ActionError>) {
    match code {
        Code::BuiltIn(built_in) => {
            log.line(&format!("##[group]Run {uses}"));
            log.line(&format!("built-in for {uses}"));
            write_inputs(log, &inputs);
            log.line("##[endgroup]");
            builtin::run_main(job, frame, built_in, inputs, env, log, stop).await
        }
        Code::Directory(directory) if composite::is(directory) => {
            composite::run(job, frame, directory, &inputs, env, log, stop).await
        }
        Code::Directory(directory) => {
            log.line(&format!("##[group]Run {uses}"));
            write_inputs(log, &inputs);
            log.line("##[endgroup]");
            javascript::run_main(job, frame, directory, inputs, env, log, stop).await
        }
    }
}

fn write_inputs(log: &mut StepLog, inputs: &Env) {
    let given: Vec<_> = inputs.iter().filter(|(_, value)| !value.is_empty()).collect();
    if !given.is_empty() {
        log.line("with:");
    }
    for (name, value) in given {
        log.line(&format!("  {name}: {}", value.trim_end().replace('\n', "\n    ")));
    }
}
