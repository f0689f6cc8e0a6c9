//! What the form that starts a workflow offers.

use super::known::Known;
use crate::app::App;
use crate::error::AppResult;
use crate::web::viewer::Viewer;
use pilotage_api::rest as wire;
use pilotage_store::Project;
use pilotage_trust::token::Scope;
use pilotage_ui::page::workflow::{Form, Input, Kind, Start};

/// Branches and tags to choose from.
const REFS_MAX: usize = 200;

pub(super) async fn offered(
    app: &App,
    viewer: &Viewer,
    project: &Project,
    known: &Known,
    git_ref: Option<&str>,
    enabled: bool,
) -> AppResult<Start> {
    let refused = |why: String| Ok(Start::Refused(why));
    let git_ref = git_ref.unwrap_or_default();
    if let Some(why) = viewer.refusal(Scope::Write, project) {
        return refused(format!("You cannot start it: {why}."));
    }
    if !enabled {
        return refused("It is switched off.".to_owned());
    }
    if known.errors() > 0 {
        return refused("Its file has errors.".to_owned());
    }
    let Some(inputs) = &known.inputs else {
        return refused("It does not start by hand: its `on` lacks `workflow_dispatch`.".to_owned());
    };
    let mut c = app.store.read().await?;
    let environments = c.environments(project.id).await?;
    let default = format!("refs/heads/{}", project.default_branch);
    let mut refs: Vec<String> = c
        .refs(project.id)
        .await?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    refs.retain(|name| name.starts_with("refs/heads/") || name.starts_with("refs/tags/"));
    // What is chosen is always there, and the default branch is the first.
    refs.sort_by_key(|name| (name != &default, name != git_ref, name.starts_with("refs/tags/")));
    refs.truncate(REFS_MAX);
    Ok(Start::Form(Form {
        git_ref: git_ref.to_owned(),
        refs,
        inputs: inputs.iter().map(input).collect(),
        environments: environments.into_iter().map(|row| row.name).collect(),
        problem: None,
    }))
}

fn input(input: &wire::DispatchInput) -> Input {
    let kind = match input.kind.as_str() {
        "boolean" => Kind::Boolean,
        "number" => Kind::Number,
        "choice" => Kind::Choice,
        "environment" => Kind::Environment,
        _ => Kind::Text,
    };
    let value = match &input.default {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    Input {
        name: input.name.clone(),
        kind,
        description: input.description.clone(),
        required: input.required,
        value,
        options: input.options.clone(),
    }
}
