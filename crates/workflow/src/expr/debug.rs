//! `pilotage debug eval`: expressions and contexts as JSON lines, for conformance suites.

use super::{Allowed, Expr, ExprError, ExprErrorKind, Object, Place, Scope, Value, first};
use crate::source::Span;
use serde_json::{Map, json};

/// As much as GitHub's evaluator allows by itself; its runner, and we elsewhere, allow ten times that.
const MEMORY_MAX_BYTES: usize = 1024 * 1024;

/// Answers one line `{"expr": "...", "contexts": {...}}` with a line of JSON. Only the contexts that are given
/// may be named. All is well (`success()` is true) and there are no files.
#[must_use]
pub fn evaluate_line(json_line: &str) -> String {
    let answer = match serde_json::from_str::<serde_json::Value>(json_line) {
        Ok(question) => match evaluate(&question) {
            Ok(value) => json!({"kind": value.kind(), "value": to_json(&value)}),
            Err(error) => error_json(&error),
        },
        Err(error) => json!({"error": {"kind": "input", "message": error.to_string(), "position": 0}}),
    };
    answer.to_string()
}

fn evaluate(question: &serde_json::Value) -> Result<Value, ExprError> {
    let text = question
        .get("expr")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let contexts = question.get("contexts").map(Value::from).unwrap_or_default();
    let empty = Object::new();
    let contexts = contexts.as_object().unwrap_or(&empty);
    let names: Vec<&str> = contexts.iter().map(|(name, _)| name).collect();
    let functions = &["always", "success", "failure", "cancelled", "hashFiles"];
    let allowed = Allowed {
        contexts: &names,
        functions,
    };
    let expr = Expr::parse_with(text, &Place::whole(Span::default()), &allowed).map_err(first)?;
    expr.evaluate_within(&Given { contexts }, MEMORY_MAX_BYTES)
}

struct Given<'a> {
    contexts: &'a Object,
}

impl Scope for Given<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        self.contexts.get(name).cloned()
    }

    fn function(&self, name: &str, _: &[Value]) -> Option<Result<Value, String>> {
        match name {
            "always" | "success" => Some(Ok(true.into())),
            "failure" | "cancelled" => Some(Ok(false.into())),
            "hashfiles" => Some(Ok("".into())),
            _ => None,
        }
    }
}

fn error_json(error: &ExprError) -> serde_json::Value {
    let kind = match error.kind {
        ExprErrorKind::Lexing => "lexing",
        ExprErrorKind::Parsing => "parsing",
        ExprErrorKind::Evaluation => "evaluation",
    };
    json!({"error": {"kind": kind, "message": error.message, "position": error.position}})
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Number(n) if !n.is_finite() => serde_json::Value::from(value.to_text()),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Object(object) => {
            let entries = object
                .iter()
                .map(|(name, value)| (name.to_owned(), to_json(value)));
            serde_json::Value::Object(entries.collect::<Map<_, _>>())
        }
        _ => serde_json::Value::from(value),
    }
}
