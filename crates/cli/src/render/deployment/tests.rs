//! Deployments as they are drawn, from fixed data.

use super::*;
use crate::render::style::Style;

const BEGUN: i64 = 1_795_574_613_000;

fn page(after_ms: i64) -> Page {
    Page {
        style: Style::plain(),
        width: 100,
        now: BEGUN + after_ms,
    }
}

fn moment(after_ms: i64, text: &str) -> Moment {
    Moment {
        at: BEGUN + after_ms,
        text: text.to_owned(),
    }
}

fn shifting() -> DeploymentDetail {
    DeploymentDetail {
        deployment: Deployment {
            id: 312,
            project: "omnilife/platform".into(),
            environment: "production".into(),
            kind: "deploy".into(),
            state: "shifting".into(),
            outcome: None,
            reason: String::new(),
            revision: "4f1c9ae".into(),
            old_revision: "9e07b51".into(),
            release: "sha256:0011".into(),
            sha: "4f1c9ae".into(),
            title: "Retry checkout on a lost connection".into(),
            r#ref: "refs/heads/main".into(),
            run: Some(1_846),
            actor: "ana".into(),
            created_at: BEGUN,
            ended_at: None,
            url: "http://localhost:3000".into(),
        },
        has_all_traffic: false,
        until: Some(BEGUN + 90_000),
        services: vec![DeployedService {
            name: "backend".into(),
            share: 2_500,
            healthy: 3,
            replicas: 3,
            answers: 197,
            needed: 300,
            new: Some(counts("4f1c9ae", 197, 24, 297_000)),
            old: Some(counts("9e07b51", 1_902, 12, 212_000)),
            one_in: Some(164.3),
            goes_back_at: Some(400.0),
            ..DeployedService::default()
        }],
        moments: vec![
            moment(0, "asked for by ana: by hand"),
            moment(300, "waits: waits for an approval by ben"),
            moment(12_000, "backend: 1 of 3 healthy"),
            moment(17_600, "backend: 3 of 3 healthy"),
            moment(18_000, "5 % of the traffic to 4f1c9ae"),
            moment(30_000, "25 % of the traffic to 4f1c9ae"),
        ],
        notifications: Vec::new(),
    }
}

fn counts(revision: &str, requests: u64, errors: u64, p95_us: u64) -> Counts {
    Counts {
        revision: revision.into(),
        requests,
        errors,
        in_flight: 0,
        p50_us: p95_us / 2,
        p95_us,
    }
}

fn drawn(details: Vec<DeploymentDetail>, after_ms: i64) -> String {
    let mut model = DeploymentModel::default();
    details.into_iter().for_each(|detail| model.take(detail));
    model.lines(&page(after_ms)).join("\n")
}

#[test]
fn a_step_is_drawn_with_the_figures_of_both_revisions() {
    let mut steps = Vec::new();
    for one_in in [1.0, 1.2, 3.0, 9.0, 40.0, 164.3] {
        let mut detail = shifting();
        detail.services[0].one_in = Some(one_in);
        steps.push(detail);
    }
    insta::assert_snapshot!(drawn(steps, 38_600), @r#"
    production  #312  backend  9e07b51 → 4f1c9ae  Retry checkout on a lost connection

    ✓ asked for    by ana: by hand
    ⏸ waited       for an approval by ben                                   11.7 s
    ✓ started      backend: 3 of 3 healthy                                   5.6 s
    ✓ shifted      5 % of the traffic to 4f1c9ae                            400 ms
    ◐ shifting     25 %  ██████░░░░░░░░░░░░░░░░░░  8.6 of 60.0 s
                   new     197 answers     24 failed   12.2 %   p95 297 ms
                   old   1,902 answers     12 failed    0.6 %   p95 212 ms
                   evidence against it  1 in 164   ▁▁▂▃▅▇   goes back at 1 in 400
    "#);
}

#[test]
fn a_rollback_ends_with_its_evidence_and_its_proof() {
    let mut detail = shifting();
    detail.deployment.state = "rolled-back".into();
    detail.deployment.outcome = Some("rolled-back".into());
    let service = &mut detail.services[0];
    service.verdict =
        Some("the new backend failed 31 of 214 answers, the old one 12 of 1,990 (1 in 409)".into());
    service.returned_in_us = Some(3_200);
    service.new = Some(counts("4f1c9ae", 214, 31, 297_000));
    detail.moments.extend([
        moment(40_000, "goes back: the new backend failed 31 of 214 answers"),
        moment(
            40_900,
            "verified: 9e07b51 executes on 3 of 3 replicas and gave 60 answers in a row",
        ),
        moment(70_900, "4f1c9ae is quarantined"),
    ]);
    insta::assert_snapshot!(drawn(vec![detail], 71_000), @r#"
    production  #312  backend  9e07b51 → 4f1c9ae  Retry checkout on a lost connection

    ✓ asked for    by ana: by hand
    ⏸ waited       for an approval by ben                                   11.7 s
    ✓ started      backend: 3 of 3 healthy                                   5.6 s
    ✓ shifted      25 % of the traffic to 4f1c9ae                           12.4 s
    ⟲ rolled back  the new backend failed 31 of 214 answers, the old one 12 of 1,990 (1 in 409)
                   last request to it 3.2 ms after the deciding answer; 31 requests met the fault
    ✓ verified     9e07b51 executes on 3 of 3 replicas and gave 60 answers in a row

    4f1c9ae is quarantined. pilotage deployment view 312
    "#);
}

#[test]
fn a_good_one_says_whether_it_is_proven() {
    let live = |proven: bool, answers: u64| {
        let mut detail = shifting();
        detail.deployment.state = "live".into();
        detail.deployment.outcome = Some("live".into());
        detail.services[0].proven = proven;
        detail.services[0].answers = answers;
        detail.services[0].needed = 130;
        end(&detail, &page(0)).join("\n")
    };
    insta::assert_snapshot!(format!("{}\n---\n{}", live(true, 3_120), live(false, 14)), @r#"
    ✓ live         proven over 3,120 answers

    http://localhost:3000
    ---
    ✓ live         not proven: 14 answers seen, about 130 needed

    http://localhost:3000
    "#);
}

#[test]
fn names_of_the_server_cannot_move_the_cursor() {
    let mut detail = shifting();
    detail.deployment.title = "\u{1b}[2J\u{7}".into();
    detail.deployment.reason = "\u{1b}]0;x".into();
    detail.services[0].name = "a\u{1b}[H".into();
    detail.moments.push(moment(1, "goes \u{1b}[1A"));
    assert!(!drawn(vec![detail], 10).contains(['\u{1b}', '\u{7}']));
}
