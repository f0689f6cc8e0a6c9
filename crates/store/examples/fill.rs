//! Fills the database of a server that is not running with runs that never ran, for measuring what many of them cost:
//! `fill DATA RUNS`. What one sees of them is there (runs, jobs, steps, deployments, audit); what only machines know
//! is not. For measuring only.

use pilotage_store::Store;
use pilotage_trust::audit::{Entry, START};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const PROJECTS: i64 = 50;
const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, runs] = arguments.as_slice() else {
        return Err("fill DATA RUNS".into());
    };
    let (data, runs): (&Path, i64) = (Path::new(data), runs.parse()?);
    // Brings the schema.
    drop(Store::open(data).await?);
    let options = SqliteConnectOptions::new()
        .filename(data.join("pilotage.db"))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .pragma("cache_size", "-262144");
    let mut c = options.connect().await?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    for statement in STATEMENTS {
        sqlx::query(*statement)
            .bind(runs)
            .bind(PROJECTS)
            .bind(now - YEAR_MS)
            .bind(YEAR_MS / runs.max(1))
            .execute(&mut c)
            .await?;
    }
    audit(&mut c, runs, now).await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut c)
        .await?;
    c.close().await?;
    Ok(())
}

/// $1 how many runs, $2 how many projects, $3 when the first began, $4 the milliseconds from one to the next. All of
/// them have ids above a million, so that what is there already keeps its own.
const STATEMENTS: &[&str] = &[
    "INSERT INTO projects (id, owner, name, default_branch, created_at)
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
     SELECT 1000000 + i, 'load', 'project-' || i, 'main', $3 FROM n",
    "INSERT INTO workflows (id, project_id, path, name, enabled, runs)
     WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $2 * 4 - 1)
     SELECT 1000000 + i, 1000001 + i / 4, '.github/workflows/w' || (i % 4) || '.yml', 'workflow ' || (i % 4), 1, $1 / ($2 * 4) FROM n",
    // Every eleventh fails, every fiftieth is cancelled; half of them are of main.
    "INSERT INTO runs (id, project_id, workflow_id, number, attempt, event_id, event, ref, sha, title, actor, status,
                       conclusion, reason, created_at, started_at, ended_at)
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
     SELECT 1000000 + i, 1000001 + (i / 4) % $2, 1000000 + ((i / 4) % $2) * 4 + i % 4, 1 + i / ($2 * 4), 1, 1000000 + i,
            CASE i % 5 WHEN 0 THEN 'pull_request' WHEN 1 THEN 'workflow_dispatch' ELSE 'push' END,
            CASE WHEN i % 2 = 0 THEN 'refs/heads/main' ELSE 'refs/heads/feature-' || (i % 1000) END,
            printf('%08x%08x%08x%08x%08x', i * 2654435761 % 4294967296, i * 40503 % 4294967296, i, i * 7, i * 13),
            'Change number ' || i || ' of something', 'person-' || (i % 20), 'completed',
            CASE WHEN i % 11 = 0 THEN 'failure' WHEN i % 50 = 1 THEN 'cancelled' ELSE 'success' END, '',
            $3 + i * $4, $3 + i * $4, $3 + i * $4 + 60000 + i % 97 * 1000 FROM n",
    "INSERT INTO jobs (id, run_id, attempt, key, name, needs, status, conclusion, reason, error, environment,
                       environment_url, runner, outputs, created_at, started_at, ended_at, log_lines, log_archived)
     SELECT id * 2 + j, id, 1, CASE j WHEN 0 THEN 'build' ELSE 'test' END, CASE j WHEN 0 THEN 'build' ELSE 'test' END,
            CASE j WHEN 0 THEN '[]' ELSE '[\"build\"]' END, 'completed', conclusion, '', '', '', '', 'local', '{}',
            created_at, created_at + j * 30000, created_at + 30000 + j * 30000, 100, 1
     FROM runs, (SELECT 0 AS j UNION ALL SELECT 1) WHERE runs.id > 1000000",
    "INSERT INTO steps (job_id, step, key, name, status, outcome, conclusion, started_at, duration_ms, reason, error)
     SELECT id, s, '', 'Step ' || s, 'completed', 'success', 'success', started_at, 10000, '', ''
     FROM jobs, (SELECT 1 AS s UNION ALL SELECT 2 UNION ALL SELECT 3) WHERE jobs.id > 2000000",
    // One in fifty brought a release to an environment.
    "INSERT INTO releases (id, project_id, digest, run_id, ref, sha, title, manifest, created_at)
     SELECT id, project_id, printf('sha256:%064x', id), id, ref, sha, title, '{}', created_at
     FROM runs WHERE id > 1000000 AND id % 50 = 0",
    "INSERT INTO deployments (id, project_id, environment, release_id, previous_id, run_id, job_id, actor, idempotency,
                              status, result, reason, created_at, ended_at, kind, revision)
     SELECT id, project_id, CASE WHEN id % 100 = 0 THEN 'production' ELSE 'staging' END, id, NULL, id, id * 2 + 1, actor,
            'load-' || id, 'live', 'live', '', created_at, ended_at, 'deploy', substr(sha, 1, 7)
     FROM runs WHERE id > 1000000 AND id % 50 = 0",
    "INSERT INTO environments (project_id, name, rules, rules_by, rules_at, locked_by, lock_reason, created_at)
     SELECT id, e, '{}', '', 0, '', '', $3
     FROM projects, (SELECT 'staging' AS e UNION ALL SELECT 'production') WHERE projects.id > 1000000",
    "INSERT INTO counters (name, value)
     SELECT c, 3 * $1 + 3000000 FROM (SELECT 'run' AS c UNION SELECT 'project' UNION SELECT 'workflow' UNION SELECT 'event'
         UNION SELECT 'release' UNION SELECT 'deployment') WHERE true
     ON CONFLICT (name) DO UPDATE SET value = excluded.value",
];

/// A whole chain behind what is there.
async fn audit(c: &mut SqliteConnection, entries: i64, now: i64) -> Result<(), Box<dyn std::error::Error>> {
    let last: Option<(i64, String)> = sqlx::query_as("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut *c)
        .await?;
    let (last, mut head) = last.unwrap_or((0, START.to_owned()));
    let mut transaction = c.begin().await?;
    for seq in last + 1..=last + entries {
        let action = ["run.cancel", "secret.set", "environment.lock", "session.begin"];
        let entry = Entry {
            seq,
            at_ms: now,
            actor: format!("person-{} (token {})", seq % 20, seq % 20),
            action: action[usize::try_from(seq % 4)?].to_owned(),
            subject: format!("load/project-{}", 1 + seq % PROJECTS),
            detail: "{}".to_owned(),
            hash: String::new(),
        }
        .chained(&head);
        sqlx::query("INSERT INTO audit (seq, at, actor, action, subject, detail, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(entry.seq)
            .bind(entry.at_ms)
            .bind(&entry.actor)
            .bind(&entry.action)
            .bind(&entry.subject)
            .bind(&entry.detail)
            .bind(&entry.hash)
            .execute(&mut *transaction)
            .await?;
        head = entry.hash;
    }
    transaction.commit().await?;
    Ok(())
}
