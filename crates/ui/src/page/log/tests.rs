//! What the page of a log says, from what it is given.

use super::{Find, Group, Hit, Line, Log, Map, Sibling, Step};
use crate::ansi::Ansi;
use crate::status::Status;

fn line(step: u32, number: u64, text: &str) -> Line {
    Line {
        step,
        number,
        at_ms: 1_000_000 + i64::try_from(number).unwrap_or_default() * 250,
        text: text.to_owned(),
        bytes: text.len() as u64,
        hits: Vec::new(),
    }
}

fn log(lines: Vec<Line>) -> Log {
    let total = lines.len() as u64;
    let step = |number, name: &str, status, exit| Step {
        number,
        name: name.to_owned(),
        status,
        started_at: Some(1_000_000),
        duration_ms: Some(3250),
        exit,
    };
    Log {
        run: "/o/p/runs/7".to_owned(),
        run_title: "#7 Fix <login>".to_owned(),
        path: "/o/p/runs/7/jobs/9".to_owned(),
        job: 9,
        name: "e2e".to_owned(),
        status: Status::Failed,
        why: String::new(),
        runner: "runner-2".to_owned(),
        now: 1_010_000,
        started_at: Some(1_000_000),
        duration_ms: Some(9000),
        steps: vec![
            step(1, "Install", Status::Passed, None),
            step(2, "Run <e2e>", Status::Failed, Some(3)),
        ],
        siblings: Vec::new(),
        lines,
        looks: Vec::new(),
        groups: Vec::new(),
        began: vec![(1, 1_000_000), (2, 1_000_500)],
        total,
        from: 0,
        until: total,
        missing: None,
        live: false,
        error: None,
        asked: None,
        find: Find::default(),
        map: Map::default(),
    }
}

/// A tag a line, without the icons.
fn check(log: &Log, name: &str) {
    let html = log.main().into_string().replace("><", ">\n<");
    let lines = html
        .lines()
        .filter(|line| !line.contains("<use ") && !line.starts_with("</"));
    insta::assert_snapshot!(name, lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_log_that_has_not_begun() {
    let mut empty = log(Vec::new());
    (empty.status, empty.live, empty.duration_ms) = (Status::Running, true, None);
    empty.why = "for a runner".to_owned();
    check(&empty, "empty");
}

#[test]
fn groups_looks_hits_errors_and_what_never_arrived() {
    let texts = [
        (1, "Get:1 <script>alert(1)</script>"),
        (1, "##[group]Start \u{1b}[1mfirefox\u{1b}[0m"),
        (1, "downloads \u{1b}[31mred"),
        (1, "goes on"),
        (1, "##[endgroup]"),
        (2, "plain again, hello"),
        (2, "##[group]Long"),
        (2, "##[error]expected <200>"),
        (2, "##[warning]odd"),
    ];
    let mut lines: Vec<Line> = (0..)
        .zip(texts)
        .map(|(number, (step, text))| line(step, number, text))
        .collect();
    lines[5].hits.push(13..18);
    let mut log = log(lines);
    log.groups = vec![
        Group {
            start: 1,
            until: 5,
            lines: 2,
            title: "Start firefox".to_owned(),
            duration_ms: 3200,
            open: false,
            left_out: false,
        },
        Group {
            start: 6,
            until: 7,
            lines: 901,
            title: "Long".to_owned(),
            duration_ms: 0,
            open: false,
            left_out: true,
        },
    ];
    log.error = Some(7);
    log.missing = Some((9, 12));
    log.find = Find {
        query: "hello".to_owned(),
        shown: vec![Hit {
            step: 2,
            line: 5,
            text: "plain again, hello".to_owned(),
        }],
        hits: vec![(2, 5)],
        at: Some(0),
        rest: Some(90),
        ..Find::default()
    };
    log.map = Map {
        looked: 9,
        total: 9,
        errors: vec![(2, 7)],
        warnings: vec![(2, 8)],
        hits: vec![(2, 5)],
    };
    log.siblings = vec![
        Sibling {
            name: "e2e".to_owned(),
            status: Status::Failed,
            duration_ms: Some(9000),
            href: "/o/p/runs/7/jobs/9".to_owned(),
            current: true,
        },
        Sibling {
            name: "<b>ok".to_owned(),
            status: Status::Passed,
            duration_ms: None,
            href: "/o/p/runs/7/jobs/10".to_owned(),
            current: false,
        },
    ];
    check(&log, "failed");
}

#[test]
fn a_window_in_the_middle_begins_as_the_lines_before_it_left_it() {
    let mut middle = log((0..450).map(|number| line(1, 1000 + number, "x")).collect());
    (middle.from, middle.until, middle.total) = (1000, 1450, 200_000);
    let mut red = Ansi::default();
    red.pass(b"\x1b[31m");
    middle.looks = vec![(1000, red)];
    middle.asked = Some((1001, 1002));
    let html = middle.main().into_string();
    assert_eq!(html.matches("<span class=\"f1\">x</span>").count(), 450);
    assert_eq!(html.matches("<li id=\"s1:1002\" class=\"sel\">").count(), 1);
    for part in [
        "data-from=\"1000\" data-until=\"1200\"",
        "data-from=\"1200\" data-until=\"1400\"",
        "data-from=\"1400\" data-until=\"1450\"",
        "?before=1000",
        "?from=1450",
        "lines long",
        "data-focus=\"s1:1002\"",
        "href=\"?line=1002#s1:1002\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn a_long_line_is_cut_and_leads_to_the_whole() {
    let mut long = log(vec![line(1, 0, &"é".repeat(2100)), line(1, 1, "short")]);
    long.lines[0].bytes = 1_300_000;
    let html = long.main().into_string();
    assert!(html.contains("<a class=\"more\" href=\"/o/p/runs/7/jobs/9/lines/1.txt\">show 1.2 MiB</a>"));
    assert_eq!(html.matches('é').count(), 2048);
    assert!(!html.contains("lines/2.txt"));
}

#[test]
fn marks_that_would_lie_on_one_another_are_one() {
    let map = Map {
        looked: 1_000_000,
        total: 1_000_000,
        errors: (0..100_000).map(|line| (1, line * 10)).collect(),
        ..Map::default()
    };
    let svg = map.svg("/o/p/runs/7/jobs/9", (0, 1000)).into_string();
    assert_eq!(svg.matches("<a ").count(), 240);
    assert!(svg.len() < 60_000, "{}", svg.len());
}
