//! The index of artifacts. The bytes are blobs.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    pub struct Artifact {
        pub id: i64,
        pub project_id: i64,
        pub run_id: i64,
        pub job_id: i64,
        pub attempt: i64,
        pub name: String,
        pub size_bytes: i64,
        /// `sha256:…`, the blob's name.
        pub digest: String,
        pub created_at: i64,
        pub expires_at: i64,
    }
}

impl Connection {
    /// [`crate::StoreError::Exists`] where this attempt of the run has an artifact of that name. The id given is not looked at.
    pub async fn add_artifact(&mut self, artifact: &Artifact) -> Result<i64> {
        let id = self.next_number("artifact").await?;
        sqlx::query(
            "INSERT INTO artifacts (id, project_id, run_id, job_id, attempt, name, size_bytes, digest, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(id)
        .bind(artifact.project_id)
        .bind(artifact.run_id)
        .bind(artifact.job_id)
        .bind(artifact.attempt)
        .bind(&artifact.name)
        .bind(artifact.size_bytes)
        .bind(&artifact.digest)
        .bind(artifact.created_at)
        .bind(artifact.expires_at)
        .execute(&mut self.inner)
        .await?;
        Ok(id)
    }

    pub async fn artifact(&mut self, id: i64) -> Result<Option<Artifact>> {
        Ok(sqlx::query_as("SELECT * FROM artifacts WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    pub async fn artifact_named(&mut self, run: i64, attempt: i64, name: &str) -> Result<Option<Artifact>> {
        let row = sqlx::query_as("SELECT * FROM artifacts WHERE run_id = $1 AND attempt = $2 AND name = $3");
        Ok(row
            .bind(run)
            .bind(attempt)
            .bind(name)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    /// Those of a run, of each name the one of the latest attempt.
    pub async fn artifacts(&mut self, run: i64) -> Result<Vec<Artifact>> {
        let rows = sqlx::query_as(
            "SELECT * FROM artifacts a WHERE run_id = $1 AND NOT EXISTS
                 (SELECT 1 FROM artifacts b WHERE b.run_id = $1 AND b.name = a.name AND b.attempt > a.attempt)
             ORDER BY id",
        );
        Ok(rows.bind(run).fetch_all(&mut self.inner).await?)
    }

    pub async fn delete_artifact(&mut self, id: i64) -> Result<()> {
        sqlx::query("DELETE FROM artifacts WHERE id = $1")
            .bind(id)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }
}
