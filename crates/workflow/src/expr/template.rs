//! Texts with `${{ }}` in them.

use super::{Allowed, Expr, ExprError, ExprErrorKind, MEMORY_MAX_BYTES, Place, Scope, Value, first};
use crate::source::Span;

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// A text with expressions in it. One that is exactly one expression keeps that expression's type.
#[derive(Clone, Debug)]
pub struct Template {
    /// Text and expressions by turns; no text is empty. None at all is the empty text.
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
        Self::build(text, &Place::of(text, span), None).map_err(first)
    }

    /// Parses a text in whose expressions only the allowed names may stand. All faults of all its expressions
    /// are found.
    pub fn parse_with(text: &str, place: &Place, allowed: &Allowed) -> Result<Self, Vec<ExprError>> {
        Self::build(text, place, Some(allowed))
    }

    /// A text that is not searched for expressions.
    #[must_use]
    pub fn literal(text: impl Into<String>, span: Span) -> Self {
        let text = text.into();
        let parts = if text.is_empty() {
            Vec::new()
        } else {
            vec![Part::Text(text)]
        };
        Self { parts, span }
    }

    /// The value of its only expression, or a text with each expression's text in its place.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExprError> {
        match self.parts.as_slice() {
            [Part::Expr(expr)] => expr.evaluate(scope),
            [Part::Text(text)] => Ok(Value::from(text.as_str())),
            parts => {
                let mut result = String::new();
                for part in parts {
                    match part {
                        Part::Text(text) => result.push_str(text),
                        Part::Expr(expr) => result.push_str(&expr.evaluate(scope)?.to_text()),
                    }
                    if result.len() > MEMORY_MAX_BYTES {
                        let message = "The maximum allowed memory size was exceeded";
                        return Err(ExprError {
                            span: self.span,
                            ..ExprError::evaluation(message)
                        });
                    }
                }
                Ok(Value::from(result))
            }
        }
    }

    /// Whether there is no expression in it.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.expressions().next().is_none()
    }

    /// The text, where there is no expression in it.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expr(expr) => Some(expr),
            Part::Text(_) => None,
        })
    }

    /// The same as one call of `format`.
    pub(super) fn as_format(&self) -> String {
        let (mut pattern, mut arguments) = (String::new(), String::new());
        let mut count = 0;
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    let text = text.replace('\'', "''").replace('{', "{{").replace('}', "}}");
                    pattern.push_str(&text);
                }
                Part::Expr(expr) => {
                    pattern.push_str(&format!("{{{count}}}"));
                    arguments.push_str(&format!(", {}", expr.text));
                    count += 1;
                }
            }
        }
        format!("format('{pattern}'{arguments})")
    }

    fn build(text: &str, place: &Place, allowed: Option<&Allowed>) -> Result<Self, Vec<ExprError>> {
        let (mut parts, mut errors) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let open = rest.find(OPEN).unwrap_or(rest.len());
            let (before, from) = rest.split_at(open);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if from.is_empty() {
                break;
            }
            let Some(length) = closed(from) else {
                let message = "The expression is not closed. An unescaped ${{ sequence was found, but the closing }} sequence was not found.";
                let span = place.range(at + open..text.len());
                errors.push(ExprError {
                    span,
                    ..ExprError::new(ExprErrorKind::Parsing, message)
                });
                break;
            };
            let inner = from.get(OPEN.len()..length - CLOSE.len()).unwrap_or_default();
            let trimmed = inner.trim_start();
            let start = at + open + OPEN.len() + inner.len() - trimmed.len();
            match Expr::build(trimmed.trim_end(), place, start, allowed) {
                Ok(expr) => parts.push(Part::Expr(expr)),
                Err(found) if trimmed.is_empty() => {
                    let span = place.range(at + open..at + open + length);
                    errors.extend(found.into_iter().map(|error| ExprError { span, ..error }));
                }
                Err(found) => errors.extend(found),
            }
            at += open + length;
        }
        if errors.is_empty() {
            Ok(Self {
                parts,
                span: place.span,
            })
        } else {
            Err(errors)
        }
    }
}

/// The length of the expression that begins here, up to the first `}}` outside of its texts.
fn closed(from: &str) -> Option<usize> {
    let mut in_text = false;
    let inner = from.get(OPEN.len()..)?;
    for (i, byte) in inner.bytes().enumerate() {
        match byte {
            b'\'' => in_text = !in_text,
            b'}' if !in_text && inner.get(i..).is_some_and(|rest| rest.starts_with(CLOSE)) => {
                return Some(OPEN.len() + i + CLOSE.len());
            }
            _ => {}
        }
    }
    None
}
