//! The queue of jobs, their leases, and the runners. It lives here and nowhere else: no queue in memory.
//!
//! Who gets which job is decided by `engine::queue`; every change here is guarded by the fence.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    pub struct QueuedJob {
        pub job_id: i64,
        pub run_id: i64,
        pub project_id: i64,
        /// As JSON.
        pub labels: String,
        /// Empty for a job without one.
        pub environment: String,
        /// `pilotage_api::runner::JobSpec` without its secrets, as JSON.
        pub spec: String,
        pub queued_at: i64,
        /// `waiting`, `offered` (leased and not acknowledged yet) or `held`.
        pub status: String,
        /// Of its last lease; 0 before the first.
        pub fence: i64,
        pub runner: String,
        pub slot: i64,
        pub instance: String,
        pub cancel: i64,
        pub cancel_reason: String,
        /// The number of the runner's next report.
        pub next_report: i64,
    }
}

record! {
    pub struct Runner {
        pub id: i64,
        pub name: String,
        pub token_id: i64,
        pub instance: String,
        /// As JSON.
        pub labels: String,
        pub slots: i64,
        pub version: String,
        pub drain: i64,
        pub registered_at: i64,
    }
}

/// A job for the queue.
pub struct NewJob<'a> {
    pub job: i64,
    pub run: i64,
    pub project: i64,
    /// As JSON.
    pub labels: &'a str,
    pub environment: &'a str,
    /// As JSON, without secrets.
    pub spec: &'a str,
    /// The smallest fence that its lease may have.
    pub fence: i64,
}

/// Who a lease is given to.
pub struct Holder<'a> {
    pub runner: &'a str,
    pub slot: i64,
    pub instance: &'a str,
}

impl Connection {
    /// Puts a job into the queue. One that is there stays as it is.
    pub async fn enqueue(&mut self, job: &NewJob<'_>, now: i64) -> Result<()> {
        sqlx::query(
            "INSERT INTO queue (job_id, run_id, project_id, labels, environment, spec, queued_at, status, fence, runner,
                                slot, instance, cancel, cancel_reason, next_report)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', $8, '', 0, '', 0, '', 0) ON CONFLICT DO NOTHING",
        )
        .bind(job.job)
        .bind(job.run)
        .bind(job.project)
        .bind(job.labels)
        .bind(job.environment)
        .bind(job.spec)
        .bind(now)
        .bind(job.fence - 1)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    pub async fn queued_job(&mut self, job: i64) -> Result<Option<QueuedJob>> {
        Ok(sqlx::query_as("SELECT * FROM queue WHERE job_id = $1")
            .bind(job)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    /// Waiting jobs, the oldest first.
    pub async fn waiting_jobs(&mut self, limit: i64) -> Result<Vec<QueuedJob>> {
        let rows = sqlx::query_as(
            "SELECT * FROM queue WHERE status = 'waiting' ORDER BY queued_at, job_id LIMIT $1",
        );
        Ok(rows.bind(limit).fetch_all(&mut self.inner).await?)
    }

    /// Jobs that are with a runner.
    pub async fn leased_jobs(&mut self) -> Result<Vec<QueuedJob>> {
        let rows = sqlx::query_as("SELECT * FROM queue WHERE status <> 'waiting' ORDER BY job_id");
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// Gives a waiting job to a slot under its lease's fence. False if it does not wait any more.
    pub async fn offer_job(&mut self, job: i64, to: Holder<'_>, fence: i64) -> Result<bool> {
        let statement = sqlx::query(
            "UPDATE queue SET status = 'offered', fence = $5, runner = $2, slot = $3, instance = $4, next_report = 0
             WHERE job_id = $1 AND status = 'waiting' AND fence < $5",
        );
        let statement = statement
            .bind(job)
            .bind(to.runner)
            .bind(to.slot)
            .bind(to.instance)
            .bind(fence);
        Ok(statement.execute(&mut self.inner).await?.rows_affected() == 1)
    }

    /// The job's holder has accepted it. False where the fence is not the present one.
    pub async fn hold_job(&mut self, job: i64, fence: i64) -> Result<bool> {
        let statement = sqlx::query(
            "UPDATE queue SET status = 'held' WHERE job_id = $1 AND fence = $2 AND status <> 'waiting'",
        );
        Ok(statement
            .bind(job)
            .bind(fence)
            .execute(&mut self.inner)
            .await?
            .rows_affected()
            == 1)
    }

    /// Takes a job out of the queue.
    pub async fn dequeue(&mut self, job: i64) -> Result<()> {
        sqlx::query("DELETE FROM queue WHERE job_id = $1")
            .bind(job)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    /// Asks the holder of a job to cancel it.
    pub async fn ask_cancel(&mut self, job: i64, reason: &str) -> Result<()> {
        let statement = sqlx::query("UPDATE queue SET cancel = 1, cancel_reason = $2 WHERE job_id = $1");
        statement.bind(job).bind(reason).execute(&mut self.inner).await?;
        Ok(())
    }

    pub async fn set_next_report(&mut self, job: i64, next: i64) -> Result<()> {
        let statement = sqlx::query("UPDATE queue SET next_report = $2 WHERE job_id = $1");
        statement.bind(job).bind(next).execute(&mut self.inner).await?;
        Ok(())
    }

    /// Adds a runner or gives its place to a new instance of it; its drain ends.
    pub async fn register_runner(&mut self, runner: &Runner) -> Result<i64> {
        let id = match self.runner_named(&runner.name).await? {
            Some(found) => found.id,
            None => self.next_number("runner").await?,
        };
        sqlx::query(
            "INSERT INTO runners (id, name, token_id, instance, labels, slots, version, drain, registered_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)
             ON CONFLICT (id) DO UPDATE SET token_id = $3, instance = $4, labels = $5, slots = $6, version = $7,
                 drain = 0, registered_at = $8",
        )
        .bind(id)
        .bind(&runner.name)
        .bind(runner.token_id)
        .bind(&runner.instance)
        .bind(&runner.labels)
        .bind(runner.slots)
        .bind(&runner.version)
        .bind(runner.registered_at)
        .execute(&mut self.inner)
        .await?;
        Ok(id)
    }

    pub async fn runner(&mut self, id: i64) -> Result<Option<Runner>> {
        Ok(sqlx::query_as("SELECT * FROM runners WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    pub async fn runner_named(&mut self, name: &str) -> Result<Option<Runner>> {
        Ok(sqlx::query_as("SELECT * FROM runners WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    pub async fn runners(&mut self) -> Result<Vec<Runner>> {
        Ok(sqlx::query_as("SELECT * FROM runners ORDER BY name")
            .fetch_all(&mut self.inner)
            .await?)
    }

    /// False where there is no such runner.
    pub async fn set_drain(&mut self, name: &str, drain: bool) -> Result<bool> {
        let statement = sqlx::query("UPDATE runners SET drain = $2 WHERE name = $1");
        Ok(statement
            .bind(name)
            .bind(i64::from(drain))
            .execute(&mut self.inner)
            .await?
            .rows_affected()
            == 1)
    }
}
