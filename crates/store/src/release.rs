//! Releases: what a run built, by digest. Their files are blobs.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    pub struct Release {
        pub id: i64,
        pub project_id: i64,
        /// `sha256:…` of the manifest.
        pub digest: String,
        pub run_id: i64,
        pub r#ref: String,
        pub sha: String,
        /// Of its commit.
        pub title: String,
        /// As JSON.
        pub manifest: String,
        pub created_at: i64,
    }
}

impl Connection {
    /// Adds a release with the blobs that it needs; one with that digest is found again, and gets them, too. The id
    /// given is not looked at.
    pub async fn add_release(&mut self, release: &Release, blobs: &[String]) -> Result<Release> {
        let known = self
            .release_by_digest(release.project_id, &release.digest)
            .await?;
        let row = match known {
            Some(known) => known,
            None => self.insert_release(release).await?,
        };
        for blob in blobs {
            sqlx::query(
                "INSERT INTO release_blobs (release_id, digest) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(row.id)
            .bind(blob)
            .execute(&mut self.inner)
            .await?;
        }
        Ok(row)
    }

    async fn insert_release(&mut self, release: &Release) -> Result<Release> {
        let id = self.next_number("release").await?;
        sqlx::query(
            "INSERT INTO releases (id, project_id, digest, run_id, ref, sha, title, manifest, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(release.project_id)
        .bind(&release.digest)
        .bind(release.run_id)
        .bind(&release.r#ref)
        .bind(&release.sha)
        .bind(&release.title)
        .bind(&release.manifest)
        .bind(release.created_at)
        .execute(&mut self.inner)
        .await?;
        Ok(Release {
            id,
            ..release.clone()
        })
    }

    pub async fn release(&mut self, id: i64) -> Result<Option<Release>> {
        let row = sqlx::query_as("SELECT * FROM releases WHERE id = $1").bind(id);
        Ok(row.fetch_optional(&mut self.inner).await?)
    }

    pub async fn release_by_digest(&mut self, project: i64, digest: &str) -> Result<Option<Release>> {
        let row = sqlx::query_as("SELECT * FROM releases WHERE project_id = $1 AND digest = $2");
        Ok(row
            .bind(project)
            .bind(digest)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    /// Of a project, the newest first.
    pub async fn releases(&mut self, project: i64, limit: i64) -> Result<Vec<Release>> {
        let rows = sqlx::query_as("SELECT * FROM releases WHERE project_id = $1 ORDER BY id DESC LIMIT $2");
        Ok(rows.bind(project).bind(limit).fetch_all(&mut self.inner).await?)
    }

    /// The blobs that a release needs.
    pub async fn release_blobs(&mut self, release: i64) -> Result<Vec<String>> {
        let rows = sqlx::query_scalar("SELECT digest FROM release_blobs WHERE release_id = $1");
        Ok(rows.bind(release).fetch_all(&mut self.inner).await?)
    }

    /// Gives a release's files up: its row stays for the history, its blobs are nobody's then.
    pub async fn forget_release_files(&mut self, id: i64) -> Result<()> {
        sqlx::query("DELETE FROM release_blobs WHERE release_id = $1")
            .bind(id)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    /// Releases of a project that still have their files and are older than `before`.
    pub async fn old_releases(&mut self, project: i64, before: i64) -> Result<Vec<Release>> {
        let rows = sqlx::query_as(
            "SELECT * FROM releases WHERE project_id = $1 AND created_at < $2
             AND EXISTS (SELECT 1 FROM release_blobs WHERE release_id = releases.id) ORDER BY id LIMIT 100",
        );
        Ok(rows.bind(project).bind(before).fetch_all(&mut self.inner).await?)
    }
}
