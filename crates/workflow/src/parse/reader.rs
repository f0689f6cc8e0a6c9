//! What reading every noun shares: maps with known keys, texts, booleans, numbers, lists, trees with expressions.
//!
//! Follows GitHub's template reader (`TemplateReader.cs` of actions/runner): the shapes that a map may have are
//! narrowed by each of its keys, and faults stand where it puts them.

use super::expression::{Allow, CONTEXTS, FUNCTIONS, STATUS_HASH, status_with_arguments};
use super::suggest::closest;
use crate::diagnostic::Diagnostic;
use crate::expr::{Expr, ExprError, Fault, Part, Place, Template, Value};
use crate::model::{Condition, Tree, TreeKey, TreeKind};
use crate::source::{Source, Span, Spanned};
use crate::yaml::{Kind, Node};
use std::sync::Arc;

/// The keys that one form of a map has.
pub(super) struct Shape {
    pub(super) keys: &'static [&'static str],
    pub(super) required: &'static [&'static str],
}

/// A map's values by known key.
pub(super) struct Fields<'n> {
    pub(super) entries: Vec<(&'static str, &'n Node, &'n Node)>,
    /// Which of the given shapes it has; none where that cannot be told.
    pub(super) shape: Option<usize>,
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries
            .iter()
            .find(|(k, _, _)| *k == key)
            .map(|(_, _, v)| *v)
    }
}

/// Whether a text may be empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    Allowed,
    Refused,
}

/// GitHub's limit (`ExpressionConstants.cs`), in characters.
const EXPRESSION_LENGTH_MAX: usize = 21_000;

pub(super) struct Reader<'a> {
    pub(super) source: &'a Arc<Source>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Arc<Source>, diagnostics: Vec<Diagnostic>) -> Self {
        Self { source, diagnostics }
    }

    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Diagnostic::error(code, self.source, span, message))
    }

    pub(super) fn warning(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Diagnostic::warning(code, self.source, span, message))
    }

    fn add(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.diagnostics.push(diagnostic);
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    /// A value of the wrong kind or out of the known words.
    pub(super) fn unexpected(&mut self, node: &Node, expected: &str) -> &mut Diagnostic {
        let (message, span) = match &node.kind {
            Kind::Seq(_) => (
                format!("a list is not expected here, but {expected}"),
                self.head(node),
            ),
            Kind::Map(_) => (
                format!("a map is not expected here, but {expected}"),
                self.head(node),
            ),
            Kind::Null => (
                format!("a value is missing here: {expected} is expected"),
                node.span,
            ),
            Kind::String(text) if text.is_empty() => (
                format!("an empty text is not expected here, but {expected}"),
                node.span,
            ),
            _ => {
                let text = node.text().unwrap_or_default();
                (
                    format!("`{}` is not expected here, but {expected}", cut(&text)),
                    node.span,
                )
            }
        };
        self.error("W0107", span, message)
    }

    /// The first line of a collection, so that not a whole job is underlined.
    pub(super) fn head(&self, node: &Node) -> Span {
        let text = self.source.slice(node.span);
        let line = text.lines().next().unwrap_or_default().trim_end();
        Span {
            start: node.span.start,
            end: Span::new(node.span.start as usize + line.len(), 0).start,
        }
    }

    /// A map with known keys. `what` names it in "unknown key … in …".
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        shapes: &[&Shape],
        allow: &Allow,
        what: &str,
    ) -> Option<Fields<'n>> {
        let Some(entries) = node.entries() else {
            self.unexpected(node, "a map");
            return None;
        };
        let mut left: Vec<usize> = (0..shapes.len()).collect();
        let mut fields = Fields {
            entries: Vec::with_capacity(entries.len()),
            shape: None,
        };
        let mut has_expression_key = false;
        for entry in entries {
            let name = entry.key.text().unwrap_or_default();
            if name.contains("${{") {
                has_expression_key = true;
                self.tree_key(&entry.key, allow);
                self.tree(&entry.value, allow);
                continue;
            }
            let known = left
                .iter()
                .find_map(|i| shapes[*i].keys.iter().find(|k| **k == &*name));
            let Some(known) = known.copied() else {
                self.unknown_key(&entry.key, &name, &left, shapes, what);
                continue;
            };
            left.retain(|i| shapes[*i].keys.contains(&known));
            fields.entries.push((known, &entry.key, &entry.value));
        }
        match left.as_slice() {
            [only] => {
                fields.shape = Some(*only);
                let missing = shapes[*only].required.iter().filter(|k| fields.get(k).is_none());
                for key in missing.filter(|_| !has_expression_key) {
                    let span = self.head(node);
                    self.error("W0102", span, format!("{what} needs the key `{key}`"));
                }
            }
            _ => {
                let deciding: Vec<String> = shapes
                    .iter()
                    .flat_map(|s| s.required)
                    .map(|k| format!("`{k}`"))
                    .collect();
                let span = self.head(node);
                self.error(
                    "W0102",
                    span,
                    format!("{what} needs one of the keys {}", deciding.join(", ")),
                );
            }
        }
        Some(fields)
    }

    fn unknown_key(&mut self, key: &Node, name: &str, left: &[usize], shapes: &[&Shape], what: &str) {
        let known: Vec<&str> = left.iter().flat_map(|i| shapes[*i].keys).copied().collect();
        let elsewhere = shapes.iter().any(|s| s.keys.contains(&name));
        let message = if elsewhere {
            format!("the key `{name}` does not fit the keys before it in {what}")
        } else {
            format!("unknown key `{}` in {what}", cut(name))
        };
        let help = closest(name, known.iter().copied()).map(|k| format!("did you mean `{k}`?"));
        let fault = self.error("W0101", key.span, message);
        fault.help = help.or_else(|| {
            let list = known
                .iter()
                .map(|k| format!("`{k}`"))
                .collect::<Vec<_>>()
                .join(", ");
            (known.len() <= 8 && !known.is_empty()).then(|| format!("known keys: {list}"))
        });
    }

    /// A text without expressions.
    pub(super) fn word(&mut self, node: &Node, empty: Empty) -> Option<Spanned<String>> {
        let text = match node.text() {
            Some(text) if !(text.is_empty() && empty == Empty::Refused) => text,
            _ => {
                self.unexpected(node, "a text");
                return None;
            }
        };
        if text.contains("${{") {
            self.error("W0207", node.span, "an expression is not allowed here");
            return None;
        }
        self.number_as_text(node, &text);
        Some(Spanned::new(text.to_string(), node.span))
    }

    /// One of a few words.
    pub(super) fn one_of(&mut self, node: &Node, words: &[&str]) -> Option<Spanned<String>> {
        let text = node.text().unwrap_or_default();
        if words.contains(&&*text) && node.text().is_some() {
            return Some(Spanned::new(text.to_string(), node.span));
        }
        let help = closest(&text, words.iter().copied()).map(|w| format!("did you mean `{w}`?"));
        let list = words
            .iter()
            .map(|w| format!("`{w}`"))
            .collect::<Vec<_>>()
            .join(", ");
        self.unexpected(node, &format!("one of {list}")).help = help;
        None
    }

    /// One text or a list of texts, none of them empty, without expressions.
    pub(super) fn words(&mut self, node: &Node) -> Vec<Spanned<String>> {
        match &node.kind {
            Kind::Seq(items) => items
                .iter()
                .filter_map(|n| self.word(n, Empty::Refused))
                .collect(),
            _ => self.word(node, Empty::Refused).into_iter().collect(),
        }
    }

    /// A text that may hold expressions.
    pub(super) fn text(&mut self, node: &Node, allow: &Allow, empty: Empty) -> Option<Template> {
        let text = match node.text() {
            Some(text) if !(text.is_empty() && empty == Empty::Refused) => text,
            _ => {
                self.unexpected(node, "a text");
                return None;
            }
        };
        self.number_as_text(node, &text);
        self.template(node, &text, allow)
    }

    /// A number used as text loses what it looked like: `1.10` becomes `1.1`.
    fn number_as_text(&mut self, node: &Node, text: &str) {
        if let Kind::Number(_) = node.kind {
            let raw = self.source.slice(node.span).to_owned();
            if raw != text && !raw.starts_with('!') && !raw.starts_with('&') {
                let fault = self.warning(
                    "W0605",
                    node.span,
                    format!("`{raw}` is the number {text}, and is used as the text `{text}`"),
                );
                fault.help = Some(format!("write \"{raw}\" in quotes to keep it as it is"));
            }
        }
    }

    pub(super) fn boolean(&mut self, node: &Node, allow: &Allow) -> Option<Tree> {
        match &node.kind {
            Kind::Bool(b) => Some(scalar(node, Value::Bool(*b))),
            Kind::String(text) if text.contains("${{") => self.whole(node, text, allow, "true or false"),
            _ => {
                self.unexpected(node, "true or false");
                None
            }
        }
    }

    pub(super) fn number(&mut self, node: &Node, allow: &Allow) -> Option<Tree> {
        match &node.kind {
            Kind::Number(n) => Some(scalar(node, Value::Number(*n))),
            Kind::String(text) if text.contains("${{") => self.whole(node, text, allow, "a number"),
            _ => {
                self.unexpected(node, "a number");
                None
            }
        }
    }

    fn whole(&mut self, node: &Node, text: &str, allow: &Allow, expected: &str) -> Option<Tree> {
        if allow.contexts.is_empty() {
            self.unexpected(node, expected);
            return None;
        }
        self.template(node, text, allow).map(|t| Tree {
            span: node.span,
            kind: TreeKind::Template(t),
        })
    }

    /// A map of texts, or one expression that gives one (`env`, `with`).
    pub(super) fn text_map(&mut self, node: &Node, allow: &Allow) -> Option<Tree> {
        let values = *allow;
        self.map_of(node, allow, |reader, value| {
            let kind = match &value.kind {
                Kind::Seq(_) | Kind::Map(_) => {
                    reader.unexpected(value, "a text");
                    return None;
                }
                _ => reader.text(value, &values, Empty::Allowed)?,
            };
            Some(match &value.kind {
                Kind::String(text) if text.contains("${{") => Tree {
                    span: value.span,
                    kind: TreeKind::Template(kind),
                },
                _ => scalar(value, Value::from(value.text().unwrap_or_default().to_string())),
            })
        })
    }

    /// A map with free keys, or one expression for all of it.
    pub(super) fn map_of(
        &mut self,
        node: &Node,
        allow: &Allow,
        mut value: impl FnMut(&mut Self, &Node) -> Option<Tree>,
    ) -> Option<Tree> {
        let entries = match &node.kind {
            Kind::Map(entries) => entries,
            Kind::String(text) if text.contains("${{") && !allow.contexts.is_empty() => {
                return self.whole(node, text, allow, "a map");
            }
            _ => {
                self.unexpected(node, "a map");
                return None;
            }
        };
        let mut map = Vec::with_capacity(entries.len());
        for entry in entries.iter() {
            let key = self.tree_key(&entry.key, allow);
            if let (Some(key), Some(value)) = (key, value(self, &entry.value)) {
                map.push((key, value));
            }
        }
        Some(Tree {
            span: node.span,
            kind: TreeKind::Map(map),
        })
    }

    pub(super) fn tree_key(&mut self, key: &Node, allow: &Allow) -> Option<TreeKey> {
        let text = key.text().unwrap_or_default();
        if !text.contains("${{") {
            if text.is_empty() {
                self.unexpected(key, "a name");
                return None;
            }
            return Some(TreeKey::Plain(Spanned::new(text.to_string(), key.span)));
        }
        let inner = text.trim().strip_prefix("${{").and_then(|t| t.strip_suffix("}}"));
        if inner.is_some_and(|t| t.trim() == "insert") {
            if allow.contexts.is_empty() {
                self.error("W0208", key.span, "`${{ insert }}` is not allowed here");
                return None;
            }
            return Some(TreeKey::Insert(key.span));
        }
        self.template(key, &text, allow).map(TreeKey::Template)
    }

    /// Any value, with expressions in it.
    pub(super) fn tree(&mut self, node: &Node, allow: &Allow) -> Option<Tree> {
        let value = match &node.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Number(n) => Value::Number(*n),
            Kind::String(text) if text.contains("${{") => {
                let template = self.template(node, text, allow)?;
                return Some(Tree {
                    span: node.span,
                    kind: TreeKind::Template(template),
                });
            }
            Kind::String(text) => Value::from(text.to_string()),
            Kind::Seq(items) => {
                let items = items.iter().filter_map(|n| self.tree(n, allow)).collect();
                return Some(Tree {
                    span: node.span,
                    kind: TreeKind::Seq(items),
                });
            }
            Kind::Map(_) => return self.map_of(node, allow, |reader, value| reader.tree(value, allow)),
        };
        Some(scalar(node, value))
    }

    fn template(&mut self, node: &Node, text: &str, allow: &Allow) -> Option<Template> {
        if !text.contains("${{") {
            return Some(Template::literal(text, node.span));
        }
        if allow.contexts.is_empty() {
            self.error("W0207", node.span, "an expression is not allowed here");
            return None;
        }
        if !self.directives(node, text) {
            return None;
        }
        match Template::parse_with(text, &self.place(node, text), &allow.names()) {
            Ok(template) => self.fitting(node, template),
            Err(errors) => {
                self.expression_faults(node, &errors, allow);
                None
            }
        }
    }

    /// A text around expressions becomes one call of `format` on GitHub, and the limit of an expression's length
    /// is that of the whole text.
    fn fitting(&mut self, node: &Node, template: Template) -> Option<Template> {
        if template.parts.len() > 1 {
            let escaped = |c: char| if matches!(c, '\'' | '{' | '}') { 2 } else { 1 };
            let length: usize = template
                .parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.chars().map(escaped).sum(),
                    Part::Expr(expr) => expr.text.chars().count() + "{0}, ".len(),
                })
                .sum();
            if length + "format('')".len() > EXPRESSION_LENGTH_MAX {
                let message = format!(
                    "this text has expressions in it and {length} characters, {EXPRESSION_LENGTH_MAX} are allowed"
                );
                let fault = self.error("W0206", node.span, message);
                fault.help = Some("give the values as `env`, and use no expression in the text".to_owned());
                return None;
            }
        }
        Some(template)
    }

    fn place(&self, node: &Node, text: &str) -> Place {
        Place::within(text, node.span, self.source.slice(node.span))
    }

    /// `${{ insert }}` stands only as a key.
    fn directives(&mut self, node: &Node, text: &str) -> bool {
        let inserts = text
            .split("${{")
            .skip(1)
            .any(|t| t.split("}}").next().is_some_and(|t| t.trim() == "insert"));
        if inserts {
            self.error(
                "W0208",
                node.span,
                "`${{ insert }}` stands for a whole key, not within a text",
            );
        }
        !inserts
    }

    /// An `if`. None where it is empty, which means `success()`.
    pub(super) fn condition(&mut self, node: &Node, allow: &Allow) -> Option<Condition> {
        let Some(text) = node.text() else {
            self.unexpected(node, "a condition");
            return None;
        };
        if text.trim().is_empty() {
            return None;
        }
        match Expr::parse_condition(&text, &self.place(node, &text), &allow.names()) {
            Ok(expr) => {
                if let Some(range) = status_with_arguments(&expr.text, allow) {
                    let name = expr.text.get(range.clone()).unwrap_or_default().to_owned();
                    let exact = self.source.slice(expr.span) == expr.text;
                    let start = expr.span.start as usize;
                    let place = Span::new(start + range.start, start + range.end);
                    let message = format!("the function `{name}` takes no arguments in {}", allow.place);
                    self.error("W0203", if exact { place } else { expr.span }, message);
                    return None;
                }
                Some(Condition {
                    has_status_function: expr.calls_status_function(),
                    expr,
                })
            }
            Err(errors) => {
                self.expression_faults(node, &errors, allow);
                None
            }
        }
    }

    fn expression_faults(&mut self, node: &Node, errors: &[ExprError], allow: &Allow) {
        for error in errors {
            let span = if error.span == Span::default() {
                node.span
            } else {
                error.span
            };
            let (code, message) = match &error.fault {
                Fault::Context(name) if CONTEXTS.contains(&name.to_ascii_lowercase().as_str()) => {
                    ("W0201", format!("`{name}` is not available in {}", allow.place))
                }
                Fault::Context(name) => ("W0201", format!("there is no context `{}`", cut(name))),
                Fault::Function(name) if STATUS_HASH.iter().any(|f| f.eq_ignore_ascii_case(name)) => (
                    "W0202",
                    format!("the function `{name}` is not available in {}", allow.place),
                ),
                Fault::Function(name) => ("W0202", format!("there is no function `{}`", cut(name))),
                Fault::Other => (syntax_code(&error.message), lowercase(&error.message)),
            };
            let help = help(&error.fault, allow);
            let is_context = matches!(error.fault, Fault::Context(_));
            let fault = self.error(code, span, message);
            fault.help = help;
            if is_context {
                fault.label = format!("only {} are, here", and_list(allow.contexts));
            }
        }
    }
}

fn syntax_code(message: &str) -> &'static str {
    if message.starts_with("An expression was expected") {
        "W0204"
    } else if message.starts_with("The expression is not closed") {
        "W0205"
    } else if message.starts_with("Exceeded") {
        "W0206"
    } else {
        "W0203"
    }
}

fn help(fault: &Fault, allow: &Allow) -> Option<String> {
    match fault {
        Fault::Context(name) if name.eq_ignore_ascii_case("secrets") && allow.place.ends_with("`if`") => {
            Some(if allow.place.contains("job") {
                "set an output in an earlier job, and test that".to_owned()
            } else {
                "put it into `env` of the job, and test `env.NAME != ''`".to_owned()
            })
        }
        Fault::Context(name) if CONTEXTS.contains(&name.to_ascii_lowercase().as_str()) => None,
        Fault::Context(name) => closest(name, allow.contexts.iter().copied())
            .map(|c| format!("did you mean `{c}`?"))
            .or_else(|| Some(format!("a text stands in single quotes: '{}'", cut(name)))),
        Fault::Function(name) => closest(name, FUNCTIONS.iter().copied())
            .filter(|f| !f.eq_ignore_ascii_case(name))
            .map(|f| format!("did you mean `{f}`?")),
        Fault::Other => None,
    }
}

fn and_list(names: &[&str]) -> String {
    match names {
        [] => "no contexts".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn lowercase(message: &str) -> String {
    let mut chars = message.chars();
    chars
        .next()
        .map(|c| c.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

pub(super) fn scalar(node: &Node, value: Value) -> Tree {
    Tree {
        span: node.span,
        kind: TreeKind::Scalar(value),
    }
}

/// Whether an expression stands anywhere in it.
pub(super) fn has_expression(node: &Node) -> bool {
    match &node.kind {
        Kind::String(text) => text.contains("${{"),
        Kind::Seq(items) => items.iter().any(has_expression),
        Kind::Map(entries) => entries
            .iter()
            .any(|e| has_expression(&e.key) || has_expression(&e.value)),
        _ => false,
    }
}

/// A text for a message: its first line, not too long.
pub(super) fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(60).collect();
    if short.len() < text.len() {
        format!("{short}…")
    } else {
        short
    }
}
