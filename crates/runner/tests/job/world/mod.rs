//! A directory for one job, and what the job said.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests, shared by their files"
)]

use pilotage_api::runner::{Annotation, Evaluated, JobResult, JobSpec, Report};
use pilotage_runner::event::JobEvent;
use pilotage_runner::isolation::ChildRules;
use pilotage_runner::job::{CheckoutSource, Dirs, JobHost, execute};
use pilotage_runner::process::Ladder;
use pilotage_runner::services::{Local, Services};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Runs the job `test` of a workflow.
pub async fn job(workflow: &str) -> Ran {
    World::new(workflow).run().await
}

pub struct World {
    pub directory: tempfile::TempDir,
    workflow: String,
    secrets: BTreeMap<String, String>,
    pub actions_from: Vec<PathBuf>,
    pub private: Vec<PathBuf>,
    /// Where checkout fetches from, instead of the working directory.
    pub remote: Option<String>,
    pub sha: String,
}

/// What a job said, in order, and what it came to.
pub struct Ran {
    pub result: JobResult,
    pub events: Vec<JobEvent>,
    pub directory: tempfile::TempDir,
}

impl World {
    pub fn new(workflow: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["workspace", "temp", "home", "tools", "project"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let workflow = format!("on: push\n{}", workflow.trim_start());
        Self {
            directory,
            workflow,
            secrets: BTreeMap::new(),
            actions_from: Vec::new(),
            private: Vec::new(),
            remote: None,
            sha: "0".repeat(40),
        }
    }

    pub fn secret(&mut self, name: &str, value: &str) {
        self.secrets.insert(name.to_owned(), value.to_owned());
    }

    /// A file of the workspace (or, with `project/` before it, of the working directory).
    pub fn file(&self, path: &str, text: &str) {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub async fn run(self) -> Ran {
        self.start(None).await
    }

    /// Cancels the job when this line is in its log.
    pub async fn run_cancelled_at(self, line: &str) -> Ran {
        self.start(Some(line)).await
    }

    async fn start(self, cancel_at: Option<&str>) -> Ran {
        static JOBS: AtomicU32 = AtomicU32::new(0);
        let (sender, mut receiver) = mpsc::channel(64);
        let at = |name: &str| self.directory.path().join(name);
        let cancel = CancellationToken::new();
        let host = JobHost {
            dirs: Dirs {
                workspace: at("workspace"),
                temp: at("temp"),
                home: at("home"),
                tool_cache: at("tools"),
            },
            events: sender,
            cancel: cancel.clone(),
            kill: CancellationToken::new(),
            services: Services::Local(Local::new(at("artifacts"), at("caches"))),
            checkout: match &self.remote {
                Some(server) => CheckoutSource::Remote {
                    server: server.clone(),
                },
                None => CheckoutSource::WorkingDirectory(at("project")),
            },
            rules: Arc::new(ChildRules::default()),
            private: self.private.clone(),
            tracking_id: format!(
                "test-{}-{}",
                std::process::id(),
                JOBS.fetch_add(1, Ordering::Relaxed)
            ),
            ladder: Ladder {
                interrupt: Duration::from_millis(200),
                terminate: Duration::from_millis(200),
            },
            runner_name: "tests".into(),
            runner_environment: "self-hosted".into(),
            actions_from: self.actions_from.clone(),
            server_url: "http://localhost".into(),
            token: Some("job-token".into()),
            env: vec![("PATH".into(), std::env::var("PATH").unwrap_or_default())],
            line_bytes_max: 1 << 20,
        };
        let contexts = serde_json::json!({
            "github": {"ref": "refs/heads/main", "sha": self.sha, "repository": "octo/hello", "actor": "ana",
                       "event_name": "push", "event": {"number": 7}},
            "vars": {"COLOUR": "blue"},
        });
        let serde_json::Value::Object(contexts) = contexts else {
            unreachable!()
        };
        let spec = JobSpec {
            run_id: 1,
            run_attempt: 1,
            job_id: 2,
            name: "test".into(),
            workflow_path: ".github/workflows/test.yml".into(),
            workflow_text: self.workflow.clone(),
            job_key: "test".into(),
            contexts,
            secrets: self.secrets.clone(),
            reason: String::new(),
        };
        let job = tokio::spawn(execute(spec, host));
        let mut events = Vec::new();
        while let Some(event) = receiver.recv().await {
            if let (JobEvent::Log(chunk), Some(line)) = (&event, cancel_at)
                && chunk.text.lines().any(|l| l == line)
            {
                cancel.cancel();
            }
            events.push(event);
        }
        Ran {
            result: job.await.unwrap(),
            events,
            directory: self.directory,
        }
    }
}

impl Ran {
    /// The lines of the steps' own output: without set-up and the folded head of each step.
    pub fn output(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut folded = false;
        for (step, line) in self.log() {
            match line.as_str() {
                _ if step == 0
                    || line.starts_with("##[error]The ")
                    || line.starts_with("##[error]Process ") => {}
                "##[endgroup]" => folded = false,
                _ if line.starts_with("##[group]Run ") => folded = true,
                _ if !folded => lines.push(line),
                _ => {}
            }
        }
        lines
    }

    /// Every line of the log, with its step.
    pub fn log(&self) -> Vec<(u32, String)> {
        let chunks = self.events.iter().filter_map(|e| match e {
            JobEvent::Log(chunk) => Some(chunk),
            JobEvent::Report(_) => None,
        });
        chunks
            .flat_map(|c| c.text.lines().map(|l| (c.step, l.to_owned())).collect::<Vec<_>>())
            .collect()
    }

    /// `number name outcome/conclusion: error (reason)` of each step.
    pub fn steps(&self) -> Vec<String> {
        let mut names = BTreeMap::new();
        let mut steps = Vec::new();
        for event in &self.events {
            match event {
                JobEvent::Report(Report::Steps { steps, .. }) => {
                    names.extend(steps.iter().map(|s| (s.step, s.name.clone())));
                }
                JobEvent::Report(Report::StepFinished {
                    step,
                    outcome,
                    conclusion,
                    reason,
                    error,
                    ..
                }) => {
                    let name = names.get(step).cloned().unwrap_or_default();
                    let reason = reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
                    let error = error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
                    let (outcome, conclusion) = (outcome.word(), conclusion.word());
                    steps.push(format!("{step} {name} {outcome}/{conclusion}{error}{reason}"));
                }
                _ => {}
            }
        }
        steps
    }

    /// `level message (the line of the log that it leads to)` of each annotation.
    pub fn annotations(&self) -> Vec<String> {
        let log = self.log();
        let told = self.events.iter().filter_map(|event| match event {
            JobEvent::Report(Report::Annotation(told)) => Some(told),
            _ => None,
        });
        let say = |told: &Annotation| {
            let line = told
                .log_line
                .and_then(|line| log.get(usize::try_from(line).ok()?));
            let (step, line) = line.map_or((None, "none"), |(step, line)| (Some(*step), line));
            assert!(step.is_none_or(|step| step == told.step), "{told:?}");
            format!("{:?} {} ({line})", told.level, told.message)
        };
        told.map(say).collect()
    }

    /// What expressions came to: `step if: … NAME=value … with name=value …`.
    pub fn evaluated(&self) -> Vec<String> {
        let told = self.events.iter().filter_map(|event| match event {
            JobEvent::Report(Report::Steps { evaluated, .. }) => Some(evaluated),
            _ => None,
        });
        let say = |of: &Evaluated| {
            let mut said = vec![format!("{} if: {}", of.step, of.condition)];
            said.extend(of.env.iter().map(|(name, value)| format!("{name}={value}")));
            said.extend(of.with.iter().map(|(name, value)| format!("with {name}={value}")));
            said.join(" ")
        };
        told.flatten().map(say).collect()
    }

    pub fn everything(&self) -> String {
        format!("{:?} {:?}", self.events, self.result)
    }
}
