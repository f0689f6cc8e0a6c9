use super::{ParseOptions, PermissionsPolicy, Resolver, Supported, action, unsupported, workflow};
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{JobKind, StepKind};
use crate::source::Source;
use std::collections::HashMap;
use std::sync::Arc;

/// What is wrong with a workflow, one fault a line.
fn check(text: &str, expected: &[&str]) {
    check_with(text, &[], ParseOptions::default(), expected);
}

/// The same for one that calls others.
fn check_with(text: &str, files: &[(&str, &str)], options: ParseOptions, expected: &[&str]) {
    let files = Files(
        files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Source::new(*name, *text)))
            .collect(),
    );
    let source = Source::new("w.yml", text);
    let (_, diagnostics) = workflow(&source, &files, &options);
    assert_eq!(lines(&diagnostics), expected, "of:\n{text}");
}

struct Files(HashMap<String, Arc<Source>>);

impl Resolver for Files {
    fn workflow(&self, uses: &str) -> Result<Arc<Source>, String> {
        self.0.get(uses).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    let line = |d: &Diagnostic| {
        let place = d.source.position(d.span.start);
        let file = if d.source.path == "w.yml" {
            String::new()
        } else {
            format!("{} ", d.source.path)
        };
        let kind = if d.severity == Severity::Error {
            ""
        } else {
            "warning "
        };
        let help = d.help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
        format!(
            "{file}{}:{} {kind}{} {}{help}",
            place.line, place.column, d.code, d.message
        )
    };
    diagnostics.iter().map(line).collect()
}

/// A sound workflow around the keys of one job, which begin in line 4, column 5.
fn job(keys: &str) -> String {
    let keys: String = keys.lines().map(|l| format!("    {l}\n")).collect();
    format!("on: push\njobs:\n  a:\n{keys}    runs-on: x\n    steps: [{{run: x}}]\n")
}

/// A sound workflow around one step, which begins in line 6, column 9.
fn step(keys: &str) -> String {
    let mut lines = keys.lines();
    let first = lines.next().unwrap_or_default();
    let rest: String = lines.map(|l| format!("        {l}\n")).collect();
    format!("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - {first}\n{rest}")
}

#[test]
fn keys_are_known_or_refused_with_a_suggestion() {
    check(
        "nmae: x\non: push\njbos: {}\njobs:\n  a:\n    run-on: x\n    runs-on: x\n    steps:\n      - runs: x\n        run: y\n",
        &[
            "1:1 W0101 unknown key `nmae` in a workflow (did you mean `name`?)",
            "3:1 W0101 unknown key `jbos` in a workflow (did you mean `jobs`?)",
            "6:5 W0101 unknown key `run-on` in a job (did you mean `runs-on`?)",
            "9:9 W0101 unknown key `runs` in a step (did you mean `run`?)",
        ],
    );
    check(
        "",
        &["1:1 W0102 the file is empty, a workflow needs `on` and `jobs`"],
    );
    check(
        "# nothing\n",
        &["1:1 W0102 the file is empty, a workflow needs `on` and `jobs`"],
    );
    check("- x\n", &["1:1 W0107 a list is not expected here, but a map"]);
    check(
        "jobs:\n",
        &[
            "1:1 W0301 no event starts this workflow: the key `on` is missing",
            "1:6 W0107 a value is missing here: a map of jobs is expected",
        ],
    );
    check(
        "on: push\njobs: {}\n",
        &["2:7 W0102 a workflow needs at least one job"],
    );
}

#[test]
fn a_job_has_steps_or_calls() {
    check(
        "on: push\njobs:\n  a: {name: x}\n  b: {uses: ./w.yml, steps: []}\n  c: {steps: [{run: x}]}\n  d: {runs-on: x, with: {}}\n  e: x\n",
        &[
            "3:6 W0102 a job needs one of the keys `runs-on`, `uses`",
            "4:22 W0101 the key `steps` does not fit the keys before it in a job",
            "5:6 W0102 a job needs the key `runs-on`",
            "6:19 W0101 the key `with` does not fit the keys before it in a job",
            "7:6 W0107 `x` is not expected here, but a map",
            "4:13 W0407 the workflow `./w.yml` calls itself, directly or through others",
        ],
    );
}

#[test]
fn ids_are_checked() {
    check(
        "on: push\njobs:\n  1a: {runs-on: x}\n  __b: {runs-on: x}\n  c:\n    runs-on: x\n    steps:\n      - {run: x, id: one}\n      - {run: x, id: ONE}\n      - {run: x, id: __run}\n",
        &[
            "3:3 W0105 the id `1a` may hold only letters, digits, `-` and `_`, and begins with a letter or `_`",
            "4:3 W0105 the id `__b` is reserved: ids that begin with `__` are made by the platform",
            "9:22 W0106 the id `ONE` is used twice",
            "10:22 W0105 the id `__run` is reserved: ids that begin with `__` are made by the platform",
        ],
    );
}

#[test]
fn needs_name_jobs_and_make_no_circle() {
    check(
        "on: push\njobs:\n  build: {runs-on: x}\n  a: {runs-on: x, needs: [biuld, BUILD]}\n  b: {runs-on: x, needs: c}\n  c: {runs-on: x, needs: [d, build]}\n  d: {runs-on: x, needs: b}\n  e: {runs-on: x, needs: d}\n  f: {runs-on: x, needs: f}\n",
        &[
            "4:27 W0103 no job has the id `biuld` (did you mean `build`?)",
            "5:26 W0104 the job `b` needs `c`, which in turn waits for it",
            "6:27 W0104 the job `c` needs `d`, which in turn waits for it",
            "7:26 W0104 the job `d` needs `b`, which in turn waits for it",
            "8:26 W0104 the job `e` needs `d`, which never starts",
            "9:26 W0104 the job `f` needs itself",
        ],
    );
    check(
        "on: push\njobs:\n  a: {runs-on: x, needs: b}\n  b: {runs-on: x, needs: a}\n",
        &[
            "3:3 W0108 no job can start: each one needs another",
            "3:26 W0104 the job `a` needs `b`, which in turn waits for it",
            "4:26 W0104 the job `b` needs `a`, which in turn waits for it",
        ],
    );
}

#[test]
fn each_key_offers_its_own_contexts() {
    check(
        &job(
            "if: ${{ secrets.TOKEN != '' }}\nname: ${{ env.X }}\nenv: {A: '${{ runner.os }}', B: '${{ secrets.B }}'}\ntimeout-minutes: ${{ steps.a.outputs.b }}",
        ),
        &[
            "4:13 W0201 `secrets` is not available in a job's `if` (set an output in an earlier job, and test that)",
            "5:15 W0201 `env` is not available in a job's `name`",
            "6:19 W0201 `runner` is not available in a job's `env`",
            "7:26 W0201 `steps` is not available in a job's time limits",
        ],
    );
    check(
        &step(
            "if: secrets.X && always()\nrun: ${{ success() }} ${{ hashFiles('x') }} ${{ githb.ref }} ${{ \"x\" }}\nenv: {X: \"${{ jobs.a }}\"}",
        ),
        &[
            "6:13 W0201 `secrets` is not available in a step's `if` (put it into `env` of the job, and test `env.NAME != ''`)",
            "7:18 W0202 the function `success` is not available in a step",
            "7:57 W0201 there is no context `githb` (did you mean `github`?)",
            "7:74 W0203 unexpected symbol: '\"x\"'. Located at position 1 within expression: \"x\"",
            "8:23 W0201 `jobs` is not available in a step",
        ],
    );
    check(
        "name: ${{ github.ref }}\nrun-name: ${{ secrets.X }}\non: push\ndefaults: {run: {shell: '${{ vars.X }}'}}\njobs:\n  a:\n    runs-on: x\n    needs: ${{ x }}\n",
        &[
            "1:7 W0207 an expression is not allowed here",
            "2:15 W0201 `secrets` is not available in `run-name`",
            "4:25 W0207 an expression is not allowed here",
            "8:12 W0207 an expression is not allowed here",
        ],
    );
}

#[test]
fn status_functions_take_names_of_jobs_only_in_jobs() {
    check(
        &step("if: success() || failure( 'a' ) && 'always(1)' != 'x'\nrun: x"),
        &["6:26 W0203 the function `failure` takes no arguments in a step's `if`"],
    );
    check(&job("if: success('b', 'c') || failure('b')"), &[]);
}

#[test]
fn faults_in_scripts_stand_at_their_place() {
    check(
        &step(
            "run: |\n  echo ${{ github.sha }}\n  echo ${{ nothing.x }}\n  echo ${{ }}\n  echo ${{ github.sha",
        ),
        &[
            "8:20 W0201 there is no context `nothing` (a text stands in single quotes: 'nothing')",
            "9:16 W0204 an expression was expected",
            "10:16 W0205 the expression is not closed. An unescaped ${{ sequence was found, but the closing }} sequence was not found.",
        ],
    );
    let long = format!("run: \"{}${{{{ github.sha }}}}\"", "x".repeat(21_000));
    let (_, diagnostics) = workflow(
        &Source::new("w.yml", step(&long)),
        &super::NoResolver,
        &ParseOptions::default(),
    );
    assert_eq!(diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["W0206"]);
}

#[test]
fn steps_run_use_or_wait() {
    check(
        &step("shell: bash\nname: x"),
        &["6:9 W0102 a step needs the key `run`"],
    );
    check(
        &step("name: x"),
        &["6:9 W0102 a step needs one of the keys `run`, `uses`, `wait`, `wait-all`, `cancel`, `parallel`"],
    );
    check(
        &step("run: x\nuses: a/b@v1"),
        &["7:9 W0101 the key `uses` does not fit the keys before it in a step"],
    );
    check(
        &step("run: x\ntimeout-minutes: soon\ncontinue-on-error: 1\nenv: [A]\nid:"),
        &[
            "7:26 W0107 `soon` is not expected here, but a number",
            "8:28 W0107 `1` is not expected here, but true or false",
            "9:14 W0107 a list is not expected here, but a map",
            "10:12 W0107 a value is missing here: a text is expected",
        ],
    );
    for (uses, fault) in [
        (
            "actions/checkout",
            Some("say which version: `actions/checkout@v1`, a tag, a branch or a commit"),
        ),
        (
            "checkout@v4",
            Some("`owner/repo@ref`, `owner/repo/path@ref`, `./path` or `docker://image`"),
        ),
        (
            "a/b@c@d",
            Some("`owner/repo@ref`, `owner/repo/path@ref`, `./path` or `docker://image`"),
        ),
        ("a/b/c/d@main", None),
        ("./local", None),
        ("$/local", None),
        ("docker://alpine:3", None),
    ] {
        let expected = fault.map(|help| format!("6:15 W0109 `{uses}` names no action ({help})"));
        check(
            &step(&format!("uses: {uses}")),
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn values_have_types() {
    check(
        &job(
            "needs: {}\nenv: x\nstrategy: x\npermissions: all\nconcurrency: {cancel-in-progress: 1, queue: many}\nenvironment: {url: x}\ndefaults: {run: {shel: x}}\noutputs: [x]\ncontainer: {image: '', port: 1}\nservices: {db: {image: 'docker://'}}",
        ),
        &[
            "4:12 W0107 a map is not expected here, but a text",
            "5:10 W0107 `x` is not expected here, but a map",
            "6:15 W0107 `x` is not expected here, but a map",
            "7:18 W0107 `all` is not expected here, but `read-all`, `write-all` or a map",
            "8:18 W0102 `concurrency` needs the key `group`",
            "8:39 W0107 `1` is not expected here, but true or false",
            "8:49 W0107 `many` is not expected here, but one of `single`, `max`",
            "9:18 W0102 `environment` needs the key `name`",
            "10:22 W0101 unknown key `shel` in `defaults.run` (did you mean `shell`?)",
            "11:14 W0107 a list is not expected here, but a map",
            "12:24 W0107 an empty text is not expected here, but a text",
            "12:28 W0101 unknown key `port` in `container` (did you mean `ports`?)",
            "13:20 W0112 the image is empty",
        ],
    );
    check(&job("runs-on: []").replace("    runs-on: x\n", ""), &[]);
    check(
        &job(
            "permissions: {contents: admin, id-token: read, content: read}\nsnapshot: {image-name: x, version: 1}\ntimeout-minutes: '5'",
        ),
        &[
            "4:29 W0107 `admin` is not expected here, but one of `read`, `write`, `none`",
            "4:46 W0107 `read` is not expected here, but one of `write`, `none`",
            "4:52 W0101 unknown key `content` in `permissions` (did you mean `contents`?)",
            "5:15 W0115 a snapshot's version has the form `1.*`",
            "6:22 W0107 `5` is not expected here, but a number",
        ],
    );
}

#[test]
fn numbers_used_as_texts_are_warned_of() {
    check(
        &step("uses: a/b@v1\nwith: {python: 3.10, mode: 0755, count: 3, on: yes}"),
        &[
            "7:24 warning W0605 `3.10` is the number 3.1, and is used as the text `3.1` (write \"3.10\" in quotes to keep it as it is)",
            "7:36 warning W0605 `0755` is the number 755, and is used as the text `755` (write \"0755\" in quotes to keep it as it is)",
        ],
    );
}

#[test]
fn matrices_without_expressions_are_checked_whole() {
    check(
        &job("strategy: {matrix: {a: []}}"),
        &["4:28 W0110 the list `a` of the matrix is empty"],
    );
    check(
        &job("strategy: {matrix: {include: []}}"),
        &["4:24 W0110 a matrix needs at least one list of values, or `include`"],
    );
    check(
        &job("strategy: {matrix: {a: x}}"),
        &["4:28 W0107 `x` is not expected here, but a list of values"],
    );
    check(
        &job("strategy: {matrix: {a: [1], exclude: [{b: 1}], include: [{}]}}"),
        &[
            "4:44 W0110 `exclude` names `b`, which is no list of the matrix",
            "4:62 W0110 an empty map in `include` matches nothing",
        ],
    );
    let many = (0..257).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    check(
        &job(&format!("strategy: {{matrix: {{a: [{many}]}}}}")),
        &["4:24 W0110 the matrix gives more than 256 jobs"],
    );
    check(
        &job("strategy: {matrix: {a: '${{ fromJSON(vars.A) }}', exclude: [{b: 1}]}}"),
        &[],
    );
    check(
        &job("strategy: {matrix: '${{ fromJSON(vars.A) }}', fail-fast: '${{ vars.F }}'}"),
        &[],
    );
    check(&job("strategy: ${{ fromJSON(vars.S) }}"), &[]);
}

#[test]
fn events_their_types_and_filters() {
    let on = |on: &str| format!("on: {on}\njobs: {{a: {{runs-on: x, steps: [{{run: x}}]}}}}\n");
    check(
        &on("psuh"),
        &["1:5 W0301 there is no event `psuh` (did you mean `push`?)"],
    );
    check(
        &on("[push, Push]"),
        &["1:12 W0301 there is no event `Push` (did you mean `push`?)"],
    );
    check(
        &on("{push: {branchs: [x]}}"),
        &["1:13 W0101 unknown key `branchs` in the event `push` (did you mean `branches`?)"],
    );
    check(
        &on("{release: {branches: [x]}}"),
        &["1:16 warning W0304 `release` has no `branches`; it is without effect"],
    );
    check(
        &on("{pull_request: {types: [openned, new]}}"),
        &[
            "1:29 W0302 `pull_request` has no activity type `openned` (did you mean `opened`?)",
            "1:38 warning W0302 `pull_request` has no activity type `new`",
        ],
    );
    check(
        &on(
            "{schedule: [{cron: '61 * * * *'}, {cron: '* * * * *'}, {corn: x}], workflow_dispatch: {input: {}}}",
        ),
        &[
            "1:24 W0305 `61` is no minute (0 to 59)",
            "1:46 warning W0305 this is every 1 min; runs start every 5 min at most",
            "1:60 W0102 a schedule needs the key `cron`",
            "1:61 W0101 unknown key `corn` in a schedule (did you mean `cron`?)",
            "1:92 warning W0304 `workflow_dispatch` has no `input`; it is without effect (did you mean `inputs`?)",
        ],
    );
    check(
        &on(
            "{workflow_dispatch: {inputs: {a: {type: choice}, b: {type: bool}, c: {type: boolean, default: maybe, required: 'true'}, d: }}}",
        ),
        &[
            "1:35 W0306 an input of the type `choice` needs `options`",
            "1:64 W0107 `bool` is not expected here, but one of `string`, `boolean`, `number`, `choice`, `environment`",
            "1:99 warning W0306 the default `maybe` is not a boolean",
        ],
    );
    check(
        &on(
            "{workflow_call: {inputs: {a: {default: x}, b: {type: choice}}, secrets: {s: {requird: true}}, outputs: {o: {}}}}",
        ),
        &[
            "1:34 W0102 an input of `workflow_call` needs the key `type`",
            "1:58 W0107 `choice` is not expected here, but one of `string`, `boolean`, `number`",
            "1:82 W0101 unknown key `requird` in a secret of `workflow_call` (did you mean `required`?)",
            "1:112 W0102 an output of `workflow_call` needs the key `value`",
        ],
    );
    let inputs = (0..26).map(|i| format!("i{i}: ")).collect::<Vec<_>>().join(", ");
    check(
        &on(&format!("{{workflow_dispatch: {{inputs: {{{inputs}}}}}}}")),
        &["1:200 W0306 there are 26 inputs, 25 are allowed"],
    );
}

const CALLED: &str = "on:\n  workflow_call:\n    inputs:\n      level: {type: number, required: true}\n      dry: {type: boolean, default: true}\n    secrets:\n      key: {required: true}\njobs:\n  inner:\n    runs-on: x\n    steps: [{run: x}]\n";

#[test]
fn calls_fit_what_is_called() {
    let call = |rest: &str| format!("on: push\njobs:\n  a:\n    uses: ./c.yml\n{rest}");
    let files = &[("./c.yml", CALLED)];
    check_with(
        &call("    with: {level: 3}\n    secrets: inherit\n"),
        files,
        ParseOptions::default(),
        &[],
    );
    check_with(
        &call("    with: {dry: x, levl: 1}\n    secrets: {kye: x}\n"),
        files,
        ParseOptions::default(),
        &[
            "4:11 W0403 the input `level` of `./c.yml` is required (give it under `with`: `level: …`)",
            "5:17 W0403 the input `dry` is a boolean",
            "5:26 W0403 `./c.yml` has no input `levl` (did you mean `level`?)",
            "4:11 W0404 the secret `key` of `./c.yml` is required (give it under `secrets`: `key: ${{ secrets.key }}`, or `secrets: inherit`)",
            "6:20 W0404 `./c.yml` has no secret `kye` (did you mean `key`?)",
        ],
    );
    check_with(
        &call(""),
        &[("./c.yml", "on: push\njobs: {a: {runs-on: x, stps: []}}\n")],
        ParseOptions::default(),
        &[
            "4:11 W0408 the workflow `./c.yml` has 1 fault",
            "./c.yml 2:24 W0101 unknown key `stps` in a job (did you mean `steps`?)",
        ],
    );
    check_with(
        &call(""),
        &[("./c.yml", "on: push\njobs: {a: {runs-on: x}}\n")],
        ParseOptions::default(),
        &["4:11 W0402 the workflow `./c.yml` cannot be called: it has no `workflow_call` under `on`"],
    );
}

#[test]
fn calls_end() {
    let itself = "on: workflow_call\njobs: {a: {uses: ./c.yml}}\n";
    check_with(
        "on: push\njobs: {a: {uses: ./c.yml}}\n",
        &[("./c.yml", itself)],
        ParseOptions::default(),
        &[
            "2:18 W0408 the workflow `./c.yml` has 1 fault",
            "./c.yml 2:18 W0407 the workflow `./c.yml` calls itself, directly or through others",
        ],
    );
    check(
        "on: push\njobs: {a: {uses: x/y@v1}, b: {uses: x/y/z@v1}, c: {uses: ./../x.yml}}\n",
        &[
            "2:18 W0109 `x/y@v1` names no workflow (`./.github/workflows/name.yml` or `owner/repo/.github/workflows/name.yml@ref`)",
            "2:37 warning W0401 the workflow `x/y/z@v1` was not found: no such file (its inputs, secrets and permissions are not checked)",
            "2:58 W0109 `./../x.yml` names no workflow (`./.github/workflows/name.yml` or `owner/repo/.github/workflows/name.yml@ref`)",
        ],
    );
    // A local path in a remote file is sought in that repository, at that ref.
    check_with(
        "on: push\njobs: {a: {uses: x/y/one.yml@v1}}\n",
        &[
            (
                "x/y/one.yml@v1",
                "on: workflow_call\njobs: {a: {uses: ./two.yml}}\n",
            ),
            ("x/y/two.yml@v1", "on: workflow_call\njobs: {a: {runs-on: x}}\n"),
        ],
        ParseOptions::default(),
        &[],
    );
}

#[test]
fn a_called_workflow_asks_for_no_more_than_its_caller_has() {
    let called = "on: workflow_call\npermissions: {contents: write}\njobs:\n  inner:\n    permissions: {issues: write, contents: read}\n    runs-on: x\n    steps: [{run: x}]\n";
    let files = &[("./c.yml", called)];
    let text = "on: push\njobs:\n  a:\n    uses: ./c.yml\n";
    check_with(text, files, ParseOptions::default(), &[]);
    let limited = ParseOptions {
        permissions_policy: PermissionsPolicy::LimitedRead,
        ..ParseOptions::default()
    };
    check_with(
        text,
        files,
        limited,
        &[
            "3:3 W0405 the workflow `./c.yml` cannot be called: it asks for `contents: write`, and only `contents: read` is allowed (give `permissions` to the job `a`)",
            "3:3 W0405 the workflow `./c.yml` cannot be called: its job `inner` asks for `issues: write`, and only `issues: none` is allowed (give `permissions` to the job `a`)",
        ],
    );
    check_with(
        &format!("permissions: {{contents: write, issues: write}}\n{text}"),
        files,
        limited,
        &[],
    );
}

#[test]
fn steps_get_ids_and_jobs_keep_their_order() {
    let text = "on: push\njobs:\n  z:\n    runs-on: x\n    steps:\n      - run: x\n      - uses: actions/checkout@v4\n      - {run: x, id: mine}\n      - run: x\n      - uses: ./a\n  b: {runs-on: x}\n";
    let (found, diagnostics) = workflow(
        &Source::new("w.yml", text),
        &super::NoResolver,
        &ParseOptions::default(),
    );
    assert!(diagnostics.is_empty());
    let found = found.unwrap();
    assert_eq!(found.jobs.keys().collect::<Vec<_>>(), ["z", "b"]);
    let JobKind::Steps(steps) = &found.jobs["z"].kind else {
        panic!("steps")
    };
    let ids: Vec<&str> = steps.steps.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["__run", "__actions_checkout", "mine", "__run_2", "__self"]);
}

#[test]
fn what_cannot_be_run_yet_is_named() {
    let text = "on: push\njobs:\n  a:\n    runs-on: x\n    container: alpine\n    services: {db: postgres}\n    snapshot: image\n    steps:\n      - uses: actions/checkout@v4.1.2\n      - uses: actions/checkout@v1\n      - uses: other/thing@v1\n      - uses: docker://alpine\n      - {uses: ./local, with: {x: y}}\n      - {id: b, run: x, background: true}\n      - wait: b\n      - uses: actions/checkout@8e5e7e5ab8b370d6c329ec480221332ada57f0ab\n        with: {ref: main, lfs: true, path: '${{ github.sha }}'}\n  c: {runs-on: x}\n";
    let (found, diagnostics) = workflow(
        &Source::new("w.yml", text),
        &super::NoResolver,
        &ParseOptions::default(),
    );
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let supported = Supported {
        builtin: &[("actions/checkout", &["v3", "v4"])],
        input: Some(|_, input, value| match (input, value) {
            ("lfs", Some("true")) => Err("no `lfs`".to_owned()),
            ("path", Some(_)) => Err("nobody knows this path yet".to_owned()),
            _ => Ok(()),
        }),
        ..Supported::default()
    };
    assert_eq!(
        lines(&unsupported(&found.unwrap(), &supported)),
        [
            "7:15 W0503 `snapshot` is not supported yet",
            "5:16 W0501 `container` is not supported yet",
            "6:15 W0502 `services` are not supported yet",
            "10:15 W0505 `actions/checkout` is built in as `v3`, `v4`; `v1` is not supported yet",
            "11:15 W0505 the action `other/thing@v1` is not built in, and fetching it is not supported yet",
            "12:15 W0505 the image `docker://alpine` as a step is not supported yet",
            "14:9 W0504 a step in the background is not supported yet",
            "15:9 W0504 the step `wait` is not supported yet",
            "17:27 W0508 no `lfs`",
            "18:3 W0507 the job `c` has no steps",
        ]
    );
}

#[test]
fn actions_are_read() {
    let check = |text: &str, expected: &[&str]| {
        let (_, diagnostics) = action(&Source::new("w.yml", text));
        assert_eq!(lines(&diagnostics), expected, "of:\n{text}");
    };
    check(
        "name: x\nauthor: y\ninputs:\n  level: {description: d, required: true, default: '${{ github.sha }}'}\n  bare:\noutputs:\n  o: {value: '${{ steps.a.outputs.o }}'}\nruns:\n  using: composite\n  steps:\n    - {id: a, run: x, shell: bash, if: always()}\n    - {uses: ./b, with: {x: '${{ inputs.level }}'}}\n",
        &[],
    );
    check(
        "runs:\n  using: composite\n  steps:\n    - run: x\n    - {uses: a/b@v1, timeout-minutes: 1}\n    - {run: '${{ secrets.X }}', shell: sh}\n",
        &[
            "4:7 W0102 a step needs the key `shell`",
            "5:22 W0101 unknown key `timeout-minutes` in a step (known keys: `name`, `id`, `if`, `continue-on-error`, `uses`, `with`, `env`)",
            "6:18 W0201 `secrets` is not available in a step of a composite action",
        ],
    );
    check(
        "runs: {using: node20, main: a.js, post: b.js, post-if: failure()}\n",
        &[],
    );
    check(
        "runs: {using: node20}\n",
        &["1:7 W0102 `runs` of a JavaScript action needs the key `main`"],
    );
    check(
        "runs: {using: node8, main: x}\n",
        &["1:15 W0107 `node8` runs nothing: `composite`, `docker`, `node20` and `node24` do"],
    );
    check(
        "runs: {using: docker, image: Dockerfile, args: x}\n",
        &["1:48 W0107 `x` is not expected here, but a list of texts"],
    );
    check("name: x\n", &["1:1 W0102 an action needs the key `runs`"]);
}

#[test]
fn no_input_panics() {
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = |n: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % 1_000_003).unwrap_or(0) % n
    };
    let base = format!(
        "{CALLED}{}",
        job("if: ${{ a['b'].* }}\nstrategy: {matrix: {a: [1, ü]}}\nenv: &x {A: |\n  b}")
    );
    let pieces = [
        "${{", "}}", "'", "\"", ":", "- ", "\n", "  ", "&a ", "*a", "!!str ", "[", "{", "|", "#", "\t",
        "\r\n", "ü", "\u{feff}", "~", "<<",
    ];
    for _ in 0..3_000 {
        let mut text: Vec<char> = base.chars().collect();
        for _ in 0..=next(4) {
            let at = next(text.len().max(1));
            match next(3) {
                0 => {
                    let end = (at + next(30)).min(text.len());
                    text.drain(at..end);
                }
                1 => {
                    let piece = pieces[next(pieces.len())];
                    text.splice(at..at, piece.chars());
                }
                _ => text.truncate(at.max(1)),
            }
        }
        let text: String = text.into_iter().collect();
        let source = Source::new("w.yml", text.as_str());
        let (found, diagnostics) = workflow(&source, &super::NoResolver, &ParseOptions::default());
        let _ = action(&source);
        let _ = crate::delivery::parse(&source);
        if let Some(found) = &found {
            let _ = crate::lint::check(found);
            for job in found.jobs.values() {
                if let JobKind::Steps(steps) = &job.kind {
                    assert!(
                        steps
                            .steps
                            .iter()
                            .all(|s| !s.id.is_empty() || matches!(s.kind, StepKind::Background(_)))
                    );
                }
            }
        }
        for d in &diagnostics {
            assert!(
                d.span.start <= d.span.end && d.span.end as usize <= text.len(),
                "{text:?}: {d:?}"
            );
        }
    }
}
