//! Leases: which job a slot gets, and what becomes of a job whose runner falls silent.

use super::run::{from_text, to_text};
use super::{LEASES, ONLY, Turn};
use pilotage_engine::ids::{Fence, JobId, ProjectId, SlotId};
use pilotage_engine::lease::{LeaseEffect, LeaseError, LeaseEvent, Leases};
use pilotage_engine::queue::{self, WaitingJob};
use pilotage_engine::run::RunEvent;
use pilotage_engine::time::Timestamp;
use pilotage_store::{Connection, Holder, QueuedJob, Result, Runner, StoreError};
use std::collections::BTreeMap;

/// How many waiting jobs are looked at for one slot.
const LOOK_AT: i64 = 500;

/// A job for a slot.
pub struct Offer {
    pub job: QueuedJob,
    pub fence: i64,
}

impl Turn<'_> {
    /// Gives a free slot of a runner the job that it should have. None where there is nothing for it.
    pub async fn offer(&mut self, runner: &Runner, slot: u32) -> Result<Option<Offer>> {
        let jobs = self.c.waiting_jobs(LOOK_AT).await?;
        let mut leases = self.leases().await?;
        let slot = SlotId {
            runner: runner.name.clone(),
            slot,
        };
        // A slot that asks has nothing: what the server still thinks of it was lost on the way.
        let stale = leases
            .iter()
            .find(|lease| lease.slot == slot)
            .map(|lease| (lease.job, lease.fence));
        if let Some((job, fence)) = stale {
            self.give_up(&mut leases, job, fence, "its runner asked for other work")
                .await?;
            self.store_leases(&leases).await?;
        }
        let Some(job) = choose(&jobs, runner, &running(self.c).await?)? else {
            return Ok(None);
        };
        let floor = Fence(u64::try_from(job.fence + 1).unwrap_or_default());
        let grant = LeaseEvent::Grant {
            job: JobId(job.job_id),
            slot: slot.clone(),
            floor,
        };
        let granted = leases.handle(Timestamp(self.now), grant);
        let Ok([LeaseEffect::Granted(lease)]) = granted.as_deref() else {
            return Ok(None);
        };
        let fence = i64::try_from(lease.fence.0).unwrap_or(i64::MAX);
        let holder = Holder {
            runner: &slot.runner,
            slot: i64::from(slot.slot),
            instance: &runner.instance,
        };
        if !self.c.offer_job(job.job_id, holder, fence).await? {
            return Ok(None);
        }
        self.store_leases(&leases).await?;
        let event = RunEvent::Leased {
            job: JobId(job.job_id),
            fence: lease.fence,
            runner: slot.runner,
        };
        if let Err(refused) = self.run_event(job.run_id, event).await? {
            tracing::warn!(job.id = job.job_id, "a lease is of no use: {refused}");
            return Err(StoreError::Damaged {
                what: format!("run {}", job.run_id),
            });
        }
        Ok(Some(Offer { job, fence }))
    }

    /// The runner accepts the job, or is heard of again. False where the lease has ended.
    pub async fn hear_of(&mut self, job: i64, fence: i64, acknowledge: bool) -> Result<bool> {
        let mut leases = self.leases().await?;
        let (job_id, number) = (JobId(job), Fence(u64::try_from(fence).unwrap_or_default()));
        let event = if acknowledge {
            LeaseEvent::Acknowledge {
                job: job_id,
                fence: number,
            }
        } else {
            LeaseEvent::Renew {
                job: job_id,
                fence: number,
            }
        };
        let first = acknowledge && leases.get(job_id).is_some_and(|lease| !lease.acknowledged);
        if leases.handle(Timestamp(self.now), event).is_err() {
            return Ok(false);
        }
        self.store_leases(&leases).await?;
        if first {
            self.c.hold_job(job, fence).await?;
            let event = RunEvent::Started {
                job: job_id,
                fence: number,
            };
            if let Err(refused) = self.run_event(job_id.run().0, event).await? {
                tracing::warn!(job.id = job, "a start is of no use: {refused}");
            }
        }
        Ok(true)
    }

    /// A new instance of a runner is there: what an earlier one held is lost.
    pub async fn lose_instance(&mut self, runner: &str) -> Result<()> {
        let mut leases = self.leases().await?;
        let held: Vec<_> = leases
            .iter()
            .filter(|lease| lease.slot.runner == runner)
            .map(|lease| (lease.job, lease.fence))
            .collect();
        for (job, fence) in &held {
            self.give_up(&mut leases, *job, *fence, "its runner was restarted")
                .await?;
        }
        if held.is_empty() {
            Ok(())
        } else {
            self.store_leases(&leases).await
        }
    }

    /// Looks which leases have run out.
    pub(super) async fn wake_leases(&mut self) -> Result<()> {
        self.lease_event(LeaseEvent::Wake).await
    }

    /// The server was away and could hear nobody.
    pub async fn resume_leases(&mut self) -> Result<()> {
        self.lease_event(LeaseEvent::Resumed).await
    }

    async fn lease_event(&mut self, event: LeaseEvent) -> Result<()> {
        let mut leases = self.leases().await?;
        let effects = leases.handle(Timestamp(self.now), event).unwrap_or_default();
        self.store_leases(&leases).await?;
        for effect in effects {
            match effect {
                LeaseEffect::JobLost {
                    job,
                    fence,
                    started,
                    reason,
                } => self.lost(job, fence, started, reason).await?,
                LeaseEffect::Suspicious { silent, of, .. } => {
                    tracing::warn!(
                        silent,
                        of,
                        "{silent} of {of} runners fell silent at once: no job is given up for now"
                    );
                }
                LeaseEffect::Granted(_) => {}
            }
        }
        Ok(())
    }

    /// Ends a job's lease, its place in the queue and its token, when the job is over.
    pub async fn end_job(&mut self, job: i64) -> Result<()> {
        self.touch_queue();
        let mut leases = self.leases().await?;
        let fence = leases.get(JobId(job)).map(|lease| lease.fence);
        if let Some(fence) = fence {
            release(&mut leases, self.now, JobId(job), fence);
            self.store_leases(&leases).await?;
        }
        self.c.dequeue(job).await?;
        self.c.end_steps(job).await?;
        self.c.delete_wait(job).await?;
        self.c.delete_job_tokens(job).await
    }

    async fn give_up(&mut self, leases: &mut Leases, job: JobId, fence: Fence, reason: &str) -> Result<()> {
        let started = leases.get(job).is_some_and(|lease| lease.acknowledged);
        release(leases, self.now, job, fence);
        self.lost(job, fence, started, reason.to_owned()).await
    }

    async fn lost(&mut self, job: JobId, fence: Fence, started: bool, reason: String) -> Result<()> {
        self.touch_queue();
        self.c.dequeue(job.0).await?;
        self.c.delete_job_tokens(job.0).await?;
        if let Err(refused) = self
            .run_event(
                job.run().0,
                RunEvent::Lost {
                    job,
                    fence,
                    started,
                    reason,
                },
            )
            .await?
        {
            tracing::warn!(job.id = job.0, "a loss is of no use: {refused}");
        }
        Ok(())
    }

    async fn leases(&mut self) -> Result<Leases> {
        match self.c.machine(LEASES, ONLY).await? {
            Some(row) => from_text("the leases", &row.state),
            None => Ok(Leases::default()),
        }
    }

    async fn store_leases(&mut self, leases: &Leases) -> Result<()> {
        self.c
            .put_machine(LEASES, ONLY, &to_text(leases)?, leases.deadline().map(|at| at.0))
            .await
    }
}

fn release(leases: &mut Leases, now: i64, job: JobId, fence: Fence) {
    let end: Result<_, LeaseError> = leases.handle(Timestamp(now), LeaseEvent::Release { job, fence });
    if let Err(error) = end {
        tracing::debug!("nothing to let go: {error}");
    }
}

/// How many jobs each project has running.
async fn running(c: &mut Connection) -> Result<BTreeMap<ProjectId, usize>> {
    let mut running = BTreeMap::new();
    for job in c.leased_jobs().await? {
        *running.entry(ProjectId(job.project_id)).or_default() += 1;
    }
    Ok(running)
}

/// The waiting job that a free slot of this runner gets.
fn choose(
    jobs: &[QueuedJob],
    runner: &Runner,
    running: &BTreeMap<ProjectId, usize>,
) -> Result<Option<QueuedJob>> {
    let waiting = jobs
        .iter()
        .map(|job| {
            Ok(WaitingJob {
                job: JobId(job.job_id),
                project: ProjectId(job.project_id),
                queued_at: Timestamp(job.queued_at),
                labels: from_text("the labels of a job", &job.labels)?,
                group: None,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let runner = engine_runner(runner, 1, 0)?;
    let assigned = queue::assign(&waiting, &[runner], running);
    Ok(assigned
        .first()
        .and_then(|a| jobs.iter().find(|job| job.job_id == a.job.0))
        .cloned())
}

/// A runner in the engine's words.
pub fn engine_runner(runner: &Runner, slots: u32, busy: u32) -> Result<queue::Runner> {
    Ok(queue::Runner {
        name: runner.name.clone(),
        labels: from_text("the labels of a runner", &runner.labels)?,
        group: None,
        slots,
        busy,
        online: true,
        draining: runner.drain != 0,
    })
}
