//! Retention: what is removed by age and size. Never what a release needs, and never anything of a run that goes on.

use crate::Store;
use crate::blob::BlobName;
use crate::db::Connection;
use crate::error::Result;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct RetentionPolicy {
    /// How long after its end a run is kept.
    pub run_age_ms: i64,
    /// How long after its last use a cache is kept.
    pub cache_age_ms: i64,
    /// How much all caches of a project may take together.
    pub cache_bytes_max: i64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub runs: usize,
    pub artifacts: u64,
    pub caches: u64,
    pub blobs: usize,
    /// Of blobs and logs.
    pub bytes: u64,
}

impl Removed {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            artifacts,
            caches,
            blobs,
            bytes,
        } = self;
        write!(
            f,
            "{runs} runs, {artifacts} artifacts, {caches} caches, {blobs} blobs: {bytes} bytes"
        )
    }
}

impl Store {
    /// Removes what is over its time. Blobs go last, and only those that are older than `blob_age` and that nothing
    /// refers to any more.
    pub async fn retain(&self, policy: &RetentionPolicy, now: i64, blob_age: Duration) -> Result<Removed> {
        let mut removed = Removed::default();
        let old = self.read().await?.old_runs(now - policy.run_age_ms).await?;
        for run in old {
            removed.bytes += self.remove_run(run).await?;
            removed.runs += 1;
        }
        let policy = *policy;
        let (artifacts, caches) = self
            .write(move |c| {
                Box::pin(async move {
                    c.delete_old_events(now - policy.run_age_ms).await?;
                    c.delete_old_notices(now - policy.run_age_ms).await?;
                    Ok((
                        c.delete_old_artifacts(now).await?,
                        c.delete_old_caches(&policy, now).await?,
                    ))
                })
            })
            .await?;
        (removed.artifacts, removed.caches) = (artifacts, caches);
        // Listed before the database is asked: what is added meanwhile is too young to be in the list.
        let candidates = self.blobs.older_than(blob_age).await?;
        let needed = self.read().await?.needed_blobs().await?;
        for (name, bytes) in candidates {
            if !needed.contains(name.as_str()) {
                self.blobs.remove(&name).await?;
                removed.blobs += 1;
                removed.bytes += bytes;
            }
        }
        Ok(removed)
    }

    /// Takes a run away with its logs; gives how many bytes that freed. Its blobs go with the next retention.
    pub async fn remove_run(&self, run: i64) -> Result<u64> {
        let jobs = self.read().await?.jobs(run).await?;
        // The rows first: a log without a job is found by nobody, a job without its log would be a lie.
        self.write(move |c| Box::pin(async move { c.delete_run(run).await }))
            .await?;
        let mut bytes = 0;
        for job in jobs {
            bytes += self.logs.remove(job.id)?;
        }
        Ok(bytes)
    }
}

impl Connection {
    /// Runs that ended before `before` and that no release came from.
    async fn old_runs(&mut self, before: i64) -> Result<Vec<i64>> {
        let rows = sqlx::query_scalar(
            "SELECT id FROM runs WHERE conclusion IS NOT NULL AND ended_at < $1
               AND id NOT IN (SELECT run_id FROM releases) ORDER BY ended_at LIMIT 1000",
        );
        Ok(rows.bind(before).fetch_all(&mut self.inner).await?)
    }

    /// Events that were looked at, and whose runs, if there were any, are gone.
    async fn delete_old_events(&mut self, before: i64) -> Result<()> {
        let statement = sqlx::query(
            "DELETE FROM events WHERE at < $1 AND outcome <> '' AND id NOT IN (SELECT event_id FROM runs)",
        );
        statement.bind(before).execute(&mut self.inner).await?;
        Ok(())
    }

    async fn delete_old_artifacts(&mut self, now: i64) -> Result<u64> {
        let statement = sqlx::query("DELETE FROM artifacts WHERE expires_at < $1").bind(now);
        Ok(statement.execute(&mut self.inner).await?.rows_affected())
    }

    async fn delete_old_caches(&mut self, policy: &RetentionPolicy, now: i64) -> Result<u64> {
        let statement = sqlx::query("DELETE FROM caches WHERE used_at < $1").bind(now - policy.cache_age_ms);
        let mut deleted = statement.execute(&mut self.inner).await?.rows_affected();
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
            "SELECT id, project_id, size_bytes FROM caches ORDER BY project_id, used_at DESC, id DESC",
        )
        .fetch_all(&mut self.inner)
        .await?;
        let (mut project, mut bytes) = (0, 0_i64);
        for (id, of, size) in rows {
            if of != project {
                (project, bytes) = (of, 0);
            }
            bytes = bytes.saturating_add(size);
            if bytes > policy.cache_bytes_max {
                self.delete_cache(id).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// The names of all blobs that something refers to.
    async fn needed_blobs(&mut self) -> Result<HashSet<String>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT digest FROM artifacts UNION SELECT digest FROM caches UNION SELECT digest FROM release_blobs",
        )
        .fetch_all(&mut self.inner)
        .await?;
        Ok(rows
            .into_iter()
            .filter(|name| BlobName::parse(name).is_some())
            .collect())
    }
}
