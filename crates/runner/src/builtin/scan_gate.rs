//! `pilotage/scan-gate`: fails where scanners found something bad enough, or scanned nothing.

use super::report;
use super::{BuiltIn, Call, Input};
use crate::action::ActionError;
use pilotage_api::runner::AnnotationLevel;
use pilotage_trust::scan::{self, Finding, Severity};

/// How many findings stand among the annotations; the log has them all.
const ANNOTATIONS_MAX: usize = 50;

pub(super) const SCAN_GATE: BuiltIn = BuiltIn {
    name: "pilotage/scan-gate",
    majors: &[1],
    inputs: &[
        Input::required("files"),
        Input::new("fail-on", "high"),
        Input::refused("new-only", "false"),
    ],
    outputs: &["findings"],
    main: |call| Box::pin(run(call)),
    post: None,
};

async fn run(call: &mut Call<'_>) -> Result<(), ActionError> {
    let threshold = threshold(call.input("fail-on"))?;
    let mut all: Vec<(String, Finding)> = Vec::new();
    for file in report::files(call).await? {
        let scans = call.blocking(move || (scan::read(&file.text), file.name)).await?;
        let (scans, name) = scans;
        let scans = scans.map_err(|error| ActionError::failed(format!("`{name}` shows no scan: {error}")))?;
        for scan in scans {
            let scanned = scan
                .scanned
                .as_deref()
                .unwrap_or("the report does not say how much");
            let aside = match scan.suppressed {
                0 => String::new(),
                n => format!(", {n} put aside in the source"),
            };
            call.say(&format!(
                "{name}: {} scanned: {scanned}; {} found{aside}",
                scan.tool,
                scan.findings.len()
            ));
            all.extend(
                scan.findings
                    .into_iter()
                    .map(|finding| (scan.tool.clone(), finding)),
            );
        }
    }
    all.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.severity));
    for (index, (tool, finding)) in all.iter().enumerate() {
        call.say(&format!("{:8} {}", finding.severity.word(), line(tool, finding)));
        if index < ANNOTATIONS_MAX {
            annotate(call, tool, finding, threshold).await?;
        }
    }
    call.output("findings", &all.len().to_string());
    let bad = |severity: Severity| threshold.is_some_and(|threshold| severity >= threshold);
    let failing: Vec<_> = all.iter().filter(|(_, finding)| bad(finding.severity)).collect();
    match failing.first() {
        None => {
            call.say(&format!("{} findings, none of which fails this gate", all.len()));
            Ok(())
        }
        Some((tool, first)) => {
            let word = threshold.map_or("", Severity::word);
            Err(ActionError::failed(format!(
                "{} of {} findings are {word} or worse; the first: {}",
                failing.len(),
                all.len(),
                line(tool, first)
            )))
        }
    }
}

/// From which severity on it fails; none for never.
fn threshold(word: &str) -> Result<Option<Severity>, ActionError> {
    if word == "never" {
        return Ok(None);
    }
    Severity::parse(word).map(Some).ok_or_else(|| {
        ActionError::failed(format!(
            "`fail-on` is critical, high, medium, low, note or never, not `{word}`"
        ))
    })
}

fn line(tool: &str, finding: &Finding) -> String {
    let place = match (&finding.path, finding.line) {
        (Some(path), Some(line)) => format!(" {path}:{line}"),
        (Some(path), None) => format!(" {path}"),
        _ => String::new(),
    };
    let message = finding.message.lines().next().unwrap_or_default();
    format!("{tool} {}{place} {message}", finding.rule)
}

async fn annotate(
    call: &mut Call<'_>,
    tool: &str,
    finding: &Finding,
    threshold: Option<Severity>,
) -> Result<(), ActionError> {
    let level = match finding.severity {
        severity if threshold.is_some_and(|threshold| severity >= threshold) => AnnotationLevel::Error,
        Severity::Note | Severity::Low => AnnotationLevel::Notice,
        _ => AnnotationLevel::Warning,
    };
    let title = format!("{tool} {}", finding.rule);
    call.annotate(
        level,
        &finding.message,
        &title,
        finding.path.as_deref(),
        finding.line,
    )
    .await
}
