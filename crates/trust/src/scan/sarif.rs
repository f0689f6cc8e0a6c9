//! SARIF 2.1.0 (OASIS), as far as findings go.

use super::{Finding, Scan, ScanError, Severity, counted, line, list, text};
use serde_json::Value;

pub(super) fn read(root: &Value) -> Result<Vec<Scan>, ScanError> {
    let version = text(root, "version");
    if version != "2.1.0" {
        return Err(ScanError::Version(if version.is_empty() {
            "none".into()
        } else {
            version
        }));
    }
    let runs = list(root, "runs");
    if runs.is_empty() {
        return Err(ScanError::Nothing("it holds no run of a tool".to_owned()));
    }
    runs.iter().map(run).collect()
}

fn run(run: &Value) -> Result<Scan, ScanError> {
    let driver = run.pointer("/tool/driver").unwrap_or(&Value::Null);
    let tool = Some(text(driver, "name")).filter(|name| !name.is_empty());
    let tool = tool.ok_or_else(|| ScanError::Failed("a run names no tool".to_owned()))?;
    for invocation in list(run, "invocations") {
        if invocation.get("executionSuccessful").and_then(Value::as_bool) == Some(false) {
            let why = list(invocation, "toolExecutionNotifications")
                .iter()
                .find_map(|note| note.pointer("/message/text").and_then(Value::as_str))
                .unwrap_or("it says so itself");
            return Err(ScanError::Failed(format!("{tool}: {why}")));
        }
    }
    let mut scan = Scan {
        scanned: scanned(run, &tool)?,
        tool,
        findings: Vec::new(),
        suppressed: 0,
    };
    for result in list(run, "results") {
        // Other kinds say that something is in order, open, or does not apply.
        if !matches!(text(result, "kind").as_str(), "" | "fail") {
            continue;
        }
        if suppressed(result) {
            scan.suppressed += 1;
        } else {
            scan.findings.push(finding(run, result));
        }
    }
    Ok(scan)
}

/// What was looked at. A list of files that is there and empty says that nothing was.
fn scanned(run: &Value, tool: &str) -> Result<Option<String>, ScanError> {
    let nothing = |what: &str| Err(ScanError::Nothing(format!("{tool} lists no {what}")));
    if let Some(lines) = run
        .pointer("/properties/metrics/_totals/loc")
        .and_then(Value::as_u64)
    {
        return if lines == 0 {
            nothing("line")
        } else {
            Ok(Some(counted(lines, "line", "lines")))
        };
    }
    let files = run.get("artifacts").and_then(Value::as_array);
    match files.map(Vec::len) {
        Some(0) => nothing("file"),
        Some(n) => Ok(Some(counted(n as u64, "file", "files"))),
        None => Ok(None),
    }
}

/// A suppression counts unless it is under review or was rejected (§3.35).
fn suppressed(result: &Value) -> bool {
    let counts = |s: &Value| !matches!(text(s, "status").as_str(), "underReview" | "rejected");
    list(result, "suppressions").iter().any(counts)
}

fn finding(run: &Value, result: &Value) -> Finding {
    let rule = rule(run, result);
    let location = list(result, "locations")
        .first()
        .and_then(|location| location.get("physicalLocation"))
        .unwrap_or(&Value::Null);
    let path = location.pointer("/artifactLocation/uri").and_then(Value::as_str);
    let id = text(result, "ruleId");
    Finding {
        rule: if id.is_empty() {
            rule.map_or_else(String::new, |rule| text(rule, "id"))
        } else {
            id
        },
        severity: severity(rule, result),
        message: result
            .pointer("/message/text")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        path: path.map(|path| path.strip_prefix("file://").unwrap_or(path).to_owned()),
        line: line(location.pointer("/region/startLine")),
    }
}

/// The rule by its index (§3.27.6), or by its id.
fn rule<'v>(run: &'v Value, result: &Value) -> Option<&'v Value> {
    let rules = run.pointer("/tool/driver/rules")?.as_array()?;
    let index = result.get("ruleIndex").or_else(|| result.pointer("/rule/index"));
    let by_index = index
        .and_then(Value::as_u64)
        .and_then(|index| rules.get(usize::try_from(index).ok()?));
    by_index.or_else(|| {
        let id = text(result, "ruleId");
        rules.iter().find(|rule| text(rule, "id") == id)
    })
}

/// By the rule's security score where it has one, as GitHub does; by the level otherwise, whose default is the
/// rule's, then `warning` (§3.27.10).
fn severity(rule: Option<&Value>, result: &Value) -> Severity {
    let score = |value: &Value| {
        let score = value.pointer("/properties/security-severity")?;
        score.as_f64().or_else(|| score.as_str()?.parse().ok())
    };
    if let Some(score) = score(result).or_else(|| rule.and_then(score)) {
        return Severity::of_score(score);
    }
    let own = result.get("level").and_then(Value::as_str);
    let level = own.or_else(|| rule?.pointer("/defaultConfiguration/level")?.as_str());
    match level {
        Some("error") => Severity::High,
        Some("note") => Severity::Low,
        Some("none") => Severity::Note,
        _ => Severity::Medium,
    }
}
