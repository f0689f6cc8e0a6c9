//! Sessions of browsers: found by the hash of their cookie, dead with their token, when over, or when signed out.

use crate::db::{Connection, record};
use crate::error::Result;
use crate::token::Token;
use sqlx::{FromRow as _, Row as _};

record! {
    pub struct Session {
        /// SHA-256 of the cookie, hexadecimal.
        pub hash: String,
        pub token_id: i64,
        /// The browser, as it names itself.
        pub agent: String,
        pub address: String,
        pub created_at: i64,
        pub seen_at: i64,
        pub expires_at: i64,
    }
}

impl Connection {
    /// Adds a session; those that are over go.
    pub async fn add_session(&mut self, session: &Session) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE expires_at <= $1")
            .bind(session.created_at)
            .execute(&mut self.inner)
            .await?;
        sqlx::query(
            "INSERT INTO sessions (hash, token_id, agent, address, created_at, seen_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&session.hash)
        .bind(session.token_id)
        .bind(&session.agent)
        .bind(&session.address)
        .bind(session.created_at)
        .bind(session.seen_at)
        .bind(session.expires_at)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// The token behind a session, if both are good now, and when the session began.
    pub async fn token_of_session(&mut self, hash: &str, now: i64) -> Result<Option<(Token, i64)>> {
        let row = sqlx::query(
            "SELECT tokens.*, sessions.created_at AS session_at FROM sessions JOIN tokens ON tokens.id = sessions.token_id
             WHERE sessions.hash = $1 AND sessions.expires_at > $2
               AND tokens.revoked_at IS NULL AND (tokens.expires_at IS NULL OR tokens.expires_at > $2)",
        );
        let row = row.bind(hash).bind(now).fetch_optional(&mut self.inner).await?;
        let read = |row| Ok((Token::from_row(&row)?, row.try_get("session_at")?));
        row.map(read).transpose()
    }

    /// The sessions of a token, the newest first.
    pub async fn sessions(&mut self, token: i64, now: i64) -> Result<Vec<Session>> {
        let rows = sqlx::query_as(
            "SELECT * FROM sessions WHERE token_id = $1 AND expires_at > $2 ORDER BY created_at DESC LIMIT 100",
        );
        Ok(rows.bind(token).bind(now).fetch_all(&mut self.inner).await?)
    }

    /// Ends one session; false where there was none.
    pub async fn delete_session(&mut self, hash: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM sessions WHERE hash = $1")
            .bind(hash)
            .execute(&mut self.inner)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
