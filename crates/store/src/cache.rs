//! The index of caches. The bytes are blobs. A cache is written in the scope of one ref and read by the scopes that
//! the caller names, in order.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    pub struct Cache {
        pub id: i64,
        pub project_id: i64,
        /// The ref that wrote it.
        pub scope: String,
        pub key: String,
        pub version: String,
        pub size_bytes: i64,
        /// `sha256:…`, the blob's name.
        pub digest: String,
        pub created_at: i64,
        pub used_at: i64,
    }
}

impl Connection {
    /// [`crate::StoreError::Exists`] where the scope has that key and version. The id given is not looked at.
    pub async fn add_cache(&mut self, cache: &Cache) -> Result<i64> {
        let id = self.next_number("cache").await?;
        sqlx::query(
            "INSERT INTO caches (id, project_id, scope, key, version, size_bytes, digest, created_at, used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(cache.project_id)
        .bind(&cache.scope)
        .bind(&cache.key)
        .bind(&cache.version)
        .bind(cache.size_bytes)
        .bind(&cache.digest)
        .bind(cache.created_at)
        .bind(cache.used_at)
        .execute(&mut self.inner)
        .await?;
        Ok(id)
    }

    pub async fn cache(&mut self, id: i64) -> Result<Option<Cache>> {
        Ok(sqlx::query_as("SELECT * FROM caches WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    /// The entry of exactly that key.
    pub async fn cache_exact(
        &mut self,
        project: i64,
        scope: &str,
        key: &str,
        version: &str,
    ) -> Result<Option<Cache>> {
        let row = sqlx::query_as(
            "SELECT * FROM caches WHERE project_id = $1 AND scope = $2 AND key = $3 AND version = $4",
        );
        Ok(row
            .bind(project)
            .bind(scope)
            .bind(key)
            .bind(version)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    /// The newest entry whose key begins with `prefix`.
    pub async fn cache_prefix(
        &mut self,
        project: i64,
        scope: &str,
        prefix: &str,
        version: &str,
    ) -> Result<Option<Cache>> {
        // `substr`, not `LIKE`: a key may hold `%` and `_`.
        let row = sqlx::query_as(
            "SELECT * FROM caches WHERE project_id = $1 AND scope = $2 AND substr(key, 1, length($3)) = $3
                                    AND version = $4 ORDER BY created_at DESC, id DESC LIMIT 1",
        );
        Ok(row
            .bind(project)
            .bind(scope)
            .bind(prefix)
            .bind(version)
            .fetch_optional(&mut self.inner)
            .await?)
    }

    pub async fn cache_used(&mut self, id: i64, now: i64) -> Result<()> {
        sqlx::query("UPDATE caches SET used_at = $2 WHERE id = $1")
            .bind(id)
            .bind(now)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    pub async fn caches(&mut self, project: i64) -> Result<Vec<Cache>> {
        let rows =
            sqlx::query_as("SELECT * FROM caches WHERE project_id = $1 ORDER BY used_at DESC, id LIMIT 1000");
        Ok(rows.bind(project).fetch_all(&mut self.inner).await?)
    }

    pub async fn delete_cache(&mut self, id: i64) -> Result<()> {
        sqlx::query("DELETE FROM caches WHERE id = $1")
            .bind(id)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }
}
