//! One attempt of one job, from its workspace to its result.
//!
//! Owns the order of things around the steps: contexts, environment, set-up log, the loop over the sequence, time and
//! cancellation, outputs. What a single step does is in `step`.

mod limits;
mod prepare;
mod run;

pub(crate) use prepare::architecture;

use crate::contexts::Env;
use crate::event::JobEvent;
use crate::files::CommandFiles;
use crate::isolation::ChildRules;
use crate::log::{JobLog, LogClosed};
use crate::matcher::Matchers;
use crate::process::{JobProcesses, Ladder};
use crate::reach::Reach;
use crate::services::Services;
use crate::shell::DEFAULT_PATH;
use crate::step::Frame;
use indexmap::IndexMap;
use pilotage_api::runner::{Evaluated, JobResult, JobSpec, Report};
use pilotage_workflow::model::Condition;
use pilotage_workflow::sequence::{Outcome, Status};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Of what expressions came to, for people: values of a step, and characters of each.
const VALUES_MAX: usize = 100;
const VALUE_CHARS_MAX: usize = 1000;

/// Where `actions/checkout` takes the project from.
#[derive(Clone, Debug)]
pub enum CheckoutSource {
    /// A directory of this machine, with what is not committed: for `exec`.
    WorkingDirectory(PathBuf),
    /// The platform's git remote: the project is `{server}/{owner}/{name}.git`, the password is the job's token.
    Remote { server: String },
}

/// The directories of one job. They exist, are empty but `tool_cache`, and belong to the job's user.
#[derive(Clone, Debug)]
pub struct Dirs {
    pub workspace: PathBuf,
    pub temp: PathBuf,
    pub home: PathBuf,
    /// Shared by all jobs of this machine.
    pub tool_cache: PathBuf,
}

/// The world of one job.
#[derive(Debug)]
pub struct JobHost {
    pub dirs: Dirs,
    /// Everything that the job says, in order. A full channel slows the job down; a closed one ends it.
    pub events: mpsc::Sender<JobEvent>,
    /// Cancels the job: running and later steps are asked again, as on GitHub.
    pub cancel: CancellationToken,
    /// Ends it at once: nothing more is asked or run.
    pub kill: CancellationToken,
    pub services: Services,
    pub checkout: CheckoutSource,
    pub rules: Arc<ChildRules>,
    /// Directories that are not open to jobs, though they are to this process: the platform's, other jobs'. The
    /// job's own directories may lie in them.
    pub private: Vec<PathBuf>,
    /// Marks the job's processes; used for no other job.
    pub tracking_id: String,
    pub ladder: Ladder,
    /// Shown as `runner.name`.
    pub runner_name: String,
    /// Shown as `runner.environment`.
    pub runner_environment: String,
    /// Directories in which actions of other repositories are found: `DIR/owner/repo/ref` or `DIR/owner/repo`.
    pub actions_from: Vec<PathBuf>,
    /// `github.server_url`.
    pub server_url: String,
    /// The job's own token: `github.token`, `secrets.GITHUB_TOKEN`, the password for git.
    pub token: Option<String>,
    /// What every process gets besides the job's own: `PATH`, `LANG`; `HOME` is the job's unless it is here.
    pub env: Vec<(String, String)>,
    /// See [`crate::log::JobLog`].
    pub line_bytes_max: usize,
}

/// Runs a job to its end. It never fails: what goes wrong is in the result and in the log.
pub async fn execute(spec: JobSpec, host: JobHost) -> JobResult {
    run::execute(spec, host).await
}

/// `defaults.run` of the job, else of the workflow.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) shell: Option<String>,
    pub(crate) working_directory: Option<String>,
}

/// A job under way: what all of its steps share.
pub(crate) struct Job {
    pub(crate) host: JobHost,
    pub(crate) dirs: Dirs,
    pub(crate) log: JobLog,
    pub(crate) processes: Arc<JobProcesses>,
    pub(crate) files: Arc<CommandFiles>,
    /// The workflow's and the job's `env`, and what steps added by `GITHUB_ENV`.
    pub(crate) env: Env,
    /// What steps added by `GITHUB_PATH`, the newest first.
    pub(crate) paths: Vec<String>,
    pub(crate) defaults: Defaults,
    pub(crate) matchers: Matchers,
    /// The posts of actions that the running step began.
    pub(crate) posts: Vec<crate::action::Post>,
    /// What the pre parts of actions saved, by their steps' ids.
    pub(crate) pre_states: IndexMap<String, Env>,
    /// What built-in actions may touch.
    pub(crate) reach: Arc<Reach>,
    pub(crate) cancel: CancellationToken,
    pub(crate) debug: bool,
    base: Env,
    keys: u32,
}

impl Job {
    pub(crate) async fn report(&self, report: Report) -> Result<(), LogClosed> {
        self.host
            .events
            .send(JobEvent::Report(report))
            .await
            .map_err(|_| LogClosed)
    }

    /// Tells what the expressions of a step came to, or those of the job as step 0: without secrets.
    pub(crate) async fn evaluated(
        &self,
        step: u32,
        condition: Option<&Condition>,
        env: &Env,
        with: &Env,
    ) -> Result<(), LogClosed> {
        // What is cut first might no longer be known for a secret.
        let shown = |text: &str| -> String {
            let masked = self.log.masker().mask_str(text);
            masked.chars().take(VALUE_CHARS_MAX).collect()
        };
        let values = |values: &Env| {
            let values = values.iter().filter(|(_, value)| !value.is_empty());
            let shown = values.map(|(name, value)| (shown(name), shown(value)));
            shown.take(VALUES_MAX).collect()
        };
        let evaluated = Evaluated {
            step,
            condition: condition.map(|c| shown(&c.expr.text)).unwrap_or_default(),
            env: values(env),
            with: values(with),
        };
        if evaluated.condition.is_empty() && evaluated.env.is_empty() && evaluated.with.is_empty() {
            return Ok(());
        }
        let evaluated = vec![evaluated];
        let steps = Vec::new();
        self.report(Report::Steps { steps, evaluated }).await
    }

    /// A name that is used once in this job.
    pub(crate) fn next_key(&mut self) -> String {
        self.keys += 1;
        format!("{:04}", self.keys)
    }

    pub(crate) fn set_env(&mut self, name: String, value: String) {
        self.env.insert(name, value);
    }

    pub(crate) fn add_path(&mut self, path: String) {
        self.paths.retain(|p| *p != path);
        self.paths.insert(0, path);
    }

    /// The whole environment of one process. What GitHub defines wins over what a workflow sets.
    pub(crate) fn environment(&self, frame: &Frame, step: &Env, extra: Env) -> Env {
        let mut env = self.base.clone();
        env.extend(step.iter().map(|(k, v)| (k.clone(), v.clone())));
        env.extend(frame.contexts.exported());
        env.extend(extra);
        env.insert("PATH".to_owned(), self.search_path(step));
        env
    }

    /// `PATH` for a step: what steps added, then the step's own, then the machine's.
    pub(crate) fn search_path(&self, step: &Env) -> String {
        let own = step.get("PATH").or_else(|| self.base.get("PATH"));
        let own = own.map_or(DEFAULT_PATH, String::as_str);
        let all = self.paths.iter().map(String::as_str).chain([own]);
        all.collect::<Vec<_>>().join(":")
    }

    /// Whether a variable comes from the machine and not from the workflow.
    pub(crate) fn base_env_has(&self, name: &str) -> bool {
        self.base.contains_key(name)
    }

    /// `job.status`; inside a composite action it is the job's, which is seen as going well while its step runs.
    pub(crate) fn status_for(&self, frame: &Frame, status: &Status) -> Outcome {
        match status.with_cancelled(self.cancel.is_cancelled()).outcome() {
            Outcome::Failure if frame.depth > 0 => Outcome::Success,
            outcome => outcome,
        }
    }

    /// Writes a new file that the job may read.
    pub(crate) fn write_for_job(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o644).open(path)?;
        file.write_all(bytes)?;
        match self.reach.user {
            Some(user) => std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        }
    }
}
