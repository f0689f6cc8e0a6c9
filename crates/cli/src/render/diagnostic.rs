//! Diagnostics: for a terminal with the place underlined, as JSON, as SARIF, and as GitHub's commands.

use super::style::fit;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use pilotage_workflow::diagnostic::{Diagnostic, Severity};
use serde_json::{Value, json};

/// As a person reads them, one after the other.
pub(crate) fn text(diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = String::new();
    for diagnostic in diagnostics {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Notice => Level::NOTE,
        };
        let source = &diagnostic.source;
        let end = source.text.len();
        let start = (diagnostic.span.start as usize).min(end);
        let range = start..(diagnostic.span.end as usize).clamp(start, end);
        let mut annotation = AnnotationKind::Primary.span(range);
        if !diagnostic.label.is_empty() {
            annotation = annotation.label(&diagnostic.label);
        }
        let title = level
            .clone()
            .primary_title(&diagnostic.message)
            .id(diagnostic.code);
        let mut group = title.element(
            Snippet::source(&source.text)
                .path(&source.path)
                .annotation(annotation),
        );
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help));
        }
        text.push_str(&renderer.render(&[group]));
        text.push_str("\n\n");
    }
    text
}

/// A fault that the server found, without the file at hand.
pub(crate) fn remote(found: &pilotage_api::rest::Diagnostic) -> String {
    let mut text = format!(
        "{}[{}]: {}\n  --> {}:{}:{}",
        found.severity,
        found.code,
        fit(&found.message, 1_000),
        fit(&found.file, 300),
        found.line,
        found.column
    );
    if !found.label.is_empty() {
        text.push_str(&format!("  {}", fit(&found.label, 300)));
    }
    if let Some(help) = &found.help {
        text.push_str(&format!("\nhelp: {}", fit(help, 1_000)));
    }
    text
}

/// The object of `lint --format json` and of `exec --json`.
pub(crate) fn json(diagnostic: &Diagnostic) -> Value {
    let start = diagnostic.source.position(diagnostic.span.start);
    let end = diagnostic.source.position(diagnostic.span.end);
    let mut object = json!({
        "file": diagnostic.source.path,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "severity": diagnostic.severity.word(),
        "code": diagnostic.code,
        "message": diagnostic.message,
    });
    if let Some(help) = &diagnostic.help {
        object["help"] = json!(help);
    }
    object
}

/// A SARIF 2.1.0 log.
pub(crate) fn sarif(diagnostics: &[Diagnostic]) -> Value {
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|d| {
            let (start, end) = (d.source.position(d.span.start), d.source.position(d.span.end));
            let level = if d.severity == Severity::Notice {
                "note"
            } else {
                d.severity.word()
            };
            json!({
                "ruleId": d.code,
                "level": level,
                "message": {"text": d.message},
                "locations": [{"physicalLocation": {
                    "artifactLocation": {"uri": d.source.path},
                    "region": {"startLine": start.line, "startColumn": start.column,
                               "endLine": end.line, "endColumn": end.column},
                }}],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "pilotage", "version": env!("CARGO_PKG_VERSION")}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A workflow command that GitHub and Pilotage turn into an annotation.
pub(crate) fn github(diagnostic: &Diagnostic) -> String {
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let start = diagnostic.source.position(diagnostic.span.start);
    format!(
        "::{} file={},line={},col={},title={}::{}",
        diagnostic.severity.word(),
        property(&diagnostic.source.path),
        start.line,
        start.column,
        diagnostic.code,
        data(&diagnostic.message)
    )
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
