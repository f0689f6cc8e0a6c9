//! Events: what happened to a project, and the runs that follow from it.
//!
//! An event is stored before anything is made of it; looking at it twice starts nothing twice.

use crate::app::App;
use crate::driver::NewRun;
use crate::error::{AppError, AppResult};
use crate::git::{Commit, GitError, Repository};
use crate::render;
use crate::trigger;
use crate::workflows::{self, Files};
use axum::http::StatusCode;
use pilotage_store::{Event, Project};
use pilotage_workflow::filter::{self, EventFacts, RefKind};
use pilotage_workflow::model::Workflow;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// What came of an event. Stored with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub runs: Vec<Started>,
    pub faults: Vec<Faulty>,
    /// Why nothing else started, by workflow; or why nothing was looked at.
    pub skipped: Vec<(String, String)>,
    #[serde(default)]
    pub notices: Vec<Notice>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    pub run: i64,
    pub workflow: String,
    pub event: String,
    pub ref_name: String,
    pub sha: String,
    pub title: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Faulty {
    pub workflow: String,
    pub errors: usize,
    /// The diagnostics, drawn.
    pub text: String,
}

/// What people might wait for in vain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub workflow: String,
    /// A fragment that follows the workflow's name.
    pub text: String,
    /// Nothing starts the workflow at all.
    pub never: bool,
}

/// How many commits a push's payload holds, as on GitHub.
const COMMITS_MAX: usize = 20;

/// Looks at an event and starts its runs, once. Gives what came of it, now or earlier.
pub(crate) async fn handle(app: &App, id: i64) -> AppResult<Outcome> {
    let found = app.store.read().await?.event(id).await?;
    let event = found.ok_or_else(|| AppError::not_found("such event"))?;
    if let Ok(outcome) = serde_json::from_str(&event.outcome) {
        return Ok(outcome);
    }
    let project = app.store.read().await?.project_by_id(event.project_id).await?;
    let project = project.ok_or_else(|| AppError::not_found("such project"))?;
    let (planned, outcome) = plan(app, &project, &event).await?;
    commit(app, event.id, planned, outcome).await
}

/// Looks at every event that nobody has looked at yet, as after a crash. False where there was no room for what
/// comes of one.
pub(crate) async fn handle_open(app: &App) -> AppResult<bool> {
    let mut all = true;
    let open = app.store.read().await?.open_events().await?;
    for event in open {
        if let Err(error) = handle(app, event.id).await {
            tracing::error!(
                event.id = event.id,
                "event {} cannot be handled: {error}",
                event.id
            );
            all &= error.status != StatusCode::INSUFFICIENT_STORAGE;
        }
    }
    Ok(all)
}

/// Starts the runs and records the outcome, in one transaction.
async fn commit(app: &App, id: i64, planned: Vec<NewRun>, mut outcome: Outcome) -> AppResult<Outcome> {
    let outcome = app
        .driver
        .turn(move |mut turn| {
            Box::pin(async move {
                if let Some(event) = turn.c.event(id).await?
                    && let Ok(earlier) = serde_json::from_str(&event.outcome)
                {
                    return Ok(earlier);
                }
                for new in planned {
                    let (workflow, event, sha) =
                        (new.workflow_path.clone(), new.event.clone(), new.sha.clone());
                    let (ref_name, title) = (short_ref(&new.r#ref).to_owned(), new.title.clone());
                    match turn.start_run(new).await? {
                        Ok(Some(run)) => outcome.runs.push(Started {
                            run,
                            workflow,
                            event,
                            ref_name,
                            sha,
                            title,
                        }),
                        Ok(None) => outcome.skipped.push((workflow, "it is disabled".to_owned())),
                        Err(diagnostics) => outcome.faults.push(faulty(workflow, &diagnostics)),
                    }
                }
                let text = serde_json::to_string(&outcome).unwrap_or_default();
                turn.c.set_event_outcome(id, &text).await?;
                Ok(outcome)
            })
        })
        .await?;
    Ok(outcome)
}

fn faulty(workflow: String, diagnostics: &[pilotage_workflow::diagnostic::Diagnostic]) -> Faulty {
    Faulty {
        workflow,
        errors: render::errors(diagnostics),
        text: render::plain(diagnostics),
    }
}

/// Which runs an event is to have.
async fn plan(app: &App, project: &Project, event: &Event) -> AppResult<(Vec<NewRun>, Outcome)> {
    let mut outcome = Outcome::default();
    let payload: Json = serde_json::from_str(&event.payload).unwrap_or_default();
    let text = |key: &str| {
        payload
            .get(key)
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (name, before, after) = (text("ref"), text("before"), text("after"));
    let flag = |key: &str| payload.get(key).and_then(Json::as_bool).unwrap_or_default();
    if event.name != "push" || flag("deleted") {
        return Ok((Vec::new(), outcome));
    }
    let repository = app.repositories.of(project);
    let internal = |error: GitError| AppError::internal(&error);
    let Some(sha) = repository.commit_of(&after).await.map_err(internal)? else {
        outcome
            .skipped
            .push((name, "it does not lead to a commit".to_owned()));
        return Ok((Vec::new(), outcome));
    };
    let commit = repository.commit(&sha).await.map_err(internal)?;
    if filter::skip_ci(&commit.message) {
        outcome.skipped.push((
            short_ref(&name).to_owned(),
            "its commit says that it starts nothing".to_owned(),
        ));
        return Ok((Vec::new(), outcome));
    }
    let paths = changed_paths(&repository, project, &name, &before, &sha)
        .await
        .map_err(internal)?;
    let facts = push_facts(&name, paths);
    let files = Files::read(&repository, &sha).await.map_err(internal)?;
    let vars = workflows::variables(app, project).await?;
    let mut planned = Vec::new();
    for path in files.paths() {
        let read = files.parse(path);
        if read.has_errors() {
            if concerns(&read, &facts) {
                outcome.faults.push(faulty(path.clone(), &read.diagnostics));
            }
            continue;
        }
        let Some(workflow) = &read.workflow else { continue };
        outcome.notices.extend(trigger::notice(workflow, path));
        let decision = filter::decide(&workflow.on, &facts);
        if !decision.fires {
            outcome.skipped.push((path.clone(), decision.reason));
            continue;
        }
        let context = Context {
            app,
            project,
            event,
            payload: &payload,
            git_ref: &name,
            sha: &sha,
            path,
        };
        let title = commit.title().chars().take(200).collect();
        planned.push(new_run(&context, workflow, read.texts, vars.clone(), title));
    }
    Ok((planned, outcome))
}

fn new_run(
    context: &Context<'_>,
    workflow: &Workflow,
    texts: BTreeMap<String, String>,
    vars: BTreeMap<String, String>,
    title: String,
) -> NewRun {
    let event = context.event;
    let name = workflows::name(workflow, context.path);
    NewRun {
        project: context.project.id,
        event_id: event.id,
        event: event.name.clone(),
        workflow_path: context.path.to_owned(),
        github: github(context, &name),
        workflow_name: name,
        workflows: texts,
        inputs: Map::new(),
        vars,
        r#ref: context.git_ref.to_owned(),
        sha: context.sha.to_owned(),
        title,
        actor: event.actor.clone(),
    }
}

/// What filters want to know of a push.
fn push_facts(name: &str, changed_paths: Option<Vec<String>>) -> EventFacts {
    let tag = name.starts_with("refs/tags/");
    EventFacts {
        name: "push".to_owned(),
        ref_kind: if tag { RefKind::Tag } else { RefKind::Branch },
        ref_name: short_ref(name).to_owned(),
        changed_paths,
        ..EventFacts::default()
    }
}

/// A file that is wrong starts nothing, and says so, unless it is plain that this push does not concern it.
fn concerns(read: &workflows::Read, facts: &EventFacts) -> bool {
    let workflow = read.workflow.as_ref();
    workflow.is_none_or(|w| filter::decide(&w.on, facts).fires || w.on.is_empty())
}

/// The paths that a push changed. Of a new branch: against the default branch, as far as they share a past.
async fn changed_paths(
    repository: &Repository,
    project: &Project,
    name: &str,
    before: &str,
    sha: &str,
) -> Result<Option<Vec<String>>, GitError> {
    if let Some(before) = repository.commit_of(before).await? {
        return repository.changed_paths(&before, sha).await;
    }
    let default = format!("refs/heads/{}", project.default_branch);
    let base = repository.commit_of(&default).await?.filter(|_| name != default);
    let base = match base {
        Some(base) if !repository.is_ancestor(sha, &base).await? => Some(base),
        // Without a commit of its own: what its last commit changed.
        Some(_) => repository.parent(sha).await?,
        None => None,
    };
    match base {
        Some(base) => repository.changed_paths(&base, sha).await,
        None => repository.all_paths(sha).await,
    }
}

/// `main` of `refs/heads/main`.
#[must_use]
pub(crate) fn short_ref(name: &str) -> &str {
    name.strip_prefix("refs/heads/")
        .or_else(|| name.strip_prefix("refs/tags/"))
        .unwrap_or(name)
}

/// What a `github` context is made of.
pub(crate) struct Context<'a> {
    pub app: &'a App,
    pub project: &'a Project,
    pub event: &'a Event,
    pub payload: &'a Json,
    pub git_ref: &'a str,
    pub sha: &'a str,
    pub path: &'a str,
}

/// The `github` context of a run, but for what the engine and the runner put in.
#[must_use]
pub(crate) fn github(context: &Context<'_>, workflow: &str) -> Map<String, Json> {
    let Context {
        app,
        project,
        event,
        payload,
        git_ref,
        sha,
        path,
    } = context;
    let repository = project.path();
    let kind = if git_ref.starts_with("refs/tags/") {
        "tag"
    } else {
        "branch"
    };
    let github = json!({
        "event_name": event.name,
        "event": payload,
        "ref": git_ref,
        "ref_name": short_ref(git_ref),
        "ref_type": kind,
        "ref_protected": false,
        "head_ref": "",
        "base_ref": "",
        "sha": sha,
        "actor": event.actor,
        "triggering_actor": event.actor,
        "repository": repository,
        "repository_id": project.id.to_string(),
        "repository_owner": project.owner,
        "repositoryUrl": app.git_url(project),
        "repository_visibility": "private",
        "server_url": app.url,
        "api_url": format!("{}/api/v3", app.url),
        "graphql_url": format!("{}/api/graphql", app.url),
        "retention_days": "90",
        "secret_source": "Actions",
        "workflow": workflow,
        "workflow_ref": format!("{repository}/{path}@{git_ref}"),
        "workflow_sha": sha,
    });
    match github {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

/// GitHub's payload of a push.
pub(crate) async fn push_payload(
    app: &App,
    project: &Project,
    actor: &str,
    name: &str,
    before: &str,
    after: &str,
) -> Result<Json, GitError> {
    let repository = app.repositories.of(project);
    let old = repository.commit_of(before).await?;
    let new = repository.commit_of(after).await?;
    let (created, deleted) = (
        before.bytes().all(|b| b == b'0'),
        after.bytes().all(|b| b == b'0'),
    );
    let forced = match (&old, &new) {
        (Some(old), Some(new)) => !repository.is_ancestor(old, new).await?,
        _ => false,
    };
    let commits = match &new {
        Some(new) => {
            repository
                .commits_between(old.as_deref(), new, COMMITS_MAX)
                .await?
        }
        None => Vec::new(),
    };
    let head = commits.last().map(|commit| commit_json(app, project, commit));
    Ok(json!({
        "ref": name,
        "before": before,
        "after": after,
        "created": created,
        "deleted": deleted,
        "forced": forced,
        "base_ref": null,
        "compare": format!("{}/{}/compare/{before}...{after}", app.url, project.path()),
        "commits": commits.iter().map(|commit| commit_json(app, project, commit)).collect::<Vec<_>>(),
        "head_commit": head,
        "repository": repository_json(app, project),
        "pusher": {"name": actor, "email": ""},
        "sender": {"login": actor, "type": "User"},
    }))
}

#[must_use]
pub(crate) fn repository_json(app: &App, project: &Project) -> Json {
    json!({
        "id": project.id,
        "name": project.name,
        "full_name": project.path(),
        "private": true,
        "owner": {"login": project.owner, "name": project.owner},
        "html_url": format!("{}/{}", app.url, project.path()),
        "url": format!("{}/{}", app.url, project.path()),
        "clone_url": app.git_url(project),
        "default_branch": project.default_branch,
        "master_branch": project.default_branch,
    })
}

fn commit_json(app: &App, project: &Project, commit: &Commit) -> Json {
    json!({
        "id": commit.sha,
        "tree_id": commit.tree,
        "distinct": true,
        "message": commit.message,
        "timestamp": commit.time,
        "url": format!("{}/{}/commit/{}", app.url, project.path(), commit.sha),
        "author": {"name": commit.author_name, "email": commit.author_email, "username": commit.author_name},
        "committer": {"name": commit.committer_name, "email": commit.committer_email, "username": commit.committer_name},
    })
}
