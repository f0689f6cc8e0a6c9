//! How SQLite goes about each statement of this crate: none may walk a table that grows with the runs. The statements
//! are read from the sources, so that a new one is asked too.

use crate::Store;
use crate::db::Connection;
use crate::run::{RunFilter, statement};
use std::path::Path;

/// Tables that stay small: they grow with people, projects and their settings, or are emptied as work ends.
const SMALL: &[&str] = &[
    "counters",
    "environments",
    "projects",
    "quarantine",
    "queue",
    "refs",
    "runners",
    "schema",
    "secrets",
    "sessions",
    "settings",
    "standings",
    "tokens",
    "variables",
    "workflows",
];

/// Beginnings of statements that walk all the same, and why they may.
const WALKS: &[(&str, &str)] = &[
    (
        "SELECT * FROM runs WHERE 1 = 1",
        "goes on at run time, and is asked below",
    ),
    ("SELECT seq, hash FROM audit", "the last one"),
    (
        "SELECT * FROM (SELECT * FROM deployments ORDER BY id DESC LIMIT",
        "no more of the newest than wanted",
    ),
    (
        "SELECT id, project_id, size_bytes FROM caches",
        "retention counts all, once an hour",
    ),
    ("DELETE FROM caches WHERE used_at", "as many as retention leaves"),
    (
        "SELECT digest FROM artifacts UNION",
        "retention needs all, once an hour",
    ),
];

/// Each SQL text in the sources that reads or looks for rows.
fn statements() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("plan.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a module");
        // Tests make tables of their own.
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for begin in ["\"SELECT ", "\"UPDATE ", "\"DELETE ", "\"WITH "] {
            for (at, _) in text.match_indices(begin) {
                let rest = &text[at + 1..];
                let end = rest.find('"').expect("the end of a text");
                let words: Vec<&str> = rest[..end].split_whitespace().collect();
                let statement = words.join(" ");
                // One that goes on at run time is asked below.
                if statement.matches('(').count() == statement.matches(')').count() {
                    found.push(statement);
                }
            }
        }
    }
    found
}

async fn plan(c: &mut Connection, statement: &str) -> Vec<String> {
    let explained = format!("EXPLAIN QUERY PLAN {statement}");
    let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(explained))
        .fetch_all(&mut c.inner)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    rows.into_iter().map(|row| row.3).collect()
}

/// What is walked in a plan from one end to the other, but for indexes of few rows.
fn walked<'p>(plan: &'p [String], partial: &[String]) -> Vec<&'p str> {
    let walked = plan.iter().filter(|line| {
        let mut words = line.split(' ');
        let (what, table) = (words.next(), words.next().unwrap_or_default());
        let index = line
            .split("INDEX ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        what == Some("SCAN")
            && !SMALL.contains(&table)
            && !table.starts_with('(')
            && !line.contains("VIRTUAL TABLE")
            && !index.is_some_and(|index| partial.iter().any(|name| name == index))
    });
    walked.map(String::as_str).collect()
}

#[tokio::test]
async fn no_statement_walks_what_grows() {
    let directory = tempfile::tempdir().expect("a folder");
    let store = Store::open(directory.path()).await.expect("a store");
    let mut c = store.read().await.expect("a reader");
    let partial: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")
            .fetch_all(&mut c.inner)
            .await
            .expect("indexes");
    let statements = statements();
    assert!(statements.len() > 100, "{statements:#?}");
    let mut faults = Vec::new();
    for statement in &statements {
        let plan = plan(&mut c, statement).await;
        let walked = walked(&plan, &partial);
        if !walked.is_empty() && !WALKS.iter().any(|(begin, _)| statement.starts_with(begin)) {
            faults.push(format!("{statement}\n    {}", walked.join("\n    ")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The test sees a walk where there is one.
    let plan = plan(&mut c, "SELECT * FROM runs WHERE title = 'x'").await;
    assert_eq!(walked(&plan, &partial).len(), 1, "{plan:?}");
}

fn by(set: fn(&mut RunFilter)) -> RunFilter {
    let mut filter = RunFilter {
        limit: 50,
        ..RunFilter::default()
    };
    set(&mut filter);
    filter
}

/// Which index finds the runs of a filter, of all projects and of one.
#[tokio::test]
async fn runs_are_found_by_what_they_are_filtered_by() {
    let directory = tempfile::tempdir().expect("a folder");
    let store = Store::open(directory.path()).await.expect("a store");
    let mut c = store.read().await.expect("a reader");
    let newest = "sqlite_autoindex_runs_1";
    for (filter, of_all, of_one) in [
        (by(|_| ()), newest, "runs_project"),
        (by(|f| f.workflow = Some(1)), "runs_workflow", "runs_workflow"),
        (by(|f| f.sha.push('x')), "runs_sha", "runs_sha"),
        (by(|f| f.r#ref.push('x')), "runs_ref", "runs_ref"),
        (by(|f| f.event.push('x')), "runs_event", "runs_event"),
        (by(|f| f.actor.push('x')), "runs_actor", "runs_actor"),
        (
            by(|f| f.status.push_str("failure")),
            "runs_conclusion",
            "runs_conclusion",
        ),
        (
            by(|f| f.status.push_str("queued")),
            "runs_open",
            "runs_conclusion",
        ),
        (by(|f| f.status.push_str("completed")), newest, "runs_project"),
    ] {
        for (before, project) in [(None, None), (Some(7), None), (None, Some(1)), (Some(7), Some(1))] {
            let filter = RunFilter {
                project,
                before,
                ..filter.clone()
            };
            let index = if project.is_some() { of_one } else { of_all };
            let plan = plan(&mut c, statement(&filter).sql().as_str()).await;
            let found = plan.iter().any(|line| line.contains(&format!("INDEX {index}")));
            let sorts = plan.iter().any(|line| line.contains("ORDER BY")) && project.is_some();
            assert!(found && !sorts, "{filter:?}: {plan:#?}");
        }
    }
}
