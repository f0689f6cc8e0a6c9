use super::*;
use crate::bars::Bar;
use crate::status::Status;

fn ran(id: i64, status: Status, took: Option<i64>) -> Ran {
    Ran {
        id,
        title: format!("Change <b>{id}</b>"),
        status,
        event: "push".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: "b83d0e2".to_owned(),
        actor: "ana".to_owned(),
        created_at: 1_000,
        started_at: 1_000,
        ended_at: took.map(|ms| 1_000 + ms),
    }
}

fn workflow() -> Workflow {
    let input = |name: &str, kind, value: &str| Input {
        name: name.to_owned(),
        kind,
        description: "Why \"<that>\"".to_owned(),
        required: kind == Kind::Number,
        value: value.to_owned(),
        options: vec!["low".to_owned(), "high".to_owned()],
    };
    Workflow {
        viewer: Viewer {
            name: "ana".to_owned(),
            csrf: "word".to_owned(),
            admin: false,
        },
        project: "/o/p".to_owned(),
        file: "a b.yml".to_owned(),
        name: "<CI>".to_owned(),
        at: Some(("refs/heads/main".to_owned(), "b83d0e2aa".to_owned())),
        enabled: true,
        refusal: None,
        triggers: vec![
            Trigger {
                words: "a push to main".to_owned(),
                never: None,
            },
            Trigger {
                words: "a pull request".to_owned(),
                never: Some("this server has no pull requests yet".to_owned()),
            },
        ],
        findings: vec![Finding {
            error: false,
            code: "W0900".to_owned(),
            message: "`${{ x }}` is <always> true".to_owned(),
            file: None,
            line: 7,
            column: 6,
            end_column: 11,
            text: "\tif: <true>".to_owned(),
            label: "here".to_owned(),
            help: Some("write `true`".to_owned()),
        }],
        start: Start::Form(Form {
            git_ref: "refs/tags/v1".to_owned(),
            refs: vec!["refs/heads/main".to_owned(), "refs/tags/v1".to_owned()],
            inputs: vec![
                input("note", Kind::Text, "\"><script>"),
                input("count", Kind::Number, "2"),
                input("dry", Kind::Boolean, "true"),
                input("level", Kind::Choice, "high"),
                input("where", Kind::Environment, ""),
            ],
            environments: vec!["staging".to_owned()],
            problem: Some("`count` is no number.".to_owned()),
        }),
        history: History {
            project: "/o/p".to_owned(),
            file: "a b.yml".to_owned(),
            runs: vec![
                ran(3, Status::Running, None),
                ran(2, Status::Failed, Some(90_000)),
                ran(1, Status::Passed, Some(45_000)),
            ],
            total: 3,
            now: 61_000,
        },
    }
}

/// A tag a line, as text.
fn lines(markup: Markup) -> String {
    markup.into_string().replace("><", ">\n<")
}

#[test]
fn one_says_how_it_went_what_starts_it_and_what_is_wrong() {
    insta::assert_snapshot!(lines(workflow().main()));
}

#[test]
fn what_cannot_be_started_says_why() {
    let mut workflow = workflow();
    workflow.start = Start::Refused("It is <switched> off.".to_owned());
    workflow.at = None;
    workflow.enabled = false;
    workflow.refusal = Some("your token lacks the scope `write`".to_owned());
    workflow.history.runs.clear();
    workflow.findings[0].error = true;
    let html = lines(workflow.main());
    for part in [
        "the file is gone",
        "It is &lt;switched&gt; off.",
        "It never ran",
        "nothing starts it",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("<button"), "{html}");
}

#[test]
fn the_list_says_what_a_reader_would_not_expect() {
    let row = |file: &str, never: Option<&str>| Row {
        file: file.to_owned(),
        name: file.to_owned(),
        enabled: never.is_none(),
        there: true,
        triggers: vec![Trigger {
            words: "by the clock (0 3 * * *)".to_owned(),
            never: never.map(str::to_owned),
        }],
        errors: 0,
        warnings: usize::from(never.is_some()),
        last: never.is_none().then_some(Last {
            id: 4,
            status: Status::Passed,
            at: 0,
        }),
        bars: vec![Bar {
            run: 4,
            status: Status::Passed,
            duration_ms: 8_000,
        }],
    };
    let mut list = Workflows {
        project: "/o/p".to_owned(),
        now: 60_000,
        rows: vec![row("ci.yml", None), row("<n>.yml", Some("no schedules yet"))],
        branch: "main".to_owned(),
        push: "git push http://x/o/p.git main".to_owned(),
    };
    insta::assert_snapshot!(lines(list.main()));
    list.rows.clear();
    let empty = lines(list.main());
    assert!(
        empty.contains("No workflow yet") && empty.contains("git push"),
        "{empty}"
    );
}
