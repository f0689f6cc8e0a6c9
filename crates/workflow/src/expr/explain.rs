//! What decided a condition, in words for people.

use super::ast::{NodeId, NodeKind};
use super::eval::Evaluator;
use super::lexer::Binary;
use super::{Expr, MEMORY_MAX_BYTES, Scope, Value};

const PARTS_MAX: usize = 4;
const TEXT_CHARACTERS_MAX: usize = 120;
const VALUE_CHARACTERS_MAX: usize = 60;

pub(super) fn explain(expr: &Expr, scope: &dyn Scope) -> String {
    Explainer { expr, scope }.describe(expr.tree.root)
}

struct Explainer<'a> {
    expr: &'a Expr,
    scope: &'a dyn Scope,
}

impl Explainer<'_> {
    /// A sentence about the operand that decided. Recursion is bounded by the parser.
    fn describe(&self, id: NodeId) -> String {
        match &self.expr.tree.node(id).kind {
            NodeKind::And(operands) => self.deciding(operands, false),
            NodeKind::Or(operands) => self.deciding(operands, true),
            NodeKind::Compare(binary, left, right) => self.compared(id, *binary, *left, *right),
            NodeKind::Literal(_) => format!("the condition is {}", self.text(id)),
            _ => self.observed(id),
        }
    }

    /// The first operand that is as wanted decides alone; without one, all of them do.
    fn deciding(&self, operands: &[NodeId], truthy: bool) -> String {
        let decides = |id: &&NodeId| self.value(**id).is_ok_and(|value| value.is_truthy() == truthy);
        if let Some(id) = operands.iter().find(decides) {
            return self.describe(*id);
        }
        let mut parts: Vec<String> = operands
            .iter()
            .take(PARTS_MAX)
            .map(|id| self.describe(*id))
            .collect();
        if operands.len() > PARTS_MAX {
            parts.push(format!("{} more are like that", operands.len() - PARTS_MAX));
        }
        parts.join("; ")
    }

    /// `github.ref_name == 'dev' is false, it is 'main'`: one side is written there, the other was seen.
    fn compared(&self, id: NodeId, binary: Binary, left: NodeId, right: NodeId) -> String {
        let literal = |id| matches!(self.expr.tree.node(id).kind, NodeKind::Literal(_));
        let seen = match (literal(left), literal(right)) {
            (false, true) => left,
            (true, false) => right,
            _ => return self.observed(id),
        };
        match self.verdict(id) {
            Ok(verdict) if self.expr.reference(seen).is_some() => {
                let known = binary == Binary::Equal && verdict.ends_with("is true");
                if known || self.is_secret(seen) {
                    return verdict;
                }
                format!("{verdict}, it is {}", self.shown(seen))
            }
            Ok(_) => self.observed(id),
            Err(message) => message,
        }
    }

    /// What it is, and what was seen in each context that it names.
    fn observed(&self, id: NodeId) -> String {
        let mut sentence = match self.verdict(id) {
            Ok(verdict) => verdict,
            Err(message) => return message,
        };
        let mut seen = Vec::new();
        for child in self.expr.tree.node(id).kind.children() {
            if self.expr.reference(id).is_none() {
                self.references(child, &mut seen);
            }
        }
        for id in seen {
            sentence.push_str(&format!(", {} is {}", self.text(id), self.shown(id)));
        }
        sentence
    }

    fn verdict(&self, id: NodeId) -> Result<String, String> {
        let text = self.text(id);
        match self.value(id) {
            Ok(value) if self.is_secret(id) && !self.gives_boolean(id) => Ok(format!(
                "{text} is {}",
                if value.is_truthy() { "not empty" } else { "empty" }
            )),
            Ok(value) => Ok(format!("{text} is {}", short_value(&value))),
            Err(message) => Err(format!("{text} cannot be evaluated: {message}")),
        }
    }

    /// The longest references below a node whose value may be shown, each once.
    fn references(&self, id: NodeId, found: &mut Vec<NodeId>) {
        if found.len() >= PARTS_MAX {
            return;
        }
        if self.expr.reference(id).is_some() {
            let is_new = found.iter().all(|other| self.text(*other) != self.text(id));
            if is_new && !self.is_secret(id) {
                found.push(id);
            }
            return;
        }
        for child in self.expr.tree.node(id).kind.children() {
            self.references(child, found);
        }
    }

    fn gives_boolean(&self, id: NodeId) -> bool {
        let kind = &self.expr.tree.node(id).kind;
        matches!(kind, NodeKind::Compare(..) | NodeKind::Not(_))
            || matches!(self.value(id), Ok(Value::Bool(_) | Value::Null))
    }

    /// Whether its value could show a secret: it holds the `secrets` context, the token, or all of `github`.
    fn is_secret(&self, id: NodeId) -> bool {
        match &self.expr.tree.node(id).kind {
            NodeKind::Context(name) => matches!(name.as_str(), "secrets" | "github"),
            NodeKind::Index(..) if self.expr.reference(id).is_some() => {
                let names = self.expr.reference(id).unwrap_or_default();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                matches!(names.as_slice(), ["secrets", ..] | ["github", "token"])
            }
            kind => kind.children().into_iter().any(|child| self.is_secret(child)),
        }
    }

    fn shown(&self, id: NodeId) -> String {
        self.value(id)
            .map_or_else(|message| message, |value| short_value(&value))
    }

    fn value(&self, id: NodeId) -> Result<Value, String> {
        let mut evaluator = Evaluator::new(&self.expr.tree, self.scope, MEMORY_MAX_BYTES);
        evaluator.value(id).map_err(|error| error.message)
    }

    fn text(&self, id: NodeId) -> String {
        let range = self.expr.tree.node(id).range.clone();
        let text = self.expr.text.get(range).unwrap_or_default();
        cut(
            &text.split_whitespace().collect::<Vec<_>>().join(" "),
            TEXT_CHARACTERS_MAX,
        )
    }
}

fn short_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => {
            let line: String = text
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            format!("'{}'", cut(&line, VALUE_CHARACTERS_MAX).replace('\'', "''"))
        }
        Value::Array(items) if items.len() == 1 => "an array of 1 item".to_owned(),
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Object(_) => "an object".to_owned(),
        primitive => primitive.to_text(),
    }
}

fn cut(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
