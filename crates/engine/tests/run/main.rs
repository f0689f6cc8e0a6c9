//! What a run does, told as scripts: a workflow, what its jobs come to, and what people see in the end.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod bench;

use bench::{Bench, PATH, check, job, result, workflow};
use pilotage_api::runner::Conclusion;
use pilotage_engine::ids::{Fence, JobId, RunId};
use pilotage_engine::run::{
    EffectKind, EnvironmentAnswer, IllegalEvent, Inputs, Rerun, Run, RunEffect, RunEvent,
};
use pilotage_engine::time::Timestamp;
use pilotage_workflow::parse::{NoResolver, ParseOptions};
use pilotage_workflow::source::Source;
use std::collections::BTreeMap;

#[test]
fn a_failure_skips_what_depends_on_it_and_says_so() {
    check(
        &workflow(&[
            ("build", ""),
            ("test", "needs: build"),
            ("deploy", "needs: test"),
            ("lint", ""),
        ]),
        &[("build", "failure")],
        "build: failure
         test: skipped; skipped: needs `build`, which failed
         deploy: skipped; skipped: needs `test`, which was skipped
         lint: success
         = failure",
    );
}

#[test]
fn success_looks_at_all_ancestors() {
    check(
        &workflow(&[
            ("a", "if: false"),
            ("b", "needs: a\nif: always()"),
            ("c", "needs: b"),
            ("d", "needs: b\nif: success('b')"),
            ("e", "needs: b\nif: ${{ !failure() && !cancelled() }}"),
        ]),
        &[],
        "a: skipped; skipped: the condition is false
         b: success
         c: skipped; skipped: depends on `a`, which was skipped
         d: success
         e: success
         = success",
    );
}

#[test]
fn a_false_condition_shows_the_values_it_saw() {
    check(
        &workflow(&[("staging", "if: github.ref_name == 'dev'")]),
        &[],
        "staging: skipped; skipped: github.ref_name == 'dev' is false, it is 'fix/login'
         = skipped",
    );
}

#[test]
fn conditions_see_outputs_vars_and_results() {
    check(
        &workflow(&[
            ("a", ""),
            (
                "b",
                "needs: a\nif: needs.a.outputs.v == '1' && vars.TIER == 'gold'",
            ),
            (
                "c",
                "needs: [a, b]\nif: needs.b.result == 'success' && needs.a.outputs.none == ''",
            ),
            ("d", "needs: a\nif: failure('a')"),
        ]),
        &[("a", "success v=1")],
        "a: success
         b: success
         c: success
         d: skipped; skipped: failure('a') is false
         = success",
    );
}

#[test]
fn legs_are_named_and_fail_fast() {
    let matrix = "strategy: { matrix: { n: [1, 2, 3] } }";
    check(
        &workflow(&[("test", matrix), ("after", "needs: test")]),
        &[
            ("test (1)", "hang"),
            ("test (2)", "failure"),
            ("test (3)", "hang"),
        ],
        "test (1): in_progress; is being cancelled: `test (2)` failed, and the matrix fails fast
         test (2): failure
         test (3): cancelled; cancelled: `test (2)` failed, and the matrix fails fast
         after: waiting; waits for test (1)
         = open",
    );
    check(
        &workflow(&[
            ("test", "strategy: { fail-fast: false, matrix: { n: [1, 2] } }"),
            ("after", "needs: test"),
        ]),
        &[("test (1)", "failure")],
        "test (1): failure
         test (2): success
         after: skipped; skipped: needs `test`, which failed
         = failure",
    );
}

#[test]
fn a_forgiven_failure_is_a_success_for_others() {
    check(
        &workflow(&[
            (
                "test",
                "continue-on-error: ${{ matrix.n == 2 }}\nstrategy: { matrix: { n: [1, 2] } }",
            ),
            ("after", "needs: test"),
        ]),
        &[("test (2)", "failure")],
        "test (1): success
         test (2): failure
         after: success
         = success",
    );
}

#[test]
fn a_matrix_may_come_from_an_output_and_its_names_from_the_file() {
    let matrix = "needs: plan\nstrategy: { matrix: { v: \"${{ fromJSON(needs.plan.outputs.list) }}\" } }";
    check(
        &workflow(&[
            ("plan", ""),
            ("a", matrix),
            ("b", &format!("name: On ${{{{ matrix.v }}}}\n{matrix}")),
            ("c", &format!("name: Plain\n{matrix}")),
        ]),
        &[("plan", "success list=[\"x\",\"y\"]")],
        "plan: success
         a (x): success
         a (y): success
         On x: success
         On y: success
         Plain (x): success
         Plain (y): success
         = success",
    );
    check(
        &workflow(&[("plan", ""), ("a", matrix), ("b", "needs: a")]),
        &[("plan", "success list=[]")],
        "plan: success
         a: failure; the list `v` of the matrix is empty
         b: skipped; skipped: needs `a`, which failed
         = failure",
    );
}

#[test]
fn max_parallel_lets_one_after_the_other() {
    let bench = Bench::new(
        &workflow(&[("test", "strategy: { max-parallel: 1, matrix: { n: [1, 2, 3] } }")]),
        &[],
        &[("test (2)", "hang")],
    );
    bench.check(
        "test (1): success
         test (2): in_progress
         test (3): pending; waits for its turn: max-parallel is 1
         = open",
    );
}

#[test]
fn outputs_of_legs_come_together() {
    let bench = Bench::new(
        &workflow(&[
            ("m", "strategy: { matrix: { n: [1, 2] } }\noutputs: { a: x }"),
            ("after", "needs: m"),
        ]),
        &[],
        &[
            ("m (1)", "success a=one only=1 e=kept"),
            ("m (2)", "success a=two e="),
        ],
    );
    let spec = bench.run.job_spec(bench.id("after")).unwrap();
    assert_eq!(
        spec.contexts["needs"]["m"],
        serde_json::json!({ "result": "success", "outputs": { "a": "two", "only": "1", "e": "kept" } })
    );
}

const CALLED: &str = "on:
  workflow_call:
    inputs:
      env: { type: string, required: true }
      count: { type: number, default: 2 }
    secrets: { TOKEN: { required: false } }
    outputs:
      url: { value: '${{ jobs.up.outputs.url }}' }
jobs:
  up:
    runs-on: linux
    outputs: { url: x }
    steps: [{ run: 'true' }]
  check:
    needs: up
    if: inputs.count > 1
    runs-on: linux
    steps: [{ run: 'true' }]
";

#[test]
fn called_workflows_have_inputs_outputs_and_secrets() {
    let caller = format!(
        "on: push\njobs:\n{}  deploy:\n    strategy: {{ matrix: {{ env: [staging, production] }} }}\n    \
         uses: ./.github/workflows/called.yml\n    with: {{ env: '${{{{ matrix.env }}}}' }}\n    \
         secrets: {{ TOKEN: '${{{{ secrets.DEPLOY }}}}' }}\n{}",
        job("a", ""),
        job(
            "last",
            "needs: deploy\nif: needs.deploy.outputs.url == 'http://p'"
        ),
    );
    let ends = [
        ("deploy (staging) / up", "success url=http://s"),
        ("deploy (production) / up", "success url=http://p"),
    ];
    let bench = Bench::new(&caller, &[(".github/workflows/called.yml", CALLED)], &ends);
    bench.check(
        "a: success
         deploy (staging) / up: success
         deploy (staging) / check: success
         deploy (production) / up: success
         deploy (production) / check: success
         last: success
         = success",
    );
    let up = bench.id("deploy (production) / up");
    let spec = bench.run.job_spec(up).unwrap();
    assert_eq!(
        spec.contexts["inputs"],
        serde_json::json!({ "env": "production", "count": 2 })
    );
    assert_eq!(
        (spec.workflow_path.as_str(), spec.job_key.as_str()),
        (".github/workflows/called.yml", "up")
    );
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let secrets = map(&[("DEPLOY", "d"), ("OTHER", "o"), ("GITHUB_TOKEN", "t")]);
    let given = bench
        .run
        .secrets_for(up, &secrets, &map(&[("KEY", "k")]))
        .unwrap();
    assert_eq!(given, map(&[("GITHUB_TOKEN", "t"), ("KEY", "k"), ("TOKEN", "d")]));
    assert_eq!(
        bench.run.secrets_for(bench.id("a"), &secrets, &map(&[])).unwrap(),
        secrets
    );
    let (own, project) = bench.run.secrets_named(up).unwrap();
    let names = ["KEY", "TOKEN", "DEPLOY", "OTHER"];
    assert_eq!(names.map(|name| own.has(name)), [false; 4]);
    assert_eq!(names.map(|name| project.has(name)), [false, false, true, false]);
    let (own, project) = bench.run.secrets_named(bench.id("a")).unwrap();
    assert_eq!(
        (&own, names.map(|name| project.has(name))),
        (&project, [false; 4])
    );
}

#[test]
fn a_cancelled_run_still_does_what_wants_to() {
    let mut bench = Bench::new(
        &workflow(&[
            ("a", ""),
            ("b", "needs: a"),
            ("stop", "needs: b\nif: always()"),
            ("c", "if: always()"),
            ("d", "needs: a\nif: cancelled()"),
        ]),
        &[],
        &[("a", "hang"), ("c", "hang")],
    );
    bench
        .tell(RunEvent::Cancel {
            attempt: 1,
            by: "ana".to_owned(),
            force: false,
        })
        .unwrap();
    bench.check(
        "a: in_progress; is being cancelled by ana
         b: cancelled; cancelled by ana
         stop: waiting; waits for a
         c: in_progress
         d: waiting; waits for a
         = open",
    );
    for (name, end) in [("a", "cancelled"), ("c", "success")] {
        let job = bench.id(name);
        bench
            .tell(RunEvent::Finished {
                job,
                fence: Fence(1),
                result: result(end),
            })
            .unwrap();
    }
    bench.go();
    bench.check(
        "a: cancelled; cancelled by ana
         b: cancelled; cancelled by ana
         stop: success
         c: success
         d: success
         = cancelled",
    );
}

#[test]
fn force_waits_for_nobody() {
    let mut bench = Bench::new(
        &workflow(&[("a", "if: always()"), ("b", "needs: a")]),
        &[],
        &[("a", "hang")],
    );
    bench
        .tell(RunEvent::Cancel {
            attempt: 1,
            by: "ana".to_owned(),
            force: true,
        })
        .unwrap();
    bench.check("a: cancelled; cancelled by ana\nb: cancelled; cancelled by ana\n= cancelled");
    assert_eq!(bench.log, ["queue a", "end a"]);
    bench
        .tell(RunEvent::Cancel {
            attempt: 9,
            by: "ana".to_owned(),
            force: true,
        })
        .unwrap_err();
}

#[test]
fn a_rerun_of_what_failed_keeps_the_rest() {
    let jobs = [
        ("a", ""),
        (
            "b",
            "needs: a\nstrategy: { fail-fast: false, matrix: { n: [1, 2] } }",
        ),
        ("c", "needs: b"),
        ("d", "needs: a"),
    ];
    let mut bench = Bench::new(
        &workflow(&jobs),
        &[],
        &[("a", "success v=7"), ("b (2)", "failure")],
    );
    let rerun = |which| RunEvent::Rerun {
        after: 1,
        which,
        by: "ben".to_owned(),
    };
    bench.ends.clear();
    bench.tell(rerun(Rerun::Failed)).unwrap();
    bench.go();
    bench.check(
        "a: success (attempt 1)
         b (1): success (attempt 1)
         b (2): success
         c: success
         d: success (attempt 1)
         = success",
    );
    let spec = bench.run.job_spec(bench.id("b (2)")).unwrap();
    assert_eq!(spec.contexts["needs"]["a"]["outputs"]["v"], "7");
    assert_eq!(
        (spec.run_attempt, &spec.contexts["github"]["run_attempt"]),
        (2, &serde_json::json!("2"))
    );
    let first: Vec<String> = bench
        .run
        .jobs_of(1)
        .unwrap()
        .iter()
        .map(|job| format!("{} {:?}", job.name, job.conclusion))
        .collect();
    assert_eq!(first[2], "b (2) Some(Failure)");
    assert_eq!(bench.run.conclusion_of(1), Some(Conclusion::Failure));
    // Said twice: that attempt was followed already.
    bench.tell(rerun(Rerun::All)).unwrap();
    assert_eq!(bench.run.attempt(), 2);
    let nothing = RunEvent::Rerun {
        after: 2,
        which: Rerun::Failed,
        by: "ben".to_owned(),
    };
    assert_eq!(bench.tell(nothing), Err(IllegalEvent::NothingFailed(RunId(1846))));
}

#[test]
fn a_rerun_reaches_into_a_called_workflow() {
    let caller = format!(
        "on: push\njobs:\n  deploy:\n    uses: ./.github/workflows/called.yml\n    with: {{ env: x }}\n{}",
        job("last", "needs: deploy"),
    );
    let others = [(".github/workflows/called.yml", CALLED)];
    let mut bench = Bench::new(&caller, &others, &[("deploy / check", "failure")]);
    bench.check(
        "deploy / up: success\ndeploy / check: failure\nlast: skipped; skipped: needs `deploy`, which failed\n= failure",
    );
    bench.ends.clear();
    bench
        .tell(RunEvent::Rerun {
            after: 1,
            which: Rerun::Failed,
            by: "ben".to_owned(),
        })
        .unwrap();
    bench.go();
    bench.check("deploy / up: success (attempt 1)\ndeploy / check: success\nlast: success\n= success");
    let up = bench.id("deploy / up");
    bench
        .tell(RunEvent::Rerun {
            after: 2,
            which: Rerun::Job(up),
            by: "ben".to_owned(),
        })
        .unwrap();
    bench.go();
    bench.check("deploy / up: success\ndeploy / check: success\nlast: success\n= success");
}

#[test]
fn environments_may_wait_and_refuse() {
    let deploy = workflow(&[("deploy", "environment: production"), ("after", "needs: deploy")]);
    check(
        &deploy,
        &[("production", "wait")],
        "deploy: waiting; waits for the approval of ben\nafter: waiting; waits for deploy\n= open",
    );
    check(
        &deploy,
        &[(
            "production",
            "production takes only main, this release is from fix/login",
        )],
        "deploy: failure; refused: production takes only main, this release is from fix/login
         after: skipped; skipped: needs `deploy`, which failed
         = failure",
    );
}

#[test]
fn a_lost_runner_ends_its_job_or_gives_it_back() {
    let mut bench = Bench::new(&workflow(&[("a", "")]), &[], &[("a", "hang")]);
    let job = bench.id("a");
    let lost = |fence, started| RunEvent::Lost {
        job,
        fence: Fence(fence),
        started,
        reason: "r1 is silent".to_owned(),
    };
    bench.tell(lost(1, true)).unwrap();
    bench.check("a: failure; runner lost: r1 is silent\n= failure");
    // Its late result changes nothing.
    bench
        .tell(RunEvent::Finished {
            job,
            fence: Fence(1),
            result: result("success"),
        })
        .unwrap();
    bench.check("a: failure; runner lost: r1 is silent\n= failure");

    let spec = bench.run.spec().clone();
    let (mut run, _) = Run::start(Timestamp(0), spec).unwrap();
    let leased = |fence| RunEvent::Leased {
        job,
        fence: Fence(fence),
        runner: "r1".to_owned(),
    };
    run.handle(Timestamp(1), leased(1)).unwrap();
    let again = run.handle(Timestamp(2), lost(1, false)).unwrap();
    assert!(
        matches!(again[0].kind, EffectKind::Queue { fence: Fence(2), .. }),
        "{again:?}"
    );
    run.handle(Timestamp(3), leased(2)).unwrap();
    run.handle(Timestamp(4), lost(2, false)).unwrap();
    run.handle(Timestamp(5), leased(3)).unwrap();
    run.handle(Timestamp(6), lost(3, false)).unwrap();
    assert_eq!(run.conclusion(), Some(Conclusion::Failure));
}

#[test]
fn a_silent_runner_does_not_stall_a_run() {
    let mut bench = Bench::new(&workflow(&[("a", "timeout-minutes: 3")]), &[], &[("a", "hang")]);
    let deadline = bench.run.deadline().unwrap();
    assert_eq!(deadline, Timestamp(1_001 + (180 + 120) * 1_000));
    bench.now = deadline;
    bench.tell(RunEvent::Wake).unwrap();
    bench.check("a: failure; the runner did not end the job within its 3 m 0 s\n= failure");
    assert_eq!(bench.run.deadline(), None);
    assert_eq!(bench.log, ["queue a", "end a"]);
}

#[test]
fn a_group_that_the_run_holds_itself_is_refused() {
    let text = format!(
        "concurrency: deploy\n{}",
        workflow(&[("a", "concurrency: Deploy"), ("b", "concurrency: other")])
    );
    check(
        &text,
        &[],
        "a: failure; the concurrency group `Deploy` is held by this job's own run: it would never start
         b: success
         = failure",
    );
}

#[test]
fn jobs_of_one_group_take_turns() {
    let bench = Bench::new(
        &workflow(&[("a", "concurrency: g"), ("b", "concurrency: g")]),
        &[],
        &[("a", "hang")],
    );
    bench.check(
        "a: in_progress\nb: pending; waits for another job of this run in the concurrency group `g`\n= open",
    );
}

#[test]
fn a_run_has_a_name() {
    let text = format!(
        "run-name: Deploy by ${{{{ github.ref_name }}}}\n{}",
        workflow(&[("a", "")])
    );
    assert_eq!(Bench::new(&text, &[], &[]).run.name(), "Deploy by fix/login");
    assert_eq!(
        Bench::new(&workflow(&[("a", "")]), &[], &[]).run.name(),
        "Fix login"
    );
}

#[test]
fn what_cannot_be_evaluated_fails_its_job_and_says_why() {
    check(
        &workflow(&[("a", "if: fromJSON('{')"), ("b", "timeout-minutes: ${{ fromJSON('[]') }}"), ("c", "")]),
        &[],
        "a: failure; `if: fromJSON('{')` cannot be evaluated: Error parsing fromJson: EOF while parsing an object at line 1 column 1
         b: failure; `timeout-minutes` is `Array`, not a number above 0
         c: success
         = failure",
    );
}

#[test]
fn events_of_others_are_refused() {
    let mut bench = Bench::new(&workflow(&[("a", "")]), &[], &[]);
    let job = JobId::new(RunId(3), 0);
    let event = RunEvent::Started { job, fence: Fence(1) };
    assert_eq!(bench.tell(event), Err(IllegalEvent::UnknownJob(job, RunId(1846))));
}

#[test]
fn dispatch_inputs_are_checked() {
    let text = "on:
  workflow_dispatch:
    inputs:
      environment: { type: choice, options: [staging, production], default: staging }
      dry: { type: boolean, default: true }
      count: { type: number }
      note: { required: true }
jobs:
  a: { runs-on: linux, steps: [{ run: 'true' }] }
";
    let source = Source::new(PATH, text);
    let (workflow, _) = pilotage_workflow::parse::workflow(&source, &NoResolver, &ParseOptions::default());
    let workflow = workflow.unwrap();
    let given = |pairs: &[(&str, &str)]| {
        let given = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        match Inputs::check(&workflow, &given) {
            Ok(values) => serde_json::to_string(&values).unwrap(),
            Err(errors) => errors.join("; "),
        }
    };
    for (pairs, expected) in [
        (
            vec![("note", "x")],
            r#"{"environment":"staging","dry":true,"count":0,"note":"x"}"#,
        ),
        (
            vec![
                ("NOTE", "x"),
                ("dry", "false"),
                ("count", "2.5"),
                ("environment", "production"),
            ],
            r#"{"environment":"production","dry":false,"count":2.5,"note":"x"}"#,
        ),
        (
            vec![
                ("dry", "yes"),
                ("count", "many"),
                ("environment", "moon"),
                ("other", "1"),
            ],
            "there is no input `other`: it takes environment, dry, count, note; \
             the input `environment` is `moon`, not one of staging, production; \
             the input `dry` is `yes`, not true or false; the input `count` is `many`, not a number; \
             the input `note` is required",
        ),
    ] {
        assert_eq!(given(&pairs), expected);
    }
}

#[test]
fn outputs_have_a_limit() {
    let mut bench = Bench::new(&workflow(&[("a", ""), ("b", "needs: a")]), &[], &[("a", "hang")]);
    let mut big = result("success");
    big.outputs.insert("v".to_owned(), "x".repeat(1 << 20));
    let job = bench.id("a");
    bench
        .tell(RunEvent::Finished {
            job,
            fence: Fence(1),
            result: big,
        })
        .unwrap();
    bench.check(
        "a: failure; its outputs have 1048577 bytes, 1048576 are the most
         b: skipped; skipped: needs `a`, which failed
         = failure",
    );
}

/// What is stored must be readable by the next version: these forms only grow.
#[test]
fn stored_events_and_effects_keep_their_form() {
    let job = JobId(1_846_000_000);
    let events = [
        (
            RunEvent::Leased {
                job,
                fence: Fence(2),
                runner: "r1".to_owned(),
            },
            r#"{"event":"leased","job":1846000000,"fence":2,"runner":"r1"}"#,
        ),
        (
            RunEvent::Started { job, fence: Fence(2) },
            r#"{"event":"started","job":1846000000,"fence":2}"#,
        ),
        (
            RunEvent::Finished {
                job,
                fence: Fence(2),
                result: result("failure a=1"),
            },
            r#"{"event":"finished","job":1846000000,"fence":2,"result":{"conclusion":"failure","continue_on_error":false,"outputs":{"a":"1"},"log_lines":0,"log_bytes":0}}"#,
        ),
        (
            RunEvent::EnvironmentAnswer {
                job,
                answer: EnvironmentAnswer::Waiting {
                    reason: "r".to_owned(),
                },
            },
            r#"{"event":"environment-answer","job":1846000000,"answer":{"answer":"waiting","reason":"r"}}"#,
        ),
        (
            RunEvent::Rerun {
                after: 1,
                which: Rerun::Job(job),
                by: "ben".to_owned(),
            },
            r#"{"event":"rerun","after":1,"which":{"job":1846000000},"by":"ben"}"#,
        ),
        (RunEvent::Wake, r#"{"event":"wake"}"#),
    ];
    for (event, expected) in events {
        let stored = serde_json::to_string(&event).unwrap();
        assert_eq!(stored, expected);
        serde_json::from_str::<RunEvent>(&stored).unwrap();
    }
    let effect = RunEffect {
        sequence: 7,
        kind: EffectKind::CancelJob {
            job,
            reason: "r".to_owned(),
        },
    };
    let expected = r#"{"sequence":7,"kind":{"effect":"cancel-job","job":1846000000,"reason":"r"}}"#;
    assert_eq!(serde_json::to_string(&effect).unwrap(), expected);
}
