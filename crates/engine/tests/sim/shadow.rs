//! The shadow model: what must be true of a run, worked out from the made workflow and from what runners said,
//! without the engine's own rules.

use crate::made::{CALLED_PATH, Made, MadeIf, MadeJob, MadeWorkflow, Matrix, ROOT_PATH};
use indexmap::IndexMap;
use pilotage_api::runner::{Conclusion, JobSpec};
use pilotage_engine::ids::{Fence, JobId};
use pilotage_engine::run::{EffectKind, JobStatus, JobView, Run, RunEvent};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Shadow {
    made: Made,
    jobs: BTreeMap<JobId, Seen>,
    /// In the order of their ends.
    ended: Vec<JobId>,
    attempt: u32,
    cancelled: bool,
    finished: Option<Conclusion>,
    last_sequence: u64,
}

#[derive(Default)]
struct Seen {
    rank: u8,
    end: Option<(Conclusion, IndexMap<String, String>)>,
    /// The highest fence that the run has heard of, and the highest that was given up.
    leased: Fence,
    lost: Fence,
    /// Successes and failures that the run was told of, by fence.
    told: Vec<(Fence, Conclusion, IndexMap<String, String>)>,
    environment_refused: bool,
    group_cancelled: bool,
    told_to_end: bool,
    /// A step of it may have begun, as far as the run knows.
    may_have_started: bool,
}

type Broken = Result<(), String>;

impl Shadow {
    pub(crate) fn new(made: Made) -> Self {
        Self {
            made,
            jobs: BTreeMap::new(),
            ended: Vec::new(),
            attempt: 1,
            cancelled: false,
            finished: None,
            last_sequence: 0,
        }
    }

    fn seen(&mut self, job: JobId) -> &mut Seen {
        self.jobs.entry(job).or_default()
    }

    /// Before an event reaches the run.
    pub(crate) fn before(&mut self, run: &Run, event: &RunEvent) {
        match event {
            RunEvent::Leased { job, fence, .. } | RunEvent::Started { job, fence } => {
                let seen = self.seen(*job);
                seen.leased = seen.leased.max(*fence);
            }
            RunEvent::Finished { job, fence, result } => {
                self.seen(*job)
                    .told
                    .push((*fence, result.conclusion, result.outputs.clone()));
            }
            RunEvent::Lost {
                job, fence, started, ..
            } => {
                let seen = self.seen(*job);
                seen.may_have_started |= *started && *fence > seen.lost;
                seen.lost = seen.lost.max(*fence);
            }
            RunEvent::Cancel { attempt, .. } if *attempt == self.attempt && run.conclusion().is_none() => {
                self.cancelled = true;
            }
            RunEvent::ConcurrencyAnswer {
                holder,
                answer: pilotage_engine::run::ConcurrencyAnswer::Cancelled { .. },
                ..
            } => match holder.job {
                Some(job) => self.seen(job).group_cancelled = true,
                None if holder.attempt == self.attempt && run.conclusion().is_none() => self.cancelled = true,
                None => {}
            },
            RunEvent::EnvironmentAnswer {
                job,
                answer: pilotage_engine::run::EnvironmentAnswer::Refused { .. },
            } => self.seen(*job).environment_refused = true,
            _ => {}
        }
    }

    /// After an event: `effects` are what the run asked for.
    pub(crate) fn after(
        &mut self,
        run: &Run,
        event: Option<&RunEvent>,
        effects: &[(u64, &EffectKind)],
    ) -> Broken {
        if run.attempt() != self.attempt {
            if !matches!(event, Some(RunEvent::Rerun { after, .. }) if *after == self.attempt) {
                return Err(format!("attempt {} began by itself", run.attempt()));
            }
            self.next_attempt(run)?;
        }
        for (sequence, effect) in effects {
            if *sequence != self.last_sequence + 1 {
                return Err(format!("effect {sequence} after {}", self.last_sequence));
            }
            self.last_sequence = *sequence;
            self.effect(run, event, effect)?;
        }
        self.check_views(run, event)?;
        if let Some(RunEvent::Cancel { .. }) = event {
            self.check_cancelled(run)?;
        }
        Ok(())
    }

    fn next_attempt(&mut self, run: &Run) -> Broken {
        if run.attempt() != self.attempt + 1 || self.finished.is_none() {
            return Err(format!(
                "attempt {} after {}, which is {:?}",
                run.attempt(),
                self.attempt,
                self.finished
            ));
        }
        if run.conclusion_of(self.attempt) != self.finished {
            return Err("a new attempt changed the end of the one before".to_owned());
        }
        self.attempt = run.attempt();
        self.cancelled = false;
        self.finished = None;
        Ok(())
    }

    fn effect(&mut self, run: &Run, event: Option<&RunEvent>, effect: &EffectKind) -> Broken {
        match effect {
            EffectKind::Queue { job, spec, fence, .. } => self.queued(run, *job, *fence, spec),
            EffectKind::JobFinished { job, conclusion } => self.job_ended(run, event, *job, *conclusion),
            EffectKind::JobSkipped { job, .. } => {
                let view = run.job(*job).unwrap();
                if self.cancelled {
                    return Err(format!("`{}` is skipped in a cancelled run", view.name));
                }
                let called = run.jobs().any(|inner| inner.caller == Some(*job));
                if !called && self.holds(run, &view)? {
                    return Err(format!("`{}` is skipped although its condition holds", view.name));
                }
                self.job_ended(run, event, *job, Conclusion::Skipped)
            }
            EffectKind::CancelJob { job, .. } => {
                self.seen(*job).told_to_end = true;
                Ok(())
            }
            EffectKind::RunFinished { attempt, conclusion } => {
                if *attempt != self.attempt || self.finished.is_some() {
                    return Err(format!("attempt {attempt} ended twice or too late"));
                }
                self.finished = Some(*conclusion);
                self.check_end(run, *conclusion)
            }
            _ => Ok(()),
        }
    }

    fn queued(&mut self, run: &Run, job: JobId, fence: Fence, spec: &JobSpec) -> Broken {
        let view = run.job(job).unwrap();
        let name = view.name.to_owned();
        if !self.holds(run, &view)? {
            return Err(format!("`{name}` is queued although its condition does not hold"));
        }
        for (key, need) in self.needs_of(run, &view) {
            let expected = need.ok_or_else(|| format!("`{name}` is queued before `{key}` has ended"))?;
            let given = &spec.contexts["needs"][&key];
            let outputs: IndexMap<String, String> = serde_json::from_value(given["outputs"].clone()).unwrap();
            let same = outputs.len() == expected.1.len()
                && outputs.iter().all(|(k, v)| expected.1.get(k) == Some(v));
            if given["result"] != expected.0.word() || !same {
                return Err(format!("`{name}` sees of `{key}`: {given}, not {expected:?}"));
            }
        }
        if self.sibling_failed(run, &view) {
            return Err(format!(
                "`{name}` is queued after a leg of its failing-fast matrix failed"
            ));
        }
        let seen = self.seen(job);
        if seen.may_have_started {
            return Err(format!(
                "`{name}` is queued again although a step of it may have begun"
            ));
        }
        if seen.end.is_some() || seen.leased > seen.lost || fence <= seen.lost {
            return Err(format!(
                "`{name}` is queued while it may run, or with a used fence {fence}"
            ));
        }
        Ok(())
    }

    fn job_ended(
        &mut self,
        run: &Run,
        event: Option<&RunEvent>,
        job: JobId,
        conclusion: Conclusion,
    ) -> Broken {
        let view = run.job(job).unwrap();
        let (name, error) = (view.name.to_owned(), view.error.map(str::to_owned));
        let outputs = view.outputs.clone();
        let siblings_end_it = self.sibling_failed(run, &view);
        let above_cancelled = self.cancelled || self.caller_is_cancelled(run, &view);
        if let Some(RunEvent::Finished { job: of, fence, .. }) = event
            && *of == job
            && *fence <= self.seen(job).lost
        {
            return Err(format!(
                "`{name}` was ended by the lease {fence}, which was given up"
            ));
        }
        let calls = self.made_of(run, &view).calls;
        let seen = self.seen(job);
        if seen.end.is_some() {
            return Err(format!("`{name}` ended twice"));
        }
        let said = |c: Conclusion| {
            seen.told
                .iter()
                .any(|(f, told, out)| *told == c && *f > seen.lost && *out == outputs)
        };
        let right = match conclusion {
            Conclusion::Success => said(Conclusion::Success) || calls,
            Conclusion::Failure => {
                said(Conclusion::Failure) || error.is_some() || seen.environment_refused || calls
            }
            Conclusion::Cancelled => {
                said(Conclusion::Cancelled)
                    || above_cancelled
                    || siblings_end_it
                    || seen.group_cancelled
                    || calls
            }
            Conclusion::Skipped => true,
        };
        if !right {
            return Err(format!(
                "`{name}` ended as {} and nobody said so",
                conclusion.word()
            ));
        }
        seen.end = Some((conclusion, outputs));
        self.ended.push(job);
        Ok(())
    }

    /// What ended stays as it is, and nothing goes back.
    fn check_views(&mut self, run: &Run, event: Option<&RunEvent>) -> Broken {
        let views: Vec<JobView<'_>> = run.jobs().collect();
        for view in &views {
            let rank = match view.status {
                JobStatus::Waiting | JobStatus::Pending => 0,
                JobStatus::Queued => 1,
                JobStatus::InProgress => 2,
                JobStatus::Completed => 3,
            };
            let was_lost = matches!(event, Some(RunEvent::Lost { job, .. }) if *job == view.id);
            let seen = self.seen(view.id);
            if rank < seen.rank && !(was_lost && rank == 1) {
                return Err(format!("`{}` went back from {} to {rank}", view.name, seen.rank));
            }
            seen.rank = rank;
            let end = seen.end.as_ref().map(|(conclusion, _)| *conclusion);
            let outputs_changed = seen
                .end
                .as_ref()
                .is_some_and(|(_, outputs)| outputs != view.outputs);
            if end != view.conclusion || outputs_changed {
                return Err(format!(
                    "`{}` has changed after its end: {end:?}, {:?}",
                    view.name, view.conclusion
                ));
            }
            if view.why.is_none() && matches!(view.status, JobStatus::Pending) {
                return Err(format!("`{}` waits and does not say for what", view.name));
            }
        }
        if run.conclusion() != self.finished {
            return Err(format!(
                "the run is {:?} and said {:?}",
                run.conclusion(),
                self.finished
            ));
        }
        Ok(())
    }

    /// A cancelled run: what does not want to run in it is ended, or told to end.
    fn check_cancelled(&mut self, run: &Run) -> Broken {
        if !self.cancelled || run.conclusion().is_some() {
            return Ok(());
        }
        let views: Vec<JobView<'_>> = run.jobs().collect();
        for view in views.iter().filter(|view| view.conclusion.is_none()) {
            let made = self.made_of(run, view);
            let goes_on = matches!(
                made.condition,
                MadeIf::Always | MadeIf::Failure | MadeIf::SuccessOrFailure
            ) || made.condition == MadeIf::NotCancelled && view.status == JobStatus::Waiting;
            let told = self.jobs.get(&view.id).is_some_and(|seen| seen.told_to_end);
            if !goes_on && !told {
                return Err(format!("`{}` goes on in a cancelled run", view.name));
            }
        }
        Ok(())
    }

    fn check_end(&self, run: &Run, conclusion: Conclusion) -> Broken {
        let mut results = Vec::new();
        for made in &self.made.root.jobs {
            let key = &made.key;
            let (result, _) = self
                .result_of(run, None, made)
                .ok_or_else(|| format!("`{key}` has not ended"))?;
            results.push(result);
        }
        let expected = combine(&results);
        let cut = self.cancelled && conclusion == Conclusion::Cancelled;
        if expected != conclusion && !cut {
            return Err(format!("the run ended as {conclusion:?} with jobs {results:?}"));
        }
        // Nothing stands on results that were replaced since.
        let views: Vec<JobView<'_>> = run.jobs().collect();
        for view in &views {
            for need in view.needs.iter().filter_map(|need| run.job(*need).ok()) {
                if need.attempt > view.attempt {
                    return Err(format!(
                        "`{}` of attempt {} needs one of {}",
                        view.name, view.attempt, need.attempt
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether a job's condition holds for what has happened, by the made workflow.
    fn holds(&self, run: &Run, view: &JobView<'_>) -> Result<bool, String> {
        let (workflow, made) = (self.workflow_of(run, view), self.made_of(run, view));
        let index = workflow.jobs.iter().position(|job| job.key == made.key).unwrap();
        let mut results = Vec::new();
        for ancestor in workflow.ancestors(index) {
            let ancestor = &workflow.jobs[ancestor];
            let result = self.result_of(run, view.caller, ancestor);
            let result = result
                .ok_or_else(|| format!("`{}` is decided before `{}` ended", view.name, ancestor.key))?;
            results.push(result.0);
        }
        let success = !self.cancelled && results.iter().all(|r| *r == Conclusion::Success);
        let failure = results.contains(&Conclusion::Failure);
        Ok(match made.condition {
            MadeIf::None => success,
            MadeIf::Always => true,
            MadeIf::Failure => failure,
            MadeIf::NotCancelled => !self.cancelled,
            MadeIf::SuccessOrFailure => success || failure,
            MadeIf::Never => false,
            MadeIf::OutputOf(need) => {
                let need = self.result_of(run, view.caller, &workflow.jobs[need]);
                success && need.is_some_and(|(_, outputs)| outputs.get("v").is_some_and(|v| v == "1"))
            }
        })
    }

    fn needs_of(&self, run: &Run, view: &JobView<'_>) -> Vec<(String, Option<Ended>)> {
        let (workflow, made) = (self.workflow_of(run, view), self.made_of(run, view));
        let needs = made.needs.iter().map(|need| &workflow.jobs[*need]);
        needs
            .map(|need| (need.key.clone(), self.result_of(run, view.caller, need)))
            .collect()
    }

    /// The result and the outputs of a made job in the workflow that `caller` called, when all of it has ended.
    fn result_of(&self, run: &Run, caller: Option<JobId>, made: &MadeJob) -> Option<Ended> {
        let legs = legs_of(run, caller, &made.key);
        let mut ends = Vec::new();
        for leg in &legs {
            ends.push((*leg, self.jobs.get(leg)?.end.clone()?));
        }
        ends.sort_by_key(|(leg, _)| self.ended.iter().position(|ended| ended == leg));
        let mut results = Vec::new();
        let mut outputs = BTreeMap::new();
        for (_, (conclusion, said)) in ends {
            let forgiven =
                made.continue_on_error && conclusion == Conclusion::Failure && self.was_planned(run, &legs);
            results.push(if forgiven { Conclusion::Success } else { conclusion });
            outputs.extend(said.into_iter().filter(|(_, value)| !value.is_empty()));
        }
        (!results.is_empty()).then(|| (combine(&results), outputs))
    }

    /// One that failed before its legs were known is not forgiven: its `continue-on-error` was never read.
    fn was_planned(&self, run: &Run, legs: &[JobId]) -> bool {
        legs.iter()
            .all(|leg| run.job(*leg).is_ok_and(|view| !view.labels.is_empty()))
    }

    fn sibling_failed(&self, run: &Run, view: &JobView<'_>) -> bool {
        let made = self.made_of(run, view);
        if made.matrix == Matrix::None || !made.fail_fast || made.continue_on_error {
            return false;
        }
        let legs = legs_of(run, view.caller, &made.key);
        let failed = |leg: &JobId| {
            matches!(
                self.jobs.get(leg).and_then(|s| s.end.as_ref()),
                Some((Conclusion::Failure, _))
            )
        };
        // Legs of earlier attempts stand as they are.
        let current = |leg: &JobId| run.job(*leg).is_ok_and(|leg| leg.attempt == self.attempt);
        legs.iter()
            .any(|leg| *leg != view.id && current(leg) && failed(leg))
    }

    /// Whether the calling job, or a job above it, may have been ended as a whole.
    fn caller_is_cancelled(&self, run: &Run, view: &JobView<'_>) -> bool {
        let Some(caller) = view.caller else { return false };
        let Ok(caller) = run.job(caller) else { return false };
        let cancelled = self
            .jobs
            .get(&caller.id)
            .is_some_and(|seen| seen.group_cancelled || seen.end.is_some());
        cancelled
            || caller.conclusion.is_some()
            || self.sibling_failed(run, &caller)
            || self.caller_is_cancelled(run, &caller)
    }

    fn workflow_of(&self, _run: &Run, view: &JobView<'_>) -> &MadeWorkflow {
        if view.caller.is_some() {
            &self.made.called
        } else {
            &self.made.root
        }
    }

    fn made_of(&self, run: &Run, view: &JobView<'_>) -> &MadeJob {
        self.workflow_of(run, view).job(view.key)
    }

    pub(crate) fn finished(&self) -> Option<Conclusion> {
        self.finished
    }
}

type Ended = (Conclusion, BTreeMap<String, String>);

/// The jobs that stand for a key now: those shown, and those that called.
fn legs_of(run: &Run, caller: Option<JobId>, key: &str) -> Vec<JobId> {
    let mut legs = BTreeSet::new();
    for view in run.jobs() {
        if view.caller == caller && view.key == key {
            legs.insert(view.id);
        }
        if let Some(above) = view.caller
            && let Ok(above) = run.job(above)
            && above.caller == caller
            && above.key == key
        {
            legs.insert(above.id);
        }
    }
    legs.into_iter().collect()
}

fn combine(results: &[Conclusion]) -> Conclusion {
    for worst in [Conclusion::Failure, Conclusion::Cancelled, Conclusion::Success] {
        if results.contains(&worst) {
            return worst;
        }
    }
    Conclusion::Skipped
}

/// The texts of a made workflow, by path.
pub(crate) fn texts(made: &Made) -> BTreeMap<String, String> {
    let root = (ROOT_PATH.to_owned(), made.root.text(true));
    BTreeMap::from([root, (CALLED_PATH.to_owned(), made.called.text(false))])
}
