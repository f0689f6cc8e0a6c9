//! What the overview asks of many projects at once. Each question is answered from an index, whatever the number of runs.

use crate::db::{Connection, record};
use crate::deployment::Deployment;
use crate::environment::Wait;
use crate::error::Result;
use crate::run::Run;

record! {
    /// A run as a bar.
    pub struct Bar {
        pub id: i64,
        pub project_id: i64,
        pub r#ref: String,
        pub attempt: i64,
        pub conclusion: Option<String>,
        pub started_at: i64,
        pub ended_at: Option<i64>,
    }
}

impl Connection {
    /// The newest runs of each of these projects (ids, as a JSON array), at most `limit` of each; the newest first.
    pub async fn bars(&mut self, projects: &str, limit: i64) -> Result<Vec<Bar>> {
        let rows = sqlx::query_as(
            "SELECT r.id, r.project_id, r.ref, r.attempt, r.conclusion, r.started_at, r.ended_at
             FROM json_each($1) p JOIN runs r ON r.id IN
                 (SELECT id FROM runs WHERE project_id = p.value ORDER BY id DESC LIMIT $2)
             ORDER BY r.id DESC",
        );
        Ok(rows.bind(projects).bind(limit).fetch_all(&mut self.inner).await?)
    }

    /// Runs that are not over, the newest first.
    pub async fn running_runs(&mut self, project: Option<i64>, limit: i64) -> Result<Vec<Run>> {
        let rows = sqlx::query_as(
            "SELECT * FROM runs WHERE conclusion IS NULL AND ($1 IS NULL OR project_id = $1) ORDER BY id DESC LIMIT $2",
        );
        Ok(rows.bind(project).bind(limit).fetch_all(&mut self.inner).await?)
    }

    /// How long the last green first attempts of a workflow took: at most 20 of its newest 100 runs.
    pub async fn green_times(&mut self, workflow: i64) -> Result<Vec<i64>> {
        let rows = sqlx::query_scalar(
            "SELECT ended_at - started_at FROM
                 (SELECT * FROM runs WHERE workflow_id = $1 ORDER BY id DESC LIMIT 100)
             WHERE conclusion = 'success' AND attempt = 1 AND ended_at IS NOT NULL LIMIT 20",
        );
        Ok(rows.bind(workflow).fetch_all(&mut self.inner).await?)
    }

    /// Jobs that wait for an environment, the newest first.
    pub async fn open_waits(&mut self, limit: i64) -> Result<Vec<Wait>> {
        let rows =
            sqlx::query_as("SELECT * FROM waits WHERE status = 'waiting' ORDER BY job_id DESC LIMIT $1");
        Ok(rows.bind(limit).fetch_all(&mut self.inner).await?)
    }

    /// Deployments that wait, the newest first.
    pub async fn waiting_deployments(&mut self, limit: i64) -> Result<Vec<Deployment>> {
        let rows = sqlx::query_as(
            "SELECT * FROM deployments WHERE result IS NULL AND status = 'waiting' ORDER BY id DESC LIMIT $1",
        );
        Ok(rows.bind(limit).fetch_all(&mut self.inner).await?)
    }

    /// Of the newest deployments of all: those that a person may have to look at, since `after`.
    pub async fn bad_deployments(&mut self, after: i64, among: i64) -> Result<Vec<Deployment>> {
        let rows = sqlx::query_as(
            "SELECT * FROM (SELECT * FROM deployments ORDER BY id DESC LIMIT $2)
             WHERE result IN ('rolled-back', 'needs-attention') AND kind <> 'rollback' AND ended_at > $1 ORDER BY id DESC",
        );
        Ok(rows.bind(after).bind(among).fetch_all(&mut self.inner).await?)
    }
}
