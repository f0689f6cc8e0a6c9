//! The gates for scans and coverage, in whole jobs.

use crate::world::World;

const CLEAN: &str =
    r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"lint"}},"artifacts":[{}],"results":[]}]}"#;
const BAD: &str = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"lint"}},"artifacts":[{}],"results":[
  {"ruleId":"R1","level":"error","message":{"text":"eval of input"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.py"},"region":{"startLine":3}}}]},
  {"ruleId":"R2","level":"warning","message":{"text":"odd"}}]}]}"#;

/// Runs one gate over files; gives its error, or its output.
async fn check(action: &str, inputs: &str, files: &[(&str, &str)], expected: &str) {
    let world = World::new(&format!(
        "jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: gate
        uses: pilotage/{action}@v1
        with: {inputs}
      - run: echo \"out=${{{{ steps.gate.outputs.findings }}}}${{{{ steps.gate.outputs.percent }}}}\"
"
    ));
    for (name, text) in files {
        world.file(&format!("project/{name}"), text);
    }
    let ran = world.run().await;
    let shown = match &ran.result.error {
        Some(error) => error.clone(),
        None => ran
            .log()
            .iter()
            .find_map(|(_, line)| line.starts_with("out=").then(|| line.clone()))
            .unwrap_or_default(),
    };
    assert_eq!(shown, expected, "{:#?}", ran.log());
}

#[tokio::test]
async fn a_scan_gate_fails_by_what_was_found_and_by_what_was_not_scanned() {
    let gate = "scan-gate";
    check(gate, "{files: '*.sarif'}", &[("a.sarif", CLEAN)], "out=0").await;
    check(
        gate,
        "{files: a.sarif, fail-on: critical}",
        &[("a.sarif", BAD)],
        "out=2",
    )
    .await;
    check(
        gate,
        "{files: a.sarif, fail-on: never}",
        &[("a.sarif", BAD)],
        "out=2",
    )
    .await;
    check(
        gate,
        "{files: a.sarif}",
        &[("a.sarif", BAD)],
        "1 of 2 findings are high or worse; the first: lint R1 a.py:3 eval of input",
    )
    .await;
    check(
        gate,
        "{files: \"a.sarif\\nb.sarif\"}",
        &[("a.sarif", CLEAN)],
        "no file matches `b.sarif`: the step that should write it did not, or wrote it elsewhere",
    )
    .await;
    check(
        gate,
        "{files: a.sarif}",
        &[("a.sarif", r#"{"version":"2.1.0","runs":[]}"#)],
        "`a.sarif` shows no scan: it scanned nothing: it holds no run of a tool",
    )
    .await;
    check(
        gate,
        "{files: a.sarif, fail-on: bad}",
        &[("a.sarif", CLEAN)],
        "`fail-on` is critical, high, medium, low, note or never, not `bad`",
    )
    .await;
}

#[tokio::test]
async fn a_coverage_gate_adds_up_all_files() {
    let gate = "coverage-gate";
    let lcov = "SF:a\nLF:10\nLH:9\nend_of_record\n";
    let cobertura = r#"<coverage lines-valid="10" lines-covered="6"/>"#;
    let both = [("a.info", lcov), ("b.xml", cobertura)];
    check(gate, "{files: a.info}", &both, "out=90").await;
    check(gate, "{files: \"a.info\\nb.xml\", minimum: 75%}", &both, "out=75").await;
    check(
        gate,
        "{files: \"a.info\\nb.xml\"}",
        &both,
        "coverage is 75 % (15 of 20 lines); the minimum is 80 %",
    )
    .await;
    check(
        gate,
        "{files: a.info}",
        &[("a.info", "SF:a\nend_of_record\n")],
        "`a.info` shows no coverage: it counts no line: nothing was measured",
    )
    .await;
}
