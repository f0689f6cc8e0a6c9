//! The `${{ }}` language: lexer, parser, values and evaluation, as GitHub defines it.
//!
//! Never reads a file or a clock: contexts and the functions that need the world (`hashFiles`, the status
//! functions) come from the caller's [`Scope`].

mod value;

pub use value::{Object, Value};

use crate::source::Span;

/// A parsed expression, without its `${{` and `}}`.
#[derive(Clone, Debug)]
pub struct Expr {
    pub text: String,
    /// Where `text` stands in its file.
    pub span: Span,
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
    pub message: String,
    /// The character within the expression, from 1; 0 where it has no place.
    pub position: usize,
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
    pub fn parse(text: &str, span: Span) -> Result<Self, ExprError> {
        Ok(Self {
            text: text.to_owned(),
            span,
        })
    }

    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExprError> {
        let _ = scope;
        Ok(Value::Null)
    }

    /// Whether a function of that lower-case name is called anywhere in it.
    #[must_use]
    pub fn calls(&self, function: &str) -> bool {
        let _ = function;
        false
    }
}

/// A text with expressions in it. One that is exactly one expression keeps that expression's type.
#[derive(Clone, Debug)]
pub struct Template {
    pub parts: Vec<Part>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum Part {
    Text(String),
    Expr(Expr),
}

impl Template {
    /// `text` is the scalar's value; `span` its place, used to place each expression.
    pub fn parse(text: &str, span: Span) -> Result<Self, ExprError> {
        Ok(Self {
            parts: vec![Part::Text(text.to_owned())],
            span,
        })
    }

    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExprError> {
        let _ = scope;
        Ok(Value::Null)
    }
}
