//! The two forms of a command line: `::name key=value,key=value::data` and `##[name key=value;key=value]data`.

use std::borrow::Cow;

/// A line in the form of a command; nobody has looked whether there is such a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) name: String,
    properties: Vec<(String, String)>,
    pub(super) data: String,
}

impl Raw {
    /// The last of that name; names are compared without case.
    pub(super) fn property(&self, key: &str) -> Option<&str> {
        self.properties
            .iter()
            .rev()
            .find(|(k, _)| k.eq_ignore_ascii_case(key))
            .map(|(_, v)| v.as_str())
    }
}

/// A command may stand after white space, and nowhere else.
pub(super) fn line(line: &str) -> Option<Raw> {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix("::") {
        let (head, data) = rest.split_once("::")?;
        return command(head, data, ',', V2);
    }
    let (head, data) = line.strip_prefix("##[")?.split_once(']')?;
    command(head, data, ';', V1)
}

/// What stands for what, in data and in properties.
type Escapes = (
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
);

const V2: Escapes = (
    &[("%25", "%"), ("%0D", "\r"), ("%0A", "\n")],
    &[
        ("%25", "%"),
        ("%0D", "\r"),
        ("%0A", "\n"),
        ("%3A", ":"),
        ("%2C", ","),
    ],
);
const V1: Escapes = (
    &[
        ("%25", "%"),
        ("%0D", "\r"),
        ("%0A", "\n"),
        ("%3B", ";"),
        ("%5D", "]"),
    ],
    &[
        ("%25", "%"),
        ("%0D", "\r"),
        ("%0A", "\n"),
        ("%3B", ";"),
        ("%5D", "]"),
    ],
);

fn command(head: &str, data: &str, separator: char, escapes: Escapes) -> Option<Raw> {
    let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
    if name.is_empty() {
        return None;
    }
    let pairs = rest.split(separator).filter_map(|pair| pair.split_once('='));
    let properties = pairs
        .map(|(k, v)| (k.trim().to_owned(), unescape(v, escapes.1).into_owned()))
        .collect();
    Some(Raw {
        name: name.to_owned(),
        properties,
        data: unescape(data, escapes.0).into_owned(),
    })
}

/// In one pass, so that `%250A` is the text `%0A` and not a line end.
fn unescape<'a>(text: &'a str, escapes: &[(&str, &str)]) -> Cow<'a, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let escape = escapes
            .iter()
            .find(|(code, _)| from.get(..3).is_some_and(|c| c.eq_ignore_ascii_case(code)));
        let (text, length) = escape.map_or(("%", 1), |(code, text)| (*text, code.len()));
        out.push_str(text);
        rest = from.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}
