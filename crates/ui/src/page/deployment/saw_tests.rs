use super::super::model::{Release, Tally};
use super::*;
use crate::shell::Viewer;
use crate::status::Status;

/// What one answer does: of the new one, failed, and the evidence of errors after it.
type Answer = (bool, bool, f64);

fn course(answers: &[Answer], share: u32) -> Vec<Seen> {
    let odds = |one_in| Odds {
        one_in,
        needed: 400.0,
    };
    let mut seen = Seen {
        share,
        against: [odds(1.0); 4],
        old_too: Odds {
            one_in: 1.0,
            needed: 1_000.0,
        },
        ..Seen::default()
    };
    let mut course = vec![seen];
    for (new, failed, one_in) in answers {
        let tally = if *new { &mut seen.new } else { &mut seen.old };
        tally.answers += 1;
        tally.errors += u64::from(*failed);
        seen.against[0] = odds(*one_in);
        seen.decided |= *one_in >= 400.0;
        course.push(seen);
    }
    course
}

fn check(name: &str, state: &str, course: Vec<Seen>, verdict: bool, proven: bool) {
    let last = course.last().copied().unwrap_or_default();
    let deciding = course.iter().find(|seen| seen.decided).copied().unwrap_or(last);
    let service = Service {
        name: "web <b>".to_owned(),
        proven,
        judged: (!course.is_empty()).then_some(Judged {
            new: last.new,
            old: last.old,
            test: Test::Errors,
            one_in: last.against[0].one_in,
            goes_back_at: 400.0,
            error_limit: 0.05,
            slower_limit: 0.5,
            false_alarms: 0.01,
        }),
        verdict: verdict.then_some(Verdict {
            outage: false,
            test: Test::Errors,
            late: false,
            one_in: deciding.against[0].one_in,
            new: deciding.new,
            old: deciding.old,
        }),
        course,
        ..Service::default()
    };
    let deployment = Deployment {
        state: state.to_owned(),
        ended_at: (state != "shifting").then_some(9_000),
        services: vec![service],
        ..empty()
    };
    insta::assert_snapshot!(name, deployment.saw().into_string().replace("><", ">\n<"));
}

fn empty() -> Deployment {
    Deployment {
        viewer: Viewer {
            name: "ana".to_owned(),
            csrf: "word".to_owned(),
            admin: false,
        },
        refusal: None,
        problem: None,
        owner: "o".to_owned(),
        name: "p".to_owned(),
        environment: "production".to_owned(),
        now: 10_000,
        id: 7,
        rollback: false,
        state: String::new(),
        status: Status::Running,
        reason: String::new(),
        release: Release {
            revision: "4f1c9ae".to_owned(),
            digest: String::new(),
            sha: String::new(),
            title: String::new(),
            branch: String::new(),
        },
        old: Some("9e07b51".to_owned()),
        actor: "ana".to_owned(),
        run: None,
        created_at: 0,
        ended_at: None,
        until: None,
        url: String::new(),
        serves: false,
        quarantine: None,
        services: Vec::new(),
        steps: Vec::new(),
        watch_ms: None,
        moments: Vec::new(),
        approvals: Vec::new(),
        approve: None,
        replicas: Vec::new(),
        checks: Vec::new(),
        told: Vec::new(),
    }
}

const OLD: Answer = (false, false, 1.0);

#[test]
fn nothing_is_drawn_where_nothing_was_judged() {
    check("none", "shifting", Vec::new(), false, false);
}

#[test]
fn a_healthy_release_stays_below_its_limit() {
    let good: Vec<Answer> = (1..=40)
        .map(|n| (n % 2 == 0, false, 0.95_f64.powi(n / 2)))
        .collect();
    let mut course = course(&good, 500);
    course.iter_mut().skip(20).for_each(|seen| seen.share = 10_000);
    check("healthy", "live", course, false, true);
}

#[test]
fn a_bad_release_crosses_its_limit_and_what_came_after_is_cut() {
    let mut answers = vec![
        OLD,
        (true, true, 10.0),
        OLD,
        OLD,
        (true, true, 90.0),
        OLD,
        (true, true, 900.0),
    ];
    answers.extend([(false, false, 900.0); 500]);
    check("tripped", "rolled-back", course(&answers, 500), true, false);
}

#[test]
fn too_few_answers_decide_nothing() {
    let mut course = course(&[OLD, (true, true, 8.0), OLD, (true, false, 7.5)], 2_500);
    for seen in &mut course {
        seen.against[2] = Odds {
            one_in: 3.0,
            needed: 417.0,
        };
    }
    check("undecided", "shifting", course, false, false);
}

#[test]
fn a_million_answers_make_a_small_picture() {
    let seen = |n: u64| Seen {
        new: Tally {
            answers: n * 50,
            errors: n * 2,
            ..Tally::default()
        },
        share: 10_000,
        against: [Odds {
            one_in: 1.0 + (n % 13) as f64,
            needed: 400.0,
        }; 4],
        ..Seen::default()
    };
    let deployment = Deployment {
        services: vec![Service {
            judged: Some(Judged {
                new: Tally::default(),
                old: Tally::default(),
                test: Test::Errors,
                one_in: 1.0,
                goes_back_at: 400.0,
                error_limit: 0.05,
                slower_limit: 0.5,
                false_alarms: 0.01,
            }),
            course: (0..20_000).map(seen).collect(),
            ..Service::default()
        }],
        ..empty()
    };
    let html = deployment.saw().into_string();
    assert!(html.len() < 40_000, "{} bytes", html.len());
    assert!(!html.contains("NaN") && !html.contains("inf"));
}
