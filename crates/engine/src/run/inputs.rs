//! The inputs of `workflow_dispatch`: what a person gives, checked against what the workflow declares.

use indexmap::IndexMap;
use pilotage_workflow::expr::{Object, Scope, Value};
use pilotage_workflow::model::{Input, InputKind, Trigger, Workflow};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Checks given inputs.
pub struct Inputs;

impl Inputs {
    /// The value of each declared input, with its type: what was given, or its default. All that is wrong is said
    /// at once, a sentence each.
    pub fn check(
        workflow: &Workflow,
        given: &BTreeMap<String, String>,
    ) -> Result<Map<String, Json>, Vec<String>> {
        let empty = IndexMap::new();
        let dispatch = |trigger: &&Trigger| trigger.event.value == "workflow_dispatch";
        let declared = workflow
            .on
            .iter()
            .find(dispatch)
            .map_or(&empty, |trigger| &trigger.inputs);
        let mut errors = Vec::new();
        for name in given.keys().filter(|name| find(declared, name).is_none()) {
            let known: Vec<&str> = declared.keys().map(String::as_str).collect();
            errors.push(match known.as_slice() {
                [] => format!("there is no input `{name}`: the workflow takes none"),
                known => format!("there is no input `{name}`: it takes {}", known.join(", ")),
            });
        }
        let mut values = Map::new();
        for (name, input) in declared {
            let text = given
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str());
            match value(name, input, text) {
                Ok(value) => {
                    values.insert(name.clone(), value);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(values)
        } else {
            Err(errors)
        }
    }

    /// The same values as `github.event.inputs` has them: every one a text.
    #[must_use]
    pub fn as_texts(values: &Map<String, Json>) -> Map<String, Json> {
        values
            .iter()
            .map(|(name, value)| (name.clone(), Json::from(Value::from(value).to_text())))
            .collect()
    }
}

fn find<'a>(inputs: &'a IndexMap<String, Input>, name: &str) -> Option<&'a Input> {
    inputs
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, input)| input)
}

fn value(name: &str, input: &Input, given: Option<&str>) -> Result<Json, String> {
    let default = match &input.default {
        Some(tree) => tree
            .evaluate(&Nothing)
            .map_err(|e| format!("the default of `{name}` is no value: {e}"))?
            .to_text(),
        None => String::new(),
    };
    let text = given.filter(|text| !text.is_empty()).unwrap_or(&default);
    if text.is_empty() && input.required {
        return Err(format!("the input `{name}` is required"));
    }
    match input.kind {
        InputKind::String | InputKind::Environment => Ok(Json::from(text)),
        InputKind::Boolean => match text {
            "true" => Ok(Json::Bool(true)),
            "false" | "" => Ok(Json::Bool(false)),
            other => Err(format!("the input `{name}` is `{other}`, not true or false")),
        },
        InputKind::Number if text.is_empty() => Ok(Json::from(0)),
        InputKind::Number => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Json::from(&Value::Number(number))),
            _ => Err(format!("the input `{name}` is `{text}`, not a number")),
        },
        InputKind::Choice if text.is_empty() => {
            // GitHub's form takes the first option where there is no default.
            Ok(Json::from(input.options.first().cloned().unwrap_or_default()))
        }
        InputKind::Choice if input.options.iter().any(|option| option == text) => Ok(Json::from(text)),
        InputKind::Choice => Err(format!(
            "the input `{name}` is `{text}`, not one of {}",
            input.options.join(", ")
        )),
    }
}

/// Defaults of dispatch inputs see no context.
struct Nothing;

impl Scope for Nothing {
    fn context(&self, _name: &str) -> Option<Value> {
        Some(Object::new().into())
    }

    fn function(&self, _name: &str, _arguments: &[Value]) -> Option<Result<Value, String>> {
        None
    }
}
