//! `pilotage exec`: run a workflow of the working directory here and now, without a server.

use crate::error::{CommandError, CommandResult};
use crate::exec::{driver, event};
use crate::render::{diagnostic, json::JsonLines, live::RunView, style::Style};
use crate::{supported, workflows};
use clap::Args;
use pilotage_api::runner::Conclusion;
use pilotage_engine::ids::{ProjectId, RunId};
use pilotage_engine::run::{Inputs, Run, RunSpec};
use pilotage_workflow::diagnostic::{Diagnostic, has_errors};
use pilotage_workflow::model::Workflow;
use pilotage_workflow::parse::{self, ParseOptions, Resolver};
use pilotage_workflow::source::Source;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Run a workflow of this folder here and now, without a server.
///
/// Exits with 0 when it is green, 1 when it is red, 2 when the file or the use is wrong, 130 when interrupted (after
/// the steps that GitHub would still run on a cancellation; interrupt again to end at once).
#[derive(Args)]
pub(crate) struct Exec {
    /// The project's folder.
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// The workflow's file, or its name in .github/workflows. Not needed where there is one that the event starts.
    #[arg(short = 'W', long = "workflow", value_name = "FILE")]
    workflow: Option<PathBuf>,
    /// The event that it is about.
    #[arg(short, long, default_value = "push")]
    event: String,
    /// The event's payload.
    #[arg(long, value_name = "JSON")]
    event_file: Option<PathBuf>,
    /// Only this job, and those that it needs. May be given more than once.
    #[arg(short, long = "job", value_name = "JOB")]
    jobs: Vec<String>,
    /// An input of workflow_dispatch.
    #[arg(short = 'f', long = "input", value_name = "NAME=VALUE")]
    inputs: Vec<String>,
    /// A secret; without a value it is taken from the environment.
    #[arg(long, value_name = "NAME[=VALUE]")]
    secret: Vec<String>,
    /// A variable (the vars context).
    #[arg(long, value_name = "NAME=VALUE")]
    var: Vec<String>,
    /// Something for the environment of every step.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A label of runs-on that means this machine: LABEL=host.
    #[arg(long, value_name = "LABEL=host")]
    label: Vec<String>,
    /// Where actions of other repositories are: DIR/OWNER/NAME/REF or DIR/OWNER/NAME. May be given more than once.
    #[arg(long, value_name = "DIR")]
    actions_from: Vec<PathBuf>,
    /// One object a line on the standard output, and nothing else.
    #[arg(long)]
    json: bool,
    /// Jobs that run at the same time; as many as there are cores unless told otherwise.
    #[arg(long, value_name = "N")]
    parallel: Option<usize>,
}

impl Exec {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let root = self.directory.canonicalize().map_err(|e| {
            CommandError::invalid(format!("cannot go to the folder {}", self.directory.display())).because(&e)
        })?;
        let (path, source) = self.find_workflow(&root)?;
        let texts = Texts::new(&root, &path, &source);
        let (workflow, mut diagnostics) = parse::workflow(&source, &texts, &ParseOptions::default());
        if let Some(workflow) = workflow.as_ref().filter(|_| !has_errors(&diagnostics)) {
            diagnostics.extend(supported::refused(workflow, !self.actions_from.is_empty()));
        }
        self.show(&diagnostics, style);
        let Some(workflow) = workflow.filter(|_| !has_errors(&diagnostics)) else {
            return Ok(ExitCode::from(2));
        };
        let spec = self.spec(&root, &path, &workflow, texts.read.into_inner())?;
        let (run, effects) = match Run::start(driver::now(), spec) {
            Ok(started) => started,
            Err(diagnostics) => {
                self.show(&diagnostics, style);
                return Ok(ExitCode::from(2));
            }
        };
        let work = tempfile::Builder::new().prefix("pilotage-exec-").tempdir();
        let work = work.map_err(|e| CommandError::failed("cannot make a folder for the jobs").because(&e))?;
        let world = self.world(root, work.path())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|e| CommandError::failed("cannot start").because(&e))?;
        let (conclusion, interrupted) = if self.json {
            runtime.block_on(driver::run(run, effects, world, &mut JsonLines::new()))
        } else {
            let mut view = RunView::new(*style, true, None);
            let ended = runtime.block_on(driver::run(run, effects, world, &mut view));
            view.end();
            ended
        };
        runtime.shutdown_background();
        Ok(ExitCode::from(match conclusion {
            _ if interrupted => 130,
            Conclusion::Success | Conclusion::Skipped => 0,
            Conclusion::Failure | Conclusion::Cancelled => 1,
        }))
    }

    /// The named file; else the only one that there is; else the only one that the event starts.
    fn find_workflow(&self, root: &Path) -> CommandResult<(String, Arc<Source>)> {
        if let Some(given) = &self.workflow {
            let in_folder = root.join(".github/workflows").join(given);
            let candidates = [root.join(given), given.clone(), in_folder];
            let file = candidates.iter().find(|path| path.is_file()).ok_or_else(|| {
                CommandError::invalid(format!("there is no workflow file {}", given.display()))
                    .hint(format!("this project has {}", list(&workflows::find(root))))
            })?;
            let file = file.canonicalize().unwrap_or_else(|_| file.clone());
            let path = file
                .strip_prefix(root)
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            return Ok((path.clone(), workflows::read(&file, &path)?));
        }
        let paths = workflows::find(root);
        let mut started = Vec::new();
        for path in &paths {
            let source = workflows::read(&root.join(path), path)?;
            let (workflow, _) = parse::workflow(&source, &parse::NoResolver, &ParseOptions::default());
            // A file that cannot be read is taken, so that what is wrong with it is said.
            if paths.len() == 1 || workflow.is_none_or(|w| w.on.iter().any(|t| t.event.value == self.event)) {
                started.push((path.clone(), source));
            }
        }
        match started.len() {
            1 => Ok(started.remove(0)),
            0 if paths.is_empty() => Err(CommandError::invalid(format!(
                "{} has no .github/workflows/*.yml",
                root.display()
            ))),
            0 => Err(
                CommandError::invalid(format!("no workflow here is started by {}", self.event)).hint(
                    format!(
                        "there are {}; name one with -W, or another event with -e",
                        list(&paths)
                    ),
                ),
            ),
            _ => {
                let started: Vec<String> = started.into_iter().map(|(path, _)| path).collect();
                Err(
                    CommandError::invalid(format!("{} starts more than one workflow", self.event))
                        .hint(format!("name one with -W: {}", list(&started))),
                )
            }
        }
    }

    fn spec(
        &self,
        root: &Path,
        path: &str,
        workflow: &Workflow,
        workflows: BTreeMap<String, String>,
    ) -> CommandResult<RunSpec> {
        let checkout = event::Checkout::read(root);
        let mut payload = event::payload(&self.event, self.event_file.as_deref(), &checkout)?;
        let given = pairs(&self.inputs, "-f")?;
        let mut inputs = Map::new();
        if self.event == "workflow_dispatch" {
            inputs =
                Inputs::check(workflow, &given).map_err(|errors| CommandError::invalid(errors.join("; ")))?;
            payload.insert("inputs".to_owned(), Value::Object(Inputs::as_texts(&inputs)));
        } else if !given.is_empty() {
            return Err(CommandError::invalid("inputs are for -e workflow_dispatch"));
        }
        if let Some(job) = self.jobs.iter().find(|job| !workflow.jobs.contains_key(*job)) {
            let known: Vec<String> = workflow.jobs.keys().cloned().collect();
            return Err(CommandError::invalid(format!("there is no job `{job}`"))
                .hint(format!("the jobs are {}", list(&known))));
        }
        let name = workflow
            .name
            .as_ref()
            .map_or_else(|| path.to_owned(), |n| n.value.clone());
        let title = checkout
            .message
            .lines()
            .next()
            .filter(|_| self.event == "push")
            .unwrap_or(&name)
            .to_owned();
        Ok(RunSpec {
            run_id: RunId(1),
            project: ProjectId(1),
            run_number: 1,
            workflow_path: path.to_owned(),
            workflows,
            github: event::github(&self.event, payload, &checkout, &name, path),
            inputs,
            vars: pairs(&self.var, "--var")?,
            title,
            only: self.jobs.clone(),
        })
    }

    fn world(&self, root: PathBuf, work: &Path) -> CommandResult<driver::World> {
        let mut labels = Vec::new();
        for label in &self.label {
            match label.split_once('=') {
                Some((label, "host")) => labels.push(label.to_owned()),
                _ => {
                    return Err(CommandError::invalid(format!(
                        "--label takes LABEL=host, not `{label}`"
                    )));
                }
            }
        }
        let mut secrets = BTreeMap::new();
        for secret in &self.secret {
            let (name, value) = match secret.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let value = std::env::var(secret).map_err(|_| {
                        CommandError::invalid(format!(
                            "the environment has no {secret} to take the secret from"
                        ))
                    })?;
                    (secret.as_str(), value)
                }
            };
            secrets.insert(name.to_owned(), value);
        }
        let kept = [
            "PATH",
            "HOME",
            "USER",
            "LANG",
            "LC_ALL",
            "TZ",
            "SSL_CERT_FILE",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "NO_PROXY",
        ];
        let mut env: Vec<(String, String)> = kept
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        env.extend(pairs(&self.env, "--env")?);
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        let cache = cache.unwrap_or_else(|| work.to_owned()).join("pilotage");
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(driver::World {
            work: work.to_owned(),
            tool_cache: cache.join("tools"),
            artifacts: work.join("artifacts"),
            caches: cache
                .join("caches")
                .join(root.to_string_lossy().replace('/', "%")),
            actions_from: self.actions_from.clone(),
            secrets,
            env,
            labels,
            slots: self.parallel.unwrap_or(cores.max(2)).max(1),
            root,
        })
    }

    #[expect(clippy::print_stderr, reason = "what is wrong with the file")]
    fn show(&self, diagnostics: &[Diagnostic], style: &Style) {
        if self.json {
            for found in diagnostics {
                let mut object = diagnostic::json(found);
                object["type"] = Value::from("diagnostic");
                crate::render::page::result(&format!("{object}\n"));
            }
        } else {
            eprint!("{}", diagnostic::text(diagnostics, style.color_err()));
        }
    }
}

/// Reads called workflows below the root, and remembers their texts: the run keeps them.
struct Texts {
    files: workflows::Files,
    read: RefCell<BTreeMap<String, String>>,
}

impl Texts {
    fn new(root: &Path, path: &str, source: &Source) -> Self {
        let read = BTreeMap::from([(path.to_owned(), source.text.clone())]);
        Self {
            files: workflows::Files {
                root: root.to_owned(),
                others: None,
            },
            read: RefCell::new(read),
        }
    }
}

impl Resolver for Texts {
    fn workflow(&self, uses: &str) -> Result<Arc<Source>, String> {
        let source = self.files.workflow(uses)?;
        self.read
            .borrow_mut()
            .insert(source.path.clone(), source.text.clone());
        Ok(source)
    }
}

fn pairs(given: &[String], flag: &str) -> CommandResult<BTreeMap<String, String>> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(CommandError::invalid(format!(
            "{flag} takes NAME=VALUE, not `{text}`"
        ))),
    };
    given.iter().map(pair).collect()
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
