use super::super::{Facts, Job, Run};
use crate::shell::Viewer;
use crate::status::Status;

pub(in crate::page::run) fn job(id: i64, key: &str, name: &str, needs: &[i64], status: Status) -> Job {
    let ran = !matches!(status, Status::Waiting | Status::Queued | Status::Skipped);
    Job {
        id,
        key: key.to_owned(),
        attempt: 1,
        created_at: 500,
        steps: Vec::new(),
        needs: needs.to_vec(),
        name: name.to_owned(),
        status,
        why: String::new(),
        started_at: ran.then_some(1_000),
        ended_at: (ran && status != Status::Running).then_some(1_000 + id * 1_000),
    }
}

pub(in crate::page::run) fn run(jobs: Vec<Job>) -> Run {
    Run {
        viewer: Viewer {
            name: "ana".to_owned(),
            csrf: "word".to_owned(),
            admin: false,
        },
        project: "/o/p".to_owned(),
        id: 7,
        title: "Fix login".to_owned(),
        status: Status::Failed,
        why: String::new(),
        event: "push".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: "b83d0e2".to_owned(),
        actor: "ana".to_owned(),
        workflow: "ci.yml".to_owned(),
        attempt: 1,
        attempts: 1,
        created_at: 0,
        started_at: 1_000,
        ended_at: None,
        now: 91_000,
        jobs,
        failures: Vec::new(),
        failures_more: 0,
        unfold: None,
        approvals: Vec::new(),
        problem: None,
        may_write: true,
        facts: Facts::default(),
        artifacts: Vec::new(),
        annotations: Vec::new(),
        summaries: Vec::new(),
    }
}

fn pipeline() -> Run {
    let mut jobs = vec![
        job(
            1,
            "lint",
            "lint <b>\"all\"</b> with a name that is long",
            &[],
            Status::Passed,
        ),
        job(2, "test", "test (a)", &[1], Status::Passed),
        job(3, "test", "test (b)", &[1], Status::Failed),
        job(4, "build", "build", &[1], Status::Running),
        job(5, "ship", "ship", &[2, 3, 4], Status::Waiting),
        job(6, "load", "load", &[5], Status::Queued),
    ];
    jobs[4].why = "waits for approval by bo or kim, whoever comes first".to_owned();
    run(jobs)
}

/// A tag a line, as text.
fn markup(run: &Run) -> String {
    run.job_list().into_string().replace("><", ">\n<")
}

#[test]
fn a_pipeline_is_drawn_and_listed() {
    insta::assert_snapshot!(markup(&pipeline()));
}

#[test]
fn a_matrix_unfolds() {
    let mut run = pipeline();
    let folded = markup(&run);
    assert!(
        folded.contains("/o/p/runs/7?unfold=test#run-jobs") && !folded.contains("/jobs/3"),
        "{folded}"
    );
    run.unfold = Some("test".to_owned());
    let unfolded = markup(&run);
    assert!(
        unfolded.contains("/o/p/runs/7/jobs/3") && !unfolded.contains("unfold=test"),
        "{unfolded}"
    );
}

#[test]
fn no_jobs_are_no_graph_but_a_heading() {
    let text = markup(&run(Vec::new()));
    assert!(text.contains("0 jobs") && !text.contains("<a "), "{text}");
}
