//! Projects, the recorded tips of their refs, their events and workflows.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    pub struct Project {
        pub id: i64,
        pub owner: String,
        pub name: String,
        pub default_branch: String,
        pub created_at: i64,
    }
}

impl Project {
    /// `owner/name`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

record! {
    /// What happened to a project.
    pub struct Event {
        pub id: i64,
        pub project_id: i64,
        /// `push`, `workflow_dispatch` …
        pub name: String,
        /// GitHub's payload, as JSON.
        pub payload: String,
        pub actor: String,
        pub at: i64,
        /// What came of it, as JSON; empty until it was looked at.
        pub outcome: String,
    }
}

record! {
    pub struct Workflow {
        pub id: i64,
        pub project_id: i64,
        pub path: String,
        pub name: String,
        pub enabled: i64,
        /// How many runs it had.
        pub runs: i64,
    }
}

impl Connection {
    /// [`crate::StoreError::Exists`] where the name is taken, whatever its case.
    pub async fn create_project(
        &mut self,
        owner: &str,
        name: &str,
        default_branch: &str,
        now: i64,
    ) -> Result<Project> {
        let id = self.next_number("project").await?;
        sqlx::query(
            "INSERT INTO projects (id, owner, name, default_branch, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(owner)
        .bind(name)
        .bind(default_branch)
        .bind(now)
        .execute(&mut self.inner)
        .await?;
        let (owner, name, default_branch) = (owner.to_owned(), name.to_owned(), default_branch.to_owned());
        Ok(Project {
            id,
            owner,
            name,
            default_branch,
            created_at: now,
        })
    }

    pub async fn project(&mut self, owner: &str, name: &str) -> Result<Option<Project>> {
        let row = sqlx::query_as(
            "SELECT * FROM projects WHERE lower(owner) = lower($1) AND lower(name) = lower($2)",
        );
        Ok(row.bind(owner).bind(name).fetch_optional(&mut self.inner).await?)
    }

    pub async fn project_by_id(&mut self, id: i64) -> Result<Option<Project>> {
        Ok(sqlx::query_as("SELECT * FROM projects WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    pub async fn projects(&mut self) -> Result<Vec<Project>> {
        Ok(sqlx::query_as("SELECT * FROM projects ORDER BY owner, name")
            .fetch_all(&mut self.inner)
            .await?)
    }

    pub async fn set_default_branch(&mut self, project: i64, branch: &str) -> Result<()> {
        let statement = sqlx::query("UPDATE projects SET default_branch = $2 WHERE id = $1");
        statement
            .bind(project)
            .bind(branch)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    /// The recorded tips, by name.
    pub async fn refs(&mut self, project: i64) -> Result<Vec<(String, String)>> {
        let rows =
            sqlx::query_as("SELECT name, oid FROM refs WHERE project_id = $1 ORDER BY name").bind(project);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// Moves a recorded tip from `before` to `after` (empty for none). False if it was not at `before`.
    pub async fn move_ref(&mut self, project: i64, name: &str, before: &str, after: &str) -> Result<bool> {
        let statement = match (before.is_empty(), after.is_empty()) {
            (true, true) => return Ok(true),
            (true, false) => sqlx::query(
                "INSERT INTO refs (project_id, name, oid) VALUES ($1, $2, $4) ON CONFLICT DO NOTHING",
            ),
            (false, true) => sqlx::query("DELETE FROM refs WHERE project_id = $1 AND name = $2 AND oid = $3"),
            (false, false) => {
                sqlx::query("UPDATE refs SET oid = $4 WHERE project_id = $1 AND name = $2 AND oid = $3")
            }
        };
        let end = statement
            .bind(project)
            .bind(name)
            .bind(before)
            .bind(after)
            .execute(&mut self.inner)
            .await?;
        Ok(end.rows_affected() == 1)
    }

    pub async fn add_event(
        &mut self,
        project: i64,
        name: &str,
        payload: &str,
        actor: &str,
        now: i64,
    ) -> Result<i64> {
        let id = self.next_number("event").await?;
        sqlx::query(
            "INSERT INTO events (id, project_id, name, payload, actor, at, outcome) VALUES ($1, $2, $3, $4, $5, $6, '')",
        )
        .bind(id)
        .bind(project)
        .bind(name)
        .bind(payload)
        .bind(actor)
        .bind(now)
        .execute(&mut self.inner)
        .await?;
        Ok(id)
    }

    pub async fn event(&mut self, id: i64) -> Result<Option<Event>> {
        Ok(sqlx::query_as("SELECT * FROM events WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    /// Events that nobody has looked at yet, the oldest first.
    pub async fn open_events(&mut self) -> Result<Vec<Event>> {
        let rows = sqlx::query_as("SELECT * FROM events WHERE outcome = '' ORDER BY id");
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    pub async fn set_event_outcome(&mut self, id: i64, outcome: &str) -> Result<()> {
        let statement = sqlx::query("UPDATE events SET outcome = $2 WHERE id = $1");
        statement.bind(id).bind(outcome).execute(&mut self.inner).await?;
        Ok(())
    }

    /// The workflow of that file; made, enabled, if it is new.
    pub async fn touch_workflow(&mut self, project: i64, path: &str, name: &str) -> Result<Workflow> {
        let found: Option<Workflow> =
            sqlx::query_as("SELECT * FROM workflows WHERE project_id = $1 AND path = $2")
                .bind(project)
                .bind(path)
                .fetch_optional(&mut self.inner)
                .await?;
        let id = match &found {
            Some(workflow) if workflow.name == name => return Ok(workflow.clone()),
            Some(workflow) => workflow.id,
            None => self.next_number("workflow").await?,
        };
        let row = sqlx::query_as(
            "INSERT INTO workflows (id, project_id, path, name, enabled, runs) VALUES ($1, $2, $3, $4, 1, 0)
             ON CONFLICT (id) DO UPDATE SET name = $4 RETURNING *",
        );
        Ok(row
            .bind(id)
            .bind(project)
            .bind(path)
            .bind(name)
            .fetch_one(&mut self.inner)
            .await?)
    }

    pub async fn workflows(&mut self, project: i64) -> Result<Vec<Workflow>> {
        let rows =
            sqlx::query_as("SELECT * FROM workflows WHERE project_id = $1 ORDER BY path").bind(project);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    pub async fn workflow(&mut self, id: i64) -> Result<Option<Workflow>> {
        Ok(sqlx::query_as("SELECT * FROM workflows WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    pub async fn set_workflow_enabled(&mut self, id: i64, enabled: bool) -> Result<()> {
        let statement = sqlx::query("UPDATE workflows SET enabled = $2 WHERE id = $1");
        statement
            .bind(id)
            .bind(i64::from(enabled))
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    /// Counts a run of a workflow: its `run_number`.
    pub async fn next_run_number(&mut self, workflow: i64) -> Result<i64> {
        let row = sqlx::query_scalar("UPDATE workflows SET runs = runs + 1 WHERE id = $1 RETURNING runs");
        Ok(row.bind(workflow).fetch_one(&mut self.inner).await?)
    }
}
