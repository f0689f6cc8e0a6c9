//! What a run asks for, done in the store. Each effect, what it came to and that it is done is one transaction, so
//! doing it after a crash does it once.

use super::run::{from_text, to_text};
use super::{GROUPS, ONLY, Turn};
use pilotage_engine::concurrency::{Answer, Ask, Groups};
use pilotage_engine::ids::ProjectId;
use pilotage_engine::run::{EffectKind, RunEffect, RunEvent};
use pilotage_store::{EffectRow, NewJob, Result, Run};

impl Turn<'_> {
    pub(super) async fn perform_run_effect(&mut self, row: EffectRow) -> Result<()> {
        let effect: RunEffect = from_text("an effect of a run", &row.effect)?;
        if matches!(
            effect.kind,
            EffectKind::Queue { .. } | EffectKind::CancelJob { .. }
        ) {
            self.touch_queue();
        }
        let Some(run) = self.c.run(row.id).await? else {
            return self.c.effect_done(&row.kind, row.id, row.seq, self.now).await;
        };
        match effect.kind {
            EffectKind::Queue {
                job,
                fence,
                mut labels,
                group,
                environment,
                spec,
                attempt: _,
            } => {
                // A runner of a group has that as a label: `pilotage runner start --label group:NAME`.
                labels.extend(group.map(|group| format!("group:{group}")));
                let new = NewJob {
                    job: job.0,
                    run: run.id,
                    project: run.project_id,
                    labels: &to_text(&labels)?,
                    environment: environment.as_deref().unwrap_or_default(),
                    spec: &to_text(&spec)?,
                    fence: i64::try_from(fence.0).unwrap_or(i64::MAX),
                };
                self.c.enqueue(&new, self.now).await?;
            }
            EffectKind::CancelJob { job, reason } => self.cancel_job(job.0, &reason).await?,
            EffectKind::AskEnvironment {
                job,
                environment,
                deployment: _,
            } => {
                self.ask_environment(&run, job.0, &environment).await?;
            }
            EffectKind::WithdrawEnvironment { job, .. } => self.c.delete_wait(job.0).await?,
            EffectKind::AskConcurrency {
                holder,
                group,
                cancel_in_progress,
                queue_max,
            } => {
                let project = ProjectId(run.project_id);
                let ask = Ask {
                    project,
                    group,
                    holder,
                    cancel_in_progress,
                    queue_max,
                };
                self.groups(|groups| groups.ask(&ask)).await?;
            }
            EffectKind::ReleaseConcurrency { holder, group } => {
                self.groups(|groups| groups.release(ProjectId(run.project_id), &group, holder))
                    .await?;
            }
            EffectKind::JobFinished { job, .. } => self.end_job(job.0).await?,
            EffectKind::JobSkipped { .. } | EffectKind::RunFinished { .. } => {}
        }
        self.c.effect_done(&row.kind, row.id, row.seq, self.now).await
    }

    /// A job that nobody has is taken out of the queue; of one that runs, its runner is told.
    async fn cancel_job(&mut self, job: i64, reason: &str) -> Result<()> {
        match self.c.queued_job(job).await? {
            Some(queued) if queued.status == "waiting" => self.c.dequeue(job).await,
            Some(_) => self.c.ask_cancel(job, reason).await,
            None => Ok(()),
        }
    }

    async fn ask_environment(&mut self, run: &Run, job: i64, environment: &str) -> Result<()> {
        self.c
            .touch_environment(run.project_id, environment, self.now)
            .await?;
        self.c
            .add_wait(job, run.id, run.project_id, environment, self.now)
            .await?;
        self.decide_wait(job).await
    }

    /// Changes the groups and gives their answers to the runs that they are for.
    async fn groups(&mut self, change: impl FnOnce(&mut Groups) -> Vec<Answer>) -> Result<()> {
        let row = self.c.machine(GROUPS, ONLY).await?;
        let mut groups: Groups = match &row {
            Some(row) => from_text("the concurrency groups", &row.state)?,
            None => Groups::default(),
        };
        let answers = change(&mut groups);
        let state = to_text(&groups)?;
        if row.is_none_or(|row| row.state != state) {
            self.c.put_machine(GROUPS, ONLY, &state, None).await?;
        }
        for Answer {
            holder,
            group,
            answer,
        } in answers
        {
            let event = RunEvent::ConcurrencyAnswer {
                holder,
                group,
                answer,
            };
            if let Err(refused) = self.run_event(holder.run.0, event).await? {
                tracing::warn!(
                    run.id = holder.run.0,
                    "a concurrency group's answer is of no use: {refused}"
                );
            }
        }
        Ok(())
    }
}
