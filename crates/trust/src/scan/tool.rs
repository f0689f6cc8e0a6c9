//! The own JSON forms of tools that have no SARIF, or are often run without it.

use super::{Finding, Scan, ScanError, Severity, counted, line, list, text};
use serde_json::Value;

pub(super) fn read(root: &Value) -> Result<Scan, ScanError> {
    let has = |name: &str| root.get(name).is_some();
    if has("metrics") && has("results") && has("errors") {
        bandit(root)
    } else if has("paths") && has("results") {
        semgrep(root)
    } else if has("dependencies") && root["dependencies"].is_array() {
        pip_audit(root)
    } else if has("plugins_used") && has("results") {
        Ok(detect_secrets(root))
    } else if has("SchemaVersion") || has("ArtifactName") {
        trivy(root)
    } else if has("auditReportVersion") {
        npm(root)
    } else if has("error") || has("message") && has("method") {
        let error = root.get("error").unwrap_or(root);
        let why = [
            text(error, "summary"),
            text(error, "message"),
            text(root, "message"),
        ];
        let why = why.into_iter().find(|why| !why.is_empty()).unwrap_or_default();
        Err(ScanError::Failed(why))
    } else {
        Err(ScanError::Unknown)
    }
}

fn word(severity: &str) -> Severity {
    match severity.to_ascii_lowercase().as_str() {
        "critical" => Severity::Critical,
        "high" | "error" => Severity::High,
        "low" => Severity::Low,
        "info" | "inventory" | "experiment" => Severity::Note,
        _ => Severity::Medium,
    }
}

fn bandit(root: &Value) -> Result<Scan, ScanError> {
    if let Some(error) = list(root, "errors").first() {
        let why = format!("bandit: {}: {}", text(error, "filename"), text(error, "reason"));
        return Err(ScanError::Failed(why));
    }
    let lines = root
        .pointer("/metrics/_totals/loc")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    if lines == 0 {
        return Err(ScanError::Nothing("bandit counts no line".to_owned()));
    }
    let finding = |result: &Value| Finding {
        rule: text(result, "test_id"),
        severity: word(&text(result, "issue_severity")),
        message: text(result, "issue_text"),
        path: Some(text(result, "filename")),
        line: line(result.get("line_number")),
    };
    Ok(Scan {
        tool: "bandit".to_owned(),
        findings: list(root, "results").iter().map(finding).collect(),
        suppressed: 0,
        scanned: Some(counted(lines, "line", "lines")),
    })
}

fn semgrep(root: &Value) -> Result<Scan, ScanError> {
    let fatal = list(root, "errors")
        .iter()
        .find(|error| text(error, "level") == "error");
    if let Some(error) = fatal {
        return Err(ScanError::Failed(format!("semgrep: {}", text(error, "message"))));
    }
    let files = root
        .pointer("/paths/scanned")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if files == 0 {
        return Err(ScanError::Nothing("semgrep lists no file".to_owned()));
    }
    let finding = |result: &Value| Finding {
        rule: text(result, "check_id"),
        severity: word(
            result
                .pointer("/extra/severity")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        ),
        message: result
            .pointer("/extra/message")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        path: Some(text(result, "path")),
        line: line(result.pointer("/start/line")),
    };
    Ok(Scan {
        tool: "semgrep".to_owned(),
        findings: list(root, "results").iter().map(finding).collect(),
        suppressed: 0,
        scanned: Some(counted(files as u64, "file", "files")),
    })
}

/// Without `--strict` pip-audit ends well although it could look nothing up; each such dependency was not scanned.
fn pip_audit(root: &Value) -> Result<Scan, ScanError> {
    let dependencies = list(root, "dependencies");
    let skipped: Vec<&Value> = dependencies
        .iter()
        .filter(|d| d.get("skip_reason").is_some())
        .collect();
    match skipped.first() {
        _ if dependencies.is_empty() => {
            return Err(ScanError::Nothing("pip-audit lists no dependency".to_owned()));
        }
        Some(first) => {
            let (skipped, all) = (skipped.len(), dependencies.len());
            let why = text(first, "skip_reason");
            return Err(ScanError::Nothing(format!(
                "pip-audit skipped {skipped} of {all} dependencies: {why}"
            )));
        }
        None => {}
    }
    let mut findings = Vec::new();
    for dependency in dependencies {
        for vulnerability in list(dependency, "vulns") {
            findings.push(Finding {
                rule: text(vulnerability, "id"),
                // It knows no severity. What is known to be vulnerable is not let through for that.
                severity: Severity::High,
                message: format!(
                    "{} {}: {}",
                    text(dependency, "name"),
                    text(dependency, "version"),
                    text(vulnerability, "description")
                ),
                path: None,
                line: None,
            });
        }
    }
    Ok(Scan {
        tool: "pip-audit".to_owned(),
        findings,
        suppressed: 0,
        scanned: Some(counted(dependencies.len() as u64, "dependency", "dependencies")),
    })
}

fn detect_secrets(root: &Value) -> Scan {
    let mut findings = Vec::new();
    for (path, found) in root["results"].as_object().into_iter().flatten() {
        for secret in found.as_array().into_iter().flatten() {
            findings.push(Finding {
                rule: text(secret, "type"),
                severity: Severity::High,
                message: format!("a secret of the kind {}", text(secret, "type")),
                path: Some(path.clone()),
                line: line(secret.get("line_number")),
            });
        }
    }
    Scan {
        tool: "detect-secrets".to_owned(),
        findings,
        suppressed: 0,
        scanned: None,
    }
}

fn trivy(root: &Value) -> Result<Scan, ScanError> {
    let results = list(root, "Results");
    if results.is_empty() {
        let name = text(root, "ArtifactName");
        return Err(ScanError::Nothing(format!(
            "Trivy found nothing to look at in `{name}`"
        )));
    }
    let mut findings = Vec::new();
    for result in results {
        for (kind, id, title) in [
            ("Vulnerabilities", "VulnerabilityID", "Title"),
            ("Misconfigurations", "ID", "Title"),
            ("Secrets", "RuleID", "Title"),
        ] {
            // A misconfiguration's check that passed is listed too.
            for found in list(result, kind)
                .iter()
                .filter(|found| text(found, "Status") != "PASS")
            {
                let package = text(found, "PkgName");
                let title = text(found, title);
                findings.push(Finding {
                    rule: text(found, id),
                    severity: word(&text(found, "Severity")),
                    message: if package.is_empty() {
                        title
                    } else {
                        format!("{package}: {title}")
                    },
                    path: Some(text(result, "Target")),
                    line: line(
                        found
                            .get("StartLine")
                            .or_else(|| found.pointer("/CauseMetadata/StartLine")),
                    ),
                });
            }
        }
    }
    Ok(Scan {
        tool: "Trivy".to_owned(),
        findings,
        suppressed: 0,
        scanned: Some(counted(results.len() as u64, "target", "targets")),
    })
}

fn npm(root: &Value) -> Result<Scan, ScanError> {
    let found = root.get("vulnerabilities").and_then(Value::as_object);
    let finding = |(name, found): (&String, &Value)| Finding {
        rule: name.clone(),
        severity: word(&text(found, "severity")),
        message: format!("{name} {}", text(found, "range")),
        path: None,
        line: None,
    };
    let total = root
        .pointer("/metadata/dependencies/total")
        .and_then(Value::as_u64);
    if total == Some(0) {
        return Err(ScanError::Nothing("npm counts no dependency".to_owned()));
    }
    Ok(Scan {
        tool: "npm audit".to_owned(),
        findings: found.into_iter().flatten().map(finding).collect(),
        suppressed: 0,
        scanned: total.map(|total| counted(total, "dependency", "dependencies")),
    })
}
