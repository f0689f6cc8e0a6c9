//! What reading `pilotage.yml` shares: maps with known keys, texts, numbers with units, templates.

use super::keys::{NAME_BYTES_MAX, Section};
use super::unit;
use crate::diagnostic::Diagnostic;
use crate::expr::{Allowed, Place, Template};
use crate::parse::closest;
use crate::source::{Source, Span, Spanned};
use crate::yaml::{Kind, Node};
use std::sync::Arc;

pub(super) struct Reader<'a> {
    pub(super) source: &'a Arc<Source>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// A key of a map: its name, where it stands, and its value.
pub(super) struct Field<'n> {
    pub(super) key: &'static str,
    pub(super) span: Span,
    pub(super) value: &'n Node,
}

impl Reader<'_> {
    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.diagnostics
            .push(Diagnostic::error(code, self.source, span, message));
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    /// A part of the form that is not built yet: by name, with what does the same today where there is that.
    pub(super) fn not_yet(&mut self, span: Span, what: &str, instead: Option<&str>) {
        self.error("P0110", span, format!("{what} is not supported yet"))
            .help = instead.map(str::to_owned);
    }

    /// The first line of a node.
    pub(super) fn head(&self, node: &Node) -> Span {
        let line = self
            .source
            .slice(node.span)
            .lines()
            .next()
            .unwrap_or_default()
            .trim_end();
        Span::new(node.span.start as usize, node.span.start as usize + line.len())
    }

    pub(super) fn unexpected(&mut self, node: &Node, expected: &str) -> &mut Diagnostic {
        let span = self.head(node);
        let message = match node.text().filter(|_| !node.is_null()) {
            Some(text) => format!(
                "`{}` is not expected here, but {expected}",
                text.lines().next().unwrap_or_default()
            ),
            None => format!("{} is not expected here, but {expected}", node.noun()),
        };
        self.error("P0107", span, message)
    }

    /// The known keys of a map, in their order. Nothing at all counts as an empty map.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, section: &'static Section) -> Vec<Field<'n>> {
        let Some(entries) = node.entries() else {
            if !node.is_null() {
                self.unexpected(node, "a map");
            }
            return Vec::new();
        };
        let mut fields = Vec::new();
        for entry in entries {
            let name = entry.key.text().unwrap_or_default();
            match section.keys.iter().find(|k| k.name == &*name) {
                Some(key) => fields.push(Field {
                    key: key.name,
                    span: entry.key.span,
                    value: &entry.value,
                }),
                None => {
                    let known: Vec<_> = section.keys.iter().map(|k| k.name).collect();
                    let help = closest(&name, known.iter().copied()).map(|k| format!("did you mean `{k}`?"));
                    let all = || Some(format!("known keys: {}", known.join(", ")));
                    let message = format!("unknown key `{name}` in {}", section.what);
                    self.error("P0101", entry.key.span, message).help = help.or_else(all);
                }
            }
        }
        fields
    }

    /// A map of free names: kebab-case, and short enough for a host name.
    pub(super) fn named<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(Spanned<String>, &'n Node)> {
        let Some(entries) = node.entries() else {
            if !node.is_null() {
                self.unexpected(node, "a map");
            }
            return Vec::new();
        };
        let mut named = Vec::new();
        for entry in entries {
            let name = entry.key.text().unwrap_or_default();
            if is_name(&name) {
                named.push((Spanned::new(name.to_string(), entry.key.span), &entry.value));
            } else {
                let message = format!("`{name}` is no name of {what}");
                let help = format!(
                    "lower-case letters, digits and `-`, at most {NAME_BYTES_MAX}, beginning with a letter"
                );
                self.error("P0105", entry.key.span, message).help = Some(help);
            }
        }
        named
    }

    /// A text that is not empty and holds no expression.
    pub(super) fn text(&mut self, node: &Node, expected: &str) -> Option<String> {
        let text = node.text().filter(|t| !t.trim().is_empty());
        let Some(text) = text else {
            self.unexpected(node, expected);
            return None;
        };
        if text.contains("${{") {
            let fault = self.error("P0106", node.span, "an expression is not allowed here");
            fault.help =
                Some("`${{ vars.NAME }}` and `${{ secrets.NAME }}` stand in `env` and `notify`".to_owned());
            return None;
        }
        Some(text.to_string())
    }

    pub(super) fn path(&mut self, node: &Node) -> Option<String> {
        let path = self.text(node, "a path")?;
        if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
            self.unexpected(node, "a path that begins with `/`");
            return None;
        }
        Some(path)
    }

    pub(super) fn word<T: Copy>(&mut self, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let text = node.text().unwrap_or_default();
        let found = words.iter().find(|(w, _)| *w == &*text).map(|(_, value)| *value);
        if found.is_none() {
            let list = words
                .iter()
                .map(|(w, _)| format!("`{w}`"))
                .collect::<Vec<_>>()
                .join(", ");
            let help = closest(&text, words.iter().map(|(w, _)| *w)).map(|w| format!("did you mean `{w}`?"));
            self.unexpected(node, &format!("one of {list}")).help = help;
        }
        found
    }

    pub(super) fn boolean(&mut self, node: &Node) -> Option<bool> {
        if let Kind::Bool(value) = node.kind {
            return Some(value);
        }
        self.unexpected(node, "true or false");
        None
    }

    /// A whole number without a unit, from 1 (or 0) to a limit.
    pub(super) fn count(&mut self, node: &Node, least: u32, most: u32) -> Option<u32> {
        let in_range = |n: f64| n.fract() == 0.0 && n >= f64::from(least) && n <= f64::from(most);
        match node.kind {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range is checked just before"
            )]
            Kind::Number(n) if in_range(n) => Some(n as u32),
            _ => {
                self.unexpected(node, &format!("a whole number from {least} to {most}"));
                None
            }
        }
    }

    pub(super) fn duration(&mut self, node: &Node) -> Option<u64> {
        self.with_unit(node, unit::duration_ms, "a duration such as `30s`", "s")
    }

    pub(super) fn size(&mut self, node: &Node) -> Option<u64> {
        self.with_unit(node, unit::size_bytes, "a size such as `512MiB`", "MiB")
    }

    /// A share above 0, up to `most` (1 is 100 %).
    pub(super) fn share(&mut self, node: &Node, most: f64) -> Option<f64> {
        let share = self.with_unit(node, unit::share, "a share such as `5%`", "%")?;
        if share <= 0.0 || share > most {
            self.unexpected(node, &format!("a share above 0 % and up to {} %", most * 100.0));
            return None;
        }
        Some(share)
    }

    fn with_unit<T>(
        &mut self,
        node: &Node,
        read: fn(&str) -> Option<T>,
        expected: &str,
        unit: &str,
    ) -> Option<T> {
        let text = node.text().unwrap_or_default();
        let value = read(&text);
        if value.is_none() {
            let help =
                matches!(node.kind, Kind::Number(_)).then(|| format!("say in which unit: `{text}{unit}`"));
            self.unexpected(node, expected).help = help;
        }
        value
    }

    /// A text in which only `${{ vars.NAME }}` and `${{ secrets.NAME }}` stand.
    pub(super) fn template(&mut self, node: &Node) -> Option<String> {
        let Some(text) = node.text() else {
            self.unexpected(node, "a text");
            return None;
        };
        if let Kind::Number(_) = node.kind {
            // A number is taken as it is written: `1.10` stays `1.10`, there is no GitHub to agree with.
            return Some(self.source.slice(node.span).to_owned());
        }
        let place = Place::within(&text, node.span, self.source.slice(node.span));
        let allowed = Allowed {
            contexts: &["vars", "secrets"],
            functions: &[],
        };
        match Template::parse_with(&text, &place, &allowed) {
            Ok(template) => {
                let is_simple = |e: &crate::expr::Expr| matches!(e.references().as_slice(), [(names, range)] if names.len() == 2 && range.len() == e.text.len());
                if let Some(expr) = template.expressions().find(|e| !is_simple(e)) {
                    let span = expr.span;
                    let message = "only `vars.NAME` and `secrets.NAME` may stand in an expression here";
                    self.error("P0106", span, message);
                    return None;
                }
                Some(text.to_string())
            }
            Err(errors) => {
                for error in errors {
                    let message = "only `vars.NAME` and `secrets.NAME` may stand in an expression here";
                    self.error("P0106", error.span, message).label = error.message;
                }
                None
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let inner = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    inner
        && name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
}
