//! Values of expressions. Arrays and objects are shared, compared by identity, and keep their order.

use super::{number, text};
use indexmap::{Equivalent, IndexMap};
use std::hash::{Hash, Hasher};
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
    entries: IndexMap<Name, Value>,
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
        match self.entries.get_mut(&Wanted {
            name: &name,
            case_sensitive: self.case_sensitive,
        }) {
            Some(slot) => *slot = value,
            None => {
                self.entries.insert(Name(name), value);
            }
        }
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(&Wanted {
            name,
            case_sensitive: self.case_sensitive,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(k, v)| (k.0.as_str(), v))
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

/// A name as it was spelled. All spellings of a name hash the same; only the same spelling is equal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name(String);

impl Hash for Name {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        text::hash(&self.0, hasher);
    }
}

struct Wanted<'a> {
    name: &'a str,
    case_sensitive: bool,
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        text::hash(self.name, hasher);
    }
}

impl Equivalent<Name> for Wanted<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        self.name == name.0 || !self.case_sensitive && text::same(self.name, &name.0)
    }
}

impl Value {
    /// The text that GitHub puts in place of `${{ }}`: empty for null, `Array` and `Object` for those.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Value::Null => String::new(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => number::format(*n),
            Value::String(s) => s.to_string(),
            Value::Array(_) => "Array".to_owned(),
            Value::Object(_) => "Object".to_owned(),
        }
    }

    /// The number that GitHub takes it for in comparisons; `NaN` for arrays, objects and texts that are none.
    #[must_use]
    pub fn to_number(&self) -> f64 {
        match self {
            Value::Null => 0.0,
            Value::Bool(b) => f64::from(u8::from(*b)),
            Value::Number(n) => *n,
            Value::String(s) => number::parse(s),
            Value::Array(_) | Value::Object(_) => f64::NAN,
        }
    }

    /// False for null, false, 0, `NaN` and the empty text.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(b) => *b,
            Value::Number(n) => *n != 0.0 && !n.is_nan(),
            Value::String(s) => !s.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        }
    }

    /// Neither an array nor an object.
    #[must_use]
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Value::Array(_) | Value::Object(_))
    }

    /// GitHub's name of its kind: `String`, `Object` and so on.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "Null",
            Value::Bool(_) => "Boolean",
            Value::Number(_) => "Number",
            Value::String(_) => "String",
            Value::Array(_) => "Array",
            Value::Object(_) => "Object",
        }
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(s) = self {
            Some(s)
        } else {
            None
        }
    }

    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Value::Object(object) = self {
            Some(object)
        } else {
            None
        }
    }

    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(items) = self {
            Some(items)
        } else {
            None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_the_rule_of_their_object() {
        let mut object = Object::new();
        object.insert("Path", Value::from(1.0));
        object.insert("other", Value::from(2.0));
        object.insert("PATH", Value::from(3.0));
        assert_eq!(
            object.iter().map(|(k, _)| k).collect::<Vec<_>>(),
            ["Path", "other"]
        );
        assert_eq!(object.get("pAtH").map(Value::to_number), Some(3.0));

        let mut environment = Object::case_sensitive();
        environment.insert("Path", Value::from(1.0));
        environment.insert("PATH", Value::from(3.0));
        assert_eq!(environment.len(), 2);
        assert_eq!(environment.get("Path").map(Value::to_number), Some(1.0));
        assert!(environment.get("path").is_none());
    }
}
