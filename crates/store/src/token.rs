//! Tokens: found by their hash, dead when revoked or over.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    pub struct Token {
        pub id: i64,
        pub name: String,
        /// SHA-256 of the token, hexadecimal.
        pub hash: String,
        /// `person`, `runner` or `job`.
        pub kind: String,
        /// Words, apart by blanks.
        pub scopes: String,
        /// The only project that it is good for, where it is for one.
        pub project_id: Option<i64>,
        pub job_id: Option<i64>,
        pub created_at: i64,
        pub expires_at: Option<i64>,
        pub revoked_at: Option<i64>,
    }
}

/// What a new token is made of.
pub struct NewToken<'a> {
    pub name: &'a str,
    pub hash: &'a str,
    pub kind: &'a str,
    pub scopes: &'a str,
    pub project_id: Option<i64>,
    pub job_id: Option<i64>,
    pub expires_at: Option<i64>,
}

impl Connection {
    pub async fn add_token(&mut self, token: NewToken<'_>, now: i64) -> Result<i64> {
        let id = self.next_number("token").await?;
        sqlx::query(
            "INSERT INTO tokens (id, name, hash, kind, scopes, project_id, job_id, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(token.name)
        .bind(token.hash)
        .bind(token.kind)
        .bind(token.scopes)
        .bind(token.project_id)
        .bind(token.job_id)
        .bind(now)
        .bind(token.expires_at)
        .execute(&mut self.inner)
        .await?;
        Ok(id)
    }

    /// The token of that hash, if it is good now.
    pub async fn token(&mut self, hash: &str, now: i64) -> Result<Option<Token>> {
        let row = sqlx::query_as(
            "SELECT * FROM tokens WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        );
        Ok(row.bind(hash).bind(now).fetch_optional(&mut self.inner).await?)
    }

    pub async fn token_is_good(&mut self, id: i64, now: i64) -> Result<bool> {
        let row: Option<i64> = sqlx::query_scalar(
            "SELECT id FROM tokens WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(id)
        .bind(now)
        .fetch_optional(&mut self.inner)
        .await?;
        Ok(row.is_some())
    }

    /// People's and runners' tokens, the newest first.
    pub async fn tokens(&mut self) -> Result<Vec<Token>> {
        let rows = sqlx::query_as("SELECT * FROM tokens WHERE job_id IS NULL ORDER BY id DESC LIMIT 1000");
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// False where there is no such token, or it is dead already.
    pub async fn revoke_token(&mut self, id: i64, now: i64) -> Result<bool> {
        let statement = sqlx::query("UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL");
        Ok(statement
            .bind(id)
            .bind(now)
            .execute(&mut self.inner)
            .await?
            .rows_affected()
            == 1)
    }

    /// Ends every token of a name and kind, but the one given.
    pub async fn revoke_tokens_named(&mut self, name: &str, kind: &str, but: i64, now: i64) -> Result<()> {
        sqlx::query("UPDATE tokens SET revoked_at = $4 WHERE name = $1 AND kind = $2 AND id <> $3 AND revoked_at IS NULL")
            .bind(name)
            .bind(kind)
            .bind(but)
            .bind(now)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    /// A job's token dies with its lease.
    pub async fn delete_job_tokens(&mut self, job: i64) -> Result<()> {
        sqlx::query("DELETE FROM tokens WHERE job_id = $1")
            .bind(job)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }
}
