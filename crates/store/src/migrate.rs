//! The schema's steps, forward only, each in a transaction of its own. A schema from the future is refused.

use crate::db::Connection;
use crate::error::{Result, StoreError};

/// In order; the schema's number is how many of them were run. One that was released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_deployments.sql"),
    include_str!("migrations/0003_sessions.sql"),
    include_str!("migrations/0004_notifications.sql"),
    include_str!("migrations/0005_indexes.sql"),
    include_str!("migrations/0006_metrics.sql"),
    include_str!("migrations/0007_lock_until.sql"),
    include_str!("migrations/0008_secrets_used.sql"),
    include_str!("migrations/0009_evaluations.sql"),
];

/// The newest schema that this program knows.
pub const SCHEMA: i64 = MIGRATIONS.len() as i64;

pub(crate) async fn run(connection: &mut Connection) -> Result<()> {
    sqlx::query("CREATE TABLE IF NOT EXISTS schema (version BIGINT NOT NULL)")
        .execute(&mut connection.inner)
        .await?;
    let found: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema")
        .fetch_one(&mut connection.inner)
        .await?;
    if found > SCHEMA {
        return Err(StoreError::NewerSchema { found, known: SCHEMA });
    }
    for (index, statements) in (1..).zip(MIGRATIONS) {
        if index > found {
            step(connection, index, statements).await?;
        }
    }
    Ok(())
}

async fn step(connection: &mut Connection, version: i64, statements: &'static str) -> Result<()> {
    let mut transaction = sqlx::Connection::begin(&mut connection.inner).await?;
    sqlx::raw_sql(statements).execute(&mut *transaction).await?;
    sqlx::query("INSERT INTO schema (version) VALUES ($1)")
        .bind(version)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use sqlx::{ConnectOptions, Connection as _};

    const ROWS: &str = "
        INSERT INTO projects VALUES (1, 'o', 'p', 'main', 1);
        INSERT INTO runs VALUES (1, 1, 1, 1, 1, 1, 'push', 'refs/heads/main', 'abc', 'title', 'ana', 'completed',
            'success', '', 1, 1, 2);
        INSERT INTO deployments (id, project_id, environment, release_id, actor, idempotency, status, reason, created_at)
            VALUES (1, 1, 'staging', 1, 'ana', '', 'waiting', '', 1);";

    #[tokio::test]
    async fn each_earlier_schema_is_brought_up_to_date_with_what_is_in_it() {
        for earlier in 1..MIGRATIONS.len() {
            let directory = tempfile::tempdir().expect("a folder");
            let options = SqliteConnectOptions::new()
                .filename(directory.path().join("pilotage.db"))
                .create_if_missing(true);
            let mut old: SqliteConnection = options.connect().await.expect("a database");
            sqlx::raw_sql("CREATE TABLE schema (version BIGINT NOT NULL)")
                .execute(&mut old)
                .await
                .expect("a table");
            let mut old = Connection { inner: old };
            for (index, statements) in (1..).zip(&MIGRATIONS[..earlier]) {
                step(&mut old, index, statements).await.expect("a step");
            }
            sqlx::raw_sql(ROWS).execute(&mut old.inner).await.expect("rows");
            old.inner.close().await.expect("closed");

            let store = Store::open(directory.path()).await.expect("the store opens");
            let mut c = store.read().await.expect("a reader");
            let schema: i64 = sqlx::query_scalar("SELECT MAX(version) FROM schema")
                .fetch_one(&mut c.inner)
                .await
                .expect("a number");
            assert_eq!(schema, SCHEMA);
            let run = c.run(1).await.expect("read").expect("the run");
            assert_eq!((run.sha.as_str(), run.title.as_str()), ("abc", "title"));
            let waiting = c.waiting_deployments(9).await.expect("read");
            assert_eq!((waiting.len(), waiting[0].kind.as_str()), (1, "deploy"));
        }
    }
}
