//! YAML as GitHub reads it: a tree with places, from the events of `saphyr-parser`.
//!
//! Owns the scalar types (YAML 1.2 core: `on` is a string), duplicate keys, tags, anchors and the budgets that
//! end a bomb in milliseconds. It knows nothing of workflows; `pilotage.yml` and `server.yml` are read by it too.

mod scalar;

use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span};
use saphyr_parser::{Event, Parser, ScalarStyle, Span as CharSpan, StrInput, Tag};
use std::collections::HashSet;
use std::sync::Arc;

/// GitHub's reader takes files up to 1 MiB (`ParseOptions.cs` of actions/runner).
pub const SIZE_MAX: usize = 1 << 20;
/// Sequences and mappings within one another.
pub const DEPTH_MAX: usize = 50;
/// Scalars, sequences and mappings, after aliases are expanded.
pub const NODES_MAX: usize = 50_000;
/// After so many faults in one file the rest is not shown.
const FAULTS_MAX: usize = 100;

/// One value and its place. Cloning is cheap: collections are shared.
#[derive(Clone, Debug)]
pub struct Node {
    pub span: Span,
    pub kind: Kind,
    /// How a scalar was written; [`Style::Plain`] for collections.
    pub style: Style,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Null,
    Bool(bool),
    Number(f64),
    String(Arc<str>),
    Seq(Arc<Vec<Node>>),
    Map(Arc<Vec<Entry>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Quoted,
    /// `|` or `>`.
    Block,
}

/// A key and its value. Keys are scalars; each stands once in its mapping, without regard to case.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Node,
    pub value: Node,
}

impl Node {
    /// The text of a scalar as GitHub converts it: empty for null, `1.1` for `1.10`. None for collections.
    #[must_use]
    pub fn text(&self) -> Option<Arc<str>> {
        match &self.kind {
            Kind::Null => Some("".into()),
            Kind::Bool(b) => Some(if *b { "true".into() } else { "false".into() }),
            Kind::Number(n) => Some(crate::expr::Value::Number(*n).to_text().into()),
            Kind::String(s) => Some(Arc::clone(s)),
            Kind::Seq(_) | Kind::Map(_) => None,
        }
    }

    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    #[must_use]
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    #[must_use]
    pub fn items(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// The value under a key of a mapping, spelled exactly so.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?
            .iter()
            .find(|e| matches!(&e.key.kind, Kind::String(k) if &**k == key))
            .map(|e| &e.value)
    }

    /// What it is, for messages.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a text",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// Reads the one document of a file. What can be read is returned even where there are faults, unless the
/// syntax itself breaks off or a budget is spent.
#[must_use]
pub fn parse(source: &Arc<Source>) -> (Option<Node>, Vec<Diagnostic>) {
    if source.text.len() > SIZE_MAX {
        let message = format!("the file has {} bytes, more than {SIZE_MAX}", source.text.len());
        return (
            None,
            vec![Diagnostic::error("W0002", source, Span::default(), message)],
        );
    }
    let mut patched: Option<String> = None;
    // Each round takes one comment away that the parser stumbles over.
    for _ in 0..FAULTS_MAX {
        let (node, diagnostics, comment) = read(source, patched.as_deref().unwrap_or(&source.text));
        match comment {
            Some(at) => patched = Some(without_comment(patched.as_deref().unwrap_or(&source.text), at)),
            None => return (node, diagnostics),
        }
    }
    (
        None,
        vec![Diagnostic::error(
            "W0001",
            source,
            Span::default(),
            "this is not valid YAML: comments without a space before them",
        )],
    )
}

/// GitHub takes `[a]# comment`, which YAML does not. The comment becomes as many spaces, so that no place moves.
fn without_comment(text: &str, at: usize) -> String {
    let end = |(i, c): &(usize, char)| *i < at || *c == '\n';
    let mut out: String = text
        .chars()
        .enumerate()
        .take_while(|(i, _)| *i < at)
        .map(|(_, c)| c)
        .collect();
    let rest: Vec<(usize, char)> = text.chars().enumerate().skip(at).collect();
    let length = rest.iter().take_while(|p| !end(p)).count();
    out.extend(std::iter::repeat_n(' ', length));
    out.extend(rest.iter().skip(length).map(|(_, c)| *c));
    out
}

/// One pass over a text that has the source's places. The last is the character of a comment to take away.
fn read(source: &Arc<Source>, text: &str) -> (Option<Node>, Vec<Diagnostic>, Option<usize>) {
    let mut reader = Reader {
        source,
        offsets: Offsets::of(&source.text),
        diagnostics: Vec::new(),
        stack: Vec::new(),
        anchors: Vec::new(),
        nodes: 0,
        documents: 0,
        root: None,
        last: Span::default(),
    };
    let end = reader.run(text);
    if end == End::Whole {
        reader.unused_anchors();
    }
    let comment = if let End::Comment(at) = end {
        Some(at)
    } else {
        None
    };
    (
        reader.root.filter(|_| end == End::Whole),
        reader.diagnostics,
        comment,
    )
}

/// How the reading of a text ended.
#[derive(PartialEq, Eq)]
enum End {
    Whole,
    Broken,
    /// At a comment that is too close to what stands before it, by its character.
    Comment(usize),
}

/// From the parser's character indexes to bytes.
enum Offsets {
    /// Every character is one byte.
    Ascii,
    /// The byte where each character begins, and the length of the text.
    Table(Vec<u32>),
}

impl Offsets {
    fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii;
        }
        let ends = std::iter::once(text.len());
        Self::Table(
            text.char_indices()
                .map(|(i, _)| i)
                .chain(ends)
                .map(|i| u32::try_from(i).unwrap_or(u32::MAX))
                .collect(),
        )
    }

    fn byte(&self, character: usize) -> usize {
        match self {
            Self::Ascii => character,
            Self::Table(starts) => starts.get(character).or(starts.last()).map_or(0, |b| *b as usize),
        }
    }

    fn span(&self, span: CharSpan) -> Span {
        Span::new(self.byte(span.start.index()), self.byte(span.end.index()))
    }
}

/// A collection that is being read.
struct Open {
    start: Span,
    anchor: usize,
    /// How many nodes had been counted when it began.
    nodes_before: usize,
    kind: OpenKind,
}

enum OpenKind {
    Seq(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<Node>,
        seen: HashSet<String>,
    },
}

/// An anchor and what it names, once that has been read.
struct Anchor {
    id: usize,
    span: Span,
    node: Option<Node>,
    /// How many nodes it stands for.
    nodes: usize,
    used: bool,
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    offsets: Offsets,
    diagnostics: Vec<Diagnostic>,
    stack: Vec<Open>,
    anchors: Vec<Anchor>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
    last: Span,
}

impl Reader<'_> {
    fn run(&mut self, text: &str) -> End {
        let mut parser = Parser::new(StrInput::new(text));
        loop {
            let (event, span) = match parser.next_event() {
                None | Some(Ok((Event::StreamEnd, _))) => return End::Whole,
                Some(Ok((event, span))) => (event, self.offsets.span(span)),
                Some(Err(error)) => {
                    let at = error.marker().index();
                    let is_comment = text.chars().nth(at) == Some('#');
                    if is_comment && error.info().starts_with("comments must be separated") {
                        return End::Comment(at);
                    }
                    self.syntax(&error);
                    return End::Broken;
                }
            };
            if self.diagnostics.len() >= FAULTS_MAX || !self.event(event, span) {
                return End::Broken;
            }
        }
    }

    /// Takes one event; false ends the reading.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let fault = "a file holds one document, and a second begins here";
                    self.fault("W0007", span, fault).help = Some("remove the `---`".to_owned());
                    return false;
                }
                true
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), span);
                self.anchored(anchor, &node, 1);
                self.count(1, span) && self.push(node)
            }
            Event::SequenceStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", span);
                self.open(anchor, span, OpenKind::Seq(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", span);
                self.open(
                    anchor,
                    span,
                    OpenKind::Map {
                        entries: Vec::new(),
                        key: None,
                        seen: HashSet::new(),
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
        }
    }

    fn open(&mut self, anchor: usize, span: Span, kind: OpenKind) -> bool {
        if anchor != 0 {
            self.anchors.push(Anchor {
                id: anchor,
                span,
                node: None,
                nodes: 0,
                used: false,
            });
        }
        let nodes_before = self.nodes;
        self.stack.push(Open {
            start: span,
            anchor,
            nodes_before,
            kind,
        });
        if self.stack.len() > DEPTH_MAX {
            self.fault(
                "W0002",
                span,
                format!("lists and maps stand more than {DEPTH_MAX} deep within one another"),
            );
            return false;
        }
        self.count(1, span)
    }

    fn close(&mut self) -> bool {
        let Some(open) = self.stack.pop() else { return true };
        let span = Span {
            start: open.start.start,
            end: self.last.end.max(open.start.end),
        };
        let kind = match open.kind {
            OpenKind::Seq(items) => Kind::Seq(Arc::new(items)),
            OpenKind::Map { entries, .. } => Kind::Map(Arc::new(entries)),
        };
        let node = Node {
            span,
            kind,
            style: Style::Plain,
        };
        self.anchored(open.anchor, &node, self.nodes - open.nodes_before);
        self.push(node)
    }

    /// Puts a whole node where it belongs.
    fn push(&mut self, node: Node) -> bool {
        self.last = node.span;
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return true;
        };
        match &mut open.kind {
            OpenKind::Seq(items) => items.push(node),
            OpenKind::Map { entries, key, seen } => match key.take() {
                None => *key = Some(node),
                Some(name) => {
                    let Some(text) = name.text() else {
                        let noun = name.noun();
                        self.fault("W0001", name.span, format!("a key is {noun}, it must be a text"));
                        return true;
                    };
                    if &*text == "<<" && name.style == Style::Plain {
                        let fault = self.fault("W0006", name.span, "merge keys (`<<`) are not supported");
                        fault.help = Some("repeat the keys, or put the whole map in an anchor".to_owned());
                        return true;
                    }
                    if text.contains("${{") || is_new(&text, entries, seen) {
                        entries.push(Entry {
                            key: name,
                            value: node,
                        });
                    } else {
                        self.duplicate(&text, name.span);
                    }
                }
            },
        }
        true
    }

    fn duplicate(&mut self, key: &str, span: Span) {
        self.fault("W0003", span, format!("`{key}` is already defined"))
            .label = "a second time".to_owned();
    }

    fn alias(&mut self, id: usize, span: Span) -> bool {
        let Some(anchor) = self.anchor(id) else {
            self.fault("W0005", span, "no anchor of this name stands before it");
            return true;
        };
        anchor.used = true;
        let nodes = anchor.nodes;
        let Some(node) = anchor.node.clone() else {
            self.fault("W0005", span, "an alias stands inside its own anchor");
            return false;
        };
        // GitHub replays the anchor's events, so faults in them point at the anchor; the alias's own place is
        // kept for scalars only where it is what people would look for.
        self.count(nodes, span) && self.push(node) && {
            self.last = span;
            true
        }
    }

    /// The parser numbers anchors as they come, so the list is sorted.
    fn anchor(&mut self, id: usize) -> Option<&mut Anchor> {
        let index = self.anchors.binary_search_by_key(&id, |a| a.id).ok()?;
        self.anchors.get_mut(index)
    }

    fn anchored(&mut self, id: usize, node: &Node, nodes: usize) {
        if id == 0 {
            return;
        }
        match self.anchor(id) {
            Some(anchor) => (anchor.node, anchor.nodes) = (Some(node.clone()), nodes),
            None => self.anchors.push(Anchor {
                id,
                span: node.span,
                node: Some(node.clone()),
                nodes,
                used: false,
            }),
        }
    }

    /// `run: &echo hi` runs `hi`: an anchor on a scalar that nothing uses is nearly always a missing quote.
    fn unused_anchors(&mut self) {
        for anchor in std::mem::take(&mut self.anchors) {
            let scalar = anchor.node.as_ref().is_some_and(|n| n.text().is_some());
            if !anchor.used && scalar {
                let text = self.source.slice(anchor.span);
                let name = text
                    .split_whitespace()
                    .find(|w| w.starts_with('&'))
                    .unwrap_or_default()
                    .to_owned();
                let start = anchor.span.start as usize + text.find(&name).unwrap_or_default();
                let span = Span::new(start, start + name.len());
                let fault = self.fault("W0005", span, format!("nothing uses the anchor `{name}`"));
                fault.help = Some(format!("if `{name}` belongs to the text, put the text in quotes"));
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        let kind = match (tag, style) {
            (Some(tag), _) => self.tagged(text, style, tag, span),
            (None, Style::Plain) => scalar::plain(text),
            (None, _) => Kind::String(text.into()),
        };
        let span = match style {
            // A scalar that was left out stands right after its key's colon, where GitHub points.
            Style::Plain if text.is_empty() => self.empty_place(span),
            Style::Block => self.block_place(span),
            _ => span,
        };
        Node { span, kind, style }
    }

    fn empty_place(&self, span: Span) -> Span {
        let after = self.last.end as usize;
        let is_value = matches!(
            self.stack.last().map(|o| &o.kind),
            Some(OpenKind::Map { key: Some(_), .. })
        );
        match self.source.text.get(after..) {
            Some(rest) if is_value => {
                let gap = rest.len() - rest.trim_start_matches([' ', '\t']).len();
                if rest.get(gap..).is_some_and(|r| r.starts_with(':')) {
                    Span::new(after + gap + 1, after + gap + 1)
                } else {
                    span
                }
            }
            _ => span,
        }
    }

    /// A block begins at its `|` or `>`; the parser's span begins at the text below.
    fn block_place(&self, span: Span) -> Span {
        let before = self
            .source
            .text
            .get(..span.start as usize)
            .unwrap_or_default()
            .trim_end();
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = &before[line_start..];
        let header = line.char_indices().find(|(i, c)| {
            let rest = line[i + c.len_utf8()..]
                .trim_start_matches(|c: char| c == '+' || c == '-' || c.is_ascii_digit());
            matches!(c, '|' | '>') && (rest.trim().is_empty() || rest.trim_start().starts_with('#'))
        });
        header.map_or(span, |(i, _)| Span {
            start: Span::new(line_start + i, 0).start,
            end: span.end,
        })
    }

    fn tagged(&mut self, text: &str, style: Style, tag: &Tag, span: Span) -> Kind {
        let name = core_tag(tag);
        if name.is_some_and(|n| n == "str") {
            return Kind::String(text.into());
        }
        let kind = match name {
            Some(name) if style == Style::Plain => scalar::of_type(text, name),
            _ => None,
        };
        kind.unwrap_or_else(|| {
            let known = matches!(name, Some("bool" | "int" | "float" | "null"));
            let message = if known {
                format!(
                    "`{text}` is not valid for the tag `!!{}`",
                    name.unwrap_or_default()
                )
            } else {
                format!("the tag `{tag}` is not supported")
            };
            self.fault("W0004", span, message);
            Kind::String(text.into())
        })
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        if let Some(tag) = tag.filter(|t| core_tag(t) != Some(expected)) {
            self.fault("W0004", span, format!("the tag `{tag}` is not supported"));
        }
    }

    fn count(&mut self, nodes: usize, span: Span) -> bool {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            let fault = self.fault(
                "W0002",
                span,
                format!("the file has more than {NODES_MAX} values"),
            );
            fault.help = Some("aliases count as often as they are used".to_owned());
            return false;
        }
        true
    }

    fn syntax(&mut self, error: &saphyr_parser::ScanError) {
        let start = self
            .offsets
            .byte(error.marker().index())
            .min(self.source.text.len());
        let mut info = error.info().to_owned();
        if info.contains("unknown anchor") {
            info = "no anchor of this name stands before it".to_owned();
            self.fault("W0005", Span::new(start, start), info);
            return;
        }
        if info == "recursion limit exceeded" {
            self.fault(
                "W0002",
                Span::new(start, start),
                format!("lists and maps stand more than {DEPTH_MAX} deep within one another"),
            );
            return;
        }
        let help = self.syntax_help(start, &info);
        self.fault(
            "W0001",
            Span::new(start, start),
            format!("this is not valid YAML: {info}"),
        )
        .help = help;
    }

    fn syntax_help(&self, at: usize, info: &str) -> Option<String> {
        let line_start = self.source.text.get(..at)?.rfind('\n').map_or(0, |i| i + 1);
        let line = self.source.text.get(line_start..)?.lines().next()?;
        let indent = &line[..line.len() - line.trim_start().len()];
        let help = if indent.contains('\t') || info.contains(" tab") {
            "indent with spaces, YAML allows no tabs there"
        } else if info.starts_with("unexpected character") {
            "a text that begins with this character stands in quotes"
        } else if info.starts_with("mapping values are not allowed") {
            "a text with `: ` in it stands in quotes, or below a `|`"
        } else if info.contains("did not find expected key") || info.contains("did not find expected '-'") {
            "this line is indented differently from those that it belongs to"
        } else {
            return None;
        };
        Some(help.to_owned())
    }

    fn fault(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.diagnostics
            .push(Diagnostic::error(code, self.source, span, message));
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }
}

/// Whether no key before has this text, without regard to case. Few keys are compared, many are hashed.
fn is_new(text: &str, entries: &[Entry], seen: &mut HashSet<String>) -> bool {
    const COMPARED_MAX: usize = 12;
    let known = entries.iter().filter_map(|e| match &e.key.kind {
        Kind::String(known) => Some(Arc::clone(known)),
        _ => e.key.text(),
    });
    if entries.len() < COMPARED_MAX && text.is_ascii() {
        return !known.into_iter().any(|k| k.eq_ignore_ascii_case(text));
    }
    if seen.is_empty() {
        seen.extend(known.map(|k| k.to_lowercase()));
    }
    seen.insert(text.to_lowercase())
}

fn core_tag(tag: &Tag) -> Option<&str> {
    tag.is_yaml_core_schema()
        .then_some(tag.suffix.as_str())
        .or_else(|| {
            // A verbatim tag, `!<tag:yaml.org,2002:bool>`, comes whole.
            tag.suffix
                .strip_prefix("tag:yaml.org,2002:")
                .or_else(|| tag.handle.strip_prefix("tag:yaml.org,2002:"))
        })
}

#[cfg(test)]
mod tests;
