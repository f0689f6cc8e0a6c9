//! Runs, jobs and steps as people see them: projections of the run machines, and what runners reported.
//!
//! The machines decide; what stands here can be made again from them, but steps, annotations and summaries, which
//! are a runner's word.

use crate::db::{Connection, record};
use crate::error::Result;
use sqlx::{QueryBuilder, Sqlite};

record! {
    pub struct Run {
        pub id: i64,
        pub project_id: i64,
        pub workflow_id: i64,
        /// Of its workflow, from 1.
        pub number: i64,
        pub attempt: i64,
        pub event_id: i64,
        pub event: String,
        /// `refs/heads/main`.
        pub r#ref: String,
        pub sha: String,
        pub title: String,
        pub actor: String,
        /// GitHub's words: `queued`, `in_progress`, `completed` …
        pub status: String,
        pub conclusion: Option<String>,
        /// Why it waits, or how it ended, in a sentence.
        pub reason: String,
        pub created_at: i64,
        /// Of this attempt.
        pub started_at: i64,
        pub ended_at: Option<i64>,
    }
}

record! {
    pub struct Job {
        pub id: i64,
        pub run_id: i64,
        pub attempt: i64,
        /// The job's id in its file, behind those of the jobs that call it: `deploy/build`.
        pub key: String,
        pub name: String,
        /// Ids of jobs, as JSON; of a matrix all that it has unfolded into so far.
        pub needs: String,
        pub status: String,
        pub conclusion: Option<String>,
        pub reason: String,
        pub error: String,
        pub environment: String,
        pub environment_url: String,
        pub runner: String,
        /// As JSON.
        pub outputs: String,
        pub created_at: i64,
        pub started_at: Option<i64>,
        pub ended_at: Option<i64>,
        pub log_lines: Option<i64>,
        pub log_missing_from: Option<i64>,
        pub log_missing_to: Option<i64>,
        pub log_archived: i64,
        /// The fence under which the result came.
        pub result_fence: Option<i64>,
    }
}

record! {
    pub struct Step {
        pub job_id: i64,
        pub step: i64,
        /// The step's id in its file.
        pub key: String,
        pub name: String,
        /// `queued`, `in_progress`, `completed`.
        pub status: String,
        pub outcome: Option<String>,
        pub conclusion: Option<String>,
        pub started_at: Option<i64>,
        pub duration_ms: Option<i64>,
        pub reason: String,
        pub error: String,
    }
}

record! {
    pub struct Summary {
        pub job_id: i64,
        pub step: i64,
        pub markdown: String,
    }
}

/// Which runs to list; what is empty does not matter.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub project: Option<i64>,
    pub workflow: Option<i64>,
    pub r#ref: String,
    pub sha: String,
    pub event: String,
    pub actor: String,
    /// A status or a conclusion.
    pub status: String,
    /// Only runs below this id.
    pub before: Option<i64>,
    pub limit: i64,
}

impl Connection {
    /// False if that event has a run of that workflow already.
    pub async fn add_run(&mut self, run: &Run) -> Result<bool> {
        let statement = sqlx::query(
            "INSERT INTO runs (id, project_id, workflow_id, number, attempt, event_id, event, ref, sha, title, actor,
                               status, conclusion, reason, created_at, started_at, ended_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
             ON CONFLICT (event_id, workflow_id) DO NOTHING",
        );
        let end = statement
            .bind(run.id)
            .bind(run.project_id)
            .bind(run.workflow_id)
            .bind(run.number)
            .bind(run.attempt)
            .bind(run.event_id)
            .bind(&run.event)
            .bind(&run.r#ref)
            .bind(&run.sha)
            .bind(&run.title)
            .bind(&run.actor)
            .bind(&run.status)
            .bind(&run.conclusion)
            .bind(&run.reason)
            .bind(run.created_at)
            .bind(run.started_at)
            .bind(run.ended_at)
            .execute(&mut self.inner)
            .await?;
        Ok(end.rows_affected() == 1)
    }

    /// What changes of a run: attempt, status, conclusion, reason and times.
    pub async fn update_run(&mut self, run: &Run) -> Result<()> {
        sqlx::query(
            "UPDATE runs SET attempt = $2, status = $3, conclusion = $4, reason = $5, started_at = $6, ended_at = $7,
                             title = $8 WHERE id = $1",
        )
        .bind(run.id)
        .bind(run.attempt)
        .bind(&run.status)
        .bind(&run.conclusion)
        .bind(&run.reason)
        .bind(run.started_at)
        .bind(run.ended_at)
        .bind(&run.title)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    pub async fn run(&mut self, id: i64) -> Result<Option<Run>> {
        Ok(sqlx::query_as("SELECT * FROM runs WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    /// The newest first.
    pub async fn runs(&mut self, filter: &RunFilter) -> Result<Vec<Run>> {
        let mut query = statement(filter);
        Ok(query.build_query_as().fetch_all(&mut self.inner).await?)
    }

    /// Runs of an event.
    pub async fn runs_of_event(&mut self, event: i64) -> Result<Vec<Run>> {
        let rows = sqlx::query_as("SELECT * FROM runs WHERE event_id = $1 ORDER BY id").bind(event);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// How many runs of a project are not over, by status.
    pub async fn open_run_counts(&mut self, project: i64) -> Result<Vec<(String, i64)>> {
        let rows = sqlx::query_as(
            "SELECT status, COUNT(*) FROM runs WHERE conclusion IS NULL AND project_id = $1 GROUP BY status",
        );
        Ok(rows.bind(project).fetch_all(&mut self.inner).await?)
    }

    pub async fn run_has_release(&mut self, run: i64) -> Result<bool> {
        let row: Option<i64> = sqlx::query_scalar("SELECT id FROM releases WHERE run_id = $1 LIMIT 1")
            .bind(run)
            .fetch_optional(&mut self.inner)
            .await?;
        Ok(row.is_some())
    }

    pub async fn open_runs(&mut self) -> Result<Vec<i64>> {
        let rows = sqlx::query_scalar("SELECT id FROM runs WHERE conclusion IS NULL ORDER BY id");
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// Adds a job or brings it up to date. What a runner reported of it (address, log) stays.
    pub async fn put_job(&mut self, job: &Job) -> Result<()> {
        sqlx::query(
            "INSERT INTO jobs (id, run_id, attempt, key, name, needs, status, conclusion, reason, error, environment,
                               environment_url, runner, outputs, created_at, started_at, ended_at, log_archived)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '', $12, $13, $14, $15, $16, 0)
             ON CONFLICT (id) DO UPDATE SET name = $5, needs = $6, status = $7, conclusion = $8, reason = $9, error = $10,
                 environment = $11, runner = $12, outputs = $13, started_at = $15, ended_at = $16",
        )
        .bind(job.id)
        .bind(job.run_id)
        .bind(job.attempt)
        .bind(&job.key)
        .bind(&job.name)
        .bind(&job.needs)
        .bind(&job.status)
        .bind(&job.conclusion)
        .bind(&job.reason)
        .bind(&job.error)
        .bind(&job.environment)
        .bind(&job.runner)
        .bind(&job.outputs)
        .bind(job.created_at)
        .bind(job.started_at)
        .bind(job.ended_at)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    pub async fn job(&mut self, id: i64) -> Result<Option<Job>> {
        Ok(sqlx::query_as("SELECT * FROM jobs WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    /// All jobs of a run, of every attempt.
    pub async fn jobs(&mut self, run: i64) -> Result<Vec<Job>> {
        let rows = sqlx::query_as("SELECT * FROM jobs WHERE run_id = $1 ORDER BY id").bind(run);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    pub async fn set_environment_url(&mut self, job: i64, url: &str) -> Result<()> {
        let statement = sqlx::query("UPDATE jobs SET environment_url = $2 WHERE id = $1")
            .bind(job)
            .bind(url);
        statement.execute(&mut self.inner).await?;
        Ok(())
    }

    /// How a job ended on its runner: under which fence, how many lines its log has, and which of them never came.
    pub async fn set_log_end(
        &mut self,
        job: i64,
        fence: i64,
        lines: i64,
        missing: Option<(i64, i64)>,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE jobs SET log_lines = $2, log_missing_from = $3, log_missing_to = $4, result_fence = $5 WHERE id = $1",
        )
        .bind(job)
        .bind(lines)
        .bind(missing.map(|m| m.0))
        .bind(missing.map(|m| m.1))
        .bind(fence)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// Jobs that are over and whose log is not archived yet.
    pub async fn unarchived_jobs(&mut self) -> Result<Vec<i64>> {
        let rows = sqlx::query_scalar(
            "SELECT id FROM jobs WHERE conclusion IS NOT NULL AND log_archived = 0 ORDER BY id LIMIT 100",
        );
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    pub async fn set_log_archived(&mut self, job: i64) -> Result<()> {
        sqlx::query("UPDATE jobs SET log_archived = 1 WHERE id = $1")
            .bind(job)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    /// Adds a step or brings it up to date.
    pub async fn put_step(&mut self, step: &Step) -> Result<()> {
        sqlx::query(
            "INSERT INTO steps (job_id, step, key, name, status, outcome, conclusion, started_at, duration_ms, reason, error)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (job_id, step) DO UPDATE SET key = $3, name = $4, status = $5, outcome = $6, conclusion = $7,
                 started_at = $8, duration_ms = $9, reason = $10, error = $11",
        )
        .bind(step.job_id)
        .bind(step.step)
        .bind(&step.key)
        .bind(&step.name)
        .bind(&step.status)
        .bind(&step.outcome)
        .bind(&step.conclusion)
        .bind(step.started_at)
        .bind(step.duration_ms)
        .bind(&step.reason)
        .bind(&step.error)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// Ends the steps of a job that is over: what ran was cancelled, what had not begun was skipped.
    pub async fn end_steps(&mut self, job: i64) -> Result<()> {
        for (from, conclusion) in [("in_progress", "cancelled"), ("queued", "skipped")] {
            sqlx::query(
                "UPDATE steps SET status = 'completed', outcome = $3, conclusion = $3 WHERE job_id = $1 AND status = $2",
            )
            .bind(job)
            .bind(from)
            .bind(conclusion)
            .execute(&mut self.inner)
            .await?;
        }
        Ok(())
    }

    pub async fn steps(&mut self, job: i64) -> Result<Vec<Step>> {
        let rows = sqlx::query_as("SELECT * FROM steps WHERE job_id = $1 ORDER BY step").bind(job);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// `annotation` is JSON; `seq` the number of the report that brought it.
    pub async fn add_annotation(&mut self, job: i64, seq: i64, annotation: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO annotations (job_id, seq, annotation) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(job)
        .bind(seq)
        .bind(annotation)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    pub async fn annotations(&mut self, job: i64) -> Result<Vec<String>> {
        let rows =
            sqlx::query_scalar("SELECT annotation FROM annotations WHERE job_id = $1 ORDER BY seq").bind(job);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// `evaluated` is JSON: what the expressions of a job (step 0) or of one of its steps came to.
    pub async fn put_evaluation(&mut self, job: i64, step: i64, evaluated: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO evaluations (job_id, step, evaluated) VALUES ($1, $2, $3)
             ON CONFLICT (job_id, step) DO UPDATE SET evaluated = $3",
        )
        .bind(job)
        .bind(step)
        .bind(evaluated)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// Of all of a run's jobs, each with its job.
    pub async fn evaluations_of_run(&mut self, run: i64) -> Result<Vec<(i64, String)>> {
        let rows = sqlx::query_as(
            "SELECT e.job_id, e.evaluated FROM evaluations e JOIN jobs j ON j.id = e.job_id
             WHERE j.run_id = $1 ORDER BY e.job_id, e.step",
        );
        Ok(rows.bind(run).fetch_all(&mut self.inner).await?)
    }

    pub async fn put_summary(&mut self, job: i64, step: i64, markdown: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO summaries (job_id, step, markdown) VALUES ($1, $2, $3)
             ON CONFLICT (job_id, step) DO UPDATE SET markdown = $3",
        )
        .bind(job)
        .bind(step)
        .bind(markdown)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    pub async fn summaries(&mut self, job: i64) -> Result<Vec<Summary>> {
        let rows = sqlx::query_as("SELECT * FROM summaries WHERE job_id = $1 ORDER BY step").bind(job);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// All steps of a run's jobs, of every attempt.
    pub async fn steps_of_run(&mut self, run: i64) -> Result<Vec<Step>> {
        let rows = sqlx::query_as(
            "SELECT s.* FROM steps s JOIN jobs j ON j.id = s.job_id WHERE j.run_id = $1 ORDER BY s.job_id, s.step",
        );
        Ok(rows.bind(run).fetch_all(&mut self.inner).await?)
    }

    /// All annotations of a run's jobs, each with its job, as JSON.
    pub async fn annotations_of_run(&mut self, run: i64) -> Result<Vec<(i64, String)>> {
        let rows = sqlx::query_as(
            "SELECT a.job_id, a.annotation FROM annotations a JOIN jobs j ON j.id = a.job_id
             WHERE j.run_id = $1 ORDER BY a.job_id, a.seq",
        );
        Ok(rows.bind(run).fetch_all(&mut self.inner).await?)
    }

    pub async fn summaries_of_run(&mut self, run: i64) -> Result<Vec<Summary>> {
        let rows = sqlx::query_as(
            "SELECT s.* FROM summaries s JOIN jobs j ON j.id = s.job_id WHERE j.run_id = $1 ORDER BY s.job_id, s.step",
        );
        Ok(rows.bind(run).fetch_all(&mut self.inner).await?)
    }

    /// Takes a run away with all that hangs on it but its logs and blobs, which are the caller's to remove.
    pub async fn delete_run(&mut self, id: i64) -> Result<()> {
        for statement in [
            "DELETE FROM steps WHERE job_id IN (SELECT id FROM jobs WHERE run_id = $1)",
            "DELETE FROM annotations WHERE job_id IN (SELECT id FROM jobs WHERE run_id = $1)",
            "DELETE FROM evaluations WHERE job_id IN (SELECT id FROM jobs WHERE run_id = $1)",
            "DELETE FROM summaries WHERE job_id IN (SELECT id FROM jobs WHERE run_id = $1)",
            "DELETE FROM tokens WHERE job_id IN (SELECT id FROM jobs WHERE run_id = $1)",
            "DELETE FROM queue WHERE run_id = $1",
            "DELETE FROM waits WHERE run_id = $1",
            "DELETE FROM artifacts WHERE run_id = $1",
            "DELETE FROM jobs WHERE run_id = $1",
            "DELETE FROM runs WHERE id = $1",
        ] {
            sqlx::query(statement).bind(id).execute(&mut self.inner).await?;
        }
        self.delete_machine("run", id).await
    }
}

/// What is filtered by is found by an index, however many runs there are; SQLite chooses it by what stands in the
/// statement. Each such index begins with the project, so what is wanted of all projects is the newest of each,
/// together; a commit has an index of its own.
pub(crate) fn statement(filter: &RunFilter) -> QueryBuilder<Sqlite> {
    let (open, ended, conclusion) = match filter.status.as_str() {
        "pending" | "queued" | "waiting" | "in_progress" => (filter.status.as_str(), false, ""),
        "completed" => ("", true, ""),
        conclusion => ("", false, conclusion),
    };
    let indexed = [
        (" AND ref = ", filter.r#ref.as_str()),
        (" AND event = ", &filter.event),
        (" AND actor = ", &filter.actor),
        (" AND conclusion = ", conclusion),
    ];
    let of_each = filter.project.is_none()
        && filter.workflow.is_none()
        && filter.sha.is_empty()
        && indexed.iter().any(|(_, word)| !word.is_empty());
    let mut query = QueryBuilder::new(if of_each {
        "SELECT runs.* FROM projects JOIN runs ON runs.id IN (SELECT id FROM runs WHERE project_id = projects.id"
    } else {
        "SELECT * FROM runs WHERE 1 = 1"
    });
    // The plus keeps SQLite from walking all runs of the project, where the commit has few.
    let (project, workflow) = if filter.sha.is_empty() {
        (" AND project_id = ", " AND workflow_id = ")
    } else {
        (" AND +project_id = ", " AND +workflow_id = ")
    };
    for (condition, value) in [
        (project, filter.project),
        (workflow, filter.workflow),
        (" AND id < ", filter.before),
    ] {
        if let Some(value) = value {
            query.push(condition).push_bind(value);
        }
    }
    let others = [
        (" AND sha = ", filter.sha.as_str()),
        (" AND conclusion IS NULL AND status = ", open),
    ];
    for (condition, word) in indexed.into_iter().chain(others) {
        if !word.is_empty() {
            query.push(condition).push_bind(word.to_owned());
        }
    }
    if ended {
        query.push(" AND conclusion IS NOT NULL");
    }
    if of_each {
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(filter.limit)
            .push(")");
    }
    query
        .push(" ORDER BY runs.id DESC LIMIT ")
        .push_bind(filter.limit);
    query
}
