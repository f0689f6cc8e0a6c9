//! The driver, killed between any two of its transactions and started again on the same directory.
//!
//! A world of one run is moved on step by step; each step is worked out from what is stored, as a runner and a
//! server that remember nothing would. The run is recorded once; then, for every number of steps, a fresh world
//! goes so far, dies, and another goes on from its directory. All of them have to end the same.

use pilotage_api::runner::{Conclusion, JobResult};
use pilotage_engine::ids::{Fence, JobId};
use pilotage_engine::run::{Rerun, RunEvent};
use pilotage_server::clock::Clock;
use pilotage_server::driver::{Driver, NewRun};
use pilotage_store::{LogPiece, Runner, Store, Transition};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const WORKFLOW: &str = "on: push\nconcurrency: one\njobs:\n  build:\n    runs-on: a\n    outputs: {v: '${{ steps.x.outputs.v }}'}\n    steps: [{id: x, run: make}]\n  test:\n    needs: build\n    runs-on: a\n    strategy: {matrix: {n: [1, 2]}, max-parallel: 1}\n    steps: [{run: make test}]\n  fails:\n    runs-on: a\n    steps: [{run: 'false'}]\n  ship:\n    needs: [test]\n    environment: production\n    runs-on: a\n    steps: [{run: ship}]\n  clean:\n    if: always()\n    needs: [ship, fails]\n    runs-on: a\n    steps: [{run: clean}]\n";
const STEPS_MAX: usize = 500;

struct World {
    store: Arc<Store>,
    driver: Driver,
}

impl World {
    /// As a server starts: also after one that died.
    async fn open(directory: &Path) -> Self {
        let store = Arc::new(Store::open(directory).await.expect("the store opens"));
        let driver = Driver::new(Arc::clone(&store), Arc::new(Clock::default()));
        driver
            .turn(|mut turn| Box::pin(async move { turn.resume_leases().await }))
            .await
            .expect("resumed");
        Self { store, driver }
    }

    /// One step of whatever is to be done next. False when nothing is.
    async fn step(&self) -> bool {
        let mut c = self.store.read().await.expect("a reader");
        if c.run(1).await.expect("a run").is_none() {
            return self.start().await;
        }
        if let Some(effect) = c.open_effects().await.expect("effects").into_iter().next() {
            self.driver.perform(effect).await.expect("performed");
            return true;
        }
        let leased = c.leased_jobs().await.expect("leases");
        if let Some(job) = leased.first() {
            return self.work(job.job_id, job.fence, job.status == "held").await;
        }
        if !c.waiting_jobs(1).await.expect("a queue").is_empty() {
            return self.offer().await;
        }
        let run = c.run(1).await.expect("a run").expect("the run");
        if run.conclusion.is_some() && run.attempt == 1 {
            let event = RunEvent::Rerun {
                after: 1,
                which: Rerun::Failed,
                by: "ana".to_owned(),
            };
            let end = self
                .driver
                .turn(|mut turn| Box::pin(async move { turn.run_event(1, event).await }))
                .await;
            end.expect("a transaction").expect("a second attempt");
            return true;
        }
        false
    }

    async fn start(&self) -> bool {
        let new = NewRun {
            project: 1,
            event_id: 1,
            event: "push".to_owned(),
            workflow_path: ".github/workflows/ci.yml".to_owned(),
            workflow_name: "ci".to_owned(),
            workflows: BTreeMap::from([(".github/workflows/ci.yml".to_owned(), WORKFLOW.to_owned())]),
            github: serde_json::Map::new(),
            inputs: serde_json::Map::new(),
            vars: BTreeMap::new(),
            r#ref: "refs/heads/main".to_owned(),
            sha: "1".repeat(40),
            title: "first".to_owned(),
            actor: "ana".to_owned(),
        };
        let started = self
            .driver
            .turn(|mut turn| {
                Box::pin(async move {
                    turn.c.create_project("o", "p", "main", 1).await?;
                    turn.c.register_runner(&runner()).await?;
                    turn.start_run(new).await
                })
            })
            .await
            .expect("a transaction");
        assert_eq!(started.expect("a good workflow"), Some(1));
        true
    }

    async fn offer(&self) -> bool {
        let offered = self
            .driver
            .turn(|mut turn| Box::pin(async move { turn.offer(&runner(), 0).await }))
            .await;
        offered.expect("a transaction").is_some()
    }

    /// Acknowledge, write a line, write another, finish: by what is there already.
    async fn work(&self, job: i64, fence: i64, held: bool) -> bool {
        if !held {
            let heard = self
                .driver
                .turn(move |mut turn| Box::pin(async move { turn.hear_of(job, fence, true).await }));
            assert!(heard.await.expect("a transaction"));
            return true;
        }
        let lines = self.store.logs.state(job).await.expect("a log").lines;
        if lines < 2 {
            let piece = LogPiece {
                step: 1,
                first_line: lines,
                at_ms: 1,
                text: format!("line {lines} of {job}\n"),
            };
            assert_eq!(
                self.store.logs.append(job, piece).await.expect("appended"),
                lines + 1
            );
            return true;
        }
        self.driver
            .turn(move |mut turn| {
                Box::pin(async move {
                    let row = turn.c.job(job).await?.expect("the job");
                    let fails = row.key == "fails" && row.attempt == 1;
                    let result = JobResult {
                        conclusion: if fails {
                            Conclusion::Failure
                        } else {
                            Conclusion::Success
                        },
                        continue_on_error: false,
                        outputs: indexmap::IndexMap::from([("v".to_owned(), "7".to_owned())]),
                        error: None,
                        log_lines: 2,
                        log_bytes: 0,
                    };
                    let fence = Fence(u64::try_from(fence).expect("a fence"));
                    let event = RunEvent::Finished {
                        job: JobId(job),
                        fence,
                        result,
                    };
                    turn.run_event(1, event).await?.expect("the result is taken");
                    turn.end_job(job).await
                })
            })
            .await
            .expect("a transaction");
        true
    }

    /// All that counts in the end.
    async fn outcome(&self) -> String {
        let mut c = self.store.read().await.expect("a reader");
        let run = c.run(1).await.expect("a run").expect("the run");
        let mut text = format!(
            "run {} {:?} attempt {} number {}\n",
            run.status, run.conclusion, run.attempt, run.number
        );
        for job in c.jobs(1).await.expect("jobs") {
            let (pieces, _) = self.store.logs.read(job.id, None, 0).await.expect("a log");
            let log: String = pieces.into_iter().map(|piece| piece.text).collect();
            let (name, conclusion) = (&job.name, job.conclusion.as_deref().unwrap_or("none"));
            text.push_str(&format!(
                "{} attempt {} {name} {conclusion} {} {log:?}\n",
                job.id, job.attempt, job.outputs
            ));
        }
        let machine = c
            .machine("run", 1)
            .await
            .expect("a machine")
            .expect("the run's machine");
        let effects = c.open_effects().await.expect("effects").len();
        let leased =
            c.leased_jobs().await.expect("leases").len() + c.waiting_jobs(9).await.expect("a queue").len();
        text.push_str(&format!(
            "{} events, {} effects, {effects} open, {leased} queued\n",
            machine.version, machine.effects
        ));
        text
    }
}

fn runner() -> Runner {
    Runner {
        id: 0,
        name: "r".to_owned(),
        token_id: 1,
        instance: "1".to_owned(),
        labels: "[\"a\"]".to_owned(),
        slots: 1,
        version: String::new(),
        drain: 0,
        registered_at: 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_between_any_two_steps_loses_nothing_and_does_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(directory.path()).await;
    let mut steps = 0;
    while world.step().await {
        steps += 1;
        assert!(steps < STEPS_MAX, "the run does not end");
    }
    let expected = world.outcome().await;
    insta::assert_snapshot!(expected);
    assert!(steps > 50, "only {steps} steps were recorded");
    for dies_after in 0..=steps {
        let directory = tempfile::tempdir().unwrap();
        let first = World::open(directory.path()).await;
        for _ in 0..dies_after {
            first.step().await;
        }
        drop(first);
        let second = World::open(directory.path()).await;
        let mut left = 0;
        while second.step().await {
            left += 1;
        }
        assert_eq!(second.outcome().await, expected, "died after step {dies_after}");
        assert_eq!(
            left,
            steps - dies_after,
            "died after step {dies_after}: something was done twice, or not at all"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_for_one_machine_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(directory.path()).await;
    world.start().await;
    // Machine 0 comes before run 1 in every list, and nobody can read what it wants.
    let damaged = Transition {
        kind: "run",
        id: 0,
        version: 0,
        at: 1,
        event: "{}",
        state: "not a run",
        deadline: Some(1),
        done: false,
        effects: &[],
    };
    world
        .store
        .write(move |c| {
            Box::pin(async move {
                let effects = ["not an effect".to_owned()];
                c.transition(Transition {
                    effects: &effects,
                    ..damaged
                })
                .await
                .map(|_| ())
            })
        })
        .await
        .unwrap();
    let _ = world.driver.settle().await;
    let mut c = world.store.read().await.unwrap();
    assert_eq!(
        c.open_effects().await.unwrap().len(),
        1,
        "only the damaged one is left"
    );
    assert!(!c.waiting_jobs(9).await.unwrap().is_empty(), "the run goes on");
    world.driver.fire_due().await.unwrap();
    assert_eq!(
        c.machine("run", 0).await.unwrap().unwrap().deadline,
        None,
        "it is not woken for ever"
    );
    assert!(world.driver.resume().await.is_ok(), "a server starts with it");
}
