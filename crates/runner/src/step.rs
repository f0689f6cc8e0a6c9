//! One step, in a job or in a composite action: its environment, its condition, its time, and what it came to.
//!
//! The order of steps and the meaning of conditions belong to `workflow::sequence`; what a step does belongs to
//! `program` and `action`.

use crate::action::{ActionError, Code, composite, javascript, resolve};
use crate::builtin;
use crate::contexts::{Contexts, Env};
use crate::job::Job;
use crate::log::{LogClosed, StepLog};
use crate::process::Stop;
use crate::program::{self, Launch, Left};
use crate::shell::Shell;
use pilotage_api::runner::{Annotation, AnnotationLevel, Report};
use pilotage_workflow::expr::{Part, Scope, Template, Value};
use pilotage_workflow::model::{Condition, Step, StepKind, Tree};
use pilotage_workflow::sequence::{Decision, Implicit, Outcome, Status};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

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
    log.line(&format!("##[error]{message}"));
    log.flush().await?;
    let (level, step) = (AnnotationLevel::Error, log.step());
    let masked = job.log.masker().mask_str(&message).into_owned();
    let annotation = Annotation {
        step,
        level,
        message: masked,
        title: None,
        file: None,
        line: None,
        column: None,
        end_line: None,
        end_column: None,
    };
    job.report(Report::Annotation(annotation)).await?;
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
                match prepare_script(job, frame, script, env, log) {
                    Ok((launch, _file)) => program::run(job, frame, launch.borrow(env), log, stop).await,
                    Err(error) => (Left::default(), Err(error)),
                }
            }
            StepKind::Uses { action, with, .. } => {
                let code = resolve::resolve(&action.value, &job.dirs.workspace, &job.host.actions_from);
                let code = code.map_err(|e| ActionError::failed(e.0));
                match code.and_then(|code| Ok((inputs(&code, with.as_ref(), frame, log)?, code))) {
                    Ok((inputs, code)) => {
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

/// The inputs of an action: what is given, else the defaults.
pub(crate) fn inputs(
    code: &Code,
    with: Option<&Tree>,
    frame: &Frame,
    log: &mut StepLog,
) -> Result<Env, ActionError> {
    let given = map_of(with, &frame.contexts, "with")?;
    match code {
        Code::BuiltIn(built_in) => built_in_inputs(built_in, given),
        Code::Directory(directory) => {
            let mut inputs = Env::new();
            for (name, input) in &directory.action.inputs {
                let given = given
                    .iter()
                    .find(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, v)| v.clone());
                if given.is_some()
                    && let Some(deprecation) = &input.deprecation
                {
                    log.line(&format!(
                        "##[warning]Input '{name}' has been deprecated with message: {deprecation}"
                    ));
                }
                if given.is_none() && input.required && input.default.is_none() {
                    log.line(&format!("##[warning]Input required and not supplied: {name}"));
                }
                let default = || match &input.default {
                    Some(template) => template.evaluate(&frame.contexts).map(|v| v.to_text()),
                    None => Ok(String::new()),
                };
                let value = given
                    .map_or_else(default, Ok)
                    .map_err(|e| ActionError::expression(name, &e))?;
                inputs.insert(name.clone(), value);
            }
            for (name, value) in given {
                if !directory
                    .action
                    .inputs
                    .keys()
                    .any(|n| n.eq_ignore_ascii_case(&name))
                {
                    let valid: Vec<_> = directory.action.inputs.keys().map(|n| format!("'{n}'")).collect();
                    let valid = valid.join(", ");
                    log.line(&format!(
                        "##[warning]Unexpected input(s) '{name}', valid inputs are [{valid}]"
                    ));
                    inputs.insert(name, value);
                }
            }
            Ok(inputs)
        }
    }
}

fn built_in_inputs(built_in: &builtin::BuiltIn, given: Env) -> Result<Env, ActionError> {
    for (name, value) in &given {
        built_in
            .check_input(name, Some(value))
            .map_err(ActionError::Failed)?;
    }
    let mut inputs = Env::new();
    for input in built_in.inputs {
        let value = given
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(input.name))
            .map(|(_, v)| v.clone());
        if input.required && value.as_ref().is_none_or(|v| v.trim().is_empty()) {
            let message = format!("Input required and not supplied: {}", input.name);
            return Err(ActionError::failed(message));
        }
        inputs.insert(
            input.name.to_owned(),
            value.unwrap_or_else(|| input.default.to_owned()),
        );
    }
    Ok(inputs)
}

/// The environment that a step adds to the job's; also put into its `env` context.
fn step_env(job: &Job, frame: &mut Frame, step: &Step) -> Result<Env, ActionError> {
    let around = |frame: &Frame| -> Env {
        let mut env = job.env.clone();
        env.extend(frame.overlay.iter().map(|(k, v)| (k.clone(), v.clone())));
        env
    };
    let mut env = around(frame);
    frame
        .contexts
        .set_env(env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    if step.env.is_some() {
        env.extend(map_of(step.env.as_ref(), &frame.contexts, "env")?);
        frame
            .contexts
            .set_env(env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    }
    Ok(env)
}

/// A map of texts that may hold expressions, or be one.
pub(crate) fn map_of(tree: Option<&Tree>, scope: &dyn Scope, key: &str) -> Result<Env, ActionError> {
    let Some(tree) = tree else { return Ok(Env::new()) };
    match tree
        .evaluate(scope)
        .map_err(|e| ActionError::expression(key, &e))?
    {
        Value::Object(object) => Ok(object.iter().map(|(k, v)| (k.to_owned(), v.to_text())).collect()),
        Value::Null => Ok(Env::new()),
        other => Err(ActionError::failed(format!(
            "`{key}` must be a map, and is a {}",
            other.kind()
        ))),
    }
}

pub(crate) fn evaluate_flag(tree: Option<&Tree>, scope: &dyn Scope) -> Result<bool, String> {
    let Some(tree) = tree else { return Ok(false) };
    match tree.evaluate(scope).map_err(|e| e.to_string())? {
        Value::Bool(flag) => Ok(flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.is_empty() || text.eq_ignore_ascii_case("false") => Ok(false),
        Value::Null => Ok(false),
        other => Err(format!("expected true or false, found `{}`", other.to_text())),
    }
}

/// Minutes, whole or not. None where nothing is said.
pub(crate) fn evaluate_minutes(tree: Option<&Tree>, scope: &dyn Scope) -> Result<Option<Duration>, String> {
    const MINUTES_MAX: f64 = 35.0 * 24.0 * 60.0;
    let Some(tree) = tree else { return Ok(None) };
    let minutes = match tree.evaluate(scope).map_err(|e| e.to_string())? {
        Value::Null => return Ok(None),
        value => value.to_number(),
    };
    // As on GitHub, 0 and less means no limit of its own.
    if minutes.is_nan() {
        return Err("expected a number of minutes".to_owned());
    }
    Ok((minutes > 0.0).then(|| Duration::from_secs_f64(minutes.min(MINUTES_MAX) * 60.0)))
}

/// Text of a template, with the key's name for errors.
pub(crate) fn text_of(template: &Template, scope: &dyn Scope, key: &str) -> Result<String, ActionError> {
    template
        .evaluate(scope)
        .map(|v| v.to_text())
        .map_err(|e| ActionError::expression(key, &e))
}

struct Script<'a> {
    script: &'a Template,
    shell: Option<&'a Template>,
    directory: Option<&'a Template>,
}

/// A launch that owns its directory.
struct Prepared {
    path: PathBuf,
    args: Vec<std::ffi::OsString>,
    cwd: PathBuf,
}

impl Prepared {
    fn borrow<'a>(&'a self, env: &'a Env) -> Launch<'a> {
        Launch {
            path: self.path.clone(),
            args: self.args.clone(),
            cwd: &self.cwd,
            env,
            extra: Env::new(),
        }
    }
}

/// A script's file, removed with the step.
struct ScriptFile(PathBuf);

impl Drop for ScriptFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn prepare_script(
    job: &mut Job,
    frame: &Frame,
    script: Script<'_>,
    env: &Env,
    log: &mut StepLog,
) -> Result<(Prepared, ScriptFile), ActionError> {
    let scope = &frame.contexts;
    let text = text_of(script.script, scope, "run")?;
    let shell_name = match script.shell {
        Some(shell) => Some(text_of(shell, scope, "shell")?),
        None if frame.depth == 0 => job.defaults.shell.clone(),
        None => None,
    };
    let directory = match script.directory {
        Some(directory) => Some(text_of(directory, scope, "working-directory")?),
        None if frame.depth == 0 => job.defaults.working_directory.clone(),
        None => None,
    };
    let cwd = job.dirs.workspace.join(directory.as_deref().unwrap_or_default());
    if !cwd.is_dir() {
        return Err(ActionError::failed(format!(
            "the working directory {} does not exist",
            cwd.display()
        )));
    }
    let search = job.search_path(env);
    let shell = Shell::find(shell_name.as_deref(), search.as_ref(), &cwd)
        .map_err(|e| ActionError::failed(e.to_string()))?;
    let key = job.next_key();
    let file = job.dirs.temp.join(format!("{key}{}", shell.extension));
    job.write_for_job(&file, shell.script(&text).as_bytes())
        .map_err(ActionError::file(&file))?;
    write_header(job, log, &text, &shell, env);
    let args = shell.args(&file);
    Ok((
        Prepared {
            path: shell.program,
            args,
            cwd,
        },
        ScriptFile(file),
    ))
}

fn write_header(job: &Job, log: &mut StepLog, script: &str, shell: &Shell, env: &Env) {
    let lines: Vec<&str> = script.trim_end().lines().collect();
    let first = lines
        .iter()
        .find(|l| !l.trim().is_empty())
        .copied()
        .unwrap_or_default();
    log.line(&format!("##[group]Run {}", first.trim()));
    lines.iter().for_each(|line| log.line(line));
    log.line(&format!("shell: {}", shell.command_line()));
    let mut shown = env.iter().filter(|(name, _)| !job.base_env_has(name)).peekable();
    if shown.peek().is_some() {
        log.line("env:");
    }
    for (name, value) in shown {
        log.line(&format!("  {name}: {}", value.trim_end().replace('\n', "\n    ")));
    }
    log.line("##[endgroup]");
}

/// Watches over a running step: its time, and the job's cancellation, on which its condition is asked again.
pub(crate) struct Watch<'a> {
    contexts: Contexts,
    condition: Option<&'a Condition>,
    implicit: Implicit,
    status: &'a Status,
    cancel: tokio_util::sync::CancellationToken,
    /// What the step itself listens to.
    pub(crate) stop: Stop,
    timeout: Option<Duration>,
    /// A composite does not stop at a cancellation: each of its steps is asked for itself.
    asks_inside: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        job: &Job,
        frame: &Frame,
        condition: Option<&'a Condition>,
        implicit: Implicit,
        status: &'a Status,
        outer: &Stop,
    ) -> Self {
        Self {
            contexts: frame.contexts.clone(),
            condition,
            implicit,
            status,
            cancel: job.cancel.clone(),
            stop: Stop {
                cancel: outer.cancel.child_token(),
                kill: outer.kill.clone(),
            },
            timeout: None,
            asks_inside: false,
        }
    }

    fn with_timeout(mut self, step: &Step, scope: &dyn Scope) -> Result<Self, ActionError> {
        let minutes = evaluate_minutes(step.timeout_minutes.as_ref(), scope);
        self.timeout =
            minutes.map_err(|e| ActionError::failed(format!("cannot use `timeout-minutes`: {e}")))?;
        self.asks_inside =
            matches!(&step.kind, StepKind::Uses { action, .. } if action.value.starts_with("./"));
        Ok(self)
    }

    pub(crate) async fn over(self, work: Work<'_>) -> (Left, Result<(), ActionError>) {
        let mut work = work;
        let deadline = self.timeout.map(|t| Instant::now() + t);
        let mut asked = self.cancel.is_cancelled();
        let mut timed_out = false;
        let (left, result) = loop {
            tokio::select! {
                biased;
                ended = &mut work => break ended,
                () = self.cancel.cancelled(), if !asked => {
                    asked = true;
                    let status = self.status.with_cancelled(true);
                    let goes_on = matches!(
                        status.decide(self.condition, self.implicit, &self.contexts),
                        Decision::Run
                    );
                    if !goes_on && !self.asks_inside {
                        self.stop.cancel.cancel();
                    }
                }
                () = sleep_until(deadline), if deadline.is_some() && !timed_out => {
                    timed_out = true;
                    self.stop.cancel.cancel();
                }
            }
        };
        match (timed_out, result, self.timeout) {
            (true, Err(ActionError::Stopped), Some(timeout)) => {
                let message = format!("The step has timed out after {}.", minutes(timeout));
                (left, Err(ActionError::Failed(message)))
            }
            (_, result, _) => (left, result),
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

/// `5 minutes`, `0.5 minutes`.
pub(crate) fn minutes(time: Duration) -> String {
    let minutes = time.as_secs_f64() / 60.0;
    let text = format!("{minutes:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} minute{}", if text == "1" { "" } else { "s" })
}

/// The inputs as far as they are known before the job's first step; what is not known yet is empty.
pub(crate) fn known_inputs(code: &Code, with: Option<&Tree>, frame: &Frame) -> Env {
    let given = map_of(with, &frame.contexts, "with").unwrap_or_default();
    let Code::Directory(directory) = code else {
        return given;
    };
    let mut inputs = given;
    for (name, input) in &directory.action.inputs {
        if !inputs.keys().any(|n| n.eq_ignore_ascii_case(name)) {
            let default = input
                .default
                .as_ref()
                .and_then(|t| t.evaluate(&frame.contexts).ok());
            inputs.insert(name.clone(), default.map(|v| v.to_text()).unwrap_or_default());
        }
    }
    inputs
}
