//! Whether a job may go to its environment: the server's rules, and what reviewers said.

use super::Turn;
use super::run::from_text;
use pilotage_api::rest;
use pilotage_engine::deployment::Floor;
use pilotage_engine::ids::JobId;
use pilotage_engine::policy::{self, Approval, Direction, Lock, Request, Rules};
use pilotage_engine::run::{EnvironmentAnswer, RunEvent};
use pilotage_engine::time::Timestamp;
use pilotage_store::{Environment, Result, Run, Wait};
use std::time::Duration;

/// An environment's rules in the engine's words.
pub fn rules(environment: &Environment) -> Result<Rules> {
    let rules: rest::Rules = from_text("the rules of an environment", &environment.rules)?;
    let lock = (!environment.locked_by.is_empty()).then(|| Lock {
        by: environment.locked_by.clone(),
        reason: environment.lock_reason.clone(),
    });
    Ok(Rules {
        branches: rules.branches,
        tags: rules.tags,
        reviewers: rules.reviewers,
        approvals: rules.approvals,
        self_approval: rules.self_approval,
        wait: Duration::from_secs(rules.wait_timer_s),
        lock,
        freezes: Vec::new(),
        origin: (!environment.rules_by.is_empty()).then(|| format!("set by {}", environment.rules_by)),
    })
}

/// What the server demands of deployments to an environment.
pub fn floor(environment: &Environment) -> Result<Floor> {
    let rules: rest::Rules = from_text("the rules of an environment", &environment.rules)?;
    Ok(Floor {
        guard_required: rules.guard_required,
    })
}

/// What a job of a run asks of its environment.
#[must_use]
pub fn request(wait: &Wait, run: &Run) -> Request {
    Request {
        environment: wait.environment.clone(),
        git_ref: run.r#ref.clone(),
        subject: run.sha.clone(),
        actor: run.actor.clone(),
        asked_at: Timestamp(wait.asked_at),
        direction: Direction::Forward,
    }
}

impl Turn<'_> {
    /// Asks the rules about a job that waits, and tells its run what they say.
    pub async fn decide_wait(&mut self, job: i64) -> Result<()> {
        let Some(wait) = self.c.wait(job).await?.filter(|wait| wait.status == "waiting") else {
            return Ok(());
        };
        let Some(run) = self.c.run(wait.run_id).await? else {
            return self.c.delete_wait(job).await;
        };
        let environment = self
            .c
            .touch_environment(wait.project_id, &wait.environment, self.now)
            .await?;
        let said = self.c.approvals("run", run.id).await?;
        let approvals: Vec<Approval> = said
            .into_iter()
            .filter(|approval| approval.environment == wait.environment)
            .map(|approval| Approval {
                by: approval.by_whom,
                subject: approval.sha,
                approved: approval.verdict == "approved",
                at: Timestamp(approval.at),
                comment: approval.reason,
            })
            .collect();
        let rules = rules(&environment)?;
        let decision = policy::decide(Timestamp(self.now), &[&rules], &request(&wait, &run), &approvals);
        let (status, reason) = match &decision.answer {
            EnvironmentAnswer::Granted => ("granted", ""),
            EnvironmentAnswer::Waiting { reason } => ("waiting", reason.as_str()),
            EnvironmentAnswer::Refused { reason } => ("refused", reason.as_str()),
        };
        self.c
            .set_wait(job, status, reason, decision.again_at.map(|at| at.0))
            .await?;
        if status == "waiting" {
            if reason == wait.reason {
                return Ok(());
            }
            self.note_wait(&wait, &run, reason).await?;
        }
        let event = RunEvent::EnvironmentAnswer {
            job: JobId(job),
            answer: decision.answer,
        };
        if let Err(refused) = self.run_event(wait.run_id, event).await? {
            tracing::warn!(job.id = job, "an environment's answer is of no use: {refused}");
        }
        Ok(())
    }

    /// A lock's time is over: what waited for it goes on.
    pub async fn end_lock(&mut self, locked: &Environment) -> Result<()> {
        let (project, name) = (locked.project_id, locked.name.as_str());
        self.c.set_lock(project, name, "", "", None).await?;
        if let Some(project) = self.c.project_by_id(project).await? {
            let subject = format!("{}/{name}", project.path());
            let detail = serde_json::json!({"why": "its time is over", "locked_by": locked.locked_by});
            self.c
                .add_audit(
                    self.now,
                    "pilotage",
                    "environment.unlock",
                    &subject,
                    &detail.to_string(),
                )
                .await?;
        }
        self.decide_waits(project, name).await
    }

    /// Asks again for every job and every deployment that waits for an environment.
    pub async fn decide_waits(&mut self, project: i64, environment: &str) -> Result<()> {
        for wait in self.c.waits(project, environment).await? {
            self.decide_wait(wait.job_id).await?;
        }
        self.decide_deployments(project, environment).await
    }
}
