//! One program of a step: its environment, its command files, the commands in its output.
//!
//! Owns what a program may change of the job (environment, path, outputs, state, masks, annotations). Masks take
//! effect with the line that adds them; everything else when the program has ended, as on GitHub.

use crate::action::ActionError;
use crate::command::{Commands, Effect, MatcherName};
use crate::contexts::Env;
use crate::files::FileEffects;
use crate::job::Job;
use crate::log::{Line, Lines, LogClosed, StepLog};
use crate::matcher::{MatcherError, Matchers};
use crate::process::{Ended, Output, Program, Stop, StopReason};
use crate::reach::Reach;
use crate::step::Frame;
use pilotage_api::runner::{Annotation, AnnotationLevel, Report};
use pilotage_trust::mask::Masker;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

/// More annotations of one program than this are only lines of its log.
const ANNOTATIONS_MAX: usize = 1000;

/// What to run.
pub(crate) struct Launch<'a> {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) cwd: &'a Path,
    /// The step's environment, without what the job adds to it.
    pub(crate) env: &'a Env,
    /// For this program alone: `INPUT_…`, `STATE_…`.
    pub(crate) extra: Env,
}

/// What a program left behind.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) outputs: Env,
    pub(crate) state: Env,
    /// The last `::error` that it wrote.
    pub(crate) error: Option<String>,
    /// Its last line that was not empty.
    pub(crate) last_line: String,
    pub(crate) refused: Option<String>,
}

/// Runs it to its end and carries out what it asked for. What it left is there also when it failed.
pub(crate) async fn run(
    job: &mut Job,
    frame: &mut Frame,
    launch: Launch<'_>,
    log: &mut StepLog,
    stop: &Stop,
) -> (Left, Result<(), ActionError>) {
    let mut left = Left::default();
    let result = run_into(job, frame, launch, log, stop, &mut left).await;
    (left, result)
}

async fn run_into(
    job: &mut Job,
    frame: &mut Frame,
    launch: Launch<'_>,
    log: &mut StepLog,
    stop: &Stop,
    left: &mut Left,
) -> Result<(), ActionError> {
    let key = job.next_key();
    let command_files = Arc::clone(&job.files);
    let files = command_files
        .step(&key)
        .map_err(ActionError::file(&job.dirs.temp))?;
    for (variable, path) in files.env() {
        let name = variable
            .to_string_lossy()
            .trim_start_matches("GITHUB_")
            .to_lowercase();
        frame
            .contexts
            .set_github(&name, path.to_string_lossy().into_owned());
    }
    let env = job.environment(frame, launch.env, launch.extra);
    let flag = |name: &str| env.get(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let mut commands = Commands::new(log.step());
    commands.show_debug = job.debug;
    commands.allow_unsecure = flag("ACTIONS_ALLOW_UNSECURE_COMMANDS");
    let program = Program {
        path: launch.path,
        args: launch.args,
        env: env.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
        cwd: launch.cwd.to_owned(),
        timeout: None,
        ladder: job.host.ladder,
    };
    let processes = Arc::clone(&job.processes);
    let mut output = StepOutput {
        lines: job.log.lines(),
        log,
        commands,
        matchers: std::mem::take(&mut job.matchers),
        masker: Arc::clone(job.log.masker()),
        annotated: 0,
        workspace: job.dirs.workspace.clone(),
        reach: Arc::clone(&job.reach),
        effects: Vec::new(),
        left,
    };
    let ended = processes.run(&program, stop, &mut output).await;
    let effects = std::mem::take(&mut output.effects);
    job.matchers = std::mem::take(&mut output.matchers);
    apply_effects(job, left, effects);
    let faults = apply_files(job, log, left, files.read()).await?;
    verdict(ended?, left, faults)
}

fn verdict(ended: Ended, left: &mut Left, faults: Option<String>) -> Result<(), ActionError> {
    if ended.stopped.is_some_and(|reason| reason != StopReason::TimedOut) {
        return Err(ActionError::Stopped);
    }
    if !ended.status.success() {
        return Err(ActionError::Exit(ended.status.code()));
    }
    match (left.refused.take(), faults) {
        (Some(message), _) => Err(ActionError::Refused(message)),
        (None, Some(message)) => Err(ActionError::Failed(message)),
        (None, None) => Ok(()),
    }
}

fn apply_effects(job: &mut Job, left: &mut Left, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::SetOutput { name, value } => drop(left.outputs.insert(name, value)),
            Effect::SaveState { name, value } => drop(left.state.insert(name, value)),
            Effect::SetEnv { name, value } => job.set_env(name, value),
            Effect::AddPath(path) => job.add_path(path),
            Effect::Refused(_)
            | Effect::AddMask(_)
            | Effect::Annotation(_)
            | Effect::AddMatcher(_)
            | Effect::RemoveMatcher(_) => {}
        }
    }
}

/// Gives the fault by which the step fails, if there is one.
async fn apply_files(
    job: &mut Job,
    log: &mut StepLog,
    left: &mut Left,
    found: FileEffects,
) -> Result<Option<String>, LogClosed> {
    left.outputs.extend(found.outputs);
    left.state.extend(found.state);
    found
        .env
        .into_iter()
        .for_each(|(name, value)| job.set_env(name, value));
    found.paths.into_iter().for_each(|path| job.add_path(path));
    if let Some(markdown) = found.summary {
        let markdown = job.log.masker().mask_str(&markdown).into_owned();
        job.report(Report::Summary {
            step: log.step(),
            markdown,
        })
        .await?;
    }
    let mut fails = None;
    for fault in found.faults {
        if fault.fails {
            fails = Some(fault.to_string());
        } else {
            log.line(&format!("##[warning]{fault}"));
        }
    }
    Ok(fails)
}

/// Lines become log, commands become effects, matches become annotations.
struct StepOutput<'a> {
    lines: Lines,
    log: &'a mut StepLog,
    commands: Commands,
    matchers: Matchers,
    masker: Arc<Masker>,
    annotated: usize,
    workspace: PathBuf,
    reach: Arc<Reach>,
    effects: Vec<Effect>,
    left: &'a mut Left,
}

/// The parts of [`StepOutput`] that a line needs, apart from the lines themselves.
struct Reader<'b> {
    log: &'b mut StepLog,
    commands: &'b mut Commands,
    matchers: &'b mut Matchers,
    masker: &'b Masker,
    annotated: &'b mut usize,
    workspace: &'b Path,
    reach: &'b Reach,
    effects: &'b mut Vec<Effect>,
    left: &'b mut Left,
}

impl Reader<'_> {
    fn line(&mut self, line: &Line<'_>) {
        if line.cut || line.text.len() > crate::log::PARSED_LINE_BYTES_MAX {
            self.log.line(&line.text);
            return;
        }
        let outcome = self.commands.line(&line.text);
        if let Some(warning) = outcome.warning {
            self.log.line(&format!("##[warning]{warning}"));
        }
        if outcome.effect.is_none() {
            if !line.text.trim().is_empty() {
                self.left.last_line.clear();
                self.left
                    .last_line
                    .push_str(line.text.get(..500).unwrap_or(&line.text));
            }
            if let Some(problem) = self.matchers.line(self.log.step(), &line.text, self.workspace) {
                self.log.line(&problem.print);
                self.annotate(problem.annotation);
                return;
            }
        }
        if let Some(print) = &outcome.print {
            self.log.line(print);
        }
        match outcome.effect {
            Some(Effect::AddMask(secret)) => self.masker.add(&secret),
            Some(Effect::Annotation(annotation)) => self.annotate(annotation),
            Some(Effect::AddMatcher(path)) => self.add_matcher(&path),
            Some(Effect::RemoveMatcher(MatcherName::Owner(owner))) => self.matchers.remove(&owner),
            Some(Effect::RemoveMatcher(MatcherName::File(path))) => {
                let text = matcher_file(&self.workspace.join(&path), self.reach);
                let removed = text.map(|text| self.matchers.remove_all_of(&text));
                self.matcher_done(&path, removed);
            }
            Some(Effect::Refused(message)) => self.refuse(message),
            Some(effect) => self.effects.push(effect),
            None => {}
        }
    }

    fn add_matcher(&mut self, path: &str) {
        let text = matcher_file(&self.workspace.join(path), self.reach);
        let added = text.map(|text| self.matchers.add(&text).map(drop));
        self.matcher_done(path, added);
    }

    fn matcher_done(&mut self, path: &str, result: Result<Result<(), MatcherError>, String>) {
        let error = match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error,
        };
        let message = format!("cannot take the problem matchers of {path}: {error}");
        self.log.line(&format!("##[error]{message}"));
        self.refuse(message);
    }

    /// The step fails with what was said last.
    fn refuse(&mut self, message: String) {
        self.note(Annotation::error(self.log.step(), message.clone()));
        self.left.refused = Some(message);
    }

    fn annotate(&mut self, annotation: Annotation) {
        if annotation.level == AnnotationLevel::Error {
            self.left.error = Some(annotation.message.clone());
        }
        self.note(annotation);
    }

    fn note(&mut self, annotation: Annotation) {
        *self.annotated += 1;
        if *self.annotated <= ANNOTATIONS_MAX {
            self.log.annotate(annotation);
        }
    }
}

impl StepOutput<'_> {
    fn split(&mut self) -> (&mut Lines, Reader<'_>) {
        let reader = Reader {
            log: self.log,
            commands: &mut self.commands,
            matchers: &mut self.matchers,
            masker: &self.masker,
            annotated: &mut self.annotated,
            workspace: &self.workspace,
            reach: &self.reach,
            effects: &mut self.effects,
            left: self.left,
        };
        (&mut self.lines, reader)
    }
}

impl Output for StepOutput<'_> {
    fn push(&mut self, bytes: &[u8]) {
        let (lines, mut reader) = self.split();
        lines.push(bytes, |line| reader.line(&line));
    }

    fn finish(&mut self) {
        let (lines, mut reader) = self.split();
        lines.finish(|line| reader.line(&line));
    }

    fn is_full(&self) -> bool {
        self.log.is_full()
    }

    fn due(&self) -> Option<Instant> {
        self.log.due()
    }

    async fn flush(&mut self) -> Result<(), LogClosed> {
        self.log.flush().await
    }
}

/// The text of a file with problem matchers, which a step named: not through a pipe or a device, not endless, and
/// nothing that the job could not read itself.
fn matcher_file(path: &Path, reach: &Reach) -> Result<String, String> {
    let open = || {
        let file = reach.open(path)?;
        if file.metadata()?.len() > crate::matcher::FILE_BYTES_MAX {
            return Err(std::io::Error::other("it is larger than 1 MiB"));
        }
        let mut text = String::new();
        file.take(crate::matcher::FILE_BYTES_MAX)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    open().map_err(|error: std::io::Error| error.to_string())
}
