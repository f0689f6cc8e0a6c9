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

impl Connection {
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
        now: i64,
    ) -> Result<()> {
        self.touch_environment(project, name, now).await?;
        sqlx::query(
            "UPDATE environments SET locked_by = $3, lock_reason = $4 WHERE project_id = $1 AND name = $2",
        )
        .bind(project)
        .bind(name)
        .bind(by)
        .bind(reason)
        .execute(&mut self.inner)
        .await?;
        Ok(())
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
