//! The `${{ }}` language: lexer, parser, values and evaluation, as GitHub defines it.
//!
//! Never reads a file or a clock: contexts and the functions that need the world (`hashFiles`, the status
//! functions) come from the caller's [`Scope`].

mod ast;
pub mod debug;
mod eval;
mod explain;
mod functions;
mod lexer;
mod number;
mod parser;
mod place;
mod template;
mod text;
mod value;

pub use place::Place;
pub use template::{Part, Template};
pub use value::{Object, Value};

use crate::source::Span;
use ast::{NodeKind, Tree};
use std::ops::Range;
use std::sync::Arc;

/// What texts and arrays made by one evaluation may take together, counted as GitHub's runner counts.
pub const MEMORY_MAX_BYTES: usize = 10 * 1024 * 1024;

/// A parsed expression, without its `${{` and `}}`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Expr {
    pub text: String,
    /// Where `text` stands in its file; the whole scalar where it does not stand there as it is.
    pub span: Span,
    tree: Arc<Tree>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExprErrorKind {
    Lexing,
    Parsing,
    Evaluation,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    pub kind: ExprErrorKind,
    /// In GitHub's words where it has any.
    pub message: String,
    /// The character within the expression, from 1; 0 where it has no place.
    pub position: usize,
    /// The faulty symbol in the file; the expression or the scalar where it is not known better.
    pub span: Span,
    pub fault: Fault,
    range: Range<usize>,
}

/// What an error is about, for those who say more than [`ExprError::message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A context of that name, as written, is not available at this key.
    Context(String),
    /// A function of that name, as written, does not exist or is not available at this key.
    Function(String),
    Other,
}

/// The names that a key of a workflow offers. Case does not matter.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    pub contexts: &'a [&'a str],
    /// Of `always`, `success`, `failure`, `cancelled` and `hashFiles`; all other functions are always there.
    pub functions: &'a [&'a str],
}

/// What an expression can see. One implementation for each caller's world.
pub trait Scope {
    /// The context of that name (lower case), or none where the name is unknown here.
    fn context(&self, name: &str) -> Option<Value>;

    /// The functions that need the world, by lower-case name: `success`, `failure`, `cancelled`, `always`,
    /// `hashfiles`. None where the function is not offered here.
    fn function(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>>;
}

impl Expr {
    /// Parses a text in which every context may be named, and every function that there is.
    pub fn parse(text: &str, span: Span) -> Result<Self, ExprError> {
        Self::build(text, &Place::of(text, span), 0, None).map_err(first)
    }

    /// Parses a text in which only the allowed names may stand. Every name that is not allowed is an error of
    /// its own, with the name's place.
    pub fn parse_with(text: &str, place: &Place, allowed: &Allowed) -> Result<Self, Vec<ExprError>> {
        Self::build(text, place, 0, Some(allowed))
    }

    /// Parses an `if`, in which `${{ }}` may be left out. Text around `${{ }}` makes it a text, which is true
    /// unless it is empty: GitHub does the same.
    pub fn parse_condition(text: &str, place: &Place, allowed: &Allowed) -> Result<Self, Vec<ExprError>> {
        if !text.contains("${{") {
            return Self::parse_with(text, place, allowed);
        }
        let template = Template::parse_with(text, place, allowed)?;
        let is_space = |part: &Part| matches!(part, Part::Text(text) if text.trim().is_empty());
        let mut parts = template.parts.iter().filter(|part| !is_space(part));
        match (parts.next(), parts.next()) {
            (Some(Part::Expr(expr)), None) => Ok(expr.clone()),
            _ => Self::parse_with(&template.as_format(), &Place::whole(place.span), allowed),
        }
    }

    /// `start` is the byte of `text` within the text whose place is given.
    fn build(
        text: &str,
        place: &Place,
        start: usize,
        allowed: Option<&Allowed>,
    ) -> Result<Self, Vec<ExprError>> {
        let span = place.range(start..start + text.len());
        match parser::parse(text, allowed) {
            Ok(tree) => Ok(Self {
                text: text.to_owned(),
                span,
                tree: Arc::new(tree),
            }),
            Err(mut errors) => {
                for error in &mut errors {
                    error.span = match error.position {
                        0 => span,
                        _ => place.range(start + error.range.start..start + error.range.end),
                    };
                }
                Err(errors)
            }
        }
    }

    /// The value that it has in this scope, at a cost of at most [`MEMORY_MAX_BYTES`].
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExprError> {
        self.evaluate_within(scope, MEMORY_MAX_BYTES)
    }

    pub fn evaluate_within(&self, scope: &dyn Scope, memory_max_bytes: usize) -> Result<Value, ExprError> {
        let mut evaluator = eval::Evaluator::new(&self.tree, scope, memory_max_bytes);
        evaluator.value(self.tree.root).map_err(|error| ExprError {
            span: self.span,
            ..*error
        })
    }

    /// In words, what decided this condition: `github.ref_name == 'dev' is false, it is 'fix/login'`.
    ///
    /// Values of the `secrets` context and the token are never in it, but other contexts can carry a secret on
    /// (`env`, `inputs`): show it only where log lines are shown, masked as they are.
    #[must_use]
    pub fn explain(&self, scope: &dyn Scope) -> String {
        explain::explain(self, scope)
    }

    /// Whether a function of that lower-case name is called anywhere in it.
    #[must_use]
    pub fn calls(&self, function: &str) -> bool {
        let Some(wanted) = functions::find(function) else {
            return false;
        };
        self.tree
            .nodes
            .iter()
            .any(|node| matches!(node.kind, NodeKind::Call(f, _) if f == wanted))
    }

    /// Whether it calls `always`, `success`, `failure` or `cancelled`; if not, an `if` demands `success()` too.
    #[must_use]
    pub fn calls_status_function(&self) -> bool {
        ["always", "success", "failure", "cancelled"]
            .iter()
            .any(|name| self.calls(name))
    }

    /// The contexts that it names, in lower case, each once, in order.
    #[must_use]
    pub fn contexts(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for node in &self.tree.nodes {
            if let NodeKind::Context(name) = &node.kind
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }

    /// The chains of names that start at a context, as far as they are fixed, in lower case:
    /// `["needs", "build", "outputs", "digest"]` of `needs.build.outputs['digest']`. Each with its place in the
    /// expression's text, in bytes. A chain ends at `*` and at an index that is worked out.
    #[must_use]
    pub fn references(&self) -> Vec<(Vec<String>, Range<usize>)> {
        let mut inner = vec![false; self.tree.nodes.len()];
        for (id, node) in self.tree.nodes.iter().enumerate() {
            if let NodeKind::Index(left, _) = node.kind
                && self.reference(id).is_some()
                && let Some(flag) = inner.get_mut(left)
            {
                *flag = true;
            }
        }
        let longest = (0..self.tree.nodes.len()).filter(|id| inner.get(*id) == Some(&false));
        longest
            .filter_map(|id| Some((self.reference(id)?, self.tree.node(id).range.clone())))
            .collect()
    }

    fn reference(&self, id: ast::NodeId) -> Option<Vec<String>> {
        let mut names = Vec::new();
        let mut at = id;
        loop {
            match &self.tree.node(at).kind {
                NodeKind::Context(name) => {
                    names.push(name.clone());
                    names.reverse();
                    return Some(names);
                }
                NodeKind::Index(left, index) => match &self.tree.node(*index).kind {
                    NodeKind::Literal(Value::String(name)) => {
                        names.push(name.to_lowercase());
                        at = *left;
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }
}

impl ExprError {
    fn new(kind: ExprErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            message,
            position: 0,
            span: Span::default(),
            fault: Fault::Other,
            range: 0..0,
        }
    }

    /// A fault that showed itself when the expression was evaluated.
    #[must_use]
    pub fn evaluation(message: impl Into<String>) -> Self {
        Self::new(ExprErrorKind::Evaluation, message)
    }

    fn unexpected(kind: ExprErrorKind, text: &str, range: Range<usize>) -> Self {
        Self::located(kind, "Unexpected symbol", text, range)
    }

    fn located(kind: ExprErrorKind, what: &str, text: &str, range: Range<usize>) -> Self {
        let symbol = short(text.get(range.clone()).unwrap_or_default());
        let position = text.get(..range.start).unwrap_or_default().chars().count() + 1;
        let message = format!(
            "{what}: '{symbol}'. Located at position {position} within expression: {}",
            short(text)
        );
        Self {
            position,
            range,
            ..Self::new(kind, message)
        }
    }
}

/// A text for a message: cut where it is too long to be read.
fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn first(errors: Vec<ExprError>) -> ExprError {
    let nothing = || ExprError::new(ExprErrorKind::Parsing, "An expression was expected");
    errors.into_iter().next().unwrap_or_else(nothing)
}

#[cfg(test)]
mod tests;
