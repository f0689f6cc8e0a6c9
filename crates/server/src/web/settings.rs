//! The settings of a project. What is changed is changed by the REST handlers, which decide and record.

use super::confirm::Confirmed;
use super::form::Form;
use super::page::{WebResult, see_other, sentence, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::rest;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::rest as wire;
use pilotage_store::Project;
use pilotage_trust::token::Scope;
use pilotage_ui::page::settings::{CHARS_MIN, Entry, Environment, GivenTo, Secret, Settings, Variable};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use std::sync::Arc;

type Names = Path<(String, String)>;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/settings", get(page))
        .route("/{owner}/{name}/settings/secrets", post(set_secret))
        .route("/{owner}/{name}/settings/secrets/delete", post(delete_secret))
        .route("/{owner}/{name}/settings/variables", post(set_variable))
        .route("/{owner}/{name}/settings/variables/delete", post(delete_variable))
        .route("/{owner}/{name}/settings/environments", post(set_rules))
}

/// Which secret or variable stands in its form.
#[derive(serde::Deserialize, Default)]
struct Chosen {
    #[serde(default)]
    secret: String,
    #[serde(default)]
    variable: String,
    #[serde(default)]
    scope: String,
}

async fn page(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name)): Names,
    Query(chosen): Query<Chosen>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let mut settings = view(&app, &viewer, &project).await?;
    if !chosen.secret.is_empty() {
        settings.secret_form = entry(chosen.secret, chosen.scope, String::new());
    } else if !chosen.variable.is_empty() {
        let set = settings
            .variables
            .iter()
            .find(|row| row.name == chosen.variable && row.environment == chosen.scope);
        let value = set.map(|row| row.value.clone()).unwrap_or_default();
        settings.variable_form = entry(chosen.variable, chosen.scope, value);
    }
    Ok(show(&viewer, shell(&project), &settings.main()))
}

fn entry(name: String, environment: String, value: String) -> Entry {
    Entry {
        name,
        environment,
        value,
    }
}

fn shell(project: &Project) -> Shell {
    let place = Place::Project {
        owner: project.owner.clone(),
        name: project.name.clone(),
        tab: ProjectTab::Settings,
    };
    Shell::new(format!("Settings of {}", project.name), place)
}

async fn view(app: &Arc<App>, viewer: &Viewer, project: &Project) -> AppResult<Settings> {
    let refusal = viewer.refusal(Scope::Secrets, project);
    let mut c = app.store.read().await?;
    let environments = c.environments(project.id).await?;
    let mut settings = Settings {
        project: project.path(),
        viewer: viewer.shown(),
        confirmed: viewer.confirmed(app.now()),
        now: app.now(),
        secrets: Vec::new(),
        variables: Vec::new(),
        environments: Vec::new(),
        problem: None,
        secret_form: Entry::default(),
        variable_form: Entry::default(),
        refusal,
    };
    let levels = std::iter::once("").chain(environments.iter().map(|row| row.name.as_str()));
    for level in levels {
        for row in c.secrets(project.id, level).await? {
            settings.secrets.push(Secret {
                short: settings.refusal.is_none() && is_short(app, project, &row),
                used: row.used_at.map(|at| (at, given_to(&row))),
                name: row.name,
                environment: row.environment,
                updated_at: row.updated_at,
            });
        }
        for row in c.variables(project.id, level).await? {
            settings.variables.push(Variable {
                name: row.name,
                environment: row.environment,
                value: row.value,
                updated_at: row.updated_at,
            });
        }
    }
    settings.environments = environments.into_iter().map(environment).collect();
    Ok(settings)
}

fn given_to(row: &pilotage_store::Secret) -> GivenTo {
    match (row.used_run, row.used_job, row.used_deployment) {
        (Some(run), Some(job), _) => GivenTo::Job { run, job },
        (_, _, Some(id)) => GivenTo::Deployment(id),
        _ => GivenTo::Notification,
    }
}

/// Said to those only who could have set it.
fn is_short(app: &App, project: &Project, row: &pilotage_store::Secret) -> bool {
    let opened = crate::secrets::open_all(app, project, vec![row.clone()]);
    opened.values().any(|value| value.chars().count() < CHARS_MIN)
}

fn environment(row: pilotage_store::Environment) -> Environment {
    let rules: wire::Rules = serde_json::from_str(&row.rules).unwrap_or_default();
    Environment {
        name: row.name,
        branches: rules.branches,
        tags: rules.tags,
        reviewers: rules.reviewers,
        approvals: rules.approvals,
        self_approval: rules.self_approval,
        wait_timer_s: rules.wait_timer_s,
        guard_required: rules.guard_required,
        set: (!row.rules_by.is_empty()).then_some((row.rules_by, row.rules_at)),
    }
}

#[derive(serde::Deserialize)]
struct Set {
    name: String,
    value: String,
    #[serde(default)]
    environment: String,
}

impl Set {
    fn body(&self) -> Json<wire::SetValue> {
        Json(wire::SetValue {
            value: self.value.clone(),
            environment: Some(self.environment.clone()),
        })
    }
}

/// The page again, with what was refused above the fields that were sent.
async fn again(
    app: &Arc<App>,
    viewer: &Viewer,
    (owner, name): (&str, &str),
    error: AppError,
    fill: impl FnOnce(&mut Settings),
) -> WebResult {
    let fixable = error.status.is_client_error() && error.status != 403 && error.status != 404;
    if !fixable {
        return Err(error.into());
    }
    let project = rest::project::find(app, &viewer.who, owner, name, Scope::Read).await?;
    let mut settings = view(app, viewer, &project).await?;
    settings.problem = Some(sentence(&error.detail));
    fill(&mut settings);
    let mut response = show(viewer, shell(&project), &settings.main());
    *response.status_mut() = error.status;
    Ok(response)
}

async fn set_secret(
    State(app): State<Arc<App>>,
    Confirmed(viewer): Confirmed,
    Path((owner, name)): Names,
    Form(set): Form<Set>,
) -> WebResult {
    let path = Path((owner.clone(), name.clone(), set.name.clone()));
    match rest::secret::set_secret(State(Arc::clone(&app)), viewer.who.clone(), path, set.body()).await {
        Ok(_) => Ok(see_other(&format!("/{owner}/{name}/settings#se"))),
        Err(error) => {
            again(&app, &viewer, (&owner, &name), error, |settings| {
                settings.secret_form = entry(set.name, set.environment, String::new());
            })
            .await
        }
    }
}

async fn set_variable(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name)): Names,
    Form(set): Form<Set>,
) -> WebResult {
    let path = Path((owner.clone(), name.clone(), set.name.clone()));
    match rest::secret::set_variable(State(Arc::clone(&app)), viewer.who.clone(), path, set.body()).await {
        Ok(_) => Ok(see_other(&format!("/{owner}/{name}/settings#va"))),
        Err(error) => {
            again(&app, &viewer, (&owner, &name), error, |settings| {
                settings.variable_form = entry(set.name, set.environment, set.value);
            })
            .await
        }
    }
}

#[derive(serde::Deserialize)]
struct Delete {
    name: String,
    #[serde(default)]
    environment: String,
}

async fn delete_secret(
    State(app): State<Arc<App>>,
    Confirmed(viewer): Confirmed,
    Path((owner, name)): Names,
    Form(delete): Form<Delete>,
) -> WebResult {
    let level = Query(rest::secret::Level {
        environment: Some(delete.environment),
    });
    let path = Path((owner.clone(), name.clone(), delete.name));
    rest::secret::delete_secret(State(app), viewer.who, path, level).await?;
    Ok(see_other(&format!("/{owner}/{name}/settings#se")))
}

async fn delete_variable(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name)): Names,
    Form(delete): Form<Delete>,
) -> WebResult {
    let level = Query(rest::secret::Level {
        environment: Some(delete.environment),
    });
    let path = Path((owner.clone(), name.clone(), delete.name));
    rest::secret::delete_variable(State(app), viewer.who, path, level).await?;
    Ok(see_other(&format!("/{owner}/{name}/settings#va")))
}

#[derive(serde::Deserialize)]
struct SetRules {
    environment: String,
    #[serde(default)]
    new: String,
    #[serde(default)]
    branches: String,
    #[serde(default)]
    tags: String,
    #[serde(default)]
    reviewers: String,
    approvals: u32,
    wait_timer_s: u64,
    #[serde(default)]
    self_approval: String,
    #[serde(default)]
    guard_required: String,
}

fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

async fn set_rules(
    State(app): State<Arc<App>>,
    Confirmed(viewer): Confirmed,
    Path((owner, name)): Names,
    Form(set): Form<SetRules>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Secrets).await?;
    let there = {
        let mut c = app.store.read().await?;
        c.environment(project.id, &set.environment).await?
    };
    if !set.new.is_empty() && there.is_some() {
        let error = AppError::conflict(format!("there is an environment {} already", set.environment));
        return again(&app, &viewer, (&owner, &name), error, |_| {}).await;
    }
    let rules = wire::Rules {
        branches: lines(&set.branches),
        tags: lines(&set.tags),
        reviewers: lines(&set.reviewers),
        approvals: set.approvals,
        self_approval: !set.self_approval.is_empty(),
        wait_timer_s: set.wait_timer_s,
        guard_required: !set.guard_required.is_empty(),
    };
    let path = Path((owner.clone(), name.clone(), set.environment));
    let (state, who) = (State(Arc::clone(&app)), viewer.who.clone());
    match rest::environment::set_rules(state, who, path, Json(rules)).await {
        Ok(_) => Ok(see_other(&format!("/{owner}/{name}/settings#en"))),
        Err(error) => again(&app, &viewer, (&owner, &name), error, |_| {}).await,
    }
}
