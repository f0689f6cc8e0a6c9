//! Refs compared with what was recorded of them: each difference becomes exactly one event.
//!
//! Git moves refs before we know. So refs are compared after each receive and at start; what was moved while nobody
//! looked is found then.

use super::repository::NOTHING;
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::event;
use pilotage_store::Project;
use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two tries: longer each time.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(20);

/// A ref that moved, and the event that was made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub event: i64,
    pub name: String,
    /// Zeros for a ref that is new.
    pub before: String,
    /// Zeros for a ref that is gone.
    pub after: String,
}

/// Finds what moved in a project and makes the events, in the order of the refs' names.
pub(crate) async fn record_changes(app: &App, project: &Project, actor: &str) -> AppResult<Vec<Change>> {
    let repository = app.repositories.of(project);
    // A crash may have come between the project and its repository.
    let made = repository.create_if_missing(&project.default_branch).await;
    made.map_err(|error| AppError::internal(&error))?;
    let now = repository
        .refs()
        .await
        .map_err(|error| AppError::internal(&error))?;
    let recorded = app.store.read().await?.refs(project.id).await?;
    let mut moved: Vec<(String, String, String)> = Vec::new();
    for (name, before) in &recorded {
        let after = now.get(name).cloned().unwrap_or_default();
        if *before != after {
            moved.push((name.clone(), before.clone(), after));
        }
    }
    let known = |name: &String| recorded.iter().any(|(n, _)| n == name);
    moved.extend(
        now.into_iter()
            .filter(|(name, _)| !known(name))
            .map(|(name, oid)| (name, String::new(), oid)),
    );
    moved.sort();
    let mut changes = Vec::new();
    for (name, before, after) in moved {
        if let Some(change) = record(app, project, actor, &name, &before, &after).await? {
            changes.push(change);
        }
    }
    Ok(changes)
}

/// Tries again until it can be done, as where the disk was full; and starts what follows.
pub(super) fn record_later(app: &Arc<App>, project: &Project, actor: &str) {
    let (app, project, actor) = (Arc::clone(app), project.clone(), actor.to_owned());
    if !unrecorded(&app).insert(project.id) {
        return;
    }
    tokio::spawn(async move {
        let (mut stopping, mut pause) = (app.stopping.clone(), AGAIN);
        // Where the server stops, its next start looks at all of them.
        while tokio::time::timeout(pause, stopping.changed()).await.is_err() {
            let recorded = record_changes(&app, &project, &actor).await;
            if recorded.is_ok() && event::handle_open(&app).await.is_ok_and(|all| all) {
                break;
            }
            pause = (pause * 2).min(AGAIN_MAX);
        }
        unrecorded(&app).remove(&project.id);
    });
}

fn unrecorded(app: &App) -> MutexGuard<'_, HashSet<i64>> {
    app.repositories
        .unrecorded
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// The same for every project, at start.
pub(crate) async fn record_all_changes(app: &App) -> AppResult<Vec<Change>> {
    let projects = app.store.read().await?.projects().await?;
    let mut changes = Vec::new();
    for project in projects {
        match record_changes(app, &project, "unknown").await {
            Ok(found) => changes.extend(found),
            // One broken repository does not hold up the others; what is wrong was logged.
            Err(error) => tracing::error!("the refs of {} cannot be compared: {error}", project.path()),
        }
    }
    Ok(changes)
}

async fn record(
    app: &App,
    project: &Project,
    actor: &str,
    name: &str,
    before: &str,
    after: &str,
) -> AppResult<Option<Change>> {
    let or_nothing = |oid: &str| {
        if oid.is_empty() {
            NOTHING.to_owned()
        } else {
            oid.to_owned()
        }
    };
    let (old, new) = (or_nothing(before), or_nothing(after));
    let payload = event::push_payload(app, project, actor, name, &old, &new).await;
    let payload = payload.map_err(|error| AppError::internal(&error))?.to_string();
    let subject = format!("{} {name}", project.path());
    let (id, actor_text) = (project.id, actor.to_owned());
    let (name_text, before, after) = (name.to_owned(), before.to_owned(), after.to_owned());
    let event = app
        .driver
        .turn(move |turn| {
            Box::pin(async move {
                // Someone else may have seen the same difference.
                if !turn.c.move_ref(id, &name_text, &before, &after).await? {
                    return Ok(None);
                }
                let event = turn
                    .c
                    .add_event(id, "push", &payload, &actor_text, turn.now)
                    .await?;
                let detail = serde_json::json!({"before": before, "after": after}).to_string();
                turn.c
                    .add_audit(turn.now, &actor_text, "push", &subject, &detail)
                    .await?;
                Ok(Some(event))
            })
        })
        .await?;
    Ok(event.map(|event| Change {
        event,
        name: name.to_owned(),
        before: old,
        after: new,
    }))
}
