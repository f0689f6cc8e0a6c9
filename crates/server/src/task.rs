//! What the server does by itself: archives logs, removes what is old.

use crate::app::App;
use crate::config::Retention;
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
/// A blob that nobody refers to is removed only after so long: its owner may be about to be recorded.
const BLOB_AGE: Duration = Duration::from_secs(2 * 3600);

/// Compresses the logs of jobs that have ended, whenever some have.
pub(crate) async fn archive_logs(app: &App) {
    let mut changes = app.driver.changes();
    loop {
        changes.borrow_and_update();
        if let Err(error) = archive_ended(app).await {
            crate::error::log("a log cannot be archived", &error);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn archive_ended(app: &App) -> Result<(), pilotage_store::StoreError> {
    loop {
        let jobs = app.store.read().await?.unarchived_jobs().await?;
        if jobs.is_empty() {
            return Ok(());
        }
        for job in jobs {
            app.store.logs.archive(job).await?;
            app.store
                .write(move |c| Box::pin(async move { c.set_log_archived(job).await }))
                .await?;
        }
    }
}

/// Removes what is over its time, every hour, and says what that was.
pub(crate) async fn retain(app: Arc<App>, retention: Retention) {
    loop {
        match app.store.retain(&policy(retention), app.now(), BLOB_AGE).await {
            Ok(removed) if removed.is_nothing() => {}
            Ok(removed) => tracing::info!("retention removed {removed}"),
            Err(error) => {
                crate::error::log("retention failed; tried again in an hour", &error);
            }
        }
        tokio::time::sleep(HOUR).await;
    }
}

fn policy(retention: Retention) -> pilotage_store::RetentionPolicy {
    let day_ms = 24 * 3600 * 1000;
    pilotage_store::RetentionPolicy {
        run_age_ms: i64::from(retention.run_days) * day_ms,
        cache_age_ms: i64::from(retention.cache_days) * day_ms,
        cache_bytes_max: i64::try_from(retention.cache_bytes_max).unwrap_or(i64::MAX),
    }
}
