//! The schema's steps, forward only, each in a transaction of its own. A schema from the future is refused.

use crate::db::Connection;
use crate::error::{Result, StoreError};

/// In order; the schema's number is how many of them were run. One that was released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_deployments.sql"),
    include_str!("migrations/0003_sessions.sql"),
    include_str!("migrations/0004_notifications.sql"),
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
