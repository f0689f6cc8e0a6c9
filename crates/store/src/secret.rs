//! Secrets, sealed by the caller, and variables; of a project, or of one of its environments.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    pub struct Secret {
        /// Empty for the whole project.
        pub environment: String,
        pub name: String,
        /// What `trust::seal` made, in hexadecimal.
        pub sealed: String,
        pub updated_at: i64,
        /// When it was last given to something, and to what; nothing where that was not seen.
        pub used_at: Option<i64>,
        pub used_run: Option<i64>,
        pub used_job: Option<i64>,
        pub used_deployment: Option<i64>,
    }
}

/// What secrets are given to.
#[derive(Clone, Copy, Debug)]
pub enum SecretUse {
    Job { run: i64, job: i64 },
    Deployment(i64),
    Notification,
}

record! {
    pub struct Variable {
        /// Empty for the whole project.
        pub environment: String,
        pub name: String,
        pub value: String,
        pub updated_at: i64,
    }
}

impl Connection {
    pub async fn set_secret(&mut self, project: i64, secret: &Secret) -> Result<()> {
        sqlx::query(
            "INSERT INTO secrets (project_id, environment, name, sealed, updated_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (project_id, environment, name) DO UPDATE SET sealed = $4, updated_at = $5",
        )
        .bind(project)
        .bind(&secret.environment)
        .bind(&secret.name)
        .bind(&secret.sealed)
        .bind(secret.updated_at)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// Those of one level only: of an environment, or (empty) of the project.
    pub async fn secrets(&mut self, project: i64, environment: &str) -> Result<Vec<Secret>> {
        let rows =
            sqlx::query_as("SELECT * FROM secrets WHERE project_id = $1 AND environment = $2 ORDER BY name");
        Ok(rows
            .bind(project)
            .bind(environment)
            .fetch_all(&mut self.inner)
            .await?)
    }

    /// Takes note that secrets of one level (their names, as a JSON array) were given to something.
    pub async fn secrets_used(
        &mut self,
        project: i64,
        environment: &str,
        names: &str,
        user: SecretUse,
        now: i64,
    ) -> Result<()> {
        let (run, job, deployment) = match user {
            SecretUse::Job { run, job } => (Some(run), Some(job), None),
            SecretUse::Deployment(id) => (None, None, Some(id)),
            SecretUse::Notification => (None, None, None),
        };
        sqlx::query(
            "UPDATE secrets SET used_at = $1, used_run = $2, used_job = $3, used_deployment = $4
             WHERE project_id = $5 AND environment = $6 AND name IN (SELECT value FROM json_each($7))",
        )
        .bind(now)
        .bind(run)
        .bind(job)
        .bind(deployment)
        .bind(project)
        .bind(environment)
        .bind(names)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// False where there is none.
    pub async fn delete_secret(&mut self, project: i64, environment: &str, name: &str) -> Result<bool> {
        let statement =
            sqlx::query("DELETE FROM secrets WHERE project_id = $1 AND environment = $2 AND name = $3");
        let end = statement
            .bind(project)
            .bind(environment)
            .bind(name)
            .execute(&mut self.inner)
            .await?;
        Ok(end.rows_affected() == 1)
    }

    pub async fn set_variable(&mut self, project: i64, variable: &Variable) -> Result<()> {
        sqlx::query(
            "INSERT INTO variables (project_id, environment, name, value, updated_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (project_id, environment, name) DO UPDATE SET value = $4, updated_at = $5",
        )
        .bind(project)
        .bind(&variable.environment)
        .bind(&variable.name)
        .bind(&variable.value)
        .bind(variable.updated_at)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// Those of one level only: of an environment, or (empty) of the project.
    pub async fn variables(&mut self, project: i64, environment: &str) -> Result<Vec<Variable>> {
        let rows = sqlx::query_as(
            "SELECT environment, name, value, updated_at FROM variables
             WHERE project_id = $1 AND environment = $2 ORDER BY name",
        );
        Ok(rows
            .bind(project)
            .bind(environment)
            .fetch_all(&mut self.inner)
            .await?)
    }

    /// False where there is none.
    pub async fn delete_variable(&mut self, project: i64, environment: &str, name: &str) -> Result<bool> {
        let statement =
            sqlx::query("DELETE FROM variables WHERE project_id = $1 AND environment = $2 AND name = $3");
        let end = statement
            .bind(project)
            .bind(environment)
            .bind(name)
            .execute(&mut self.inner)
            .await?;
        Ok(end.rows_affected() == 1)
    }
}
