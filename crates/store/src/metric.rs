//! What the services of environments did, in windows of time. The finer a window, the sooner it is forgotten.

use crate::db::{Connection, record};
use crate::error::Result;

/// Windows are this many seconds long, and kept for so long.
pub const SPANS: [(i64, i64); 3] = [(10, 2 * HOUR), (60, 24 * HOUR), (600, 30 * 24 * HOUR)];
const HOUR: i64 = 3600 * 1000;

record! {
    /// One window of one service.
    pub struct Metric {
        pub project_id: i64,
        pub environment: String,
        pub service: String,
        /// The window's length, in seconds: one of [`SPANS`].
        pub span: i64,
        /// When it began.
        pub at: i64,
        /// How much of it was seen, in milliseconds.
        pub seen: i64,
        pub requests: i64,
        pub errors: i64,
        pub p50_us: Option<i64>,
        pub p95_us: Option<i64>,
        /// Of all replicas together, in thousandths of a core.
        pub cpu: Option<i64>,
        /// Of the largest replica, in bytes.
        pub memory: Option<i64>,
    }
}

impl Connection {
    /// Adds a window, unless it is there.
    pub async fn add_metric(&mut self, metric: &Metric) -> Result<()> {
        sqlx::query(
            "INSERT INTO metrics (project_id, environment, service, span, at, seen, requests, errors,
                 p50_us, p95_us, cpu, memory)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
        )
        .bind(metric.project_id)
        .bind(&metric.environment)
        .bind(&metric.service)
        .bind(metric.span)
        .bind(metric.at)
        .bind(metric.seen)
        .bind(metric.requests)
        .bind(metric.errors)
        .bind(metric.p50_us)
        .bind(metric.p95_us)
        .bind(metric.cpu)
        .bind(metric.memory)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// A service's windows of one length from a time on, the oldest first.
    pub async fn metrics(
        &mut self,
        project: i64,
        environment: &str,
        service: &str,
        span: i64,
        from: i64,
    ) -> Result<Vec<Metric>> {
        let rows = sqlx::query_as(
            "SELECT * FROM metrics
             WHERE project_id = $1 AND environment = $2 AND service = $3 AND span = $4 AND at >= $5 ORDER BY at",
        );
        let rows = rows
            .bind(project)
            .bind(environment)
            .bind(service)
            .bind(span)
            .bind(from);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// Removes windows that are over their time.
    pub async fn forget_metrics(&mut self, now: i64) -> Result<u64> {
        let mut removed = 0;
        for (span, kept) in SPANS {
            let statement = sqlx::query("DELETE FROM metrics WHERE span = $1 AND at < $2");
            let done = statement
                .bind(span)
                .bind(now - kept)
                .execute(&mut self.inner)
                .await?;
            removed += done.rows_affected();
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    fn window(span: i64, at: i64) -> Metric {
        Metric {
            project_id: 1,
            environment: "production".to_owned(),
            service: "web".to_owned(),
            span,
            at,
            seen: span * 1000,
            requests: at,
            errors: 0,
            p50_us: None,
            p95_us: Some(7),
            cpu: None,
            memory: Some(1),
        }
    }

    #[tokio::test]
    async fn windows_are_kept_once_and_forgotten_in_their_time() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        let now = 40 * 24 * HOUR;
        let (fresh, hour, day) = (now - 1, now - HOUR - HOUR / 2, now - 20 * 24 * HOUR);
        let write = store.write(move |c| {
            Box::pin(async move {
                for (span, _) in SPANS {
                    for at in [fresh, fresh, hour, day] {
                        c.add_metric(&window(span, at)).await?;
                    }
                }
                c.forget_metrics(now).await
            })
        });
        assert_eq!(
            write.await.unwrap(),
            2,
            "of twenty days ago only the longest window stays"
        );
        let mut c = store.read().await.unwrap();
        let mut kept = Vec::new();
        for (span, _) in SPANS {
            let rows = c.metrics(1, "production", "web", span, 0).await.unwrap();
            kept.push(rows.iter().map(|row| row.at).collect::<Vec<_>>());
        }
        assert_eq!(
            kept,
            [vec![hour, fresh], vec![hour, fresh], vec![day, hour, fresh]]
        );
        assert!(
            c.metrics(1, "production", "other", 10, 0)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            c.metrics(1, "production", "web", 10, fresh).await.unwrap(),
            [window(10, fresh)]
        );
    }
}
