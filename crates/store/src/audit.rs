//! The audit log: entries are added, in the transaction of what they tell of, and never changed.

use crate::db::{Connection, record};
use crate::error::{Result, StoreError};
use pilotage_trust::audit::{Broken, Entry, START, Verifier};

record! {
    pub struct AuditRow {
        pub seq: i64,
        /// Milliseconds since 1970.
        pub at: i64,
        pub actor: String,
        pub action: String,
        pub subject: String,
        /// As JSON.
        pub detail: String,
        pub hash: String,
    }
}

impl From<AuditRow> for Entry {
    fn from(row: AuditRow) -> Self {
        let AuditRow {
            seq,
            at,
            actor,
            action,
            subject,
            detail,
            hash,
        } = row;
        Entry {
            seq,
            at_ms: at,
            actor,
            action,
            subject,
            detail,
            hash,
        }
    }
}

/// Which entries are wanted: those that have each of these texts, whatever its case; an empty one is in all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub actor: String,
    pub action: String,
    pub object: String,
    /// Anywhere, the detail included.
    pub text: String,
    /// Only those before this one.
    pub before: Option<i64>,
    /// How many entries are looked through at most.
    pub among: i64,
    pub limit: i64,
}

/// How many entries are read at a time.
const PAGE: i64 = 1000;

impl Connection {
    pub async fn add_audit(
        &mut self,
        now: i64,
        actor: &str,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<()> {
        let last: Option<(i64, String)> =
            sqlx::query_as("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
                .fetch_optional(&mut self.inner)
                .await?;
        let (last, head) = last.unwrap_or((0, START.to_owned()));
        let entry = Entry {
            seq: last + 1,
            at_ms: now,
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
            hash: String::new(),
        }
        .chained(&head);
        sqlx::query("INSERT INTO audit (seq, at, actor, action, subject, detail, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(entry.seq)
            .bind(now)
            .bind(&entry.actor)
            .bind(&entry.action)
            .bind(&entry.subject)
            .bind(&entry.detail)
            .bind(&entry.hash)
            .execute(&mut self.inner)
            .await?;
        Ok(())
    }

    /// Entries after `seq`, in order.
    pub async fn audit_after(&mut self, seq: i64, limit: i64) -> Result<Vec<AuditRow>> {
        let rows = sqlx::query_as("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(seq)
            .bind(limit);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// Entries that fit, the newest first.
    pub async fn audit_newest(&mut self, filter: &AuditFilter) -> Result<Vec<AuditRow>> {
        let rows = sqlx::query_as(
            "SELECT * FROM audit
             WHERE ($1 IS NULL OR seq < $1) AND seq >= coalesce($1, (SELECT max(seq) + 1 FROM audit)) - $7
               AND ($2 = '' OR instr(lower(actor), lower($2)) > 0)
               AND ($3 = '' OR instr(lower(action), lower($3)) > 0)
               AND ($4 = '' OR instr(lower(subject), lower($4)) > 0)
               AND ($5 = '' OR instr(lower(actor || ' ' || action || ' ' || subject || ' ' || detail), lower($5)) > 0)
             ORDER BY seq DESC LIMIT $6",
        );
        let rows = rows
            .bind(filter.before)
            .bind(&filter.actor)
            .bind(&filter.action)
            .bind(&filter.object)
            .bind(&filter.text)
            .bind(filter.limit)
            .bind(filter.among);
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// The number of the newest entry; 0 where there is none.
    pub async fn last_audit(&mut self) -> Result<i64> {
        let row = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM audit");
        Ok(row.fetch_one(&mut self.inner).await?)
    }

    /// Goes on with a walk along the chain, by about `most` entries; where it does not hold, if it does not.
    pub async fn walk_audit(&mut self, verifier: &mut Verifier, most: i64) -> Result<Option<Broken>> {
        let end = verifier.entries.saturating_add(most);
        while verifier.entries < end {
            let page = self.audit_after(verifier.entries, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for row in page {
                if let Err(broken) = verifier.check(&row.into()) {
                    return Ok(Some(broken));
                }
            }
        }
        // What was seen before cannot be gone.
        let last = self.last_audit().await?;
        Ok((last < verifier.entries).then_some(Broken {
            seq: last + 1,
            reason: "it was there before and is missing",
        }))
    }

    /// Walks the whole chain: how many entries there are, and the last one's hash.
    pub async fn verify_audit(&mut self) -> Result<(i64, String)> {
        let mut verifier = Verifier::default();
        loop {
            let page = self.audit_after(verifier.entries, PAGE).await?;
            if page.is_empty() {
                return Ok((verifier.entries, verifier.head));
            }
            for row in page {
                verifier
                    .check(&row.into())
                    .map_err(|source| StoreError::Audit { source })?;
            }
        }
    }
}
