//! Any event at any time: nothing that is said to a run makes it panic or contradict itself, however wrong it is.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

#[path = "sim/random.rs"]
mod random;

use indexmap::IndexMap;
use pilotage_api::runner::{Conclusion, JobResult};
use pilotage_engine::ids::{Fence, JobId, ProjectId, RunId};
use pilotage_engine::run::{
    ConcurrencyAnswer, EnvironmentAnswer, Holder, JobStatus, Rerun, Run, RunEvent, RunSpec,
};
use pilotage_engine::time::Timestamp;
use random::Random;
use std::collections::BTreeMap;

const ROOT: &str = "on: push
concurrency: { group: g1, cancel-in-progress: true }
jobs:
  a: { runs-on: x, steps: [{ run: 'true' }], outputs: { list: x } }
  b:
    needs: a
    if: always()
    concurrency: g2
    strategy: { max-parallel: 2, matrix: { n: [1, 2, 3] } }
    uses: ./.github/workflows/called.yml
  c: { needs: [a, b], if: failure(), environment: production, runs-on: x, steps: [{ run: 'true' }] }
  d: { runs-on: x, concurrency: g3, environment: staging, continue-on-error: true, steps: [{ run: 'true' }] }
";
const CALLED: &str = "on: workflow_call
jobs:
  x: { runs-on: x, steps: [{ run: 'true' }] }
  y: { needs: x, if: '!cancelled()', environment: production, runs-on: x, steps: [{ run: 'true' }] }
";

#[test]
fn nothing_that_is_said_breaks_a_run() {
    let mut ended = 0;
    for seed in 0..150 {
        let random = &mut Random::new(seed);
        let mut run = start();
        let mut now = 0;
        for step in 0..250 {
            now += i64::try_from(random.below(200_000)).unwrap();
            let event = event(random, &run);
            let before: BTreeMap<JobId, Option<Conclusion>> =
                run.jobs().map(|job| (job.id, job.conclusion)).collect();
            let _ = run.handle(Timestamp(now), event.clone());
            run.check_invariants()
                .unwrap_or_else(|broken| panic!("seed {seed}, step {step}, {event:?}: {broken}"));
            for (job, conclusion) in before {
                let after = run.job(job).unwrap().conclusion;
                assert!(
                    conclusion.is_none() || conclusion == after,
                    "seed {seed}, step {step}, {event:?}"
                );
            }
        }
        ended += usize::from(run.conclusion().is_some() || run.attempt() > 1);
    }
    assert!(ended > 75, "most runs come to an end, {ended} did");
}

fn start() -> Run {
    let spec = RunSpec {
        only: Vec::new(),
        run_id: RunId(5),
        project: ProjectId(1),
        run_number: 1,
        workflow_path: "root.yml".to_owned(),
        workflows: BTreeMap::from([
            ("root.yml".to_owned(), ROOT.to_owned()),
            (".github/workflows/called.yml".to_owned(), CALLED.to_owned()),
        ]),
        github: serde_json::Map::new(),
        inputs: serde_json::Map::new(),
        vars: BTreeMap::new(),
        title: String::new(),
    };
    Run::start(Timestamp(0), spec).unwrap().0
}

fn event(random: &mut Random, run: &Run) -> RunEvent {
    let job = JobId::new(RunId(if random.percent(98) { 5 } else { 6 }), random.below(24));
    let fence = Fence(random.pick(&[0, 1, 1, 1, 2, 3]));
    let reason = "reason".to_owned();
    match random.below(16) {
        0 | 1 => RunEvent::Leased {
            job,
            fence,
            runner: "r".to_owned(),
        },
        2 => RunEvent::Started { job, fence },
        3..=6 => RunEvent::Finished {
            job: open(run).unwrap_or(job),
            fence,
            result: result(random),
        },
        7 => RunEvent::Lost {
            job,
            fence,
            started: random.percent(50),
            reason,
        },
        8..=10 => {
            let holder = Holder {
                run: RunId(5),
                attempt: u32::try_from(random.below(3)).unwrap(),
                job: random.percent(60).then_some(job),
            };
            let answer = match random.below(8) {
                0 => ConcurrencyAnswer::Waiting { reason },
                1 => ConcurrencyAnswer::Cancelled { reason },
                _ => ConcurrencyAnswer::Granted,
            };
            RunEvent::ConcurrencyAnswer {
                holder,
                group: random.pick(&["g1", "G2", "g3", "g9"]).to_owned(),
                answer,
            }
        }
        11 | 12 => {
            let answer = match random.below(8) {
                0 => EnvironmentAnswer::Waiting { reason },
                1 => EnvironmentAnswer::Refused { reason },
                _ => EnvironmentAnswer::Granted,
            };
            RunEvent::EnvironmentAnswer { job, answer }
        }
        13 if random.percent(20) => RunEvent::Cancel {
            attempt: u32::try_from(random.below(3)).unwrap(),
            by: "ana".to_owned(),
            force: random.percent(30),
        },
        14 => {
            let which = random.pick(&[Rerun::All, Rerun::Failed, Rerun::Job(job)]);
            RunEvent::Rerun {
                after: u32::try_from(random.below(4)).unwrap(),
                which,
                by: "ben".to_owned(),
            }
        }
        _ => RunEvent::Wake,
    }
}

fn open(run: &Run) -> Option<JobId> {
    run.jobs()
        .find(|job| job.status == JobStatus::InProgress)
        .map(|job| job.id)
}

fn result(random: &mut Random) -> JobResult {
    let conclusion = random.pick(&[
        Conclusion::Success,
        Conclusion::Failure,
        Conclusion::Cancelled,
        Conclusion::Skipped,
    ]);
    let outputs = IndexMap::from([("list".to_owned(), "[1]".to_owned())]);
    JobResult {
        conclusion,
        continue_on_error: random.percent(10),
        outputs,
        error: None,
        log_lines: 0,
        log_bytes: 0,
    }
}
