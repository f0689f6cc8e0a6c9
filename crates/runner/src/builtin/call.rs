//! What a built-in action gets to do its work, and how it is run.

use super::{BuiltIn, Post};
use crate::action::{self, ActionError, Code};
use crate::contexts::Env;
use crate::job::{CheckoutSource, Job};
use crate::log::{LogClosed, StepLog};
use crate::process::{Captured, Ended, ProcessError, Program, StepOutput, Stop};
use crate::program::Left;
use crate::reach::{Reach, open_inside};
use crate::services::Services;
use crate::shell::find_program;
use crate::step::{Finished, Frame, Watch};
use pilotage_api::runner::{Annotation, AnnotationLevel};
use pilotage_workflow::sequence::{Decision, Implicit, Status};
use std::future::Future;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

/// An action's code.
pub(crate) type RunFn =
    for<'a, 'b> fn(&'a mut Call<'b>) -> Pin<Box<dyn Future<Output = Result<(), ActionError>> + Send + 'a>>;

/// What a program may write that we only want to read.
const CAPTURED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One call of a built-in action.
pub(crate) struct Call<'a> {
    job: &'a mut Job,
    frame: &'a Frame,
    inputs: &'a Env,
    /// The step's environment.
    env: &'a Env,
    log: &'a mut StepLog,
    stop: &'a Stop,
    outputs: Env,
    state: Env,
}

impl Call<'_> {
    /// An input, without blanks around it. Its default where it was not given.
    pub(crate) fn input(&self, name: &str) -> &str {
        self.inputs.get(name).map_or("", |value| value.trim())
    }

    /// An input of true or false, in YAML's spellings.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ActionError> {
        match self.input(name) {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" | "" => Ok(false),
            other => Err(ActionError::failed(format!(
                "the input `{name}` must be true or false, not `{other}`"
            ))),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<u32, ActionError> {
        let text = self.input(name);
        let bad = |_| ActionError::failed(format!("the input `{name}` must be a whole number, not `{text}`"));
        text.parse().map_err(bad)
    }

    /// The lines of an input that are not empty.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        self.input(name)
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn github(&self, name: &str) -> String {
        self.frame.contexts.github(name)
    }

    pub(crate) fn token(&self) -> Option<String> {
        self.job.host.token.clone()
    }

    pub(crate) fn services(&self) -> Services {
        self.job.host.services.clone()
    }

    pub(crate) fn checkout_source(&self) -> &CheckoutSource {
        &self.job.host.checkout
    }

    pub(crate) fn workspace(&self) -> &Path {
        &self.job.dirs.workspace
    }

    pub(crate) fn tool_cache(&self) -> &Path {
        &self.job.dirs.tool_cache
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.env_of("HOME")
            .map_or_else(|| self.job.dirs.home.clone(), PathBuf::from)
    }

    /// A variable as the step's processes see it.
    pub(crate) fn env_of(&self, name: &str) -> Option<String> {
        self.job
            .environment(self.frame, self.env, Env::new())
            .get(name)
            .cloned()
    }

    /// A new file's name in the job's temporary directory.
    pub(crate) fn temporary(&mut self, extension: &str) -> PathBuf {
        let key = self.job.next_key();
        self.job.dirs.temp.join(format!("{key}.{extension}"))
    }

    /// A path of an input that must lie in the workspace, also when links are followed.
    pub(crate) fn below_workspace(&self, path: &str) -> Result<PathBuf, ActionError> {
        let workspace = self.workspace();
        let outside =
            || ActionError::failed(format!("the path `{path}` must lie in {}", workspace.display()));
        let below = Path::new(path).strip_prefix(workspace).unwrap_or(Path::new(path));
        let mut target = workspace.to_owned();
        for component in below.components() {
            match component {
                Component::Normal(part) => target.push(part),
                Component::CurDir => {}
                _ => return Err(outside()),
            }
        }
        let real = nearest_real(&target).ok_or_else(outside)?;
        let root = workspace.canonicalize().map_err(ActionError::file(workspace))?;
        if real.starts_with(root) {
            Ok(target)
        } else {
            Err(outside())
        }
    }

    /// A path of an input, from the workspace or from `~`, wherever it lies.
    pub(crate) fn place(&self, path: &str) -> Result<PathBuf, ActionError> {
        let from_home = path.strip_prefix("~/").or((path == "~").then_some(""));
        let given = from_home.map_or_else(|| self.workspace().join(path), |rest| self.home().join(rest));
        let mut target = PathBuf::new();
        for component in given.components() {
            match component {
                Component::ParentDir => drop(target.pop()),
                Component::CurDir => {}
                other => target.push(other),
            }
        }
        self.reachable(&target)?;
        Ok(target)
    }

    /// Refuses early and by name what would be refused when it is opened.
    pub(crate) fn reachable(&self, path: &Path) -> Result<(), ActionError> {
        let real = nearest_real(path).unwrap_or_else(|| path.to_owned());
        if self.job.reach.allows(&real) {
            return Ok(());
        }
        Err(ActionError::failed(format!(
            "the path {} is not open to jobs",
            path.display()
        )))
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.log.line(text);
    }

    /// Sends what was said.
    pub(crate) async fn flush(&mut self) -> Result<(), ActionError> {
        Ok(self.log.flush().await?)
    }

    /// A warning in the log and among the annotations.
    pub(crate) async fn warn(&mut self, message: &str) -> Result<(), ActionError> {
        self.log.line(&format!("##[warning]{message}"));
        self.annotate(AnnotationLevel::Warning, message, "", None, None)
            .await
    }

    /// A note of what was said last, at a place in a file where it has one. An empty title is none.
    pub(crate) async fn annotate(
        &mut self,
        level: AnnotationLevel,
        message: &str,
        title: &str,
        file: Option<&str>,
        line: Option<u32>,
    ) -> Result<(), ActionError> {
        let annotation = Annotation {
            step: self.log.step(),
            level,
            message: message.to_owned(),
            title: Some(title.to_owned()).filter(|title| !title.is_empty()),
            file: file.map(str::to_owned),
            line,
            column: None,
            end_line: None,
            end_column: None,
            log_line: None,
        };
        self.log.annotate(annotation);
        self.flush().await
    }

    pub(crate) fn mask(&self, secret: &str) {
        self.job.log.masker().add(secret);
    }

    pub(crate) fn output(&mut self, name: &str, value: &str) {
        self.outputs.insert(name.to_owned(), value.to_owned());
    }

    /// Keeps something for the post part.
    pub(crate) fn save(&mut self, name: &str, value: &str) {
        self.state.insert(name.to_owned(), value.to_owned());
    }

    /// What the main part kept.
    pub(crate) fn saved(&self, name: &str) -> Option<&str> {
        self.state.get(name).map(String::as_str)
    }

    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.job.set_env(name.to_owned(), value.to_owned());
    }

    pub(crate) fn add_path(&mut self, path: &Path) {
        self.job.add_path(path.to_string_lossy().into_owned());
    }

    /// A file's text, if it lies in the workspace, also when links are followed.
    pub(crate) fn read_in_workspace(&self, path: &str) -> Result<String, ActionError> {
        const BYTES_MAX: u64 = 1024 * 1024;
        let target = self.below_workspace(path)?;
        let read = || {
            let mut text = String::new();
            open_inside(&target, self.workspace())?
                .take(BYTES_MAX)
                .read_to_string(&mut text)?;
            Ok(text)
        };
        read().map_err(|e: std::io::Error| ActionError::failed(format!("cannot read `{path}`: {e}")))
    }

    /// Writes a new file for the job into its temporary directory.
    pub(crate) fn write_temporary(&mut self, extension: &str, text: &str) -> Result<PathBuf, ActionError> {
        let path = self.temporary(extension);
        self.job
            .write_for_job(&path, text.as_bytes())
            .map_err(ActionError::file(&path))?;
        Ok(path)
    }

    pub(crate) fn reach(&self) -> Arc<Reach> {
        Arc::clone(&self.job.reach)
    }

    /// Where a program is found by the step's `PATH`.
    pub(crate) fn find_program(&self, name: &str) -> Option<PathBuf> {
        find_program(
            name.as_ref(),
            self.job.search_path(self.env).as_ref(),
            self.workspace(),
        )
    }

    /// Waits for something that is no program, unless the step is stopped.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, ActionError> {
        tokio::select! {
            biased;
            () = self.stop.cancel.cancelled() => Err(ActionError::Stopped),
            () = self.stop.kill.cancelled() => Err(ActionError::Stopped),
            value = work => Ok(value),
        }
    }

    /// Does slow work with files on a thread of its own.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ActionError> {
        let done = self.wait(tokio::task::spawn_blocking(work)).await?;
        done.map_err(|_| ActionError::failed("the work with files broke off"))
    }

    /// Runs a program whose output goes to the log; fails where it does.
    pub(crate) async fn run(
        &mut self,
        name: &str,
        arguments: &[&str],
        directory: &Path,
        extra: &[(String, String)],
    ) -> Result<(), ActionError> {
        let program = self.program(name, arguments, directory, extra)?;
        self.log.flush().await?;
        let processes = Arc::clone(&self.job.processes);
        let mut said = Said::default();
        let output = |line: &crate::log::Line<'_>, log: &mut StepLog| {
            log.line(&line.text);
            said.hear(line.text.trim());
        };
        let mut output = StepOutput::new(self.log, output);
        let ended = processes.run(&program, self.stop, &mut output).await?;
        drop(output);
        check(ended, name, arguments, said.gist())
    }

    /// What a program writes, both outputs together; none where it fails or cannot be started.
    pub(crate) async fn capture(
        &mut self,
        name: &str,
        arguments: &[&str],
        directory: &Path,
        extra: &[(String, String)],
    ) -> Result<Option<Vec<u8>>, ActionError> {
        let program = self.program(name, arguments, directory, extra)?;
        let mut captured = Captured::new(CAPTURED_BYTES_MAX);
        let ended = match self.job.processes.run(&program, self.stop, &mut captured).await {
            Ok(ended) => ended,
            // It is there, but not for the job's user: as if it were not.
            Err(ProcessError::Start { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if ended.stopped.is_some() {
            return Err(ActionError::Stopped);
        }
        Ok(ended.status.success().then_some(captured.bytes))
    }

    fn program(
        &self,
        name: &str,
        arguments: &[&str],
        directory: &Path,
        extra: &[(String, String)],
    ) -> Result<Program, ActionError> {
        let path = self.find_program(name).ok_or_else(|| {
            let search = self.job.search_path(self.env);
            ActionError::failed(format!("this action needs `{name}`, which is not in {search}"))
        })?;
        let mut env = self.job.environment(self.frame, self.env, Env::new());
        env.extend(extra.iter().cloned());
        Ok(Program {
            path,
            args: arguments.iter().map(Into::into).collect(),
            env: env.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            cwd: directory.to_owned(),
            timeout: None,
            ladder: self.job.host.ladder,
        })
    }
}

/// What of a program's output says why it failed.
#[derive(Default)]
struct Said {
    first_error: String,
    last: String,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let lower = line.to_ascii_lowercase();
        if self.first_error.is_empty() && (lower.contains("error") || lower.starts_with("fatal")) {
            line.clone_into(&mut self.first_error);
        }
        if !line.is_empty() {
            line.clone_into(&mut self.last);
        }
    }

    fn gist(&self) -> &str {
        if self.first_error.is_empty() {
            &self.last
        } else {
            &self.first_error
        }
    }
}

fn check(ended: Ended, name: &str, arguments: &[&str], said: &str) -> Result<(), ActionError> {
    if ended.stopped.is_some() {
        return Err(ActionError::Stopped);
    }
    if ended.status.success() {
        return Ok(());
    }
    let what = arguments.first().copied().unwrap_or_default();
    Err(ActionError::failed(format!(
        "`{name} {what}` ended with exit code {}: {said}",
        ended.status.code()
    )))
}

/// The path with its links followed, as far as it exists.
fn nearest_real(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|p| p.canonicalize().ok())
}

/// Runs the main part. Its post part is added to the job's also where it fails.
pub(crate) async fn run_main(
    job: &mut Job,
    frame: &mut Frame,
    built_in: &'static BuiltIn,
    inputs: Env,
    env: &Env,
    log: &mut StepLog,
    stop: &Stop,
) -> (Left, Result<(), ActionError>) {
    let step = frame.contexts.github("action");
    let (outputs, state) = (Env::new(), Env::new());
    let mut call = Call {
        job,
        frame,
        inputs: &inputs,
        env,
        log,
        stop,
        outputs,
        state,
    };
    let result = (built_in.main)(&mut call).await;
    let (outputs, state) = (call.outputs, call.state);
    if built_in.post.is_some() {
        let overlay = frame.overlay.clone();
        let contexts = frame.contexts.clone();
        let code = Code::BuiltIn(built_in);
        job.posts.push(action::Post {
            code,
            step,
            contexts,
            overlay,
            inputs,
            state,
        });
    }
    (
        Left {
            outputs,
            ..Left::default()
        },
        result,
    )
}

pub(crate) async fn run_post(
    job: &mut Job,
    built_in: &'static BuiltIn,
    post: action::Post,
    status: &Status,
    log: &mut StepLog,
    stop: &Stop,
) -> Result<Finished, LogClosed> {
    let Some(Post { run, on_success_only }) = built_in.post else {
        return Ok(Finished::skipped(None));
    };
    let implicit = if on_success_only {
        Implicit::Success
    } else {
        Implicit::Always
    };
    let frame = Frame {
        contexts: post.contexts,
        overlay: post.overlay,
        depth: 0,
        key: String::new(),
    };
    if let Decision::Skip(reason) = status.decide(None, implicit, &frame.contexts) {
        return Ok(Finished::skipped(Some(reason)));
    }
    let mut env = job.env.clone();
    env.extend(frame.overlay.iter().map(|(k, v)| (k.clone(), v.clone())));
    let watch = Watch::new(job, &frame, None, implicit, status, stop);
    let inner = watch.stop.clone();
    let (outputs, state) = (Env::new(), post.state);
    let inputs = &post.inputs;
    let (_, result) = {
        let (job, log, frame, env, inner) = (&mut *job, &mut *log, &frame, &env, &inner);
        watch
            .over(Box::pin(async move {
                let mut call = Call {
                    job,
                    frame,
                    inputs,
                    env,
                    log,
                    stop: inner,
                    outputs,
                    state,
                };
                (Left::default(), run(&mut call).await)
            }))
            .await
    };
    Finished::of(job, log, &Left::default(), result).await
}
