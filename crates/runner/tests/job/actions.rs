//! Actions of the project, and of configured directories.

use crate::world::World;
use pilotage_api::runner::Conclusion;

const GREET: &str = r#"
name: greet
inputs:
  who: {required: true}
  how: {default: "hello from ${{ github.job }}"}
outputs:
  said: {value: "${{ steps.say.outputs.said }}"}
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      run: |
        echo "${{ inputs.how }} ${{ inputs.who }} $OUTER"
        echo "said=${{ inputs.who }}" >> "$GITHUB_OUTPUT"
    - if: inputs.who == 'nobody'
      shell: bash
      run: echo never
"#;

#[tokio::test]
async fn a_composite_has_its_own_inputs_and_outputs() {
    let world = World::new(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    env: {OUTER: outer}
    steps:
      - id: greet
        uses: ./.github/actions/greet
        with: {who: "you ${{ vars.COLOUR }}"}
      - run: echo "${{ steps.greet.outputs.said }} [${{ steps.say.outputs.said }}]"
"#,
    );
    world.file("workspace/.github/actions/greet/action.yml", GREET);
    let ran = world.run().await;
    assert_eq!(
        ran.output(),
        [
            "hello from test you blue outer",
            "Skipped `Run echo never`: inputs.who == 'nobody' is false, it is 'you blue'",
            "you blue []",
        ]
    );
    assert_eq!(ran.result.conclusion, Conclusion::Success);
}

#[tokio::test]
async fn composites_nest_up_to_nine_and_fail_with_their_first_error() {
    let world = World::new(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: ./deep
"#,
    );
    let deep = "runs:\n  using: composite\n  steps:\n    - uses: ./deep\n";
    world.file("workspace/deep/action.yml", deep);
    let ran = world.run().await;
    assert_eq!(ran.result.conclusion, Conclusion::Failure);
    assert_eq!(
        ran.result.error.as_deref(),
        Some("composite actions are nested more than 9 times")
    );
}

#[tokio::test]
async fn composites_see_no_secrets() {
    let mut world = World::new(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: ./a
        continue-on-error: true
      - run: echo "goes on"
"#,
    );
    world.secret("KEY", "hunter2-long");
    let text = "runs:\n  using: composite\n  steps:\n    - {run: 'echo ${{ secrets.KEY }}', shell: bash}\n";
    world.file("workspace/a/action.yml", text);
    let ran = world.run().await;
    let output = ran.output();
    assert_eq!(output.last().map(String::as_str), Some("goes on"), "{output:?}");
    assert!(
        ran.steps()[0].starts_with("1 Run ./a failure/success"),
        "{:?}",
        ran.steps()
    );
}

#[tokio::test]
async fn javascript_actions_have_inputs_state_and_a_post() {
    let mut world = World::new(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: echo first
      - id: js
        uses: octo/js@v1
        with: {who am: I}
      - run: echo "${{ steps.js.outputs.out }}"
"#,
    );
    let action = r#"
name: js
inputs: {"who am": {required: true}, other: {default: d}}
runs: {using: node20, pre: pre.js, main: main.js, post: post.js}
"#;
    world.file("actions/octo/js/v1/action.yml", action);
    world.file(
        "actions/octo/js/v1/pre.js",
        "require('fs').appendFileSync(process.env.GITHUB_STATE, 'from=pre\\n'); console.log('pre')",
    );
    world.file(
        "actions/octo/js/v1/main.js",
        "const fs = require('fs'), e = process.env;\n\
         console.log(e.INPUT_WHO_AM, e.INPUT_OTHER, e.STATE_from, e.GITHUB_ACTION_REPOSITORY, e.GITHUB_ACTION_REF);\n\
         fs.appendFileSync(e.GITHUB_OUTPUT, 'out=put\\n'); fs.appendFileSync(e.GITHUB_STATE, 'key=main\\n');",
    );
    world.file(
        "actions/octo/js/v1/post.js",
        "console.log('post', process.env.STATE_from, process.env.STATE_key, process.env['INPUT_WHO_AM'])",
    );
    world.actions_from = vec![world.directory.path().join("actions")];
    let ran = world.run().await;
    assert_eq!(
        ran.output(),
        ["pre", "first", "I d pre octo/js v1", "put", "post pre main I"]
    );
    let names: Vec<_> = ran.steps();
    assert_eq!(names[0], "1 Pre Run octo/js@v1 success/success");
    assert_eq!(names[4], "5 Post Run octo/js@v1 success/success");
}

#[tokio::test]
async fn pre_parts_inside_composites_run_before_the_first_step() {
    let mut world = World::new(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: echo first
      - {uses: octo/outer@v1, with: {who: me}}
"#,
    );
    world.file(
        "actions/octo/outer/action.yml",
        "inputs: {who: {}}\nruns:\n  using: composite\n  steps:\n    - {uses: octo/inner@v1, with: {who: '${{ inputs.who }}'}}\n",
    );
    let inner = "inputs: {who: {}}\nruns: {using: node20, pre: pre.js, main: main.js, post: main.js}\n";
    world.file("actions/octo/inner/action.yml", inner);
    let pre =
        "require('fs').appendFileSync(process.env.GITHUB_STATE, 'pre=' + process.env.INPUT_WHO + '\\n')";
    world.file("actions/octo/inner/pre.js", &format!("console.log('pre'); {pre}"));
    world.file(
        "actions/octo/inner/main.js",
        "console.log(process.env.INPUT_WHO, process.env.STATE_pre)",
    );
    world.actions_from = vec![world.directory.path().join("actions")];
    let ran = world.run().await;
    assert_eq!(ran.output(), ["pre", "first", "me me", "me me"]);
}

#[tokio::test]
async fn an_action_that_is_not_here_is_refused_before_the_first_step() {
    let world = World::new(
        r#"
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: echo never
      - uses: octo/unknown@v1
"#,
    );
    let ran = world.run().await;
    assert_eq!(ran.output(), Vec::<String>::new());
    assert_eq!(ran.result.conclusion, Conclusion::Failure);
    let error = ran.result.error.unwrap_or_default();
    assert!(
        error.contains("`octo/unknown@v1`") && error.contains("--actions-from"),
        "{error}"
    );
}
