//! Environments as the server rules them: their rules, their lock, and the approvals that were given.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    pub struct Environment {
        pub project_id: i64,
        pub name: String,
        /// As JSON, in the form of `engine::policy`.
        pub rules: String,
        pub rules_by: String,
        pub rules_at: i64,
        /// Empty while nobody holds it.
        pub locked_by: String,
        pub lock_reason: String,
        /// When it goes by itself.
        pub locked_until: Option<i64>,
        pub created_at: i64,
    }
}

record! {
    /// What a person said about one thing that waited for it.
    pub struct Approval {
        pub id: i64,
        pub project_id: i64,
        pub environment: String,
        /// The machine that waits: `run` or `deployment`, and its number.
        pub machine: String,
        pub machine_id: i64,
        pub job_id: Option<i64>,
        pub sha: String,
        pub digest: String,
        /// `approved` or `rejected`.
        pub verdict: String,
        pub by_whom: String,
        pub reason: String,
        pub at: i64,
    }
}

record! {
    /// A job that asked for its environment.
    pub struct Wait {
        pub job_id: i64,
        pub run_id: i64,
        pub project_id: i64,
        pub environment: String,
        pub asked_at: i64,
        /// `waiting`, `granted` or `refused`.
        pub status: String,
        pub reason: String,
        /// When to ask again though nothing else happened.
        pub again_at: Option<i64>,
    }
}

impl Connection {
    /// Adds a wait. One that is there stays as it is.
    pub async fn add_wait(
        &mut self,
        job: i64,
        run: i64,
        project: i64,
        environment: &str,
        now: i64,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO waits (job_id, run_id, project_id, environment, asked_at, status, reason)
             VALUES ($1, $2, $3, $4, $5, 'waiting', '') ON CONFLICT DO NOTHING",
        )
        .bind(job)
        .bind(run)
        .bind(project)
        .bind(environment)
        .bind(now)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    pub async fn wait(&mut self, job: i64) -> Result<Option<Wait>> {
        Ok(sqlx::query_as("SELECT * FROM waits WHERE job_id = $1")
            .bind(job)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    /// Jobs that wait for an environment, the oldest first.
    pub async fn waits(&mut self, project: i64, environment: &str) -> Result<Vec<Wait>> {
        let rows = sqlx::query_as(
            "SELECT * FROM waits WHERE project_id = $1 AND environment = $2 AND status = 'waiting' ORDER BY job_id",
        );
        Ok(rows
            .bind(project)
            .bind(environment)
            .fetch_all(&mut self.inner)
            .await?)
    }

    pub async fn set_wait(
        &mut self,
        job: i64,
        status: &str,
        reason: &str,
        again_at: Option<i64>,
    ) -> Result<()> {
        let statement =
            sqlx::query("UPDATE waits SET status = $2, reason = $3, again_at = $4 WHERE job_id = $1");
        statement
            .bind(job)
            .bind(status)
            .bind(reason)
            .bind(again_at)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    pub async fn delete_wait(&mut self, job: i64) -> Result<()> {
        sqlx::query("DELETE FROM waits WHERE job_id = $1")
            .bind(job)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    /// Waits that are to be looked at again.
    pub async fn due_waits(&mut self, now: i64) -> Result<Vec<Wait>> {
        let rows =
            sqlx::query_as("SELECT * FROM waits WHERE again_at <= $1 ORDER BY again_at LIMIT 100").bind(now);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    pub async fn next_wait(&mut self) -> Result<Option<i64>> {
        let row = sqlx::query_scalar("SELECT MIN(again_at) FROM waits WHERE again_at IS NOT NULL");
        Ok(row.fetch_one(&mut self.inner).await?)
    }

    /// The environment of that name; made, without rules, if it is new.
    pub async fn touch_environment(&mut self, project: i64, name: &str, now: i64) -> Result<Environment> {
        sqlx::query(
            "INSERT INTO environments (project_id, name, rules, rules_by, rules_at, locked_by, lock_reason, created_at)
             VALUES ($1, $2, '{}', '', $3, '', '', $3) ON CONFLICT DO NOTHING",
        )
        .bind(project)
        .bind(name)
        .bind(now)
        .execute(&mut self.inner)
        .await?;
        let row = sqlx::query_as("SELECT * FROM environments WHERE project_id = $1 AND name = $2");
        Ok(row.bind(project).bind(name).fetch_one(&mut self.inner).await?)
    }

    pub async fn environment(&mut self, project: i64, name: &str) -> Result<Option<Environment>> {
        let row = sqlx::query_as("SELECT * FROM environments WHERE project_id = $1 AND name = $2");
        Ok(row
            .bind(project)
            .bind(name)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    pub async fn environments(&mut self, project: i64) -> Result<Vec<Environment>> {
        let rows =
            sqlx::query_as("SELECT * FROM environments WHERE project_id = $1 ORDER BY name").bind(project);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    pub async fn set_rules(
        &mut self,
        project: i64,
        name: &str,
        rules: &str,
        by: &str,
        now: i64,
    ) -> Result<()> {
        self.touch_environment(project, name, now).await?;
        sqlx::query("UPDATE environments SET rules = $3, rules_by = $4, rules_at = $5 WHERE project_id = $1 AND name = $2")
            .bind(project)
            .bind(name)
            .bind(rules)
            .bind(by)
            .bind(now)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    /// Locks an environment, or (empty `by`) unlocks it.
    pub async fn set_lock(
        &mut self,
        project: i64,
        name: &str,
        by: &str,
        reason: &str,
        until: Option<i64>,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE environments SET locked_by = $3, lock_reason = $4, locked_until = $5
             WHERE project_id = $1 AND name = $2",
        )
        .bind(project)
        .bind(name)
        .bind(by)
        .bind(reason)
        .bind(until)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// Environments whose locks are over their time.
    pub async fn ended_locks(&mut self, now: i64) -> Result<Vec<Environment>> {
        let rows =
            sqlx::query_as("SELECT * FROM environments WHERE locked_until <= $1 ORDER BY locked_until");
        Ok(rows.bind(now).fetch_all(&mut self.inner).await?)
    }

    /// When the next lock goes by itself.
    pub async fn next_unlock(&mut self) -> Result<Option<i64>> {
        let row =
            sqlx::query_scalar("SELECT MIN(locked_until) FROM environments WHERE locked_until IS NOT NULL");
        Ok(row.fetch_one(&mut self.inner).await?)
    }

    /// The id given is not looked at.
    pub async fn add_approval(&mut self, approval: &Approval) -> Result<i64> {
        let id = self.next_number("approval").await?;
        sqlx::query(
            "INSERT INTO approvals (id, project_id, environment, machine, machine_id, job_id, sha, digest, verdict,
                                    by_whom, reason, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(id)
        .bind(approval.project_id)
        .bind(&approval.environment)
        .bind(&approval.machine)
        .bind(approval.machine_id)
        .bind(approval.job_id)
        .bind(&approval.sha)
        .bind(&approval.digest)
        .bind(&approval.verdict)
        .bind(&approval.by_whom)
        .bind(&approval.reason)
        .bind(approval.at)
        .execute(&mut self.inner)
        .await?;
        Ok(id)
    }

    /// What was said about a run's or a deployment's waits, the oldest first.
    pub async fn approvals(&mut self, machine: &str, id: i64) -> Result<Vec<Approval>> {
        let rows =
            sqlx::query_as("SELECT * FROM approvals WHERE machine = $1 AND machine_id = $2 ORDER BY id");
        Ok(rows.bind(machine).bind(id).fetch_all(&mut self.inner).await?)
    }
}
