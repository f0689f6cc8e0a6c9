//! What is true of every run at every time.

use super::Run;
use super::state::{JobState, NodeState, RunState, combined};
use crate::ids::JobId;

impl Run {
    /// Checks the whole run; the error says what is broken. The simulators call it after every event, and
    /// [`Run::handle`] in every build that is not release.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.check_places()?;
        for frame in (0..self.frames.len()).filter(|frame| self.is_live(*frame)) {
            for node in 0..self.frames[frame].nodes.len() {
                self.check_node(frame, node)?;
            }
        }
        self.check_end()
    }

    fn check_places(&self) -> Result<(), String> {
        let frames = self
            .parsed
            .as_ref()
            .map_or(self.frames.len(), |parsed| parsed.workflows.len());
        if frames != self.frames.len() || self.frames.is_empty() {
            return Err(format!("{} frames for {frames} workflows", self.frames.len()));
        }
        if self.jobs.len() > usize::try_from(JobId::PER_RUN).unwrap_or(usize::MAX) {
            return Err(format!(
                "{} jobs do not fit into the ids of a run",
                self.jobs.len()
            ));
        }
        let past = u32::try_from(self.past.len()).unwrap_or(u32::MAX);
        if past + 1 != self.attempt {
            return Err(format!("attempt {} after {past} others", self.attempt));
        }
        for (place, job) in self.jobs.iter().enumerate() {
            let nodes = self.frames.get(job.frame).map(|frame| frame.nodes.len());
            if nodes.is_none_or(|nodes| job.node >= nodes) || job.attempt > self.attempt {
                return Err(format!("job {place} stands nowhere"));
            }
        }
        for (place, frame) in self.frames.iter().enumerate() {
            let caller_comes_first = frame
                .caller
                .is_none_or(|c| self.jobs.get(c).is_some_and(|j| j.frame < place));
            let jobs_exist = frame
                .nodes
                .iter()
                .all(|n| !n.jobs.is_empty() && n.jobs.iter().all(|j| *j < self.jobs.len()));
            if !caller_comes_first || !jobs_exist {
                return Err(format!("frame {place} stands nowhere"));
            }
        }
        Ok(())
    }

    fn check_node(&self, frame: usize, place: usize) -> Result<(), String> {
        let node = &self.frames[frame].nodes[place];
        let key = &node.key;
        let jobs = || node.jobs.iter().map(|job| &self.jobs[*job]);
        match node.state {
            NodeState::Waiting => {
                if let Some(job) = jobs().find(|job| job.state != JobState::Waiting) {
                    return Err(format!(
                        "`{key}` waits for its needs, and `{}` does not",
                        job.name
                    ));
                }
            }
            NodeState::Active => {
                let waits = jobs().any(|job| job.state == JobState::Waiting);
                if waits && jobs().any(|job| !job.is_done() && job.state != JobState::Waiting) {
                    return Err(format!("`{key}` is decided in part"));
                }
            }
            NodeState::Done(result) => {
                if !jobs().all(|job| job.is_done()) {
                    return Err(format!("`{key}` is done, and a job of it is not"));
                }
                if combined(jobs().filter_map(|job| job.result())) != result {
                    return Err(format!("`{key}` has a result that its jobs do not have"));
                }
            }
        }
        let begun = jobs().any(|job| job.takes_place());
        if begun && !self.needs_are_done(frame, place) {
            return Err(format!("`{key}` has begun before its needs were done"));
        }
        if node
            .max_parallel
            .is_some_and(|max| jobs().filter(|job| job.takes_place()).count() > max)
        {
            return Err(format!("`{key}` has more jobs at once than its max-parallel"));
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), String> {
        match self.state {
            RunState::Done { .. } => {
                if let Some(job) = self.jobs.iter().find(|job| !job.is_done()) {
                    return Err(format!("the run is done, and `{}` is not", job.name));
                }
            }
            RunState::Held { .. } => {
                if let Some(job) = self
                    .attempt_jobs()
                    .map(|j| &self.jobs[j])
                    .find(|job| job.takes_place())
                {
                    return Err(format!(
                        "the run waits for its group, and `{}` does not",
                        job.name
                    ));
                }
            }
            RunState::Active => {
                let moves = |job: usize| {
                    matches!(
                        self.jobs[job].state,
                        JobState::Gate { .. } | JobState::Queued { .. } | JobState::Running { .. }
                    )
                };
                if !self.attempt_jobs().any(moves) {
                    return Err("the run goes on, and nothing in it can".to_owned());
                }
            }
        }
        Ok(())
    }
}
