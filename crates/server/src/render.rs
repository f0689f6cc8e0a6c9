//! Diagnostics drawn as text: the source's lines with the places underlined.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use pilotage_api::rest;
use pilotage_workflow::diagnostic::{Diagnostic, Severity};

/// How many diagnostics of one file are drawn.
const SHOWN_MAX: usize = 20;

/// How many of them are errors.
#[must_use]
pub(crate) fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count()
}

/// Without colour, errors only, apart by empty lines.
#[must_use]
pub(crate) fn plain(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error);
    let drawn: Vec<String> = errors.take(SHOWN_MAX).map(one).collect();
    drawn.join("\n\n")
}

fn one(diagnostic: &Diagnostic) -> String {
    let Diagnostic {
        code,
        severity,
        message,
        source,
        span,
        label,
        help,
    } = diagnostic;
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Notice => Level::NOTE,
    };
    let (start, end) = (span.start as usize, (span.end as usize).min(source.text.len()));
    let range = start.min(end)..end;
    let mut place = AnnotationKind::Primary.span(range);
    if !label.is_empty() {
        place = place.label(label.as_str());
    }
    let snippet = Snippet::source(source.text.as_str())
        .path(source.path.as_str())
        .annotation(place);
    let mut group = level.primary_title(message.as_str()).id(*code).element(snippet);
    if let Some(help) = help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    Renderer::plain().render(&[group])
}

/// In the form of the API.
#[must_use]
pub(crate) fn json(diagnostic: &Diagnostic) -> rest::Diagnostic {
    let (start, end) = (
        diagnostic.source.position(diagnostic.span.start),
        diagnostic.source.position(diagnostic.span.end),
    );
    rest::Diagnostic {
        code: diagnostic.code.to_owned(),
        severity: diagnostic.severity.word().to_owned(),
        message: diagnostic.message.clone(),
        file: diagnostic.source.path.clone(),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        label: diagnostic.label.clone(),
        help: diagnostic.help.clone(),
    }
}
