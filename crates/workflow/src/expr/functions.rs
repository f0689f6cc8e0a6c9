//! The functions of the language. Those that need the world are only named here; the scope answers them.

use super::eval::{Evaluated, Evaluator, equals, fault};
use super::value::{Object, Value};
use super::{ast::NodeId, number, text};
use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Contains,
    StartsWith,
    EndsWith,
    Format,
    Join,
    ToJson,
    FromJson,
    Case,
    /// Answered by the scope, by this lower-case name.
    World(&'static str),
}

/// Lower-case name, function, least and greatest number of arguments.
const FUNCTIONS: &[(&str, Function, usize, usize)] = &[
    ("contains", Function::Contains, 2, 2),
    ("startswith", Function::StartsWith, 2, 2),
    ("endswith", Function::EndsWith, 2, 2),
    ("format", Function::Format, 1, 255),
    ("join", Function::Join, 1, 2),
    ("tojson", Function::ToJson, 1, 1),
    ("fromjson", Function::FromJson, 1, 1),
    ("case", Function::Case, 3, 255),
    ("hashfiles", Function::World("hashfiles"), 1, 255),
    ("always", Function::World("always"), 0, 0),
    ("cancelled", Function::World("cancelled"), 0, 0),
    ("success", Function::World("success"), 0, usize::MAX),
    ("failure", Function::World("failure"), 0, usize::MAX),
];

/// A value may nest as deep as JSON that we read, and a little more for the contexts around it.
const JSON_DEPTH_MAX: usize = 160;

pub(super) fn find(name: &str) -> Option<Function> {
    FUNCTIONS
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(name))
        .map(|(_, function, ..)| *function)
}

pub(super) fn needs_world(function: Function) -> bool {
    matches!(function, Function::World(_))
}

/// What is wrong with that number of arguments, in GitHub's words.
pub(super) fn arity_fault(function: Function, arguments: usize) -> Option<&'static str> {
    let (_, _, min, max) = FUNCTIONS.iter().find(|(_, known, ..)| *known == function)?;
    if arguments < *min {
        Some("Too few parameters supplied")
    } else if arguments > *max {
        Some("Too many parameters supplied")
    } else if function == Function::Case && arguments.is_multiple_of(2) {
        Some("Even number of parameters supplied, requires an odd number of parameters")
    } else {
        None
    }
}

pub(super) fn call(function: Function, arguments: &[NodeId], evaluator: &mut Evaluator) -> Evaluated<Value> {
    match function {
        Function::Format => return format(arguments, evaluator),
        Function::Case => return case(arguments, evaluator),
        _ => {}
    }
    let values = arguments
        .iter()
        .map(|id| evaluator.value(*id))
        .collect::<Result<Vec<_>, _>>()?;
    let first = values.first().unwrap_or(&Value::Null);
    let second = values.get(1);
    match function {
        Function::Contains => Ok(contains(first, second.unwrap_or(&Value::Null)).into()),
        Function::StartsWith => Ok(both_texts(first, second, text::starts_with).into()),
        Function::EndsWith => Ok(both_texts(first, second, text::ends_with).into()),
        Function::Join => join(first, second, evaluator),
        Function::ToJson => to_json(first, evaluator),
        Function::FromJson => from_json(first, evaluator),
        Function::World(name) => evaluator.ask_world(name, &values),
        Function::Format | Function::Case => Ok(Value::Null),
    }
}

fn contains(search: &Value, item: &Value) -> bool {
    match search {
        Value::Array(items) => items.iter().any(|candidate| equals(candidate, item)),
        Value::Object(_) => false,
        _ => item.is_primitive() && text::contains(&search.to_text(), &item.to_text()),
    }
}

fn both_texts(first: &Value, second: Option<&Value>, test: fn(&str, &str) -> bool) -> bool {
    let second = second.unwrap_or(&Value::Null);
    first.is_primitive() && second.is_primitive() && test(&first.to_text(), &second.to_text())
}

fn join(items: &Value, separator: Option<&Value>, evaluator: &mut Evaluator) -> Evaluated<Value> {
    let items = match items {
        Value::Array(items) => items,
        Value::Object(_) => return Ok(Value::from("")),
        primitive => return Ok(primitive.to_text().into()),
    };
    let separator = separator
        .filter(|s| s.is_primitive())
        .map_or_else(|| ",".to_owned(), Value::to_text);
    let mut joined = String::new();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            evaluator.append(&mut joined, &separator)?;
        }
        evaluator.append(&mut joined, &item.to_text())?;
    }
    Ok(joined.into())
}

/// The first value whose condition is true; the last argument where none is.
fn case(arguments: &[NodeId], evaluator: &mut Evaluator) -> Evaluated<Value> {
    for pair in arguments.chunks(2) {
        match pair {
            [condition, value] => match evaluator.value(*condition)? {
                Value::Bool(true) => return evaluator.value(*value),
                Value::Bool(false) => {}
                _ => {
                    return Err(fault("case predicate must evaluate to a boolean value"));
                }
            },
            [otherwise] => return evaluator.value(*otherwise),
            _ => {}
        }
    }
    Ok(Value::Null)
}

/// `{0}` is the first argument after the pattern; `{{` and `}}` are braces. Arguments that the pattern does not
/// name are not evaluated.
fn format(arguments: &[NodeId], evaluator: &mut Evaluator) -> Evaluated<Value> {
    let Some((pattern, arguments)) = arguments.split_first() else {
        return Ok(Value::Null);
    };
    let pattern = evaluator.value(*pattern)?.to_text();
    let invalid = || {
        fault(format!(
            "The following format string is invalid: {}",
            super::short(&pattern)
        ))
    };
    let mut texts: Vec<Option<String>> = vec![None; arguments.len()];
    let mut result = String::new();
    let mut rest = pattern.as_str();
    while let Some(brace) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(brace);
        evaluator.append(&mut result, before)?;
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            evaluator.append(&mut result, from.get(..1).unwrap_or_default())?;
            rest = after;
            continue;
        }
        let (index, after) = placeholder(from).ok_or_else(invalid)?;
        let (Some(argument), Some(text)) = (arguments.get(index), texts.get_mut(index)) else {
            return Err(fault(format!(
                "The following format string references more arguments than were supplied: {}",
                super::short(&pattern)
            )));
        };
        let text = match text {
            Some(text) => text,
            None => text.insert(evaluator.value(*argument)?.to_text()),
        };
        evaluator.append(&mut result, text)?;
        rest = after;
    }
    evaluator.append(&mut result, rest)?;
    Ok(result.into())
}

/// The number in `{12}` and what follows it.
fn placeholder(from: &str) -> Option<(usize, &str)> {
    let (digits, after) = from.strip_prefix('{')?.split_once('}')?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let index: u8 = digits.parse().ok().filter(|_| all_digits)?;
    Some((usize::from(index), after))
}

fn from_json(value: &Value, evaluator: &mut Evaluator) -> Evaluated<Value> {
    let json = value.to_text();
    // Values take more room than their text.
    evaluator.charge(json.len().saturating_mul(2))?;
    match serde_json::from_str::<serde_json::Value>(&json) {
        Ok(json) => Ok(Value::from(&json)),
        Err(error) if json.trim().is_empty() => Err(fault(format!(
            "Error parsing fromJson: the text is empty ({error})"
        ))),
        // The text itself is not shown: it may hold secrets.
        Err(error) => Err(fault(format!("Error parsing fromJson: {error}"))),
    }
}

fn to_json(value: &Value, evaluator: &mut Evaluator) -> Evaluated<Value> {
    let mut json = String::new();
    write_json(value, 0, &mut json, evaluator)?;
    Ok(json.into())
}

fn write_json(value: &Value, depth: usize, json: &mut String, evaluator: &mut Evaluator) -> Evaluated<()> {
    if depth > JSON_DEPTH_MAX {
        return Err(fault("Error in toJson: the value is nested too deep"));
    }
    match value {
        Value::Null => evaluator.append(json, "null"),
        Value::Bool(b) => evaluator.append(json, if *b { "true" } else { "false" }),
        Value::Number(n) => evaluator.append(json, &number::format(*n)),
        Value::String(s) => evaluator.append(json, &quoted(s)),
        Value::Array(items) if items.is_empty() => evaluator.append(json, "[]"),
        Value::Array(items) => {
            evaluator.append(json, "[")?;
            for (i, item) in items.iter().enumerate() {
                evaluator.append(json, &new_line(i > 0, depth + 1))?;
                write_json(item, depth + 1, json, evaluator)?;
            }
            evaluator.append(json, &format!("{}]", new_line(false, depth)))
        }
        Value::Object(object) if object.is_empty() => evaluator.append(json, "{}"),
        Value::Object(object) => write_object(object, depth, json, evaluator),
    }
}

fn write_object(
    object: &Object,
    depth: usize,
    json: &mut String,
    evaluator: &mut Evaluator,
) -> Evaluated<()> {
    evaluator.append(json, "{")?;
    for (i, (name, value)) in object.iter().enumerate() {
        evaluator.append(json, &format!("{}{}: ", new_line(i > 0, depth + 1), quoted(name)))?;
        write_json(value, depth + 1, json, evaluator)?;
    }
    evaluator.append(json, &format!("{}}}", new_line(false, depth)))
}

fn new_line(comma: bool, depth: usize) -> String {
    format!("{}\n{}", if comma { "," } else { "" }, "  ".repeat(depth))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
