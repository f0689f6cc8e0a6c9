//! One pattern of a matcher: its regular expression and what its groups mean.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

/// Bytes that a compiled pattern may take.
const REGEX_BYTES_MAX: usize = 2 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    pub(super) file: Option<usize>,
    pub(super) from_path: Option<usize>,
    pub(super) line: Option<usize>,
    pub(super) column: Option<usize>,
    pub(super) severity: Option<usize>,
    pub(super) code: Option<usize>,
    pub(super) message: Option<usize>,
    pub(super) loops: bool,
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PatternForm {
    #[serde(default)]
    regexp: String,
    file: Option<usize>,
    from_path: Option<usize>,
    line: Option<usize>,
    column: Option<usize>,
    severity: Option<usize>,
    code: Option<usize>,
    message: Option<usize>,
    #[serde(default, rename = "loop")]
    loops: bool,
}

/// At least one pattern, or what is wrong with them.
pub(super) fn all(forms: &[PatternForm]) -> Result<Vec<Pattern>, String> {
    let Some(last) = forms.len().checked_sub(1) else {
        return Err("has no `pattern`".to_owned());
    };
    let mut patterns = Vec::new();
    for (index, form) in forms.iter().enumerate() {
        if form.loops && (index < last || last == 0) {
            return Err("may say `loop` only in the last of several patterns".to_owned());
        }
        if form.loops && form.message.is_none() {
            return Err("has a pattern with `loop` that sets no `message`".to_owned());
        }
        patterns.push(one(form)?);
    }
    type Group = fn(&Pattern) -> Option<usize>;
    let groups: [(&str, Group); 7] = [
        ("file", |p| p.file),
        ("fromPath", |p| p.from_path),
        ("line", |p| p.line),
        ("column", |p| p.column),
        ("severity", |p| p.severity),
        ("code", |p| p.code),
        ("message", |p| p.message),
    ];
    for (name, group) in groups {
        if patterns.iter().filter(|p| group(p).is_some()).count() > 1 {
            return Err(format!("sets `{name}` in more than one pattern"));
        }
    }
    if patterns.iter().all(|p| p.message.is_none()) {
        return Err("has no pattern that sets a `message`".to_owned());
    }
    Ok(patterns)
}

fn one(form: &PatternForm) -> Result<Pattern, String> {
    if form.regexp.is_empty() {
        return Err("has a pattern without `regexp`".to_owned());
    }
    let built = RegexBuilder::new(&translated(&form.regexp))
        .size_limit(REGEX_BYTES_MAX)
        .build();
    let regex = built.map_err(|error| {
        let reason = error.to_string();
        let reason = reason
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        format!(
            "has the pattern `{}`, which this runner cannot take: {reason}",
            form.regexp
        )
    })?;
    let groups = regex.captures_len();
    let all = [
        form.file,
        form.from_path,
        form.line,
        form.column,
        form.severity,
        form.code,
        form.message,
    ];
    if let Some(missing) = all.into_iter().flatten().find(|g| *g >= groups) {
        return Err(format!(
            "speaks of group {missing}, which `{}` does not have",
            form.regexp
        ));
    }
    Ok(Pattern {
        regex,
        file: form.file,
        from_path: form.from_path,
        line: form.line,
        column: form.column,
        severity: form.severity,
        code: form.code,
        message: form.message,
        loops: form.loops,
    })
}

/// Patterns are written for .NET and JavaScript. Where this crate's language gives the same text another meaning,
/// it is spelled so that it keeps the old one: `\<` and `\>` are characters, `\Z` is the end, and in a class `[`,
/// `&&`, `--` and `~~` are only characters.
fn translated(regexp: &str) -> String {
    let mut out = String::with_capacity(regexp.len());
    let (mut chars, mut in_class, mut class_begin) = (regexp.chars().peekable(), false, false);
    while let Some(c) = chars.next() {
        let at_begin = std::mem::replace(&mut class_begin, false);
        match c {
            '\\' => match chars.next() {
                Some(c @ ('<' | '>')) => out.push(c),
                Some('Z') => out.push_str("\\z"),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                (in_class, class_begin) = (true, true);
                out.push('[');
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
            }
            '[' => out.push_str("\\["),
            // In .NET a `]` right at the begin is a character.
            ']' if in_class && at_begin => out.push_str("\\]"),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            '-' if in_class && chars.next_if_eq(&'-').is_some() => out.push_str("-\\-"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_keep_the_meaning_that_they_have_elsewhere() {
        for (regexp, text, matches) in [
            (r"^(?:\s+\d+\>)?x", " 12>x", true),
            (r"\<a\>", "<a>", true),
            (r"\<a\>", "a", false),
            (r"a\Z", "a", true),
            (r"[[]x", "[x", true),
            (r"[]x]+$", "]x", true),
            (r"[^]]x", "ax", true),
            (r"[a&&b]", "&", true),
            (r"[\w.-]+", "a-b.c", true),
            (r"[+--]", ",", true),
            (r"(?<name>a)", "a", true),
            (r"\/\-\'\:", "/-':", true),
        ] {
            let regex = Regex::new(&translated(regexp)).unwrap_or_else(|e| panic!("{regexp}: {e}"));
            assert_eq!(regex.is_match(text), matches, "{regexp} on {text}");
        }
    }
}
