use super::*;
use crate::diagnostic::Diagnostic;
use std::fmt::Write as _;
use std::time::Instant;

/// The tree with types and places, then the faults.
fn check(text: &str, expected: &str) {
    let source = Source::new("f.yml", text);
    let (node, diagnostics) = parse(&source);
    let mut out = String::new();
    if let Some(node) = node {
        show(&source, &node, 0, &mut out);
    }
    for d in &diagnostics {
        writeln!(out, "{}", line(d)).unwrap();
    }
    assert_eq!(out.trim_end(), expected.trim_matches('\n'), "of:\n{text}");
}

fn line(d: &Diagnostic) -> String {
    let place = d.source.position(d.span.start);
    format!("{}:{} {} {}", place.line, place.column, d.code, d.message)
}

fn show(source: &Source, node: &Node, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    let place = source.position(node.span.start);
    let at = format!("{}:{}", place.line, place.column);
    match &node.kind {
        Kind::Seq(items) => {
            writeln!(out, "{pad}seq {at}").unwrap();
            items.iter().for_each(|i| show(source, i, depth + 1, out));
        }
        Kind::Map(entries) => {
            writeln!(out, "{pad}map {at}").unwrap();
            for entry in entries.iter() {
                show(source, &entry.key, depth + 1, out);
                show(source, &entry.value, depth + 2, out);
            }
        }
        Kind::Null => writeln!(out, "{pad}null {at}").unwrap(),
        Kind::Bool(b) => writeln!(out, "{pad}{b} {at}").unwrap(),
        Kind::Number(n) => writeln!(out, "{pad}{n} {at}").unwrap(),
        Kind::String(s) => writeln!(out, "{pad}{s:?} {at} `{}`", source.slice(node.span)).unwrap(),
    }
}

#[test]
fn scalars_have_the_types_of_the_core_schema() {
    let kinds = |text: &str| {
        let (node, faults) = parse(&Source::new("f", text));
        assert!(faults.is_empty(), "{text}: {faults:?}");
        node.unwrap()
            .items()
            .unwrap()
            .iter()
            .map(|n| format!("{:?}", n.kind))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        kinds("[on, yes, No, y, off]"),
        r#"String("on") String("yes") String("No") String("y") String("off")"#
    );
    assert_eq!(
        kinds("[~, null, Null, NULL, nULL, ]"),
        r#"Null Null Null Null String("nULL")"#
    );
    assert_eq!(
        kinds("[true, True, TRUE, tRUE]"),
        r#"Bool(true) Bool(true) Bool(true) String("tRUE")"#
    );
    assert_eq!(
        kinds("[1, -2, +3, 0x1F, 0o17, 017, 1_000]"),
        r#"Number(1.0) Number(-2.0) Number(3.0) Number(31.0) Number(15.0) Number(17.0) String("1_000")"#
    );
    assert_eq!(
        kinds("[1.10, .5, 1., 1e3, -1.5E-2, 1e, .]"),
        r#"Number(1.1) Number(0.5) Number(1.0) Number(1000.0) Number(-0.015) String("1e") String(".")"#
    );
    assert_eq!(
        kinds("[.inf, -.INF, +.Inf, .nan, inf, Infinity, NaN]"),
        r#"Number(inf) Number(-inf) Number(inf) Number(NaN) String("inf") String("Infinity") String("NaN")"#
    );
    assert_eq!(
        kinds(r#"["1", 'true', "null"]"#),
        r#"String("1") String("true") String("null")"#
    );
    assert_eq!(
        kinds("[!!str 1, !!bool true, !<tag:yaml.org,2002:int> 7, !!float 2]"),
        r#"String("1") Bool(true) Number(7.0) Number(2.0)"#
    );
}

#[test]
fn places_are_exact() {
    check(
        "ö: ü  # c\nlist:\n  - a\n  - b: 'x y'\nempty:\nrun: |\n  one\n  two\nlast: {k: v}\n",
        r#"
map 1:1
  "ö" 1:1 `ö`
    "ü" 1:4 `ü`
  "list" 2:1 `list`
    seq 3:3
      "a" 3:5 `a`
      map 4:5
        "b" 4:5 `b`
          "x y" 4:8 `'x y'`
  "empty" 5:1 `empty`
    null 5:7
  "run" 6:1 `run`
    "one\ntwo\n" 6:6 `|
  one
  two
`
  "last" 9:1 `last`
    map 9:7
      "k" 9:8 `k`
        "v" 9:11 `v`"#,
    );
}

#[test]
fn several_faults_are_found_at_once() {
    check(
        "a: 1\nA: 2\nb: !!binary x\nc: !!bool no\nd: !!int 1\n<<: {e: 1}\n",
        r#"
map 1:1
  "a" 1:1 `a`
    1 1:4
  "b" 3:1 `b`
    "x" 3:4 `!!binary x`
  "c" 4:1 `c`
    "no" 4:4 `!!bool no`
  "d" 5:1 `d`
    1 5:4
2:1 W0003 `A` is already defined
3:4 W0004 the tag `tag:yaml.org,2002:!binary` is not supported
4:4 W0004 `no` is not valid for the tag `!!bool`
6:1 W0006 merge keys (`<<`) are not supported"#,
    );
}

#[test]
fn anchors_are_expanded_and_unused_ones_on_texts_are_refused() {
    check(
        "a: &x {k: 1}\nb: *x\n",
        r#"
map 1:1
  "a" 1:1 `a`
    map 1:4
      "k" 1:8 `k`
        1 1:11
  "b" 2:1 `b`
    map 1:4
      "k" 1:8 `k`
        1 1:11"#,
    );
    check(
        "run: &echo hi\n",
        "map 1:1\n  \"run\" 1:1 `run`\n    \"hi\" 1:6 `&echo hi`\n1:6 W0005 nothing uses the anchor `&echo`",
    );
    check("a: *nope\n", "1:4 W0005 no anchor of this name stands before it");
}

#[test]
fn broken_syntax_has_a_place() {
    let first = |text: &str| {
        let (node, faults) = parse(&Source::new("f", text));
        assert!(node.is_none(), "{text}");
        faults.first().map(line).unwrap()
    };
    assert!(first("a: [1, 2\nb: 3\n").starts_with("2:"));
    assert!(first("a: 'x\n").contains("W0001"));
    assert!(first("a: b: c\n").starts_with("1:"));
    assert!(first("a: 1\n---\nb: 2\n").starts_with("2:1 W0007"));
}

#[test]
fn bombs_end_quickly() {
    let laughs: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..30).map(|i| {
            let alias = format!("*a{}", i - 1);
            format!("a{i}: &a{i} [{}]\n", [alias.as_str(); 9].join(", "))
        }))
        .collect();
    let cases = [
        ("laughs", laughs),
        ("deep", "[".repeat(10_000)),
        ("deep maps", "{a: ".repeat(10_000)),
        ("large", "a".repeat(SIZE_MAX + 1)),
        ("many", "- x\n".repeat(60_000)),
        ("keys", (0..60_000).map(|i| format!("k{i}: 1\n")).collect()),
        ("anchors", (0..60_000).map(|i| format!("- &a{i} x\n")).collect()),
    ];
    for (name, text) in cases {
        let began = Instant::now();
        let (node, faults) = parse(&Source::new("f", text));
        assert!(
            node.is_none() && faults[0].code == "W0002",
            "{name}: {:?}",
            faults.first().map(line)
        );
        assert!(
            began.elapsed().as_millis() < 2_000,
            "{name} took {:?}",
            began.elapsed()
        );
    }
}
