//! JavaScript actions: run by the machine's own Node, with their inputs and state in the environment.

use super::{ActionError, Code, Directory, Post, composite};
use crate::contexts::Env;
use crate::job::Job;
use crate::log::{LogClosed, StepLog};
use crate::process::Stop;
use crate::program::{self, Launch, Left};
use crate::shell::find_program;
use crate::step::{self, Finished, Frame, Watch};
use pilotage_workflow::model::{ActionRuns, Condition, Step, StepKind};
use pilotage_workflow::sequence::{Decision, Implicit, Status};
use std::path::PathBuf;
use std::sync::Arc;

/// The parts of an action that are scripts.
struct Scripts<'a> {
    using: &'a str,
    main: &'a str,
    pre: Option<(&'a str, Option<&'a Condition>)>,
    post: Option<(&'a str, Option<&'a Condition>)>,
}

impl<'a> Scripts<'a> {
    fn of(directory: &'a Directory) -> Result<Self, ActionError> {
        match &directory.action.runs {
            ActionRuns::JavaScript {
                using,
                main,
                pre,
                pre_if,
                post,
                post_if,
            } => Ok(Self {
                using: &using.value,
                main,
                pre: pre.as_deref().map(|script| (script, pre_if.as_ref())),
                post: post.as_deref().map(|script| (script, post_if.as_ref())),
            }),
            ActionRuns::Docker { image, .. } => Err(ActionError::failed(format!(
                "actions from container images are not supported yet: this one needs `{}`",
                image.value
            ))),
            ActionRuns::Composite { .. } => Err(ActionError::failed("this is no JavaScript action")),
        }
    }
}

/// The pre parts of a step's action and of the actions inside it, in order. Actions of the project have none, as on
/// GitHub: they are not there before the first step. `find` finds the action of a `uses`.
pub(crate) fn pres(
    frame: &Frame,
    step: &Step,
    directory: &Arc<Directory>,
    find: &dyn Fn(&str) -> Result<Code, ActionError>,
) -> Result<Vec<Post>, ActionError> {
    let StepKind::Uses { with, .. } = &step.kind else {
        return Ok(Vec::new());
    };
    let code = Code::Directory(Arc::clone(directory));
    let inputs = step::known_inputs(&code, with.as_ref(), frame);
    if let ActionRuns::Composite { steps } = &directory.action.runs {
        let inner = composite::known_frame(frame, step, &inputs)?;
        let mut all = Vec::new();
        for step in steps {
            if let StepKind::Uses { action, .. } = &step.kind
                && !action.value.starts_with("./")
                && let Code::Directory(directory) = find(&action.value)?
            {
                all.extend(pres(&inner, step, &directory, find)?);
            }
        }
        return Ok(all);
    }
    if Scripts::of(directory)?.pre.is_none() {
        return Ok(Vec::new());
    }
    Ok(vec![Post {
        code,
        step: frame.key_of(&step.id),
        contexts: frame.contexts.clone(),
        overlay: frame.overlay.clone(),
        inputs,
        state: Env::new(),
    }])
}

pub(crate) async fn run_pre(
    job: &mut Job,
    pre: Post,
    status: &Status,
    log: &mut StepLog,
    stop: &Stop,
) -> Result<Finished, LogClosed> {
    let step = pre.step.clone();
    let (finished, state) = run_part(job, pre, Part::Pre, status, log, stop).await?;
    job.pre_states.insert(step, state);
    Ok(finished)
}

/// Runs the main part; its post part is added to the job's before it begins.
pub(crate) async fn run_main(
    job: &mut Job,
    frame: &mut Frame,
    directory: &Arc<Directory>,
    inputs: Env,
    env: &Env,
    log: &mut StepLog,
    stop: &Stop,
) -> (Left, Result<(), ActionError>) {
    let scripts = match Scripts::of(directory) {
        Ok(scripts) => scripts,
        Err(error) => return (Left::default(), Err(error)),
    };
    let step = frame.key_of(&frame.contexts.github("action"));
    let mut state = job.pre_states.get(&step).cloned().unwrap_or_default();
    let (left, result) = run_script(
        job,
        frame,
        directory,
        scripts.main,
        &inputs,
        &state,
        env,
        log,
        stop,
    )
    .await;
    if scripts.post.is_some() {
        state.extend(left.state.iter().map(|(k, v)| (k.clone(), v.clone())));
        let of_step = env
            .iter()
            .filter(|(name, value)| job.env.get(*name) != Some(*value));
        let overlay = of_step.map(|(k, v)| (k.clone(), v.clone())).collect();
        let code = Code::Directory(Arc::clone(directory));
        job.posts.push(Post {
            code,
            step,
            contexts: frame.contexts.clone(),
            overlay,
            inputs,
            state,
        });
    }
    (left, result)
}

pub(crate) async fn run_post(
    job: &mut Job,
    post: Post,
    status: &Status,
    log: &mut StepLog,
    stop: &Stop,
) -> Result<Finished, LogClosed> {
    Ok(run_part(job, post, Part::Post, status, log, stop).await?.0)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Pre,
    Post,
}

impl Part {
    /// Its script and condition, if the action has that part.
    fn of(self, directory: &Directory) -> Option<(&str, Option<&Condition>)> {
        let scripts = Scripts::of(directory).ok()?;
        if self == Part::Pre {
            scripts.pre
        } else {
            scripts.post
        }
    }
}

/// Gives also the state that is saved after it.
async fn run_part(
    job: &mut Job,
    part: Post,
    which: Part,
    status: &Status,
    log: &mut StepLog,
    stop: &Stop,
) -> Result<(Finished, Env), LogClosed> {
    let Post {
        code,
        contexts,
        overlay,
        inputs,
        mut state,
        ..
    } = part;
    let Code::Directory(directory) = code else {
        return Ok((Finished::skipped(None), state));
    };
    let Some((script, condition)) = which.of(&directory) else {
        return Ok((Finished::skipped(None), state));
    };
    let mut frame = Frame {
        contexts,
        overlay,
        depth: 0,
        key: String::new(),
    };
    frame.contexts.set_job_status(status.outcome());
    let mut env = job.env.clone();
    env.extend(frame.overlay.iter().map(|(k, v)| (k.clone(), v.clone())));
    frame
        .contexts
        .set_env(env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let (left, result) = match status.decide(condition, Implicit::Always, &frame.contexts) {
        Decision::Skip(reason) => {
            let reason = job.log.masker().mask_str(&reason).into_owned();
            return Ok((Finished::skipped(Some(reason)), state));
        }
        Decision::Fault(error) => (Left::default(), Err(ActionError::expression("post-if", &error))),
        Decision::Run => {
            let watch = Watch::new(job, &frame, condition, Implicit::Always, status, stop);
            let inner = watch.stop.clone();
            let work = run_script(
                job, &mut frame, &directory, script, &inputs, &state, &env, log, &inner,
            );
            watch.over(Box::pin(work)).await
        }
    };
    state.extend(left.state.iter().map(|(k, v)| (k.clone(), v.clone())));
    Ok((Finished::of(job, log, &left, result).await?, state))
}

#[expect(clippy::too_many_arguments, reason = "all that a script of an action gets")]
async fn run_script(
    job: &mut Job,
    frame: &mut Frame,
    directory: &Directory,
    script: &str,
    inputs: &Env,
    state: &Env,
    env: &Env,
    log: &mut StepLog,
    stop: &Stop,
) -> (Left, Result<(), ActionError>) {
    let path = match node(job, directory, env) {
        Ok(path) => path,
        Err(error) => return (Left::default(), Err(error)),
    };
    frame
        .contexts
        .set_github("action_path", directory.path.to_string_lossy().into_owned());
    frame
        .contexts
        .set_github("action_repository", directory.repository.as_str());
    frame
        .contexts
        .set_github("action_ref", directory.reference.as_str());
    let mut extra = Env::new();
    for (name, value) in inputs {
        extra.insert(
            format!("INPUT_{}", name.replace(' ', "_").to_uppercase()),
            value.clone(),
        );
    }
    for (name, value) in state {
        extra.insert(format!("STATE_{name}"), value.clone());
    }
    let workspace = job.dirs.workspace.clone();
    let args = vec![directory.path.join(script).into_os_string()];
    let launch = Launch {
        path,
        args,
        cwd: &workspace,
        env,
        extra,
    };
    program::run(job, frame, launch, log, stop).await
}

fn node(job: &Job, directory: &Directory, env: &Env) -> Result<PathBuf, ActionError> {
    let using = Scripts::of(directory)?.using.to_owned();
    let search = job.search_path(env);
    find_program("node".as_ref(), search.as_ref(), &job.dirs.workspace).ok_or_else(|| {
        ActionError::failed(format!(
            "the action needs Node ({using}), and there is no `node` in {search}; install Node on this machine, or \
             put actions/setup-node before it"
        ))
    })
}
