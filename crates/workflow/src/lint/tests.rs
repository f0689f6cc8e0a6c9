use crate::parse::{NoResolver, ParseOptions, workflow};
use crate::source::Source;

/// The warnings of a sound file.
fn check(text: &str, expected: &[&str]) {
    let source = Source::new("w.yml", text);
    let (workflow, diagnostics) = workflow(&source, &NoResolver, &ParseOptions::default());
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let lines: Vec<String> = super::check(&workflow.unwrap())
        .iter()
        .map(|d| {
            let place = d.source.position(d.span.start);
            let help = d.help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
            format!("{}:{} {} {}{help}", place.line, place.column, d.code, d.message)
        })
        .collect();
    assert_eq!(lines, expected, "of:\n{text}");
}

const HEAD: &str = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n";

#[test]
fn text_of_strangers_in_scripts_is_warned_of() {
    check(
        &format!(
            "{HEAD}      - run: |\n          echo \"${{{{ github.event.pull_request.title }}}}\"\n          echo ${{{{ github.sha }}}}\n      - run: echo ${{{{ github.head_ref }}}}\n        env: {{T: \"${{{{ github.event.issue.title }}}}\"}}\n      - run: echo ${{{{ join(github.event.commits.*.message) }}}}\n"
        ),
        &[
            "7:21 W0601 `github.event.pull_request.title` may hold any text, and the shell runs what is in it (give it as `env: {TITLE: ${{ github.event.pull_request.title }}}`, and use \"$TITLE\" in the script)",
            "9:23 W0601 `github.head_ref` may hold any text, and the shell runs what is in it (give it as `env: {HEAD_REF: ${{ github.head_ref }}}`, and use \"$HEAD_REF\" in the script)",
            "11:28 W0601 `github.event.commits` may hold any text, and the shell runs what is in it (give it as `env: {COMMITS: ${{ github.event.commits }}}`, and use \"$COMMITS\" in the script)",
        ],
    );
}

#[test]
fn conditions_with_text_around_are_always_true() {
    check(
        &format!(
            "{HEAD}      - if: ${{{{ github.ref == 'x' }}}} && true\n        run: x\n      - if: github.ref == 'x' && true\n        run: x\n      - if: ${{{{ format('x') }}}}\n        run: x\n"
        ),
        &[
            "6:13 W0602 this `if` is always true: with text around `${{ }}` it is a text (put all of it into one `${{ }}`, or leave the braces out)",
        ],
    );
}

#[test]
fn steps_that_are_not_there_or_run_later_are_null() {
    check(
        &format!(
            "{HEAD}      - run: ${{{{ steps.later.outputs.x }}}}\n      - id: later\n        run: ${{{{ steps.latr.outcome }}}} ${{{{ steps.later.outcome }}}}\n      - if: steps.LATER.conclusion == 'failure'\n        run: x\n    outputs: {{o: \"${{{{ steps.gone.outputs.o }}}}\"}}\n"
        ),
        &[
            "6:18 W0603 the step `later` runs later",
            "8:18 W0603 no step of this job has the id `latr` (did you mean `later`?)",
            "8:44 W0603 the step `later` has no outputs before it ran",
            "11:23 W0603 no step of this job has the id `gone`",
        ],
    );
}

#[test]
fn unknown_needs_matrix_names_and_inputs_are_null() {
    check(
        "on: {workflow_dispatch: {inputs: {level: {}}}}\nenv: {L: '${{ inputs.levl }}'}\njobs:\n  a:\n    runs-on: x\n    outputs: {digest: x}\n    steps: [{run: x}]\n  b:\n    needs: a\n    strategy: {matrix: {os: [x], include: [{extra: 1}]}}\n    runs-on: ${{ matrix.os }}${{ matrix.oss }}${{ matrix.extra }}\n    steps:\n      - run: ${{ needs.a.outputs.digst }} ${{ needs.a.result }} ${{ needs.c.result }} ${{ needs.b.result }}\n  d:\n    runs-on: ${{ matrix.os }}\n    steps: [{run: x}]\n  e:\n    strategy: {matrix: '${{ fromJSON(vars.M) }}'}\n    runs-on: ${{ matrix.any }}\n    steps: [{run: x}]\n",
        &[
            "2:15 W0604 this workflow has no `inputs.levl` (did you mean `inputs.level`?)",
            "11:34 W0604 this job's matrix has no `matrix.oss` (did you mean `matrix.os`?)",
            "13:18 W0604 the job `a` has no output `digst` (did you mean `digest`?)",
            "13:69 W0604 the job `b` does not need `c`",
            "13:91 W0604 the job `b` does not need `b`",
            "15:18 W0604 this job's matrix has no `matrix.os`",
        ],
    );
}

#[test]
fn numbers_that_lose_a_digit_are_warned_of() {
    check(
        "on: push\njobs:\n  a:\n    strategy: {matrix: {python: [3.9, 3.10, '3.10', 1e3, 0x1F], include: [{python: 3.9, v: 1.0}]}}\n    runs-on: x\n    steps: [{run: x}]\n",
        &[
            "4:39 W0605 `3.10` is the number 3.1 (write '3.10' in quotes to keep it as it is)",
            "4:92 W0605 `1.0` is the number 1 (write '1.0' in quotes to keep it as it is)",
        ],
    );
}
