//! The loop over a job's steps, and what is around it.

use super::limits::Limits;
use super::{Dirs, Job, JobHost, prepare};
use crate::action::{ActionError, Code, Post, javascript, resolve};
use crate::builtin;
use crate::contexts::Env;
use crate::files::CommandFiles;
use crate::log::{JobLog, LogClosed, StepLog};
use crate::matcher::Matchers;
use crate::process::{JobProcesses, Leftover, Stop};
use crate::reach::Reach;
use crate::step::{self, Finished, Frame};
use indexmap::IndexMap;
use pilotage_api::runner::{Annotation, Conclusion, JobResult, JobSpec, Report, StepName};
use pilotage_trust::mask::Masker;
use pilotage_workflow::diagnostic::Severity;
use pilotage_workflow::model::{JobKind, Step, StepKind, StepsJob, Workflow};
use pilotage_workflow::parse;
use pilotage_workflow::sequence::{Outcome, Phase, Sequence, Status, Turn};
use pilotage_workflow::source::Source;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// GitHub's limit of a job's outputs.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// What stands in the sequence.
enum Work {
    /// Index of a step in the file.
    Main(usize),
    Pre(Box<Post>, String),
    /// The posts of one step, in the order in which they were added.
    Post(Vec<Post>, String),
}

/// How a job went, before its log is closed.
#[derive(Default)]
struct Summary {
    outputs: IndexMap<String, String>,
    continue_on_error: bool,
    error: Option<String>,
    conclusion: Option<Outcome>,
}

pub(super) async fn execute(spec: JobSpec, host: JobHost) -> JobResult {
    let masker = Arc::new(Masker::new());
    prepare::mask_secrets(&masker, &spec, &host);
    let log = JobLog::new(masker, host.events.clone(), host.line_bytes_max);
    let mut setup = log.step(0);
    let processes = Arc::new(JobProcesses::new(
        host.tracking_id.as_str(),
        Arc::clone(&host.rules),
    ));
    let kill = host.kill.clone();
    let summary = tokio::select! {
        biased;
        summary = run(&spec, host, &log, &processes, &mut setup) => summary,
        () = kill.cancelled() => Ok(Summary {
            conclusion: Some(Outcome::Cancelled),
            error: Some("the job was ended at once".to_owned()),
            ..Summary::default()
        }),
    };
    let left = processes.end().await;
    for process in &left {
        setup.line(&left_behind(process));
    }
    let _closed = setup.flush().await;
    let summary = summary.unwrap_or_else(|LogClosed| Summary {
        conclusion: Some(Outcome::Cancelled),
        error: Some("nobody took the log any more".to_owned()),
        ..Summary::default()
    });
    let (log_lines, log_bytes) = log.totals();
    JobResult {
        conclusion: conclusion(summary.conclusion.unwrap_or(Outcome::Success)),
        continue_on_error: summary.continue_on_error,
        outputs: summary.outputs,
        error: summary.error,
        log_lines,
        log_bytes,
    }
}

fn left_behind(process: &Leftover) -> String {
    let Leftover { pid, name, killed } = process;
    if *killed {
        format!("Ended the process {pid} (`{name}`), which a step left behind")
    } else {
        format!("##[warning]The process {pid} (`{name}`), which a step left behind, cannot be ended")
    }
}

fn conclusion(outcome: Outcome) -> Conclusion {
    match outcome {
        Outcome::Success => Conclusion::Success,
        Outcome::Failure => Conclusion::Failure,
        Outcome::Cancelled => Conclusion::Cancelled,
        Outcome::Skipped => Conclusion::Skipped,
    }
}

async fn run(
    spec: &JobSpec,
    host: JobHost,
    log: &JobLog,
    processes: &Arc<JobProcesses>,
    setup: &mut StepLog,
) -> Result<Summary, LogClosed> {
    set_up_log(spec, &host, setup);
    setup.flush().await?;
    let failed = |message: String| Summary {
        conclusion: Some(Outcome::Failure),
        error: Some(log.masker().mask_str(&message).into_owned()),
        ..Summary::default()
    };
    let parsed = parse(spec);
    let (workflow, steps_job) = match &parsed {
        Ok(workflow) => match workflow.jobs.get(&spec.job_key).map(|job| &job.kind) {
            Some(JobKind::Steps(steps)) => (workflow, &**steps),
            _ => {
                return refuse(setup, failed(format!("no job of steps `{}`", spec.job_key))).await;
            }
        },
        Err(message) => return refuse(setup, failed(message.clone())).await,
    };
    let (job, frame) = match begin(spec, host, log, processes, workflow, steps_job) {
        Ok(begun) => begun,
        Err(error) => return refuse(setup, failed(error.sentence())).await,
    };
    let condition = workflow
        .jobs
        .get(&spec.job_key)
        .and_then(|job| job.condition.as_ref());
    job.evaluated(0, condition, &job.env, &Env::new()).await?;
    run_steps(job, frame, spec, steps_job, setup).await
}

fn set_up_log(spec: &JobSpec, host: &JobHost, log: &mut StepLog) {
    log.line(&format!("Job `{}` on runner `{}`", spec.name, host.runner_name));
    if !spec.reason.is_empty() {
        log.line(&spec.reason);
    }
}

/// A job that cannot begin.
async fn refuse(log: &mut StepLog, summary: Summary) -> Result<Summary, LogClosed> {
    let message = summary.error.clone().unwrap_or_default();
    log.line(&format!("##[error]{message}"));
    log.annotate(Annotation::error(0, message));
    log.flush().await?;
    Ok(summary)
}

/// The whole file was checked before the job was queued; here only faults in this job count.
fn parse(spec: &JobSpec) -> Result<Workflow, String> {
    let source = Source::new(spec.workflow_path.as_str(), spec.workflow_text.as_str());
    let (workflow, diagnostics) =
        parse::workflow(&source, &parse::NoResolver, &parse::ParseOptions::default());
    let workflow = workflow.ok_or_else(|| format!("{} is no workflow", spec.workflow_path))?;
    let job = workflow.jobs.get(&spec.job_key);
    let job = job.ok_or_else(|| format!("{} has no job `{}`", spec.workflow_path, spec.job_key))?;
    let inside = |start: u32| job.span.start <= start && start <= job.span.end;
    let mut errors = diagnostics.iter().filter(|d| d.severity == Severity::Error);
    match errors.find(|d| inside(d.span.start)) {
        Some(d) => {
            let place = source.position(d.span.start);
            Err(format!(
                "{}:{}:{}: {}",
                source.path, place.line, place.column, d.message
            ))
        }
        None => Ok(workflow),
    }
}

fn begin(
    spec: &JobSpec,
    host: JobHost,
    log: &JobLog,
    processes: &Arc<JobProcesses>,
    workflow: &Workflow,
    steps: &StepsJob,
) -> Result<(Job, Frame), ActionError> {
    let given = |name: &str| {
        let var = spec
            .contexts
            .get("vars")
            .and_then(|v| v.get(name))
            .and_then(|v| v.as_str());
        spec.secrets
            .get(name)
            .map(String::as_str)
            .or(var)
            .is_some_and(|v| v == "true" || v == "1")
    };
    let debug = given("ACTIONS_STEP_DEBUG");
    let prepared = (|| {
        if steps.container.is_some() || steps.services.is_some() {
            return Err(ActionError::failed(
                "`container` and `services` are not supported yet",
            ));
        }
        let mut contexts =
            prepare::contexts(spec, &host, debug).map_err(ActionError::file(&host.dirs.temp))?;
        let env = prepare::job_env(workflow, steps, &mut contexts)?;
        let defaults = prepare::defaults(workflow, steps, &contexts)?;
        let files = CommandFiles::create(&host.dirs.temp, host.rules.user);
        let files = Arc::new(files.map_err(ActionError::file(&host.dirs.temp))?);
        Ok((contexts, env, defaults, files))
    })();
    let (contexts, env, defaults, files) = prepared?;
    let job = Job {
        dirs: host.dirs.clone(),
        log: log.clone(),
        processes: Arc::clone(processes),
        files,
        env,
        paths: Vec::new(),
        defaults,
        matchers: Matchers::default(),
        posts: Vec::new(),
        pre_states: IndexMap::new(),
        reach: Arc::new(reach(&host)),
        cancel: host.cancel.child_token(),
        debug,
        base: prepare::base_env(&host),
        keys: 0,
        host,
    };
    Ok((
        job,
        Frame {
            contexts,
            overlay: IndexMap::new(),
            depth: 0,
            key: String::new(),
        },
    ))
}

fn reach(host: &JobHost) -> Reach {
    let Dirs {
        workspace,
        temp,
        home,
        tool_cache,
    } = &host.dirs;
    let temporary = host
        .env
        .iter()
        .find(|(name, _)| name == "TMPDIR")
        .map(|(_, path)| Path::new(path));
    let own = [workspace, temp, home, tool_cache]
        .into_iter()
        .map(PathBuf::as_path)
        .chain(temporary);
    Reach::new(own, &host.private, host.rules.user)
}

async fn run_steps(
    mut job: Job,
    mut frame: Frame,
    spec: &JobSpec,
    steps_job: &StepsJob,
    setup: &mut StepLog,
) -> Result<Summary, LogClosed> {
    let steps = &steps_job.steps;
    let mut sequence = Sequence::new((0..steps.len()).map(Work::Main));
    if let Err(message) = resolve_all(&job, &frame, steps, &mut sequence) {
        let masked = job.log.masker().mask_str(&message).into_owned();
        let summary = Summary {
            conclusion: Some(Outcome::Failure),
            error: Some(masked),
            ..Summary::default()
        };
        return refuse(setup, summary).await;
    }
    let limits = match Limits::new(steps_job, &frame) {
        Ok(limits) => limits,
        Err(message) => {
            let summary = Summary {
                conclusion: Some(Outcome::Failure),
                error: Some(message),
                ..Summary::default()
            };
            return refuse(setup, summary).await;
        }
    };
    let mut announced = Announced::default();
    announced.upcoming(&job, &frame, steps, &sequence).await?;
    let watch = limits.watch(&job);
    let ran = run_sequence(
        &mut job,
        &mut frame,
        steps,
        &mut sequence,
        &mut announced,
        &watch.stop,
    )
    .await;
    let timed_out = watch.timed_out();
    drop(watch);
    let mut error = ran?;
    if timed_out {
        let message = format!(
            "The job has exceeded the maximum execution time of {}.",
            step::minutes(limits.timeout)
        );
        setup.line(&format!("##[error]{message}"));
        setup.annotate(Annotation::error(0, message.clone()));
        setup.flush().await?;
        error = Some(message);
    }
    if job.cancel.is_cancelled() {
        sequence.cancel();
    }
    frame.contexts.set_job_status(sequence.conclusion());
    let mut summary = Summary {
        conclusion: Some(sequence.conclusion()),
        error,
        ..Summary::default()
    };
    end(&job, &frame, spec, steps_job, setup, &mut summary).await?;
    Ok(summary)
}

/// Outputs, the environment's address, `continue-on-error`.
async fn end(
    job: &Job,
    frame: &Frame,
    spec: &JobSpec,
    steps_job: &StepsJob,
    setup: &mut StepLog,
    summary: &mut Summary,
) -> Result<(), LogClosed> {
    let masker = job.log.masker();
    let mut bytes = 0;
    for (name, template) in &steps_job.outputs {
        match template.evaluate(&frame.contexts).map(|v| v.to_text()) {
            Ok(value) if masker.holds_secret(&value) => {
                setup.line(&format!(
                    "##[warning]Skip output '{name}' since it may contain secret."
                ));
            }
            Ok(value) => {
                bytes += name.len() + value.len();
                if bytes > OUTPUT_BYTES_MAX {
                    fail(
                        setup,
                        summary,
                        "the job's outputs are larger than 1 MiB".to_owned(),
                    );
                    break;
                }
                summary.outputs.insert(name.clone(), value);
            }
            Err(e) => fail(
                setup,
                summary,
                format!("cannot evaluate the output `{name}`: {e}"),
            ),
        }
    }
    match step::evaluate_flag(steps_job.continue_on_error.as_ref(), &frame.contexts) {
        Ok(flag) => summary.continue_on_error = flag,
        Err(e) => fail(
            setup,
            summary,
            format!("cannot evaluate the job's `continue-on-error`: {e}"),
        ),
    }
    setup.line(&format!(
        "Job `{}` ended: {}",
        spec.name,
        summary.conclusion.unwrap_or(Outcome::Success).word()
    ));
    setup.flush().await?;
    let url = steps_job.environment.as_ref().and_then(|e| e.url.as_ref());
    if let Some(Ok(url)) = url.map(|t| t.evaluate(&frame.contexts).map(|v| v.to_text()))
        && !url.is_empty()
    {
        job.report(Report::EnvironmentUrl {
            url: masker.mask_str(&url).into_owned(),
        })
        .await?;
    }
    Ok(())
}

fn fail(log: &mut StepLog, summary: &mut Summary, message: String) {
    log.line(&format!("##[error]{message}"));
    summary.conclusion = summary
        .conclusion
        .filter(|c| *c != Outcome::Success)
        .or(Some(Outcome::Failure));
    summary.error.get_or_insert(message);
}

/// Finds every action that is known before the first step: a missing one fails the job before anything runs.
fn resolve_all(
    job: &Job,
    frame: &Frame,
    steps: &[Step],
    sequence: &mut Sequence<Work>,
) -> Result<(), String> {
    let find = |uses: &str| {
        let code = resolve::resolve(uses, &job.dirs.workspace, &job.host.actions_from);
        code.map_err(|e| ActionError::Failed(e.to_string()))
    };
    for step in steps {
        let StepKind::Uses { action, .. } = &step.kind else {
            continue;
        };
        if action.value.starts_with("./") {
            continue;
        }
        if let Code::Directory(directory) = find(&action.value).map_err(|e| e.sentence())? {
            let name = step::display_name(step, &frame.contexts);
            let pres = javascript::pres(frame, step, &directory, &find).map_err(|e| e.sentence())?;
            for pre in pres {
                sequence.add_pre(Work::Pre(Box::new(pre), format!("Pre {name}")));
            }
        }
    }
    Ok(())
}

/// The names of steps that were told already: one is told again only when it became another.
#[derive(Default)]
struct Announced(IndexMap<u32, String>);

impl Announced {
    async fn upcoming(
        &mut self,
        job: &Job,
        frame: &Frame,
        steps: &[Step],
        sequence: &Sequence<Work>,
    ) -> Result<(), LogClosed> {
        let names = sequence.upcoming().map(|(number, _, work)| {
            let (id, name) = label(frame, steps, work);
            let name = job.log.masker().mask_str(&name).into_owned();
            StepName {
                step: number,
                id,
                name,
            }
        });
        let names: Vec<_> = names.collect();
        self.tell(job, names).await
    }

    async fn tell(&mut self, job: &Job, mut names: Vec<StepName>) -> Result<(), LogClosed> {
        names.retain(|n| self.0.insert(n.step, n.name.clone()).as_ref() != Some(&n.name));
        if names.is_empty() {
            Ok(())
        } else {
            let evaluated = Vec::new();
            job.report(Report::Steps {
                steps: names,
                evaluated,
            })
            .await
        }
    }
}

fn label(frame: &Frame, steps: &[Step], work: &Work) -> (String, String) {
    match work {
        Work::Main(index) => steps.get(*index).map_or_else(Default::default, |step| {
            (
                step::visible_id(step).to_owned(),
                step::display_name(step, &frame.contexts),
            )
        }),
        Work::Pre(_, name) | Work::Post(_, name) => (String::new(), name.clone()),
    }
}

/// Gives the error of the first step that failed.
async fn run_sequence(
    job: &mut Job,
    frame: &mut Frame,
    steps: &[Step],
    sequence: &mut Sequence<Work>,
    announced: &mut Announced,
    stop: &Stop,
) -> Result<Option<String>, LogClosed> {
    let mut first_error = None;
    while let Some(Turn {
        number,
        phase,
        step: work,
    }) = sequence.next()
    {
        if job.cancel.is_cancelled() {
            sequence.cancel();
        }
        frame.contexts.set_job_status(sequence.conclusion());
        let (id, name) = label(frame, steps, &work);
        let name = job.log.masker().mask_str(&name).into_owned();
        announced
            .tell(
                job,
                vec![StepName {
                    step: number,
                    id,
                    name: name.clone(),
                }],
            )
            .await?;
        if phase == Phase::Post {
            announced.upcoming(job, frame, steps, sequence).await?;
        }
        let began = Instant::now();
        job.report(Report::StepStarted {
            step: number,
            at_ms: now_ms(),
        })
        .await?;
        let mut log = job.log.step(number);
        let status = sequence.status().clone();
        let finished = turn(job, frame, steps, sequence, work, &status, &name, &mut log, stop).await?;
        log.flush().await?;
        let conclusion = sequence.record(&name, finished.outcome, finished.continue_on_error);
        if conclusion == Outcome::Failure && first_error.is_none() {
            first_error.clone_from(&finished.error);
        }
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        job.report(Report::StepFinished {
            step: number,
            outcome: self::conclusion(finished.outcome),
            conclusion: self::conclusion(conclusion),
            duration_ms,
            reason: finished.reason,
            error: finished.error,
        })
        .await?;
    }
    Ok(first_error)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one turn of the loop above, apart for its length only"
)]
async fn turn(
    job: &mut Job,
    frame: &mut Frame,
    steps: &[Step],
    sequence: &mut Sequence<Work>,
    work: Work,
    status: &Status,
    name: &str,
    log: &mut StepLog,
    stop: &Stop,
) -> Result<Finished, LogClosed> {
    if stop.kill.is_cancelled() {
        let reason = Some("the job did not end in time after its cancellation".to_owned());
        return Ok(Finished::skipped(reason));
    }
    match work {
        Work::Main(index) => {
            let Some(step) = steps.get(index) else {
                return Ok(Finished::skipped(None));
            };
            let finished = step::perform(job, frame, step, status, log, stop).await?;
            let posts = std::mem::take(&mut job.posts);
            if !posts.is_empty() {
                sequence.add_post(Work::Post(posts, format!("Post {name}")));
            }
            Ok(finished)
        }
        Work::Pre(pre, _) => javascript::run_pre(job, *pre, status, log, stop).await,
        Work::Post(posts, _) => run_posts(job, posts, status, log, stop).await,
    }
}

/// The posts of one step, the last one first; each is asked and run for itself.
async fn run_posts(
    job: &mut Job,
    posts: Vec<Post>,
    status: &Status,
    log: &mut StepLog,
    stop: &Stop,
) -> Result<Finished, LogClosed> {
    let mut whole = Finished::skipped(None);
    for post in posts.into_iter().rev() {
        let finished = match post.code {
            Code::BuiltIn(built_in) => builtin::run_post(job, built_in, post, status, log, stop).await?,
            Code::Directory(_) => javascript::run_post(job, post, status, log, stop).await?,
        };
        whole.outcome = match (whole.outcome, finished.outcome) {
            (outcome, Outcome::Skipped) => outcome,
            (Outcome::Failure, _) => Outcome::Failure,
            (_, outcome) => outcome,
        };
        whole.error = whole.error.or(finished.error);
        whole.reason = whole.reason.or(finished.reason);
    }
    if whole.outcome != Outcome::Skipped {
        whole.reason = None;
    }
    Ok(whole)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
