//! Deployments as they are listed, what stands in each environment, and the releases that nobody may deploy.
//!
//! The machine of a deployment that has begun lies with the others (`machine`); its row here is what people list.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    pub struct Deployment {
        pub id: i64,
        pub project_id: i64,
        pub environment: String,
        pub release_id: i64,
        /// The release that was live when it began.
        pub previous_id: Option<i64>,
        pub run_id: Option<i64>,
        pub job_id: Option<i64>,
        pub actor: String,
        /// (run, job, environment, digest), or empty for one that a person asked for.
        pub idempotency: String,
        /// The machine's state in a word; `queued` before it begins.
        pub status: String,
        /// How it ended, once it has.
        pub result: Option<String>,
        /// Why it stands where it stands.
        pub reason: String,
        pub created_at: i64,
        pub ended_at: Option<i64>,
        /// `deploy` or `rollback`.
        pub kind: String,
        /// The release's name in this environment; empty before it begins.
        pub revision: String,
    }
}

record! {
    /// What stands in an environment.
    pub struct Standing {
        pub project_id: i64,
        pub environment: String,
        pub deployment_id: i64,
        pub release_id: i64,
        /// The engine's `Standing` as JSON.
        pub standing: String,
        pub proven: i64,
        pub at: i64,
    }
}

record! {
    pub struct Quarantined {
        pub project_id: i64,
        pub digest: String,
        pub revision: String,
        pub environment: String,
        pub deployment_id: i64,
        pub reason: String,
        pub at: i64,
    }
}

record! {
    /// A deployment on the axis of time.
    pub struct RecentDeployment {
        pub id: i64,
        /// `deploy` or `rollback`.
        pub kind: String,
        pub result: Option<String>,
        pub created_at: i64,
        pub ended_at: Option<i64>,
    }
}

impl Connection {
    /// [`crate::StoreError::Exists`] where one with that idempotency key is there. The id given is not looked at.
    pub async fn add_deployment(&mut self, row: &Deployment) -> Result<i64> {
        let id = self.next_number("deployment").await?;
        sqlx::query(
            "INSERT INTO deployments (id, project_id, environment, release_id, previous_id, run_id, job_id, actor,
                                      idempotency, status, result, reason, created_at, ended_at, kind, revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(id)
        .bind(row.project_id)
        .bind(&row.environment)
        .bind(row.release_id)
        .bind(row.previous_id)
        .bind(row.run_id)
        .bind(row.job_id)
        .bind(&row.actor)
        .bind(&row.idempotency)
        .bind(&row.status)
        .bind(&row.result)
        .bind(&row.reason)
        .bind(row.created_at)
        .bind(row.ended_at)
        .bind(&row.kind)
        .bind(&row.revision)
        .execute(&mut self.inner)
        .await?;
        Ok(id)
    }

    /// Writes what changes while it runs.
    pub async fn update_deployment(&mut self, row: &Deployment) -> Result<()> {
        sqlx::query(
            "UPDATE deployments SET previous_id = $2, status = $3, result = $4, reason = $5, ended_at = $6,
                                    revision = $7 WHERE id = $1",
        )
        .bind(row.id)
        .bind(row.previous_id)
        .bind(&row.status)
        .bind(&row.result)
        .bind(&row.reason)
        .bind(row.ended_at)
        .bind(&row.revision)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    pub async fn deployment(&mut self, id: i64) -> Result<Option<Deployment>> {
        let row = sqlx::query_as("SELECT * FROM deployments WHERE id = $1").bind(id);
        Ok(row.fetch_optional(&mut self.inner).await?)
    }

    pub async fn deployment_by_key(&mut self, idempotency: &str) -> Result<Option<Deployment>> {
        let row = sqlx::query_as("SELECT * FROM deployments WHERE idempotency = $1 AND idempotency <> ''");
        Ok(row.bind(idempotency).fetch_optional(&mut self.inner).await?)
    }

    /// Of a project, and of one environment where that is not empty; the newest first, with smaller numbers
    /// than `before`.
    pub async fn deployments(
        &mut self,
        project: i64,
        environment: &str,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Deployment>> {
        // Two statements: each finds the newest by its own index.
        let rows = sqlx::query_as(if environment.is_empty() {
            "SELECT * FROM deployments WHERE project_id = $1 AND $2 = '' AND id < $3 ORDER BY id DESC LIMIT $4"
        } else {
            "SELECT * FROM deployments WHERE project_id = $1 AND environment = $2 AND id < $3
             ORDER BY id DESC LIMIT $4"
        });
        Ok(rows
            .bind(project)
            .bind(environment)
            .bind(before)
            .bind(limit)
            .fetch_all(&mut self.inner)
            .await?)
    }

    /// The newest of an environment as little more than points in time, the newest first.
    pub async fn recent_deployments(
        &mut self,
        project: i64,
        environment: &str,
        limit: i64,
    ) -> Result<Vec<RecentDeployment>> {
        let rows = sqlx::query_as(
            "SELECT id, kind, result, created_at, ended_at FROM deployments
             WHERE project_id = $1 AND environment = $2 ORDER BY id DESC LIMIT $3",
        );
        let rows = rows.bind(project).bind(environment).bind(limit);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// Those of an environment that have not ended, the oldest first.
    pub async fn open_deployments(&mut self, project: i64, environment: &str) -> Result<Vec<Deployment>> {
        let rows = sqlx::query_as(
            "SELECT * FROM deployments WHERE project_id = $1 AND environment = $2 AND ended_at IS NULL ORDER BY id",
        );
        Ok(rows
            .bind(project)
            .bind(environment)
            .fetch_all(&mut self.inner)
            .await?)
    }

    /// Those of all projects that have not ended.
    pub async fn all_open_deployments(&mut self) -> Result<Vec<Deployment>> {
        let rows = sqlx::query_as(
            "SELECT * FROM deployments WHERE ended_at IS NULL ORDER BY project_id, environment, id",
        );
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// Those that went live in an environment, the oldest first: what a rollback goes back along. At most the newest
    /// thousand.
    pub async fn live_deployments(&mut self, project: i64, environment: &str) -> Result<Vec<Deployment>> {
        let rows = sqlx::query_as(
            "SELECT * FROM
                 (SELECT * FROM deployments WHERE project_id = $1 AND environment = $2 AND result = 'live'
                  ORDER BY id DESC LIMIT 1000)
             ORDER BY id",
        );
        Ok(rows
            .bind(project)
            .bind(environment)
            .fetch_all(&mut self.inner)
            .await?)
    }

    /// How many deployments of an environment used this revision's name, or it with a number.
    pub async fn revisions_named(&mut self, project: i64, environment: &str, name: &str) -> Result<i64> {
        let row = sqlx::query_scalar(
            "SELECT COUNT(*) FROM deployments WHERE project_id = $1 AND environment = $2
             AND (revision = $3 OR revision LIKE $3 || '.%')",
        );
        Ok(row
            .bind(project)
            .bind(environment)
            .bind(name)
            .fetch_one(&mut self.inner)
            .await?)
    }

    pub async fn standing(&mut self, project: i64, environment: &str) -> Result<Option<Standing>> {
        let row = sqlx::query_as("SELECT * FROM standings WHERE project_id = $1 AND environment = $2");
        Ok(row
            .bind(project)
            .bind(environment)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    pub async fn standings(&mut self) -> Result<Vec<Standing>> {
        let rows = sqlx::query_as("SELECT * FROM standings ORDER BY project_id, environment");
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    pub async fn set_standing(&mut self, row: &Standing) -> Result<()> {
        sqlx::query(
            "INSERT INTO standings (project_id, environment, deployment_id, release_id, standing, proven, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (project_id, environment) DO UPDATE
             SET deployment_id = $3, release_id = $4, standing = $5, proven = $6, at = $7",
        )
        .bind(row.project_id)
        .bind(&row.environment)
        .bind(row.deployment_id)
        .bind(row.release_id)
        .bind(&row.standing)
        .bind(row.proven)
        .bind(row.at)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// Puts a release in quarantine. One that is there keeps its reason.
    pub async fn quarantine(&mut self, row: &Quarantined) -> Result<()> {
        sqlx::query(
            "INSERT INTO quarantine (project_id, digest, revision, environment, deployment_id, reason, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(row.project_id)
        .bind(&row.digest)
        .bind(&row.revision)
        .bind(&row.environment)
        .bind(row.deployment_id)
        .bind(&row.reason)
        .bind(row.at)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    pub async fn quarantined(&mut self, project: i64) -> Result<Vec<Quarantined>> {
        let rows = sqlx::query_as("SELECT * FROM quarantine WHERE project_id = $1 ORDER BY at");
        Ok(rows.bind(project).fetch_all(&mut self.inner).await?)
    }

    /// False where it is not in quarantine.
    pub async fn release_quarantine(&mut self, project: i64, digest: &str) -> Result<bool> {
        let statement = sqlx::query("DELETE FROM quarantine WHERE project_id = $1 AND digest = $2");
        let end = statement
            .bind(project)
            .bind(digest)
            .execute(&mut self.inner)
            .await?;
        Ok(end.rows_affected() == 1)
    }
}
