//! Values of a step: its environment, the inputs of its action, flags and times.

use super::Frame;
use crate::action::{ActionError, Code};
use crate::builtin;
use crate::contexts::Env;
use crate::job::Job;
use crate::log::StepLog;
use pilotage_workflow::expr::{Scope, Template, Value};
use pilotage_workflow::model::{Step, Tree, TreeKey, TreeKind};
use std::time::Duration;

/// The inputs of an action: what is given, else the defaults.
pub(crate) fn inputs(
    code: &Code,
    with: Option<&Tree>,
    frame: &Frame,
    log: &mut StepLog,
) -> Result<Env, ActionError> {
    let given = map_of(with, &frame.contexts, "with")?;
    match code {
        Code::BuiltIn(built_in) => built_in_inputs(built_in, given),
        Code::Directory(directory) => {
            let mut inputs = Env::new();
            for (name, input) in &directory.action.inputs {
                let given = given
                    .iter()
                    .find(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, v)| v.clone());
                if given.is_some()
                    && let Some(deprecation) = &input.deprecation
                {
                    log.line(&format!(
                        "##[warning]Input '{name}' has been deprecated with message: {deprecation}"
                    ));
                }
                if given.is_none() && input.required && input.default.is_none() {
                    log.line(&format!("##[warning]Input required and not supplied: {name}"));
                }
                let default = || match &input.default {
                    Some(template) => template.evaluate(&frame.contexts).map(|v| v.to_text()),
                    None => Ok(String::new()),
                };
                let value = given
                    .map_or_else(default, Ok)
                    .map_err(|e| ActionError::expression(name, &e))?;
                inputs.insert(name.clone(), value);
            }
            for (name, value) in given {
                if !directory
                    .action
                    .inputs
                    .keys()
                    .any(|n| n.eq_ignore_ascii_case(&name))
                {
                    let valid: Vec<_> = directory.action.inputs.keys().map(|n| format!("'{n}'")).collect();
                    let valid = valid.join(", ");
                    log.line(&format!(
                        "##[warning]Unexpected input(s) '{name}', valid inputs are [{valid}]"
                    ));
                    inputs.insert(name, value);
                }
            }
            Ok(inputs)
        }
    }
}

fn built_in_inputs(built_in: &builtin::BuiltIn, given: Env) -> Result<Env, ActionError> {
    for (name, value) in &given {
        built_in
            .check_input(name, Some(value))
            .map_err(ActionError::Failed)?;
    }
    let mut inputs = Env::new();
    for input in built_in.inputs {
        let value = given
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(input.name))
            .map(|(_, v)| v.clone());
        if input.required && value.as_ref().is_none_or(|v| v.trim().is_empty()) {
            let message = format!("Input required and not supplied: {}", input.name);
            return Err(ActionError::failed(message));
        }
        inputs.insert(
            input.name.to_owned(),
            value.unwrap_or_else(|| input.default.to_owned()),
        );
    }
    Ok(inputs)
}

/// Of these inputs those that the step names itself; the others have the action's defaults.
pub(super) fn given(with: Option<&Tree>, inputs: &Env) -> Env {
    let Some(tree) = with else { return Env::new() };
    let TreeKind::Map(entries) = &tree.kind else {
        return inputs.clone();
    };
    let named = |name: &str| {
        entries.iter().any(|(key, _)| match key {
            TreeKey::Plain(key) => key.value.eq_ignore_ascii_case(name),
            TreeKey::Template(_) | TreeKey::Insert(_) => true,
        })
    };
    let given = inputs.iter().filter(|(name, _)| named(name));
    given.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The inputs as far as they are known before the job's first step; what is not known yet is empty.
pub(crate) fn known_inputs(code: &Code, with: Option<&Tree>, frame: &Frame) -> Env {
    let given = map_of(with, &frame.contexts, "with").unwrap_or_default();
    let Code::Directory(directory) = code else {
        return given;
    };
    let mut inputs = given;
    for (name, input) in &directory.action.inputs {
        if !inputs.keys().any(|n| n.eq_ignore_ascii_case(name)) {
            let default = input
                .default
                .as_ref()
                .and_then(|t| t.evaluate(&frame.contexts).ok());
            inputs.insert(name.clone(), default.map(|v| v.to_text()).unwrap_or_default());
        }
    }
    inputs
}

/// The environment that a step adds to the job's; also put into its `env` context.
pub(super) fn step_env(job: &Job, frame: &mut Frame, step: &Step) -> Result<Env, ActionError> {
    let around = |frame: &Frame| -> Env {
        let mut env = job.env.clone();
        env.extend(frame.overlay.iter().map(|(k, v)| (k.clone(), v.clone())));
        env
    };
    let mut env = around(frame);
    frame
        .contexts
        .set_env(env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    if step.env.is_some() {
        env.extend(map_of(step.env.as_ref(), &frame.contexts, "env")?);
        frame
            .contexts
            .set_env(env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    }
    Ok(env)
}

/// A map of texts that may hold expressions, or be one.
pub(crate) fn map_of(tree: Option<&Tree>, scope: &dyn Scope, key: &str) -> Result<Env, ActionError> {
    let Some(tree) = tree else { return Ok(Env::new()) };
    match tree
        .evaluate(scope)
        .map_err(|e| ActionError::expression(key, &e))?
    {
        Value::Object(object) => Ok(object.iter().map(|(k, v)| (k.to_owned(), v.to_text())).collect()),
        Value::Null => Ok(Env::new()),
        other => Err(ActionError::failed(format!(
            "`{key}` must be a map, and is a {}",
            other.kind()
        ))),
    }
}

pub(crate) fn evaluate_flag(tree: Option<&Tree>, scope: &dyn Scope) -> Result<bool, String> {
    let Some(tree) = tree else { return Ok(false) };
    match tree.evaluate(scope).map_err(|e| e.to_string())? {
        Value::Bool(flag) => Ok(flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.is_empty() || text.eq_ignore_ascii_case("false") => Ok(false),
        Value::Null => Ok(false),
        other => Err(format!("expected true or false, found `{}`", other.to_text())),
    }
}

/// Minutes, whole or not. None where nothing is said.
pub(crate) fn evaluate_minutes(tree: Option<&Tree>, scope: &dyn Scope) -> Result<Option<Duration>, String> {
    const MINUTES_MAX: f64 = 35.0 * 24.0 * 60.0;
    let Some(tree) = tree else { return Ok(None) };
    let minutes = match tree.evaluate(scope).map_err(|e| e.to_string())? {
        Value::Null => return Ok(None),
        value => value.to_number(),
    };
    // As on GitHub, 0 and less means no limit of its own.
    if minutes.is_nan() {
        return Err("expected a number of minutes".to_owned());
    }
    Ok((minutes > 0.0).then(|| Duration::from_secs_f64(minutes.min(MINUTES_MAX) * 60.0)))
}

/// Text of a template, with the key's name for errors.
pub(crate) fn text_of(template: &Template, scope: &dyn Scope, key: &str) -> Result<String, ActionError> {
    template
        .evaluate(scope)
        .map(|v| v.to_text())
        .map_err(|e| ActionError::expression(key, &e))
}
