//! Settings of the server that are kept in the database, and the counters that number things.

use crate::db::Connection;
use crate::error::Result;

impl Connection {
    pub async fn setting(&mut self, name: &str) -> Result<Option<String>> {
        let row = sqlx::query_scalar("SELECT value FROM settings WHERE name = $1").bind(name);
        Ok(row.fetch_optional(&mut self.inner).await?)
    }

    pub async fn set_setting(&mut self, name: &str, value: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2",
        )
        .bind(name)
        .bind(value)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// The next number of a kind of things, from 1. It is taken only if the transaction is.
    pub async fn next_number(&mut self, counter: &str) -> Result<i64> {
        let row = sqlx::query_scalar(
            "INSERT INTO counters (name, value) VALUES ($1, 1)
             ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
        );
        Ok(row.bind(counter).fetch_one(&mut self.inner).await?)
    }
}
