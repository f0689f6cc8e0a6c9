//! Machines as they are stored, whatever their kind: state, events, and the outbox of their effects.
//!
//! Knows nothing of what a machine decides. A change is one call of [`Connection::transition`] inside a
//! transaction, together with whatever else changes with it.

use crate::db::{Connection, record};
use crate::error::{Result, StoreError};

record! {
    /// A machine's state as text (JSON), and where it stands.
    pub struct MachineRow {
        pub kind: String,
        pub id: i64,
        pub state: String,
        /// How many events it took.
        pub version: i64,
        /// Milliseconds since 1970.
        pub deadline: Option<i64>,
        /// How many effects it has given.
        pub effects: i64,
        pub done: bool,
    }
}

record! {
    /// An effect that waits to be performed. `(kind, id, seq)` is its key for ever.
    pub struct EffectRow {
        pub kind: String,
        pub id: i64,
        pub seq: i64,
        pub effect: String,
    }
}

record! {
    pub struct MachineEventRow {
        pub seq: i64,
        pub at: i64,
        pub event: String,
    }
}

/// One step of a machine: what `handle` made of one event.
pub struct Transition<'a> {
    pub kind: &'a str,
    pub id: i64,
    /// The version that was loaded; 0 for a machine that is new.
    pub version: i64,
    pub at: i64,
    pub event: &'a str,
    pub state: &'a str,
    pub deadline: Option<i64>,
    pub done: bool,
    pub effects: &'a [String],
}

impl Connection {
    pub async fn machine(&mut self, kind: &str, id: i64) -> Result<Option<MachineRow>> {
        let row = sqlx::query_as("SELECT * FROM machines WHERE kind = $1 AND id = $2")
            .bind(kind)
            .bind(id);
        Ok(row.fetch_optional(&mut self.inner).await?)
    }

    /// Stores one step; gives back the effects with their numbers. [`StoreError::Stale`] if someone was faster.
    pub async fn transition(&mut self, step: Transition<'_>) -> Result<Vec<EffectRow>> {
        let given = i64::try_from(step.effects.len()).unwrap_or(i64::MAX);
        let stale = || StoreError::Stale {
            kind: step.kind.to_owned(),
            id: step.id,
        };
        let first: i64 = if step.version == 0 {
            sqlx::query(
                "INSERT INTO machines (kind, id, state, version, deadline, effects, done) VALUES ($1, $2, $3, 1, $4, $5, $6)",
            )
            .bind(step.kind)
            .bind(step.id)
            .bind(step.state)
            .bind(step.deadline)
            .bind(given)
            .bind(i64::from(step.done))
            .execute(&mut self.inner)
            .await?;
            1
        } else {
            let effects: Option<i64> = sqlx::query_scalar(
                "UPDATE machines SET state = $3, version = version + 1, deadline = $4, effects = effects + $5, done = $6
                 WHERE kind = $1 AND id = $2 AND version = $7 RETURNING effects",
            )
            .bind(step.kind)
            .bind(step.id)
            .bind(step.state)
            .bind(step.deadline)
            .bind(given)
            .bind(i64::from(step.done))
            .bind(step.version)
            .fetch_optional(&mut self.inner)
            .await?;
            effects.ok_or_else(stale)? - given + 1
        };
        sqlx::query("INSERT INTO machine_events (kind, id, seq, at, event) VALUES ($1, $2, $3, $4, $5)")
            .bind(step.kind)
            .bind(step.id)
            .bind(step.version + 1)
            .bind(step.at)
            .bind(step.event)
            .execute(&mut self.inner)
            .await?;
        let mut rows = Vec::with_capacity(step.effects.len());
        for (seq, effect) in (first..).zip(step.effects) {
            sqlx::query("INSERT INTO outbox (kind, id, seq, effect, done) VALUES ($1, $2, $3, $4, 0)")
                .bind(step.kind)
                .bind(step.id)
                .bind(seq)
                .bind(effect)
                .execute(&mut self.inner)
                .await?;
            rows.push(EffectRow {
                kind: step.kind.to_owned(),
                id: step.id,
                seq,
                effect: effect.clone(),
            });
        }
        Ok(rows)
    }

    /// Stores a machine's state without its event: for machines whose history nobody asks for.
    pub async fn put_machine(
        &mut self,
        kind: &str,
        id: i64,
        state: &str,
        deadline: Option<i64>,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO machines (kind, id, state, version, deadline, effects, done) VALUES ($1, $2, $3, 1, $4, 0, 0)
             ON CONFLICT (kind, id) DO UPDATE SET state = $3, version = machines.version + 1, deadline = $4",
        )
        .bind(kind)
        .bind(id)
        .bind(state)
        .bind(deadline)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// Every effect that was decided and is not known to be done, in the order of each machine.
    pub async fn open_effects(&mut self) -> Result<Vec<EffectRow>> {
        let rows =
            sqlx::query_as("SELECT kind, id, seq, effect FROM outbox WHERE done = 0 ORDER BY kind, id, seq");
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// Those of one kind of machine.
    pub async fn open_effects_of(&mut self, kind: &str) -> Result<Vec<EffectRow>> {
        let rows = sqlx::query_as(
            "SELECT kind, id, seq, effect FROM outbox WHERE done = 0 AND kind = $1 ORDER BY id, seq",
        );
        Ok(rows.bind(kind).fetch_all(&mut self.inner).await?)
    }

    /// Those of one machine.
    pub async fn open_effects_of_machine(&mut self, kind: &str, id: i64) -> Result<Vec<EffectRow>> {
        let rows = sqlx::query_as(
            "SELECT kind, id, seq, effect FROM outbox WHERE done = 0 AND kind = $1 AND id = $2 ORDER BY seq",
        );
        Ok(rows.bind(kind).bind(id).fetch_all(&mut self.inner).await?)
    }

    /// Marks an effect as done. Doing it twice is nothing new. A long one, which holds a workflow's text, is not kept.
    pub async fn effect_done(&mut self, kind: &str, id: i64, seq: i64, at: i64) -> Result<()> {
        sqlx::query(
            "UPDATE outbox SET done = $4, effect = CASE WHEN length(effect) > 4096 THEN '{}' ELSE effect END
             WHERE kind = $1 AND id = $2 AND seq = $3 AND done = 0",
        )
        .bind(kind)
        .bind(id)
        .bind(seq)
        .bind(at)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// Machines whose deadline has come, the oldest first.
    pub async fn due_machines(&mut self, now: i64) -> Result<Vec<(String, i64)>> {
        let rows =
            sqlx::query_as("SELECT kind, id FROM machines WHERE deadline <= $1 ORDER BY deadline LIMIT 100");
        Ok(rows.bind(now).fetch_all(&mut self.inner).await?)
    }

    /// The next deadline of any machine.
    pub async fn next_deadline(&mut self) -> Result<Option<i64>> {
        let row = sqlx::query_scalar("SELECT MIN(deadline) FROM machines WHERE deadline IS NOT NULL");
        Ok(row.fetch_one(&mut self.inner).await?)
    }

    /// A machine that cannot be woken is not woken again.
    pub async fn clear_deadline(&mut self, kind: &str, id: i64) -> Result<()> {
        let statement = sqlx::query("UPDATE machines SET deadline = NULL WHERE kind = $1 AND id = $2");
        statement.bind(kind).bind(id).execute(&mut self.inner).await?;
        Ok(())
    }

    /// A machine's events, the oldest first.
    pub async fn machine_events(&mut self, kind: &str, id: i64) -> Result<Vec<MachineEventRow>> {
        let rows = sqlx::query_as(
            "SELECT seq, at, event FROM machine_events WHERE kind = $1 AND id = $2 ORDER BY seq",
        );
        Ok(rows.bind(kind).bind(id).fetch_all(&mut self.inner).await?)
    }

    /// Takes a machine and all that was stored of it away.
    pub async fn delete_machine(&mut self, kind: &str, id: i64) -> Result<()> {
        for statement in [
            "DELETE FROM outbox WHERE kind = $1 AND id = $2",
            "DELETE FROM machine_events WHERE kind = $1 AND id = $2",
            "DELETE FROM machines WHERE kind = $1 AND id = $2",
        ] {
            sqlx::query(statement)
                .bind(kind)
                .bind(id)
                .execute(&mut self.inner)
                .await?;
        }
        Ok(())
    }
}
