//! `pilotage debug glob`: patterns and names as JSON lines, for conformance suites.

use super::{PatternError, Patterns};
use serde_json::{Value, json};

/// Answers one line `{"patterns": [...], "inputs": [...]}`: `only` says whether a run starts when the patterns
/// stand under `branches`, `ignore` whether it is left out when they stand under `branches-ignore`.
#[must_use]
pub fn evaluate_line(json_line: &str) -> String {
    let answer = match serde_json::from_str::<Value>(json_line) {
        Ok(question) => match evaluate(&question) {
            Ok(answer) => answer,
            Err(error) => json!({"error": {"message": error.message, "offset": error.offset}}),
        },
        Err(error) => json!({"error": {"message": error.to_string(), "offset": 0}}),
    };
    answer.to_string()
}

fn evaluate(question: &Value) -> Result<Value, PatternError> {
    let texts = |key: &str| {
        let items = question
            .get(key)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        items.iter().filter_map(Value::as_str).collect::<Vec<_>>()
    };
    let patterns = Patterns::parse(texts("patterns"))?;
    let inputs = texts("inputs");
    Ok(json!({
        "only": inputs.iter().any(|input| patterns.take(input)),
        "ignore": !inputs.is_empty() && inputs.iter().all(|input| patterns.take(input)),
    }))
}
