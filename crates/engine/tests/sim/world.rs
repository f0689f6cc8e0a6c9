//! A whole small world around the run machine: runners, leases, the queue, the groups, a mail that delays,
//! doubles, reorders and loses, and a server that dies at any moment.

use crate::made::{CALLED_PATH, Made, ROOT_PATH};
use crate::random::Random;
use crate::shadow::{Shadow, texts};
use indexmap::IndexMap;
use pilotage_api::runner::{Conclusion, JobResult};
use pilotage_engine::concurrency::{Answer, Ask, Groups};
use pilotage_engine::ids::{Fence, JobId, ProjectId, RunId, SlotId};
use pilotage_engine::lease::{LeaseEffect, LeaseEvent, Leases};
use pilotage_engine::queue::{Runner, WaitingJob, assign};
use pilotage_engine::run::{
    ConcurrencyAnswer, EffectKind, EnvironmentAnswer, Holder, Rerun, Run, RunEffect, RunEvent, RunSpec,
};
use pilotage_engine::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const STEPS_MAX: usize = 20_000;
/// Faults happen in the first hours only: afterwards everything must come to its end.
const FAULTS_UNTIL: Timestamp = Timestamp(2 * 3_600_000);
const ATTEMPTS: u32 = 3;

pub(crate) struct World {
    random: Random,
    now: Timestamp,
    runs: Vec<Cell>,
    groups: Groups,
    /// Who was let into a group and has not let go.
    inside: BTreeMap<String, Holder>,
    leases: Leases,
    queue: BTreeMap<JobId, Queued>,
    /// What runners are at, by runner and job.
    works: BTreeMap<(String, JobId), Work>,
    mail: BTreeMap<(Timestamp, u64), Mail>,
    posted: u64,
    pub(crate) counts: Counts,
}

/// What the sweep has seen, so that one that never meets a fault is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: usize,
    pub(crate) crashes: usize,
    pub(crate) lost_jobs: usize,
    pub(crate) cancels: usize,
    pub(crate) reruns: usize,
    pub(crate) doubled: usize,
    pub(crate) dropped: usize,
}

impl Counts {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            crashes: self.crashes + other.crashes,
            lost_jobs: self.lost_jobs + other.lost_jobs,
            cancels: self.cancels + other.cancels,
            reruns: self.reruns + other.reruns,
            doubled: self.doubled + other.doubled,
            dropped: self.dropped + other.dropped,
        }
    }
}

struct Cell {
    run: Run,
    shadow: Shadow,
}

struct Queued {
    waiting: WaitingJob,
    floor: Fence,
}

/// A job on a runner.
struct Work {
    fence: Fence,
    result: Option<JobResult>,
}

enum Mail {
    ToRun(usize, RunEvent),
    /// The runner tells of its job: renews, and sends the result until it is taken.
    Tick(String, JobId, Fence),
    Work(String, JobId, Fence),
    Done(String, JobId, Fence, JobResult),
    End(String, JobId),
    RunnerDies(String),
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 1 + random.below(3);
        let mut world = Self {
            now: Timestamp(1_000),
            runs: Vec::new(),
            groups: Groups::default(),
            inside: BTreeMap::new(),
            leases: Leases::default(),
            queue: BTreeMap::new(),
            works: BTreeMap::new(),
            mail: BTreeMap::new(),
            posted: 0,
            counts: Counts::default(),
            random,
        };
        for n in 0..count {
            world.add_run(n);
        }
        for _ in 0..world.random.below(8) {
            let at = world.within(400);
            let runner = format!("r{}", world.random.below(4));
            world.post(at, Mail::RunnerDies(runner));
        }
        world
    }

    fn add_run(&mut self, index: usize) {
        let made = Made::new(&mut self.random);
        let github = serde_json::json!({ "event_name": "push", "ref_name": "main", "event": {} });
        let spec = RunSpec {
            only: Vec::new(),
            run_id: RunId(i64::try_from(index).unwrap() + 7),
            project: ProjectId(1),
            run_number: 1,
            workflow_path: ROOT_PATH.to_owned(),
            workflows: texts(&made),
            github: github.as_object().unwrap().clone(),
            inputs: serde_json::Map::new(),
            vars: BTreeMap::new(),
            title: "a commit".to_owned(),
        };
        let text = spec.workflows[ROOT_PATH].clone() + &spec.workflows[CALLED_PATH];
        let (run, effects) = Run::start(self.now, spec).unwrap_or_else(|diagnostics| {
            let messages: Vec<String> = diagnostics.into_iter().map(|d| d.message).collect();
            panic!("{}\n{text}", messages.join("\n"));
        });
        self.runs.push(Cell {
            run,
            shadow: Shadow::new(made),
        });
        self.check(index, None, &effects);
        self.perform(index, effects);
        for _ in 0..self.random.below(3) {
            let (at, force) = (self.within(600), self.random.percent(30));
            let attempt = 1 + u32::try_from(self.random.below(2)).unwrap();
            let event = RunEvent::Cancel {
                attempt,
                by: "ana".to_owned(),
                force,
            };
            self.post(at, Mail::ToRun(index, event));
        }
    }

    /// Until nothing is left to happen. What is broken is the error.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            self.give_work();
            let next_mail = self.mail.keys().next().map(|(at, _)| *at);
            let alarms = self
                .runs
                .iter()
                .filter_map(|cell| cell.run.deadline())
                .chain(self.leases.deadline());
            let alarm = alarms.min();
            match (next_mail, alarm) {
                (None, None) => return self.check_rest(),
                (Some(mail), alarm) if alarm.is_none_or(|alarm| mail <= alarm) => {
                    self.now = self.now.max(mail);
                    if let Some((_, mail)) = self.mail.pop_first() {
                        self.deliver(mail);
                    }
                }
                (_, alarm) => {
                    self.now = self.now.max(alarm.unwrap_or(self.now));
                    self.wake();
                }
            }
        }
        Err(format!("no end after {STEPS_MAX} steps: {}", self.standing()))
    }

    fn check_rest(&self) -> Result<(), String> {
        if let Some(cell) = self.runs.iter().find(|cell| cell.shadow.finished().is_none()) {
            return Err(format!("run {} never ended: {}", cell.run.id(), self.standing()));
        }
        for cell in &self.runs {
            for name in ["g0", "g1", "g2"] {
                if let Some(holder) = self.groups.running(ProjectId(1), name) {
                    return Err(format!(
                        "{holder:?} of run {} never let go of {name}",
                        cell.run.id()
                    ));
                }
            }
        }
        Ok(())
    }

    fn standing(&self) -> String {
        let jobs = self.runs.iter().flat_map(|cell| cell.run.jobs());
        let open = jobs.filter(|job| job.conclusion.is_none());
        open.map(|job| format!("{} {:?} {:?}", job.name, job.status, job.why))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn wake(&mut self) {
        for index in 0..self.runs.len() {
            if self.runs[index]
                .run
                .deadline()
                .is_some_and(|deadline| deadline <= self.now)
            {
                self.tell(index, RunEvent::Wake);
            }
        }
        if self
            .leases
            .deadline()
            .is_some_and(|deadline| deadline <= self.now)
        {
            self.lease(LeaseEvent::Wake).unwrap();
        }
    }

    fn deliver(&mut self, mail: Mail) {
        match mail {
            Mail::ToRun(index, event) => self.tell(index, event),
            Mail::Work(runner, job, fence) => self.begin_work(runner, job, fence),
            Mail::Tick(runner, job, fence) => self.tick(runner, job, fence),
            Mail::Done(runner, job, fence, result) => {
                if let Some(work) = self.works.get_mut(&(runner.clone(), job))
                    && work.fence == fence
                {
                    work.result.get_or_insert(result);
                    self.tick(runner, job, fence);
                }
            }
            Mail::End(runner, job) => {
                if let Some(work) = self.works.get(&(runner.clone(), job)) {
                    let fence = work.fence;
                    let result = result(Conclusion::Cancelled, IndexMap::new());
                    let at = self.within(20);
                    self.post(at, Mail::Done(runner, job, fence, result));
                }
            }
            Mail::RunnerDies(name) => {
                let before = self.works.len();
                self.works.retain(|(runner, _), _| *runner != name);
                self.counts.lost_jobs += before - self.works.len();
            }
        }
    }

    /// Gives an event to a run, through a server that may die and come back from what it had stored.
    fn tell(&mut self, index: usize, event: RunEvent) {
        self.counts.events += 1;
        match &event {
            RunEvent::Cancel { .. } => self.counts.cancels += 1,
            RunEvent::Rerun { .. } => self.counts.reruns += 1,
            _ => {}
        }
        if self.faulty(2) {
            self.crash(index);
        }
        let cell = &mut self.runs[index];
        cell.shadow.before(&cell.run, &event);
        let Ok(effects) = cell.run.handle(self.now, event.clone()) else {
            return;
        };
        self.check(index, Some(&event), &effects);
        if self.faulty(1) {
            // It dies after the commit and before it has marked the effects as done: they are done again.
            self.crash(index);
            self.perform(index, effects.clone());
        }
        self.perform(index, effects);
    }

    fn crash(&mut self, index: usize) {
        self.counts.crashes += 1;
        let stored = serde_json::to_string(&self.runs[index].run).unwrap();
        let restored = Run::restore(&stored).unwrap();
        assert_eq!(
            serde_json::to_string(&restored).unwrap(),
            stored,
            "a run comes back as it was"
        );
        self.runs[index].run = restored;
    }

    fn check(&mut self, index: usize, event: Option<&RunEvent>, effects: &[RunEffect]) {
        let effects: Vec<(u64, &EffectKind)> = effects.iter().map(|e| (e.sequence, &e.kind)).collect();
        let cell = &mut self.runs[index];
        // In other builds `handle` has done so itself.
        if !cfg!(debug_assertions)
            && let Err(broken) = cell.run.check_invariants()
        {
            panic!("{broken}");
        }
        if let Err(broken) = cell.shadow.after(&cell.run, event, &effects) {
            let text = &cell.run.spec().workflows;
            panic!(
                "run {} after {event:?}: {broken}\n{}{}",
                cell.run.id(),
                text[ROOT_PATH],
                text[CALLED_PATH]
            );
        }
    }

    fn perform(&mut self, index: usize, effects: Vec<RunEffect>) {
        for effect in effects {
            match effect.kind {
                EffectKind::Queue {
                    job, fence, labels, ..
                } => self.enqueue(job, fence, labels),
                EffectKind::CancelJob { job, .. } => {
                    self.queue.remove(&job);
                    let runner = self.leases.get(job).map(|lease| lease.slot.runner.clone());
                    if let Some(runner) = runner {
                        let at = self.within(5);
                        self.post(at, Mail::End(runner, job));
                    }
                }
                EffectKind::AskEnvironment { job, .. } => self.answer_environment(index, job),
                EffectKind::AskConcurrency {
                    holder,
                    group,
                    cancel_in_progress,
                    queue_max,
                } => {
                    let project = ProjectId(1);
                    let answers = self.groups.ask(&Ask {
                        project,
                        group,
                        holder,
                        cancel_in_progress,
                        queue_max,
                    });
                    self.answer(answers);
                }
                EffectKind::ReleaseConcurrency { holder, group } => {
                    if self.inside.get(&group) == Some(&holder) {
                        self.inside.remove(&group);
                    }
                    let answers = self.groups.release(ProjectId(1), &group, holder);
                    self.answer(answers);
                }
                EffectKind::RunFinished { attempt, .. } => self.maybe_again(index, attempt),
                EffectKind::WithdrawEnvironment { .. }
                | EffectKind::JobSkipped { .. }
                | EffectKind::JobFinished { .. } => {}
            }
        }
    }

    fn enqueue(&mut self, job: JobId, floor: Fence, labels: Vec<String>) {
        if self.leases.get(job).is_none_or(|lease| lease.fence < floor) {
            let waiting = WaitingJob {
                job,
                project: ProjectId(1),
                queued_at: self.now,
                labels,
                group: None,
            };
            self.queue.insert(job, Queued { waiting, floor });
        }
    }

    fn answer(&mut self, answers: Vec<Answer>) {
        for Answer {
            holder,
            group,
            answer,
        } in answers
        {
            if answer == ConcurrencyAnswer::Granted {
                let other = self
                    .inside
                    .insert(group.clone(), holder)
                    .filter(|other| *other != holder);
                assert_eq!(other, None, "two are in {group}");
            }
            let index = usize::try_from(holder.run.0 - 7).unwrap();
            self.send(
                index,
                RunEvent::ConcurrencyAnswer {
                    holder,
                    group,
                    answer,
                },
                false,
            );
        }
    }

    fn answer_environment(&mut self, index: usize, job: JobId) {
        let reason = "because".to_owned();
        if self.random.percent(40) {
            let answer = EnvironmentAnswer::Waiting {
                reason: reason.clone(),
            };
            self.send(index, RunEvent::EnvironmentAnswer { job, answer }, true);
        }
        let refused = self.random.percent(15);
        let answer = if refused {
            EnvironmentAnswer::Refused { reason }
        } else {
            EnvironmentAnswer::Granted
        };
        self.send(index, RunEvent::EnvironmentAnswer { job, answer }, false);
    }

    fn maybe_again(&mut self, index: usize, attempt: u32) {
        if attempt >= ATTEMPTS || self.random.percent(50) {
            return;
        }
        let which = match self.random.below(3) {
            0 => Rerun::All,
            1 => Rerun::Failed,
            _ => {
                let jobs: Vec<JobId> = self.runs[index].run.jobs().map(|job| job.id).collect();
                Rerun::Job(self.random.pick(&jobs))
            }
        };
        self.send(
            index,
            RunEvent::Rerun {
                after: attempt,
                which,
                by: "ben".to_owned(),
            },
            true,
        );
    }

    /// Gives waiting jobs to runners with free slots.
    fn give_work(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let runners: Vec<Runner> = (0..4).map(|n| self.runner(&format!("r{n}"))).collect();
        let waiting: Vec<WaitingJob> = self.queue.values().map(|queued| queued.waiting.clone()).collect();
        for assignment in assign(&waiting, &runners, &BTreeMap::new()) {
            let taken: BTreeSet<SlotId> = self.leases.iter().map(|lease| lease.slot.clone()).collect();
            let slots = (0..2).map(|slot| SlotId {
                runner: assignment.runner.clone(),
                slot,
            });
            let Some(slot) = slots.into_iter().find(|slot| !taken.contains(slot)) else {
                continue;
            };
            let floor = self.queue[&assignment.job].floor;
            self.queue.remove(&assignment.job);
            let _ = self.lease(LeaseEvent::Grant {
                job: assignment.job,
                slot,
                floor,
            });
        }
    }

    fn runner(&self, name: &str) -> Runner {
        let busy = self
            .leases
            .iter()
            .filter(|lease| lease.slot.runner == name)
            .count();
        Runner {
            name: name.to_owned(),
            labels: vec!["linux".to_owned()],
            group: None,
            slots: 2,
            busy: u32::try_from(busy).unwrap(),
            online: true,
            draining: false,
        }
    }

    fn lease(&mut self, event: LeaseEvent) -> Result<(), ()> {
        let effects = self.leases.handle(self.now, event).map_err(|_| ())?;
        self.leases.check_invariants().unwrap();
        for effect in effects {
            match effect {
                LeaseEffect::Granted(lease) => {
                    let (job, fence, runner) = (lease.job, lease.fence, lease.slot.runner);
                    let index = usize::try_from(job.run().0 - 7).unwrap();
                    self.send(
                        index,
                        RunEvent::Leased {
                            job,
                            fence,
                            runner: runner.clone(),
                        },
                        true,
                    );
                    let seconds = if self.faulty(10) { 40 } else { 2 };
                    let at = self.within(seconds);
                    self.post(at, Mail::Work(runner, job, fence));
                }
                LeaseEffect::JobLost {
                    job,
                    fence,
                    started,
                    reason,
                } => {
                    let index = usize::try_from(job.run().0 - 7).unwrap();
                    self.send(
                        index,
                        RunEvent::Lost {
                            job,
                            fence,
                            started,
                            reason,
                        },
                        true,
                    );
                }
                LeaseEffect::Suspicious { .. } => {}
            }
        }
        Ok(())
    }

    /// A runner takes up a job: it acknowledges, and works for a while.
    fn begin_work(&mut self, runner: String, job: JobId, fence: Fence) {
        if self.lease(LeaseEvent::Acknowledge { job, fence }).is_err() {
            return;
        }
        let index = usize::try_from(job.run().0 - 7).unwrap();
        self.send(index, RunEvent::Started { job, fence }, true);
        self.works
            .insert((runner.clone(), job), Work { fence, result: None });
        let result = self.some_result();
        let at = self.within(90);
        self.post(at, Mail::Done(runner.clone(), job, fence, result));
        let at = self.now + Duration::from_secs(15);
        self.post(at, Mail::Tick(runner, job, fence));
    }

    fn some_result(&mut self) -> JobResult {
        let conclusion = if self.random.percent(78) {
            Conclusion::Success
        } else {
            Conclusion::Failure
        };
        let mut outputs = IndexMap::new();
        if self.random.percent(80) {
            outputs.insert("v".to_owned(), self.random.pick(&["0", "1", "1", ""]).to_owned());
        }
        if self.random.percent(70) {
            outputs.insert(
                "list".to_owned(),
                self.random
                    .pick(&["[1]", "[1, 2]", "[\"x\", \"y\", 3]", "[]"])
                    .to_owned(),
            );
        }
        result(conclusion, outputs)
    }

    /// A runner calls: with its result if it has one, else to renew. It calls again until its result is taken.
    fn tick(&mut self, runner: String, job: JobId, fence: Fence) {
        let key = (runner.clone(), job);
        let Some(work) = self.works.get(&key).filter(|work| work.fence == fence) else {
            return;
        };
        let result = work.result.clone();
        if self.faulty(15) {
            self.counts.dropped += 1;
        } else if let Some(result) = result {
            let taken = self.lease(LeaseEvent::Release { job, fence }).is_ok();
            self.works.remove(&key);
            if taken {
                let index = usize::try_from(job.run().0 - 7).unwrap();
                self.send(index, RunEvent::Finished { job, fence, result }, true);
            }
            return;
        } else if self.lease(LeaseEvent::Renew { job, fence }).is_err() {
            self.works.remove(&key);
            return;
        }
        let at = self.now + Duration::from_secs(15);
        self.post(at, Mail::Tick(runner, job, fence));
    }

    /// Puts an event on its way: at once, late, twice, or, where it may be lost, never.
    fn send(&mut self, index: usize, event: RunEvent, may_be_lost: bool) {
        if may_be_lost && self.faulty(2) {
            self.counts.dropped += 1;
            return;
        }
        let copies = if self.faulty(10) { 2 } else { 1 };
        self.counts.doubled += copies - 1;
        for _ in 0..copies {
            let at = if self.faulty(10) {
                self.within(120)
            } else {
                self.now
            };
            self.post(at, Mail::ToRun(index, event.clone()));
        }
    }

    fn post(&mut self, at: Timestamp, mail: Mail) {
        self.posted += 1;
        self.mail.insert((at, self.posted), mail);
    }

    fn faulty(&mut self, percent: usize) -> bool {
        self.now < FAULTS_UNTIL && self.random.percent(percent)
    }

    fn within(&mut self, seconds: usize) -> Timestamp {
        Timestamp(self.now.0 + i64::try_from(self.random.below(seconds * 1_000)).unwrap())
    }
}

fn result(conclusion: Conclusion, outputs: IndexMap<String, String>) -> JobResult {
    JobResult {
        conclusion,
        continue_on_error: false,
        outputs,
        error: None,
        log_lines: 0,
        log_bytes: 0,
    }
}
