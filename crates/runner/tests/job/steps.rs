//! `run` steps: order, conditions, environment, masks, cancellation, time.

use crate::world::{World, job};
use pilotage_api::runner::Conclusion;

#[tokio::test]
async fn steps_run_in_order_and_share_what_they_set() {
    let ran = job(r#"
env: {A: workflow, B: workflow}
jobs:
  test:
    runs-on: ubuntu-latest
    env: {B: "job ${{ github.ref_name }}"}
    outputs: {who: "${{ steps.set.outputs.who }}"}
    steps:
      - id: set
        run: |
          echo "$A $B $C"
          echo "who=me" >> "$GITHUB_OUTPUT"
          echo "LATER=from env" >> "$GITHUB_ENV"
          mkdir -p bin && printf '#!/bin/sh\necho from path' > bin/greet && chmod +x bin/greet
          echo "$PWD/bin" >> "$GITHUB_PATH"
        env: {C: "step"}
      - run: echo "$LATER ${{ env.LATER }} ${{ steps.set.outputs.who }}"
      - run: greet
      - name: In a directory
        run: basename "$PWD"
        working-directory: bin
"#)
    .await;
    assert_eq!(
        ran.output(),
        [
            "workflow job main step",
            "from env from env me",
            "from path",
            "bin"
        ]
    );
    assert_eq!(ran.result.conclusion, Conclusion::Success);
    assert_eq!(ran.result.outputs.get("who").map(String::as_str), Some("me"));
    assert_eq!(ran.steps()[3], "4 In a directory success/success");
}

#[tokio::test]
async fn a_failed_step_says_why_and_skips_what_follows() {
    let ran = job(r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "broken pipe"
          exit 3
      - run: echo never
      - if: failure()
        run: echo after
      - if: always() && github.ref_name == 'dev'
        run: echo never
"#)
    .await;
    assert_eq!(ran.output(), ["broken pipe", "after"]);
    assert_eq!(ran.result.conclusion, Conclusion::Failure);
    assert_eq!(ran.result.error.as_deref(), Some("exit code 3: broken pipe"));
    let steps = ran.steps();
    assert_eq!(
        steps[0],
        "1 Run echo \"broken pipe\" failure/failure: exit code 3: broken pipe"
    );
    assert_eq!(
        steps[1],
        "2 Run echo never skipped/skipped (success() is false: `Run echo \"broken pipe\"` failed)"
    );
    assert!(steps[3].contains("it is 'main'"), "{}", steps[3]);
}

#[tokio::test]
async fn continue_on_error_parts_outcome_and_conclusion() {
    let ran = job(r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - {id: a, run: exit 1, continue-on-error: true}
      - run: echo "${{ steps.a.outcome }} ${{ steps.a.conclusion }} ${{ job.status }}"
"#)
    .await;
    assert_eq!(ran.output(), ["failure success success"]);
    assert_eq!(ran.result.conclusion, Conclusion::Success);
}

#[tokio::test]
async fn secrets_are_masked_and_outputs_with_them_are_left_out() {
    let mut world = World::new(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    outputs: {bad: "${{ steps.s.outputs.x }}", good: fine}
    steps:
      - id: s
        run: |
          echo "it is ${{ secrets.KEY }}"
          echo "x=${{ secrets.KEY }}" >> "$GITHUB_OUTPUT"
          echo "::error::${{ secrets.KEY }}"
"#,
    );
    world.secret("KEY", "hunter2-long");
    let ran = world.run().await;
    assert_eq!(ran.output(), ["it is ***", "##[error]***"]);
    assert_eq!(ran.result.outputs.keys().collect::<Vec<_>>(), ["good"]);
    assert!(!ran.everything().contains("hunter2"), "{}", ran.everything());
}

#[tokio::test]
async fn what_expressions_came_to_is_told_without_secrets() {
    let mut world = World::new(
        r#"
env: {LEVEL: "${{ github.event_name }}"}
jobs:
  test:
    if: github.event_name != 'never'
    runs-on: ubuntu-latest
    env: {WHERE: "at ${{ github.repository }}", EMPTY: "${{ github.nothing }}"}
    steps:
      - run: echo "LATER=x" >> "$GITHUB_ENV"
      - if: env.LATER == 'x'
        env: {MINE: "${{ env.LATER }}-${{ secrets.KEY }}", LEVEL: mine}
        run: echo "${{ env.MINE }}"
      - if: env.LATER == 'y'
        env: {NEVER: "${{ env.LATER }}"}
        run: echo never
      - uses: actions/upload-artifact@v4
        with: {name: "out-${{ env.LATER }}", path: no/such, if-no-files-found: ignore}
"#,
    );
    world.secret("KEY", "hunter2-long");
    let ran = world.run().await;
    let told = ran.evaluated();
    assert_eq!(
        told[..2],
        [
            "0 if: github.event_name != 'never' LEVEL=push WHERE=at octo/hello",
            "2 if: env.LATER == 'x' LEVEL=mine MINE=x-***",
        ]
    );
    assert_eq!(told.len(), 3, "{told:?}");
    for part in [
        "4 if:  with name=out-x",
        "with path=no/such",
        "with if-no-files-found=ignore",
    ] {
        assert!(told[2].contains(part), "{part}: {told:?}");
    }
    assert!(!told[2].contains("compression-level"), "a default: {told:?}");
    assert!(!ran.everything().contains("hunter2"), "{}", ran.everything());
}

/// The lines before them are counted as they stand in the log: masked, of several steps, in several chunks.
#[tokio::test]
async fn an_annotation_knows_its_line_of_the_log() {
    let mut world = World::new(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo '{"problemMatcher": [{"owner": "t", "pattern": [{"regexp": "^bad (.+)$", "message": 1}]}]}' > m.json
          echo "::add-matcher::m.json"
          printf '%s\n' "${{ secrets.KEY }}"
          seq 20000
          echo "::warning::first%0Aand more"
          echo "::notice::second"
          echo "bad third"
          seq 20000
      - {run: "echo ::error::fourth; exit 3", continue-on-error: true}
      - {run: "echo ::set-env name=A::b; echo bye", continue-on-error: true}
"#,
    );
    world.secret("KEY", "begin\nmiddle-of-it\nend");
    let ran = world.run().await;
    let refused = "the `set-env` command is disabled, because any program's output could use it: write to the file \
                   $GITHUB_ENV, or set the environment variable `ACTIONS_ALLOW_UNSECURE_COMMANDS` to `true`";
    assert_eq!(
        ran.annotations(),
        [
            "Warning first\nand more (##[warning]first)".to_owned(),
            "Notice second (##[notice]second)".to_owned(),
            "Error third (##[error]bad third)".to_owned(),
            "Error fourth (##[error]fourth)".to_owned(),
            "Error Process completed with exit code 3. (##[error]Process completed with exit code 3.)"
                .to_owned(),
            format!("Error {refused} (##[error]{refused})"),
        ]
    );
}

#[tokio::test]
async fn a_cancelled_job_runs_what_asks_for_it() {
    let world = World::new(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo ready
          sleep 60
      - run: echo never
      - {if: always(), run: echo always}
      - {if: cancelled(), run: echo cancelled}
      - {if: failure(), run: echo never}
"#,
    );
    let ran = world.run_cancelled_at("ready").await;
    assert_eq!(ran.output(), ["ready", "always", "cancelled"]);
    assert_eq!(ran.result.conclusion, Conclusion::Cancelled);
    assert!(
        ran.steps()[0].ends_with(" cancelled/cancelled"),
        "{:?}",
        ran.steps()
    );
}

#[tokio::test]
async fn a_step_out_of_time_fails_and_a_job_out_of_time_is_cancelled() {
    let ran = job(r#"
jobs:
  test:
    runs-on: ubuntu-latest
    timeout-minutes: 0.01
    steps:
      - {run: sleep 60, timeout-minutes: 0.002, continue-on-error: true}
      - run: echo goes on
      - run: sleep 60
      - {if: always(), run: echo always}
"#)
    .await;
    let steps = ran.steps();
    assert!(
        steps[0].ends_with("The step has timed out after 0.002 minutes."),
        "{}",
        steps[0]
    );
    assert_eq!(ran.output(), ["goes on", "always"]);
    assert_eq!(ran.result.conclusion, Conclusion::Cancelled);
    let error = ran.result.error.unwrap_or_default();
    assert_eq!(
        error,
        "The job has exceeded the maximum execution time of 0.01 minutes."
    );
}

#[tokio::test]
async fn github_is_complete_and_exported() {
    let ran = job(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "$GITHUB_REPOSITORY $GITHUB_REPOSITORY_OWNER $GITHUB_REF_TYPE $GITHUB_JOB $CI $RUNNER_OS $GITHUB_ACTION"
          test "$GITHUB_WORKSPACE" = "$PWD" && test -f "$GITHUB_EVENT_PATH" && test -d "$RUNNER_TEMP"
          test "${{ github.workspace }}" = "$PWD" && test "${{ runner.temp }}" = "$RUNNER_TEMP"
          test -z "${GITHUB_TOKEN+x}" && echo "no token"
"#,
    )
    .await;
    assert_eq!(
        ran.output(),
        ["octo/hello octo branch test true Linux __run", "no token"]
    );
}
