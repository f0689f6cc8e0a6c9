//! What takes a run through a script: everything that it needs to go on at once, and what people would see.

use indexmap::IndexMap;
use pilotage_api::runner::{Conclusion, JobResult};
use pilotage_engine::concurrency::{Answer, Ask, Groups};
use pilotage_engine::ids::{Fence, JobId, ProjectId, RunId};
use pilotage_engine::run::{EffectKind, EnvironmentAnswer, IllegalEvent, Run, RunEffect, RunEvent, RunSpec};
use pilotage_engine::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};

pub(crate) const PATH: &str = ".github/workflows/ci.yml";

/// A run with everything that it needs to go on at once: jobs end as `ends` says, by name (`failure`,
/// `success v=1 w=2`, `hang`), and otherwise in success.
pub(crate) struct Bench {
    pub(crate) run: Run,
    pub(crate) ends: BTreeMap<String, String>,
    pub(crate) groups: Groups,
    pub(crate) now: Timestamp,
    /// In the order of what was asked for.
    pub(crate) log: Vec<String>,
    pub(crate) todo: VecDeque<RunEvent>,
}

impl Bench {
    pub(crate) fn new(workflow: &str, others: &[(&str, &str)], ends: &[(&str, &str)]) -> Self {
        let mut workflows = BTreeMap::from([(PATH.to_owned(), workflow.to_owned())]);
        workflows.extend(
            others
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned())),
        );
        let github = serde_json::json!({
            "event_name": "push", "ref": "refs/heads/fix/login", "ref_name": "fix/login", "event": {},
        });
        let spec = RunSpec {
            only: Vec::new(),
            run_id: RunId(1846),
            project: ProjectId(1),
            run_number: 12,
            workflow_path: PATH.to_owned(),
            workflows,
            github: github.as_object().unwrap().clone(),
            inputs: serde_json::Map::new(),
            vars: BTreeMap::from([("TIER".to_owned(), "gold".to_owned())]),
            title: "Fix login".to_owned(),
        };
        let now = Timestamp(1_000);
        let (run, effects) = Run::start(now, spec).unwrap_or_else(|diagnostics| {
            panic!("{:?}", diagnostics.iter().map(|d| &d.message).collect::<Vec<_>>());
        });
        let ends = ends
            .iter()
            .map(|(name, end)| ((*name).to_owned(), (*end).to_owned()))
            .collect();
        let mut bench = Self {
            run,
            ends,
            groups: Groups::default(),
            now,
            log: Vec::new(),
            todo: VecDeque::new(),
        };
        bench.perform(effects);
        bench.go();
        bench
    }

    pub(crate) fn go(&mut self) {
        while let Some(event) = self.todo.pop_front() {
            self.tell(event).unwrap();
        }
    }

    pub(crate) fn tell(&mut self, event: RunEvent) -> Result<(), IllegalEvent> {
        self.now = Timestamp(self.now.0 + 1);
        let effects = self.run.handle(self.now, event)?;
        let stored = serde_json::to_string(&self.run).unwrap();
        self.run = Run::restore(&stored).unwrap();
        self.perform(effects);
        Ok(())
    }

    pub(crate) fn perform(&mut self, effects: Vec<RunEffect>) {
        for RunEffect { kind, .. } in effects {
            match kind {
                EffectKind::Queue { job, fence, spec, .. } => {
                    self.log.push(format!("queue {}", spec.name));
                    self.execute(job, fence, &spec.name);
                }
                EffectKind::CancelJob { job, .. } => self.log.push(format!("end {}", self.name(job))),
                EffectKind::AskEnvironment { job, environment, .. } => {
                    self.log.push(format!("ask {environment}"));
                    let answer = match self.ends.get(&environment).map(String::as_str) {
                        None => EnvironmentAnswer::Granted,
                        Some("wait") => EnvironmentAnswer::Waiting {
                            reason: "waits for the approval of ben".to_owned(),
                        },
                        Some(reason) => EnvironmentAnswer::Refused {
                            reason: reason.to_owned(),
                        },
                    };
                    self.todo.push_back(RunEvent::EnvironmentAnswer { job, answer });
                }
                EffectKind::AskConcurrency {
                    holder,
                    group,
                    cancel_in_progress,
                    queue_max,
                } => {
                    let ask = Ask {
                        project: ProjectId(1),
                        group,
                        holder,
                        cancel_in_progress,
                        queue_max,
                    };
                    let answers = self.groups.ask(&ask);
                    self.answer(answers);
                }
                EffectKind::ReleaseConcurrency { holder, group } => {
                    let answers = self.groups.release(ProjectId(1), &group, holder);
                    self.answer(answers);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn answer(&mut self, answers: Vec<Answer>) {
        for Answer {
            holder,
            group,
            answer,
        } in answers
        {
            self.todo.push_back(RunEvent::ConcurrencyAnswer {
                holder,
                group,
                answer,
            });
        }
    }

    pub(crate) fn execute(&mut self, job: JobId, fence: Fence, name: &str) {
        let end = self
            .ends
            .get(name)
            .cloned()
            .unwrap_or_else(|| "success".to_owned());
        self.todo.push_back(RunEvent::Leased {
            job,
            fence,
            runner: "r1".to_owned(),
        });
        self.todo.push_back(RunEvent::Started { job, fence });
        if end != "hang" {
            self.todo.push_back(RunEvent::Finished {
                job,
                fence,
                result: result(&end),
            });
        }
    }

    pub(crate) fn name(&self, job: JobId) -> String {
        self.run.job(job).unwrap().name.to_owned()
    }

    pub(crate) fn id(&self, name: &str) -> JobId {
        self.run
            .jobs()
            .find(|job| job.name == name)
            .unwrap_or_else(|| panic!("no job {name}:\n{}", self.view()))
            .id
    }

    /// A line a job: its name, how it ended or stands, why, and its error; then the run.
    pub(crate) fn view(&self) -> String {
        let mut lines = Vec::new();
        for job in self.run.jobs() {
            let state = match job.conclusion {
                Some(conclusion) => conclusion.word().to_owned(),
                None => serde_json::to_value(job.status)
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .to_owned(),
            };
            let mut line = format!("{}: {state}", job.name);
            if job.attempt != self.run.attempt() {
                line += &format!(" (attempt {})", job.attempt);
            }
            for words in [job.why.as_deref(), job.error].into_iter().flatten() {
                line += &format!("; {words}");
            }
            lines.push(line);
        }
        lines.push(format!(
            "= {}",
            self.run.conclusion().map_or("open", Conclusion::word)
        ));
        lines.join("\n")
    }

    #[track_caller]
    pub(crate) fn check(&self, expected: &str) {
        let expected: Vec<&str> = expected
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(self.view().lines().collect::<Vec<_>>(), expected);
    }
}

pub(crate) fn result(end: &str) -> JobResult {
    let mut words = end.split(' ');
    let conclusion = match words.next() {
        Some("failure") => Conclusion::Failure,
        Some("cancelled") => Conclusion::Cancelled,
        _ => Conclusion::Success,
    };
    let outputs: IndexMap<String, String> = words
        .filter_map(|word| word.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    JobResult {
        conclusion,
        continue_on_error: false,
        outputs,
        error: None,
        log_lines: 0,
        log_bytes: 0,
    }
}

#[track_caller]
pub(crate) fn check(workflow: &str, ends: &[(&str, &str)], expected: &str) {
    Bench::new(workflow, &[], ends).check(expected);
}

pub(crate) fn job(key: &str, rest: &str) -> String {
    let rest: String = rest
        .lines()
        .map(|line| format!("    {}\n", line.trim_end()))
        .collect();
    format!("  {key}:\n{rest}    runs-on: linux\n    steps: [{{ run: 'true' }}]\n")
}

pub(crate) fn workflow(jobs: &[(&str, &str)]) -> String {
    let jobs: String = jobs.iter().map(|(key, rest)| job(key, rest)).collect();
    format!("on: push\njobs:\n{jobs}")
}
