use super::*;

/// A report as a line a scan: tool, what was scanned, findings.
#[track_caller]
fn check(report: &str, expected: &str) {
    let shown = match read(report) {
        Err(error) => format!("error: {error}"),
        Ok(scans) => {
            let scan = |scan: &Scan| {
                let findings = scan.findings.iter().map(|f| {
                    let place = f.path.as_deref().unwrap_or("-");
                    format!(
                        " | {} {} {place}:{} {}",
                        f.severity.word(),
                        f.rule,
                        f.line.unwrap_or(0),
                        f.message
                    )
                });
                let findings: String = findings.collect();
                format!(
                    "{} ({}, {} put aside){findings}",
                    scan.tool,
                    scan.scanned.as_deref().unwrap_or("?"),
                    scan.suppressed
                )
            };
            scans.iter().map(scan).collect::<Vec<_>>().join("\n")
        }
    };
    assert_eq!(shown, expected);
}

fn sarif(run: &str) -> String {
    format!(
        r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"name":"t","rules":[
        {{"id":"a","defaultConfiguration":{{"level":"error"}}}},
        {{"id":"b","properties":{{"security-severity":"9.8"}}}},{{"id":"c"}}]}}}},{run}}}]}}"#
    )
}

#[test]
fn levels_come_from_the_score_the_result_the_rule_or_the_default() {
    let place = r#""locations":[{"physicalLocation":{"artifactLocation":{"uri":"file:///w/x.py"},"region":{"startLine":3}}}]"#;
    check(
        &sarif(&format!(
            r#""results":[
              {{"ruleId":"a","message":{{"text":"m"}},{place}}},
              {{"ruleId":"a","level":"note","message":{{"text":"m"}}}},
              {{"ruleIndex":1,"level":"note","message":{{"text":"m"}}}},
              {{"ruleId":"c","message":{{"text":"m"}}}},
              {{"ruleId":"c","kind":"pass","message":{{"text":"m"}}}},
              {{"ruleId":"c","suppressions":[{{"kind":"inSource"}}],"message":{{"text":"m"}}}},
              {{"ruleId":"c","suppressions":[{{"kind":"external","status":"rejected"}}],"level":"none","message":{{"text":"m"}}}}]"#
        )),
        "t (?, 1 put aside) | high a /w/x.py:3 m | low a -:0 m | critical b -:0 m | medium c -:0 m | note c -:0 m",
    );
}

#[test]
fn a_scan_that_failed_or_saw_nothing_is_no_clean_scan() {
    check("", "error: it scanned nothing: the file is empty");
    check(
        "{",
        "error: it is no JSON: EOF while parsing an object at line 1 column 1",
    );
    check(
        "[]",
        "error: it is of no tool that is known here (SARIF 2.1.0, or the JSON of bandit, semgrep, pip-audit, detect-secrets, Trivy, npm audit)",
    );
    check(
        r#"{"version":"2.0.0","runs":[]}"#,
        "error: it is SARIF of version 2.0.0; 2.1.0 is read",
    );
    check(
        r#"{"version":"2.1.0","runs":[]}"#,
        "error: it scanned nothing: it holds no run of a tool",
    );
    check(
        &sarif(r#""artifacts":[],"results":[]"#),
        "error: it scanned nothing: t lists no file",
    );
    check(
        &sarif(r#""properties":{"metrics":{"_totals":{"loc":0}}},"results":[]"#),
        "error: it scanned nothing: t lists no line",
    );
    check(
        &sarif(
            r#""invocations":[{"executionSuccessful":false,"toolExecutionNotifications":[{"message":{"text":"no rules"}}]}],"results":[]"#,
        ),
        "error: the scan failed: t: no rules",
    );
    check(
        &sarif(r#""artifacts":[{}],"results":[]"#),
        "t (1 file, 0 put aside)",
    );
    check(
        r#"{"dependencies":[{"name":"a","skip_reason":"not found"},{"name":"b","version":"1","vulns":[]}],"fixes":[]}"#,
        "error: it scanned nothing: pip-audit skipped 1 of 2 dependencies: not found",
    );
    check(
        r#"{"message":"405 Method Not Allowed","method":"POST"}"#,
        "error: the scan failed: 405 Method Not Allowed",
    );
    check(
        r#"{"paths":{"scanned":[]},"results":[],"errors":[]}"#,
        "error: it scanned nothing: semgrep lists no file",
    );
    check(
        r#"{"SchemaVersion":2,"ArtifactName":"."}"#,
        "error: it scanned nothing: Trivy found nothing to look at in `.`",
    );
    check(
        r#"{"metrics":{"_totals":{"loc":0}},"results":[],"errors":[]}"#,
        "error: it scanned nothing: bandit counts no line",
    );
}

#[test]
fn each_known_tool_is_read() {
    check(
        r#"{"errors":[],"metrics":{"_totals":{"loc":6}},"results":[{"filename":"a.py","issue_severity":"LOW","issue_text":"t","line_number":1,"test_id":"B403"}]}"#,
        "bandit (6 lines, 0 put aside) | low B403 a.py:1 t",
    );
    check(
        r#"{"paths":{"scanned":["a"]},"errors":[],"results":[{"check_id":"r","path":"a","start":{"line":3},"extra":{"message":"m","severity":"ERROR"}}]}"#,
        "semgrep (1 file, 0 put aside) | high r a:3 m",
    );
    check(
        r#"{"dependencies":[{"name":"b","version":"1","vulns":[{"id":"CVE-1","description":"d"}]}]}"#,
        "pip-audit (1 dependency, 0 put aside) | high CVE-1 -:0 b 1: d",
    );
    check(
        r#"{"plugins_used":[],"results":{"a":[{"type":"Key","line_number":2}]}}"#,
        "detect-secrets (?, 0 put aside) | high Key a:2 a secret of the kind Key",
    );
    check(
        r#"{"SchemaVersion":2,"Results":[{"Target":"Dockerfile","Misconfigurations":[{"ID":"DS-1","Title":"t","Severity":"CRITICAL","Status":"FAIL","CauseMetadata":{"StartLine":4}},{"ID":"DS-2","Status":"PASS"}]}]}"#,
        "Trivy (1 target, 0 put aside) | critical DS-1 Dockerfile:4 t",
    );
    check(
        r#"{"auditReportVersion":2,"vulnerabilities":{"x":{"severity":"moderate","range":"<2"}},"metadata":{"dependencies":{"total":9}}}"#,
        "npm audit (9 dependencies, 0 put aside) | medium x -:0 x <2",
    );
}
