//! Values of expressions. Arrays and objects are shared, compared by identity, and keep their order.

use indexmap::IndexMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Number(f64),
    String(Arc<str>),
    Array(Arc<Vec<Value>>),
    Object(Arc<Object>),
}

/// An ordered map. Names are found without regard to case, unless it was made case-sensitive (`env` on Linux).
#[derive(Clone, Debug, Default)]
pub struct Object {
    entries: IndexMap<String, Value>,
    case_sensitive: bool,
}

impl Object {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn case_sensitive() -> Self {
        Self {
            case_sensitive: true,
            ..Self::default()
        }
    }

    /// Sets a value; a name that is there already (by this object's rule of case) keeps its place and spelling.
    pub fn insert(&mut self, name: impl Into<String>, value: Value) {
        let name = name.into();
        match self
            .entries
            .iter_mut()
            .find(|(k, _)| same(k, &name, self.case_sensitive))
        {
            Some((_, slot)) => *slot = value,
            None => {
                self.entries.insert(name, value);
            }
        }
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(name).or_else(|| {
            let mut entries = self.entries.iter();
            entries
                .find(|(k, _)| same(k, name, self.case_sensitive))
                .map(|(_, v)| v)
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn same(a: &str, b: &str, case_sensitive: bool) -> bool {
    if case_sensitive {
        a == b
    } else {
        a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
    }
}

impl Value {
    /// The text that GitHub puts in place of `${{ }}`: empty for null, `Array` and `Object` for those.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Value::Null => String::new(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => n.to_string(),
            Value::String(s) => s.to_string(),
            Value::Array(_) => "Array".to_owned(),
            Value::Object(_) => "Object".to_owned(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Number(value)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Value::Object(Arc::new(object))
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Self {
        Value::Array(Arc::new(values))
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(b) => Value::Bool(*b),
            serde_json::Value::Number(n) => Value::Number(n.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(s) => Value::from(s.as_str()),
            serde_json::Value::Array(items) => items.iter().map(Value::from).collect::<Vec<_>>().into(),
            serde_json::Value::Object(map) => {
                let mut object = Object::new();
                for (name, value) in map {
                    object.insert(name.as_str(), Value::from(value));
                }
                object.into()
            }
        }
    }
}

impl From<&Value> for serde_json::Value {
    /// Numbers that JSON lacks become null.
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            // A whole number is written without its fraction, as GitHub writes it.
            #[expect(clippy::cast_possible_truncation, reason = "the range is checked just before")]
            Value::Number(n) if n.fract() == 0.0 && n.abs() < 9.007_199_254_740_992e15 => {
                Self::from(*n as i64)
            }
            Value::Number(n) => Self::from(*n),
            Value::String(s) => Self::from(&**s),
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(object) => Self::Object(
                object
                    .iter()
                    .map(|(k, v)| (k.to_owned(), Self::from(v)))
                    .collect(),
            ),
        }
    }
}
