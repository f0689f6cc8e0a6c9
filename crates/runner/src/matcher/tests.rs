use super::*;

const ESLINT_STYLISH: &str = r#"{"problemMatcher": [{"owner": "eslint-stylish", "pattern": [
    {"regexp": "^\\s*([^\\s].*)$", "file": 1},
    {"regexp": "^\\s+(\\d+):(\\d+)\\s+(error|warning|info)\\s+(.*)\\s\\s+(.*)$",
     "line": 1, "column": 2, "severity": 3, "message": 4, "code": 5, "loop": true}]}]}"#;
const TSC: &str = r#"{"problemMatcher": [{"owner": "tsc", "pattern": [{
    "regexp": "^(?:\\s+\\d+\\>)?([^\\s].*)\\((\\d+),(\\d+)\\)\\s*:\\s+(error|warning|info)\\s+(\\w{1,2}\\d+)\\s*:\\s*(.*)$",
    "file": 1, "line": 2, "column": 3, "severity": 4, "code": 5, "message": 6}]}]}"#;
const PYTHON: &str = r#"{"problemMatcher": [{"owner": "python", "pattern": [
    {"regexp": "^\\s*File\\s\\\"(.*)\\\",\\sline\\s(\\d+),\\sin\\s(.*)$", "file": 1, "line": 2},
    {"regexp": "^\\s*raise\\s(.*)\\(\\'(.*)\\'\\)$", "message": 2}]}]}"#;
const GO: &str = r#"{"problemMatcher": [{"owner": "go", "severity": "notice", "pattern": [
    {"regexp": "^\\s*(\\.{0,2}[\\/\\\\].+\\.go):(?:(\\d+):(\\d+):)? (.*)", "file": 1, "line": 2, "column": 3, "message": 4}]}]}"#;
const MSBUILD: &str = r#"{"problemMatcher": [{"owner": "msbuild", "pattern": [
    {"regexp": "^(.*)\\((\\d+)\\): (\\w+) (.*) \\[(.*)\\]$", "file": 1, "line": 2, "severity": 3, "message": 4, "fromPath": 5}]}]}"#;

/// The annotations that the lines give.
fn check(matchers: &[&str], lines: &str, expected: &[&str]) {
    let mut all = Matchers::default();
    for matcher in matchers {
        all.add(matcher).unwrap();
    }
    let found: Vec<String> = lines
        .lines()
        .filter_map(|line| all.line(2, line, Path::new("/w/p")))
        .map(|Problem { annotation: a, print }| {
            let n = |n: Option<u32>| n.map_or("-".to_owned(), |n| n.to_string());
            assert!(print.starts_with("##[") && !print.contains('\u{1b}'), "{print:?}");
            let level = print
                .trim_start_matches("##[")
                .split(']')
                .next()
                .unwrap_or_default()
                .to_owned();
            format!(
                "{level} {}:{}:{} {}",
                a.file.as_deref().unwrap_or("-"),
                n(a.line),
                n(a.column),
                a.message
            )
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn matchers_in_use() {
    check(
        &[ESLINT_STYLISH],
        "test.js\n  1:0   error  Missing \"use strict\" statement   strict\n  5:10  warning  'x' is unused   no-unused\n\n\
         other.js\n  3:1  error  Bad  rule\nno match here\n  4:1  error  Lonely but after a file  rule",
        &[
            "error test.js:1:0 Missing \"use strict\" statement ",
            "warning test.js:5:10 'x' is unused ",
            "error other.js:3:1 Bad",
            "error no match here:4:1 Lonely but after a file",
        ],
    );
    check(
        &[TSC],
        "src/a.ts(10,5): error TS2322: Not assignable.\n   3>src/b.ts(1,2): warning TS1: W\nsrc/c.ts(1,2): info TS1: I",
        &["error src/a.ts:10:5 Not assignable.", "warning src/b.ts:1:2 W"],
    );
    check(
        &[PYTHON],
        "  File \"/w/p/lib/a.py\", line 7, in f\n    raise ValueError('no value')\n    raise ValueError('not after a file')",
        &["error lib/a.py:7:- no value"],
    );
    check(
        &[GO],
        "./a/b.go:3:4: undefined: x\n\u{1b}[31m../p/c.go:1:2:\u{1b}[0m y",
        &["notice a/b.go:3:4 undefined: x", "notice c.go:1:2 y"],
    );
    check(
        &[MSBUILD],
        "a.cs(3): error CS1: m [/w/p/src/x.csproj]\n/else/b.cs(3): warning m m [/w/p/y.csproj]",
        &["error src/a.cs:3:- CS1: m", "warning /else/b.cs:3:- m m"],
    );
}

#[test]
fn the_newest_is_asked_first_and_an_owner_is_replaced() {
    let matcher = |owner: &str, severity: &str| {
        format!(
            r#"{{"problemMatcher": [{{"owner": "{owner}", "severity": "{severity}", "pattern": [{{"regexp": "^(x.*)$", "message": 1}}]}}]}}"#
        )
    };
    check(
        &[&matcher("a", "error"), &matcher("b", "warning")],
        "x",
        &["warning -:-:- x"],
    );
    check(
        &[&matcher("a", "error"), &matcher("A", "warning")],
        "x",
        &["warning -:-:- x"],
    );
    check(&[&matcher("a", "fatal")], "x", &[]);
    let mut matchers = Matchers::default();
    assert_eq!(matchers.add(&matcher("a", "error")).unwrap(), ["a"]);
    matchers.remove("A");
    assert!(matchers.is_empty());
    matchers.add(&matcher("a", "error")).unwrap();
    matchers.remove_all_of(&matcher("a", "error")).unwrap();
    assert!(matchers.is_empty());
}

#[test]
fn what_is_wrong_with_a_matcher_is_said() {
    let pattern =
        |patterns: &str| format!(r#"{{"problemMatcher": [{{"owner": "o", "pattern": [{patterns}]}}]}}"#);
    for (text, message) in [
        ("", "no JSON"),
        ("[]", "no JSON"),
        (r#"{"problemMatcher": [{"pattern": []}]}"#, "no `owner`"),
        (&pattern(""), "`o` has no `pattern`"),
        (&pattern(r#"{"message": 1}"#), "without `regexp`"),
        (&pattern(r#"{"regexp": "(a)"}"#), "sets a `message`"),
        (&pattern(r#"{"regexp": "(a)", "message": 2}"#), "group 2"),
        (
            &pattern(r#"{"regexp": "(a)", "message": 1, "loop": true}"#),
            "`loop` only in the last",
        ),
        (
            &pattern(r#"{"regexp": "(a)", "file": 1}, {"regexp": "(a)", "file": 1, "message": 1}"#),
            "`file` in more than one",
        ),
        (
            &pattern(r#"{"regexp": "(a)", "message": 1}, {"regexp": "(a)", "file": 1, "loop": true}"#),
            "sets no `message`",
        ),
        (
            &pattern(r#"{"regexp": "(?=a)(b)", "message": 1}"#),
            "`(?=a)(b)`, which this runner cannot take: look-around",
        ),
        (
            &pattern(r#"{"regexp": "(a)\\1", "message": 1}"#),
            "cannot take: backreferences",
        ),
        (&pattern(r#"{"regexp": "(a", "message": 1}"#), "unclosed group"),
        (
            &pattern(r#"{"regexp": "(\\w{500}){500}", "message": 1}"#),
            "cannot take",
        ),
    ] {
        let error = Matchers::default().add(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}
