//! The form of the way back, and what it does.

mod changes;

use self::changes::Changes;

use super::environment::Where;
use super::form::Form;
use super::page::{WebResult, see_other, sentence, show};
use super::viewer::Viewer;
use crate::app::{App, deployments};
use crate::driver::deployment::plan_of;
use crate::error::{AppError, AppResult};
use crate::rest;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use pilotage_store::{Deployment, Project, Release};
use pilotage_trust::token::Scope;
use pilotage_ui::page::rollback::{Commit, Rollback, Side};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::words;
use std::sync::Arc;

/// Commits that are shown, and counted.
const COMMITS_SHOWN: usize = 20;
const COMMITS_MAX: usize = 200;
const REASON_CHARS: usize = 5;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route(
        "/{owner}/{name}/environments/{environment}/rollback",
        get(page).post(roll_back),
    )
}

#[derive(serde::Deserialize)]
struct Target {
    #[serde(default)]
    to: String,
}

async fn page(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, environment)): Where,
    Query(Target { to }): Query<Target>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Deploy).await?;
    let view = view(&app, &viewer, &project, &environment, &to).await?;
    Ok(show(&viewer, shell(&project, &environment), &view.main()))
}

fn shell(project: &Project, environment: &str) -> Shell {
    let place = Place::Project {
        owner: project.owner.clone(),
        name: project.name.clone(),
        tab: ProjectTab::Environments,
    };
    Shell::new(format!("Roll {environment} back"), place)
}

#[derive(serde::Deserialize)]
struct Fields {
    to: String,
    #[serde(default)]
    reason: String,
    pause: Option<String>,
}

async fn roll_back(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, environment)): Where,
    Form(fields): Form<Fields>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Deploy).await?;
    let reason = fields.reason.trim().to_owned();
    let done = if reason.chars().count() < REASON_CHARS {
        Err(AppError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the reason has at least {REASON_CHARS} characters"),
        ))
    } else {
        let asker = deployments::Asker {
            actor: viewer.who.name.clone(),
            run: None,
            job: None,
        };
        let to = if fields.to.is_empty() {
            "previous"
        } else {
            &fields.to
        };
        let why: String = reason.chars().take(1000).collect();
        deployments::roll_back(&app, &project, &environment, to, &asker, &why).await
    };
    match done {
        Ok(rolled) => {
            if fields.pause.is_some() {
                let path = Path((owner.clone(), name.clone(), environment.clone()));
                let body = pilotage_api::rest::Lock {
                    reason: format!("rolled back: {reason}"),
                    minutes: 0,
                };
                rest::environment::lock(State(app), viewer.who, path, Json(body)).await?;
            }
            Ok(see_other(&format!("/{owner}/{name}/deployments/{}", rolled.id())))
        }
        Err(error) if error.status.is_client_error() => {
            let mut view = view(&app, &viewer, &project, &environment, &fields.to).await?;
            view.reason = fields.reason;
            view.pause = fields.pause.is_some();
            view.problem = Some(sentence(&error.detail));
            let page = show(&viewer, shell(&project, &environment), &view.main());
            Ok((error.status, page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// Where an environment stands, and what it can go back to.
struct Way {
    locked: bool,
    serves_since: i64,
    /// A deployment that is under way, which is what is taken back.
    under_way: Option<i64>,
    from: Release,
    target: Option<Release>,
    /// Its files are there.
    kept: bool,
    others: Vec<Release>,
    live: Vec<Deployment>,
    /// What the two releases say of this environment.
    changes: Changes,
}

impl Way {
    /// What a rollback brings back, beside the commits.
    fn back(&self) -> Vec<String> {
        let mut back = Vec::new();
        if !self.changes.settings.is_empty() {
            back.push(format!(
                "Settings of pilotage.yml: {}",
                self.changes.settings.join(", ")
            ));
        }
        for migration in self
            .changes
            .migrations
            .iter()
            .filter(|migration| migration.reversible)
        {
            back.push(format!(
                "{}: the release before can live with what it did",
                migration.named()
            ));
        }
        back
    }

    /// What a rollback does not touch.
    fn stays(&self) -> Vec<String> {
        let mut stays = Vec::new();
        for migration in self
            .changes
            .migrations
            .iter()
            .filter(|migration| !migration.reversible)
        {
            stays.push(format!(
                "{}: what it did stays, and pilotage.yml does not call it reversible",
                migration.named()
            ));
        }
        if self.changes.secrets.is_empty() {
            stays.push("Secrets and variables: they stay as they are now".to_owned());
        } else {
            stays.push(format!(
                "Secrets and variables stay as they are now: {}",
                self.changes.secrets.join(", ")
            ));
        }
        stays.push(format!("Data written since {}", words::day(self.serves_since)));
        stays
    }

    /// What the form names.
    fn named(&self) -> String {
        match (&self.target, self.under_way) {
            (Some(target), None) => target.digest.clone(),
            _ => "previous".to_owned(),
        }
    }
}

async fn way(app: &App, project: &Project, environment: &str, to: &str) -> AppResult<Way> {
    let mut c = app.store.read().await?;
    let missing = || AppError::not_found(format!("environment {}", crate::name::shown(environment)));
    let row = c
        .environment(project.id, environment)
        .await?
        .ok_or_else(missing)?;
    let standing = c.standing(project.id, environment).await?;
    let standing = standing.ok_or_else(|| AppError::conflict(format!("nothing is live in {environment}")))?;
    let open = c.open_deployments(project.id, environment).await?;
    let live = c.live_deployments(project.id, environment).await?;
    let mut begun = open.iter().rev();
    let under_way = begun
        .find(|row| row.kind == "deploy" && row.status != "live")
        .filter(|_| to.is_empty() || to == "previous");
    let now = under_way.map_or(standing.release_id, |row| row.release_id);
    let from = c.release(now).await?;
    let from = from.ok_or_else(|| AppError::conflict("its release is not kept any more"))?;
    let mut others: Vec<Release> = Vec::new();
    for row in live.iter().rev().take(30) {
        let known = others.iter().any(|known| known.id == row.release_id);
        if !known
            && row.release_id != standing.release_id
            && let Some(release) = c.release(row.release_id).await?
            && !c.release_blobs(release.id).await?.is_empty()
        {
            others.push(release);
        }
    }
    let target = match (under_way, to) {
        (Some(_), _) => Some(standing.release_id),
        (None, "" | "previous") => deployments::previous(&live),
        (None, digest) => others.iter().find(|r| r.digest == digest).map(|r| r.id),
    };
    let target = match target {
        Some(id) => c.release(id).await?,
        None => None,
    };
    let kept = match &target {
        Some(release) => under_way.is_some() || !c.release_blobs(release.id).await?.is_empty(),
        None => false,
    };
    let changes = match &target {
        Some(target) => Changes::between(
            plan_of(&from, environment)?.as_ref(),
            plan_of(target, environment)?.as_ref(),
        ),
        None => Changes::default(),
    };
    Ok(Way {
        changes,
        locked: !row.locked_by.is_empty(),
        serves_since: standing.at,
        under_way: under_way.map(|row| row.id),
        from,
        target,
        kept,
        others,
        live,
    })
}

async fn view(
    app: &Arc<App>,
    viewer: &Viewer,
    project: &Project,
    environment: &str,
    to: &str,
) -> AppResult<Rollback> {
    let way = way(app, project, environment, to).await?;
    let side = |release: &Release| {
        let row = way.live.iter().rev().find(|row| row.release_id == release.id);
        Side {
            revision: row.map_or_else(
                || words::short(&release.sha).to_owned(),
                |row| row.revision.clone(),
            ),
            digest: release.digest.clone(),
            title: release.title.clone(),
        }
    };
    let commits = match &way.target {
        Some(target) => {
            let repository = app.repositories.of(project);
            let between = repository.commits_between(Some(&target.sha), &way.from.sha, COMMITS_MAX);
            between.await.unwrap_or_default()
        }
        None => Vec::new(),
    };
    let commit_count = commits.len();
    let commit = |commit: crate::git::Commit| Commit {
        title: commit.title().to_owned(),
        author: commit.author_name,
        sha: commit.sha,
    };
    Ok(Rollback {
        viewer: viewer.shown(),
        owner: project.owner.clone(),
        name: project.name.clone(),
        environment: environment.to_owned(),
        now: app.now(),
        from: side(&way.from),
        to: match &way.target {
            Some(target) if way.kept => Ok(side(target)),
            Some(_) => Err("artifact gone".to_owned()),
            None => Err("nothing before it".to_owned()),
        },
        under_way: way.under_way,
        target: way.named(),
        others: way.others.iter().map(side).collect(),
        back: [format!(
            "Code of {}",
            words::counted(commit_count as u64, "commit", "commits")
        )]
        .into_iter()
        .chain(way.back())
        .collect(),
        stays: way.stays(),
        commit_count,
        commits: commits
            .into_iter()
            .rev()
            .take(COMMITS_SHOWN)
            .map(commit)
            .collect(),
        locked: way.locked,
        reason: String::new(),
        pause: true,
        problem: None,
    })
}
