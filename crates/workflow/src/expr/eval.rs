//! Evaluation of a tree against a scope, within a bound of memory. Recursion is bounded by the parser.

use super::ast::{NodeId, NodeKind, Tree};
use super::functions;
use super::lexer::Binary;
use super::value::Value;
use super::{ExprError, Scope, text};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

/// What one array or text costs beside its content, as GitHub counts.
const OVERHEAD_BYTES: usize = 26;

/// The fault is boxed: a result goes up through every node, and is nearly always good.
pub(super) type Evaluated<T> = Result<T, Box<ExprError>>;

pub(super) fn fault(message: impl Into<String>) -> Box<ExprError> {
    Box::new(ExprError::evaluation(message))
}

pub(super) struct Evaluator<'a> {
    tree: &'a Tree,
    scope: &'a dyn Scope,
    memory_left_bytes: usize,
}

/// A value on its way through the tree. An index on a filtered array (`a.*`) goes on to each of its items.
struct Operand {
    value: Value,
    filtered: bool,
}

impl From<Value> for Operand {
    fn from(value: Value) -> Self {
        Self {
            value,
            filtered: false,
        }
    }
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(tree: &'a Tree, scope: &'a dyn Scope, memory_max_bytes: usize) -> Self {
        Self {
            tree,
            scope,
            memory_left_bytes: memory_max_bytes,
        }
    }

    pub(super) fn value(&mut self, id: NodeId) -> Evaluated<Value> {
        self.operand(id).map(|operand| operand.value)
    }

    /// Takes memory from what is left.
    pub(super) fn charge(&mut self, bytes: usize) -> Evaluated<()> {
        match self.memory_left_bytes.checked_sub(bytes) {
            Some(left) => {
                self.memory_left_bytes = left;
                Ok(())
            }
            None => Err(fault("The maximum allowed memory size was exceeded")),
        }
    }

    /// Adds to a text that is being made, and pays for it: two bytes a character, as GitHub counts.
    pub(super) fn append(&mut self, result: &mut String, text: &str) -> Evaluated<()> {
        self.charge(text.len().saturating_mul(2))?;
        result.push_str(text);
        Ok(())
    }

    pub(super) fn ask_world(&mut self, name: &str, arguments: &[Value]) -> Evaluated<Value> {
        match self.scope.function(name, arguments) {
            Some(Ok(value)) => Ok(value),
            Some(Err(message)) => Err(fault(message)),
            None => Err(fault(format!("the function '{name}' is not available here"))),
        }
    }

    fn operand(&mut self, id: NodeId) -> Evaluated<Operand> {
        let tree = self.tree;
        match &tree.node(id).kind {
            NodeKind::Literal(value) => Ok(value.clone().into()),
            NodeKind::Context(name) => match self.scope.context(name) {
                Some(value) => Ok(value.into()),
                None => Err(fault(format!("the context '{name}' is not available here"))),
            },
            NodeKind::Wildcard => Ok(Value::Null.into()),
            NodeKind::Index(left, index) => self.index(*left, *index),
            NodeKind::Not(operand) => Ok(Value::Bool(!self.value(*operand)?.is_truthy()).into()),
            NodeKind::And(operands) => self.first_or_last(operands, false),
            NodeKind::Or(operands) => self.first_or_last(operands, true),
            NodeKind::Compare(binary, left, right) => {
                let (left, right) = (self.value(*left)?, self.value(*right)?);
                Ok(Value::Bool(compare(*binary, &left, &right)).into())
            }
            NodeKind::Call(function, arguments) => {
                functions::call(*function, arguments, self).map(Operand::from)
            }
        }
    }

    /// The first operand that is as wanted; else the last one.
    fn first_or_last(&mut self, operands: &[NodeId], truthy: bool) -> Evaluated<Operand> {
        let mut last = Operand::from(Value::Null);
        for id in operands {
            last = self.operand(*id)?;
            if last.value.is_truthy() == truthy {
                break;
            }
        }
        Ok(last)
    }

    fn index(&mut self, left: NodeId, index: NodeId) -> Evaluated<Operand> {
        let left = self.operand(left)?;
        let index = if matches!(self.tree.node(index).kind, NodeKind::Wildcard) {
            Index::All
        } else {
            Index::One(self.value(index)?)
        };
        if left.filtered {
            let mut items = Vec::new();
            for item in left.value.as_array().unwrap_or_default() {
                index.each(item, |value| items.push(value));
            }
            return self.filtered(items);
        }
        match index {
            Index::All => {
                let mut items = Vec::new();
                index.each(&left.value, |value| items.push(value));
                self.filtered(items)
            }
            Index::One(index) => Ok(get(&left.value, &index).unwrap_or_default().into()),
        }
    }

    fn filtered(&mut self, items: Vec<Value>) -> Evaluated<Operand> {
        self.charge(OVERHEAD_BYTES + items.len().saturating_mul(size_of::<Value>()))?;
        Ok(Operand {
            value: items.into(),
            filtered: true,
        })
    }
}

enum Index {
    All,
    One(Value),
}

impl Index {
    /// What it finds in a value: nothing in a primitive.
    fn each(&self, value: &Value, mut found: impl FnMut(Value)) {
        match (self, value) {
            (Index::All, Value::Array(items)) => items.iter().cloned().for_each(found),
            (Index::All, Value::Object(object)) => object.iter().for_each(|(_, value)| found(value.clone())),
            (Index::All, _) => {}
            (Index::One(index), value) => {
                if let Some(value) = get(value, index) {
                    found(value);
                }
            }
        }
    }
}

fn get(value: &Value, index: &Value) -> Option<Value> {
    match value {
        Value::Array(items) => position(index).and_then(|i| items.get(i).cloned()),
        Value::Object(object) if index.is_primitive() => {
            let name = index
                .as_str()
                .map_or_else(|| Cow::Owned(index.to_text()), Cow::Borrowed);
            object.get(&name).cloned()
        }
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked just before"
)]
fn position(index: &Value) -> Option<usize> {
    let number = index.to_number().floor();
    (0.0..=f64::from(i32::MAX))
        .contains(&number)
        .then_some(number as usize)
}

fn compare(binary: Binary, left: &Value, right: &Value) -> bool {
    match binary {
        Binary::Equal => equals(left, right),
        Binary::NotEqual => !equals(left, right),
        Binary::Less => order(left, right) == Some(Ordering::Less),
        Binary::Greater => order(left, right) == Some(Ordering::Greater),
        Binary::LessOrEqual => equals(left, right) || order(left, right) == Some(Ordering::Less),
        Binary::GreaterOrEqual => equals(left, right) || order(left, right) == Some(Ordering::Greater),
        // These two are nodes of their own.
        Binary::And | Binary::Or => false,
    }
}

/// Values of different kinds are compared as numbers; arrays and objects are equal only to themselves.
#[expect(clippy::float_cmp, reason = "equality of the language is equality of numbers")]
pub(super) fn equals(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::String(left), Value::String(right)) => text::same(left, right),
        (Value::Array(left), Value::Array(right)) => Arc::ptr_eq(left, right),
        (Value::Object(left), Value::Object(right)) => Arc::ptr_eq(left, right),
        // An array or object is not a number, and that is equal to nothing.
        _ => left.to_number() == right.to_number(),
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Null, Value::Null) => None,
        (Value::String(left), Value::String(right)) => Some(text::compare(left, right)),
        _ => left.to_number().partial_cmp(&right.to_number()),
    }
}
