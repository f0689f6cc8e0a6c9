//! Drives the run machine in memory: jobs that it queues are executed in this process, a bounded number at a time,
//! and everything that happens is told to an observer.

use pilotage_api::rest::{self, RunEvent as Told};
use pilotage_api::runner::{Conclusion, JobResult, JobSpec, Report, StepName};
use pilotage_engine::ids::{Fence, JobId};
use pilotage_engine::run::{
    ConcurrencyAnswer, EffectKind, EnvironmentAnswer, JobStatus, Run, RunEffect, RunEvent, RunStatus,
};
use pilotage_engine::time::Timestamp;
use pilotage_runner::event::JobEvent;
use pilotage_runner::isolation::ChildRules;
use pilotage_runner::job::{self, CheckoutSource, Dirs, JobHost};
use pilotage_runner::process::Ladder;
use pilotage_runner::services::{Local, Services};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a local run needs from outside.
pub(crate) struct World {
    pub(crate) root: PathBuf,
    /// Removed when the run has ended.
    pub(crate) work: PathBuf,
    pub(crate) tool_cache: PathBuf,
    pub(crate) artifacts: PathBuf,
    pub(crate) caches: PathBuf,
    pub(crate) actions_from: Vec<PathBuf>,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) env: Vec<(String, String)>,
    /// Labels that mean this machine.
    pub(crate) labels: Vec<String>,
    pub(crate) slots: usize,
}

/// Who is told what happens; `None` as an event means "time has passed".
pub(crate) trait Observer {
    fn told(&mut self, event: &Told);
    fn tick(&mut self);
}

/// Runs it to its end. The first interruption cancels as GitHub does; the second ends everything at once.
pub(crate) async fn run(
    run: Run,
    effects: Vec<RunEffect>,
    world: World,
    observer: &mut dyn Observer,
) -> (Conclusion, bool) {
    let (messages, mut inbox) = mpsc::channel(256);
    let mut driver = Driver {
        run,
        world,
        messages,
        waiting: VecDeque::new(),
        active: HashMap::new(),
        started: now(),
        interrupted: false,
    };
    driver.perform(effects, observer);
    driver.state(observer);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    while driver.run.status() != RunStatus::Completed {
        driver.lease(observer).await;
        tokio::select! {
            message = inbox.recv() => match message {
                Some((job, Message::Event(event))) => driver.event(job, event, observer),
                Some((job, Message::Done(fence, result))) => driver.done(job, fence, result, observer),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => driver.interrupt(observer),
            _ = tick.tick() => driver.tick(observer),
        }
    }
    let conclusion = driver.run.conclusion().unwrap_or(Conclusion::Failure);
    observer.told(&Told::Run {
        conclusion,
        duration_ms: since(driver.started),
    });
    (conclusion, driver.interrupted)
}

enum Message {
    Event(JobEvent),
    Done(Fence, JobResult),
}

struct Driver {
    run: Run,
    world: World,
    messages: mpsc::Sender<(JobId, Message)>,
    waiting: VecDeque<Waiting>,
    active: HashMap<JobId, Active>,
    started: Timestamp,
    interrupted: bool,
}

struct Waiting {
    job: JobId,
    fence: Fence,
    labels: Vec<String>,
    spec: Box<JobSpec>,
}

struct Active {
    name: String,
    steps: HashMap<u32, StepName>,
    cancel: CancellationToken,
    kill: CancellationToken,
}

impl Active {
    fn name_of(&self, step: u32) -> String {
        match self.steps.get(&step) {
            Some(known) => known.name.clone(),
            None if step == 0 => "Set up job".to_owned(),
            None => String::new(),
        }
    }

    /// A report in the words of `exec --json`; none for what these words do not have.
    fn tell(&self, job_id: i64, report: Report) -> Option<Told> {
        let job = self.name.clone();
        Some(match report {
            Report::Steps { .. } | Report::EnvironmentUrl { .. } => return None,
            Report::StepStarted { step, at_ms } => Told::StepStarted {
                job,
                job_id,
                step,
                name: self.name_of(step),
                at: at_ms,
            },
            Report::StepFinished {
                step,
                outcome,
                conclusion,
                duration_ms,
                reason,
                error,
            } => Told::Step {
                job,
                job_id,
                step,
                id: self.steps.get(&step).map(|s| s.id.clone()).unwrap_or_default(),
                name: self.name_of(step),
                outcome: Some(outcome),
                conclusion: Some(conclusion),
                duration_ms,
                reason: reason.unwrap_or_default(),
                error: error.unwrap_or_default(),
            },
            Report::Annotation(a) => Told::Annotation {
                job,
                job_id,
                step: a.step,
                level: a.level,
                message: a.message,
                title: a.title,
                file: a.file,
                line: a.line,
                column: a.column,
                end_line: a.end_line,
                end_column: a.end_column,
                log_line: a.log_line,
            },
            Report::Summary { step, markdown } => Told::Summary {
                job,
                job_id,
                step,
                markdown,
            },
        })
    }
}

impl Driver {
    fn perform(&mut self, effects: Vec<RunEffect>, observer: &mut dyn Observer) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect.kind {
                EffectKind::Queue {
                    job,
                    fence,
                    labels,
                    spec,
                    ..
                } => {
                    self.waiting.push_back(Waiting {
                        job,
                        fence,
                        labels,
                        spec,
                    });
                }
                EffectKind::CancelJob { job, .. } => {
                    self.waiting.retain(|waiting| waiting.job != job);
                    if let Some(active) = self.active.get(&job) {
                        active.cancel.cancel();
                    }
                }
                // Nobody else is here: every environment is open, every group is free.
                EffectKind::AskEnvironment { job, .. } => {
                    let answer = EnvironmentAnswer::Granted;
                    effects.extend(self.handle(RunEvent::EnvironmentAnswer { job, answer }));
                }
                EffectKind::AskConcurrency { holder, group, .. } => {
                    let answer = ConcurrencyAnswer::Granted;
                    effects.extend(self.handle(RunEvent::ConcurrencyAnswer {
                        holder,
                        group,
                        answer,
                    }));
                }
                EffectKind::JobSkipped { job, .. } | EffectKind::JobFinished { job, .. } => {
                    self.ended(job, observer);
                }
                EffectKind::WithdrawEnvironment { .. }
                | EffectKind::ReleaseConcurrency { .. }
                | EffectKind::RunFinished { .. } => {}
            }
        }
    }

    fn handle(&mut self, event: RunEvent) -> Vec<RunEffect> {
        // Only a stranger's event can be illegal, and all events here are the run's own.
        self.run.handle(now(), event).unwrap_or_default()
    }

    fn after(&mut self, event: RunEvent, observer: &mut dyn Observer) {
        let effects = self.handle(event);
        self.perform(effects, observer);
        self.state(observer);
    }

    /// Gives waiting jobs to free slots.
    async fn lease(&mut self, observer: &mut dyn Observer) {
        while self.active.len() < self.world.slots {
            let Some(waiting) = self.waiting.pop_front() else {
                return;
            };
            let Waiting {
                job,
                fence,
                labels,
                mut spec,
            } = waiting;
            self.after(
                RunEvent::Leased {
                    job,
                    fence,
                    runner: "this machine".to_owned(),
                },
                observer,
            );
            let fault = self.prepare(job, &labels, &mut spec).await.err();
            self.after(RunEvent::Started { job, fence }, observer);
            if let Some(error) = fault {
                let result = JobResult {
                    conclusion: Conclusion::Failure,
                    continue_on_error: false,
                    outputs: indexmap::IndexMap::new(),
                    error: Some(error),
                    log_lines: 0,
                    log_bytes: 0,
                };
                self.after(RunEvent::Finished { job, fence, result }, observer);
            } else {
                self.execute(job, fence, *spec);
            }
        }
    }

    /// Fills in secrets, and says why this machine cannot run the job, if it cannot.
    async fn prepare(&self, job: JobId, labels: &[String], spec: &mut JobSpec) -> Result<(), String> {
        if let Some(label) = labels.iter().find(|label| !self.has_label(label)) {
            return Err(format!(
                "no machine here has the label `{label}`: `--label {label}=host` runs it on this one"
            ));
        }
        spec.secrets = self.run.secrets_for(job, &self.world.secrets, &BTreeMap::new())?;
        let dirs = self.dirs(job);
        for dir in [&dirs.workspace, &dirs.temp, &dirs.home, &dirs.tool_cache] {
            let made = tokio::fs::create_dir_all(dir).await;
            made.map_err(|e| format!("cannot make the folder {}: {e}", dir.display()))?;
        }
        Ok(())
    }

    fn has_label(&self, label: &str) -> bool {
        let known = ["self-hosted", "linux", "x64", "host"];
        let lower = label.to_ascii_lowercase();
        known.contains(&lower.as_str())
            || lower.starts_with("ubuntu-")
            || self.world.labels.iter().any(|l| l.eq_ignore_ascii_case(label))
    }

    fn dirs(&self, job: JobId) -> Dirs {
        let base = self.world.work.join(job.index().to_string());
        let project = self
            .world
            .root
            .file_name()
            .map_or_else(|| "project".into(), std::ffi::OsStr::to_owned);
        Dirs {
            workspace: base.join("work").join(&project).join(&project),
            temp: base.join("temp"),
            home: base.join("home"),
            tool_cache: self.world.tool_cache.clone(),
        }
    }

    fn execute(&mut self, job: JobId, fence: Fence, spec: JobSpec) {
        let (events, mut told) = mpsc::channel(256);
        let (cancel, kill) = (CancellationToken::new(), CancellationToken::new());
        let active = Active {
            name: spec.name.clone(),
            steps: HashMap::new(),
            cancel: cancel.clone(),
            kill: kill.clone(),
        };
        self.active.insert(job, active);
        let host = JobHost {
            dirs: self.dirs(job),
            events,
            cancel,
            kill,
            services: Services::Local(Local::new(&self.world.artifacts, &self.world.caches)),
            checkout: CheckoutSource::WorkingDirectory(self.world.root.clone()),
            rules: Arc::new(ChildRules::default()),
            private: Vec::new(),
            tracking_id: format!("pilotage-exec-{}-{}", std::process::id(), job.index()),
            ladder: Ladder::default(),
            runner_name: "exec".to_owned(),
            runner_environment: "self-hosted".to_owned(),
            actions_from: self.world.actions_from.clone(),
            server_url: "http://localhost".to_owned(),
            token: None,
            env: self.world.env.clone(),
            line_bytes_max: usize::MAX,
        };
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let forward = messages.clone();
            let pass_on = tokio::spawn(async move {
                while let Some(event) = told.recv().await {
                    if forward.send((job, Message::Event(event))).await.is_err() {
                        return;
                    }
                }
            });
            let result = job::execute(spec, host).await;
            // The job's last words come before its end.
            let _ = pass_on.await;
            let _ = messages.send((job, Message::Done(fence, result))).await;
        });
    }

    fn event(&mut self, id: JobId, event: JobEvent, observer: &mut dyn Observer) {
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        match event {
            JobEvent::Log(chunk) => {
                let (job, name) = (active.name.clone(), active.name_of(chunk.step));
                for (line, text) in (chunk.first_line..).zip(chunk.text.split_terminator('\n')) {
                    let (job, name, text) = (job.clone(), name.clone(), text.to_owned());
                    observer.told(&Told::Log {
                        job,
                        job_id: id.0,
                        step: chunk.step,
                        name,
                        text,
                        line,
                    });
                }
            }
            JobEvent::Report(Report::Steps { steps, .. }) => {
                active.steps.extend(steps.into_iter().map(|s| (s.step, s)));
            }
            JobEvent::Report(report) => {
                if let Some(told) = active.tell(id.0, report) {
                    observer.told(&told);
                }
            }
        }
    }

    fn done(&mut self, job: JobId, fence: Fence, result: JobResult, observer: &mut dyn Observer) {
        self.active.remove(&job);
        self.after(RunEvent::Finished { job, fence, result }, observer);
    }

    /// Tells how a job ended, skipped ones included.
    fn ended(&self, id: JobId, observer: &mut dyn Observer) {
        let Ok(view) = self.run.job(id) else { return };
        let times = view.started_at.zip(view.finished_at);
        let duration = times.map_or(0, |(start, end)| end.0.saturating_sub(start.0));
        observer.told(&Told::Job {
            job: view.name.to_owned(),
            job_id: id.0,
            id: view.key.to_owned(),
            name: view.name.to_owned(),
            conclusion: view.conclusion.unwrap_or(Conclusion::Skipped),
            outputs: view.outputs.clone(),
            duration_ms: u64::try_from(duration).unwrap_or(0),
            reason: view.why.unwrap_or_default(),
            error: view.error.unwrap_or_default().to_owned(),
        });
    }

    fn interrupt(&mut self, observer: &mut dyn Observer) {
        if self.interrupted {
            self.active.values().for_each(|active| active.kill.cancel());
        }
        let (attempt, force) = (self.run.attempt(), self.interrupted);
        self.interrupted = true;
        self.after(
            RunEvent::Cancel {
                attempt,
                by: "you".to_owned(),
                force,
            },
            observer,
        );
    }

    fn tick(&mut self, observer: &mut dyn Observer) {
        if self.run.deadline().is_some_and(|deadline| deadline <= now()) {
            self.after(RunEvent::Wake, observer);
        }
        observer.tick();
    }

    fn state(&self, observer: &mut dyn Observer) {
        let jobs = self.run.jobs().map(|view| rest_job(&view)).collect();
        observer.told(&Told::State {
            run: Box::new(self.rest_run()),
            jobs,
        });
    }

    fn rest_run(&self) -> rest::Run {
        let spec = self.run.spec();
        let github = |key: &str| {
            spec.github
                .get(key)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        rest::Run {
            id: spec.run_id.0,
            project: github("repository"),
            workflow: 1,
            workflow_path: spec.workflow_path.clone(),
            workflow_name: github("workflow"),
            number: spec.run_number,
            attempt: self.run.attempt(),
            event: github("event_name"),
            r#ref: github("ref"),
            sha: github("sha"),
            title: self.run.name().to_owned(),
            actor: github("actor"),
            status: status_word(self.run.status()).to_owned(),
            conclusion: self.run.conclusion(),
            why: self.run.why().unwrap_or_default(),
            created_at: self.started.0,
            started_at: self.started.0,
            ended_at: self.run.finished_at().map(|t| t.0),
            url: String::new(),
        }
    }
}

fn rest_job(view: &pilotage_engine::run::JobView<'_>) -> rest::Job {
    rest::Job {
        id: view.id.0,
        attempt: view.attempt,
        key: view.key.to_owned(),
        name: view.name.to_owned(),
        needs: view.needs.iter().map(|id| id.0).collect(),
        status: match view.status {
            JobStatus::Waiting => "waiting",
            JobStatus::Pending => "pending",
            JobStatus::Queued => "queued",
            JobStatus::InProgress => "in_progress",
            JobStatus::Completed => "completed",
        }
        .to_owned(),
        conclusion: view.conclusion,
        why: view.why.clone().unwrap_or_default(),
        error: view.error.unwrap_or_default().to_owned(),
        environment: view.environment.unwrap_or_default().to_owned(),
        environment_url: String::new(),
        runner: view.runner.unwrap_or_default().to_owned(),
        outputs: view.outputs.clone(),
        created_at: view.queued_at.map_or(0, |t| t.0),
        started_at: view.started_at.map(|t| t.0),
        ended_at: view.finished_at.map(|t| t.0),
        log_lines: 0,
        log_missing: None,
        steps: Vec::new(),
        annotations: Vec::new(),
        summaries: Vec::new(),
    }
}

fn status_word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Pending => "pending",
        RunStatus::Queued => "queued",
        RunStatus::InProgress => "in_progress",
        RunStatus::Completed => "completed",
    }
}

/// The only place here that reads the clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn since(start: Timestamp) -> u64 {
    u64::try_from(now().since(start).as_millis()).unwrap_or(0)
}
