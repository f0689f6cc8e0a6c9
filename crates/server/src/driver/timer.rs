//! The one timer: deadlines of machines, leases and waits, all of them stored.

use super::deployment::DEPLOYMENT;
use super::{Driver, LEASES, RUN, Turn};
use pilotage_engine::run::RunEvent;
use pilotage_store::Result;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Looked at least this often, for a system clock that was moved.
const SLEEP_MS_MAX: i64 = 60_000;
/// How long what was due, and still is, is left alone.
const AGAIN_MS: i64 = 20;

impl Driver {
    /// Wakes whatever has come to its deadline, until it is dropped.
    pub async fn run_timer(&self) {
        loop {
            let woken = self.wakes.timer.notified();
            let sleep_ms = match self.fire_due().await {
                Ok(next) => next
                    .map_or(SLEEP_MS_MAX, |at| at - self.clock.now())
                    .clamp(0, SLEEP_MS_MAX),
                Err(error) => {
                    crate::error::log("deadlines cannot be looked at; tried again in a second", &error);
                    1000
                }
            };
            let sleep = Duration::from_millis(u64::try_from(sleep_ms).unwrap_or_default());
            let _ = tokio::time::timeout(sleep, woken).await;
        }
    }

    /// Fires what is due; gives when the next one is.
    pub async fn fire_due(&self) -> Result<Option<i64>> {
        // No job is lost because there was no room to write down that its runner is alive.
        if self.deaf.swap(false, Ordering::Relaxed) {
            self.turn(|mut turn| Box::pin(async move { turn.resume_leases().await }))
                .await?;
        }
        let now = self.clock.now();
        let first = self.first_deadline().await?;
        if first.is_none_or(|at| at > now) {
            return Ok(first);
        }
        self.turn(|mut turn| Box::pin(async move { turn.fire().await }))
            .await?;
        // Whatever is still due then is asked again later, not at once and for ever.
        Ok(self.first_deadline().await?.map(|at| at.max(now + AGAIN_MS)))
    }

    async fn first_deadline(&self) -> Result<Option<i64>> {
        let mut c = self.store.read().await?;
        let (deadline, wait) = (c.next_deadline().await?, c.next_wait().await?);
        let unlock = c.next_unlock().await?;
        Ok(deadline.into_iter().chain(wait).chain(unlock).min())
    }
}

impl Turn<'_> {
    async fn fire(&mut self) -> Result<()> {
        for (kind, id) in self.c.due_machines(self.now).await? {
            match kind.as_str() {
                LEASES => self.wake_leases().await?,
                DEPLOYMENT => self.wake_deployment(id).await?,
                RUN => {
                    if let Err(refused) = self.run_event(id, RunEvent::Wake).await? {
                        tracing::error!(
                            run.id = id,
                            "run {id} cannot be woken, and is not any more: {refused}"
                        );
                        self.c.clear_deadline(RUN, id).await?;
                    }
                }
                _ => {
                    tracing::error!(machine.kind = %kind, "a machine of an unknown kind, `{kind}`, has a deadline");
                    self.c.clear_deadline(&kind, id).await?;
                }
            }
        }
        for wait in self.c.due_waits(self.now).await? {
            self.decide_wait(wait.job_id).await?;
        }
        for locked in self.c.ended_locks(self.now).await? {
            self.end_lock(&locked).await?;
        }
        Ok(())
    }
}
