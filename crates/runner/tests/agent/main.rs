//! The runner's agent against a server of the protocol: what it says, what it survives, what it leaves.

#![allow(clippy::unwrap_used, reason = "tests")]

mod desk;

use desk::Desk;
use pilotage_api::runner::{Conclusion, Report};
use pilotage_runner::agent::{AgentSettings, Ending, run};
use pilotage_runner::process::Ladder;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinHandle;

fn settings(server: &str, work: &Path) -> AgentSettings {
    AgentSettings {
        server: server.to_owned(),
        token: "runner-token".into(),
        name: "tests".into(),
        labels: vec!["ubuntu-latest".into()],
        slots: 1,
        work: work.to_owned(),
        protected: Vec::new(),
        first_user: None,
        actions_from: Vec::new(),
        env: vec![("PATH".into(), std::env::var("PATH").unwrap_or_default())],
        ladder: Ladder {
            interrupt: Duration::from_millis(200),
            terminate: Duration::from_millis(200),
        },
        version: "0".into(),
    }
}

struct Started {
    desk: Desk,
    work: tempfile::TempDir,
    ending: Ending,
    running: JoinHandle<Result<(), pilotage_runner::agent::AgentError>>,
}

impl Started {
    async fn new() -> Self {
        let (desk, work, ending) = (
            Desk::open().await,
            tempfile::tempdir().unwrap(),
            Ending::default(),
        );
        let running = tokio::spawn(run(settings(&desk.url, work.path()), ending.clone(), |_| {}));
        desk.until("registered", |b| b.registered == 1).await;
        Self {
            desk,
            work,
            ending,
            running,
        }
    }

    /// Ends it, and looks that nothing is left in its directory.
    async fn end(self) {
        self.ending.drain.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let left: Vec<_> = std::fs::read_dir(self.work.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, ["lock"]);
    }
}

fn alive(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").trim() == marker
    })
}

async fn until_gone(marker: &str) {
    until(marker, false).await;
}

async fn until_alive(marker: &str) {
    until(marker, true).await;
}

async fn until(marker: &str, wanted: bool) {
    let reached = async {
        while alive(marker) != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(10), reached).await;
    assert!(reached.is_ok(), "`{marker}` alive: {}", !wanted);
}

#[tokio::test]
async fn a_job_is_executed_and_told_of_completely() {
    let started = Started::new().await;
    started
        .desk
        .give("- run: seq 100000; echo ${{ secrets.TOKEN }}; echo $TMPDIR > $RUNNER_TEMP/x\n- run: exit 3");
    started.desk.until("a result", |b| !b.results.is_empty()).await;
    {
        let book = started.desk.book();
        let result = &book.results[0];
        assert_eq!(result.conclusion, Conclusion::Failure);
        assert_eq!(result.log_lines, book.lines.len() as u64);
        let numbers: Vec<&String> = book.lines.iter().filter(|l| l.parse::<u32>().is_ok()).collect();
        assert!(
            numbers
                .iter()
                .enumerate()
                .all(|(i, l)| **l == (i + 1).to_string())
                && numbers.len() == 100_000
        );
        assert!(book.lines.iter().any(|l| l == "***") && !book.lines.iter().any(|l| l.contains("hunter2")));
        assert!(
            matches!(book.reports.first(), Some(Report::Steps { .. })),
            "{:?}",
            book.reports.first()
        );
        assert!(book.reports.iter().any(|r| matches!(
            r,
            Report::StepFinished {
                step: 2,
                outcome: Conclusion::Failure,
                ..
            }
        )));
    }
    started.end().await;
}

#[tokio::test]
async fn a_server_that_was_away_gets_everything_once() {
    let started = Started::new().await;
    started.desk.set(|b| b.lost_answers = 3);
    started
        .desk
        .give("- run: |\n    for i in {1..60}; do echo line $i; sleep 0.03; done");
    started
        .desk
        .until("first lines", |b| b.lines.iter().any(|l| l == "line 5"))
        .await;
    started.desk.set(|b| b.down = true);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(started.desk.book().results.is_empty());
    started.desk.set(|b| b.down = false);
    started.desk.until("a result", |b| !b.results.is_empty()).await;
    {
        let book = started.desk.book();
        let lines: Vec<&String> = book.lines.iter().filter(|l| l.starts_with("line ")).collect();
        assert_eq!(lines.len(), 60);
        assert!(
            lines
                .iter()
                .enumerate()
                .all(|(i, l)| **l == format!("line {}", i + 1))
        );
        assert_eq!(
            (book.results.len(), book.results[0].log_lines),
            (1, book.lines.len() as u64)
        );
    }
    started.end().await;
}

#[tokio::test]
async fn a_fenced_job_is_killed_and_the_slot_goes_on() {
    let started = Started::new().await;
    started
        .desk
        .give("- run: (sleep 1777.1 &) ; echo up; trap '' INT TERM; sleep 1777.2");
    started
        .desk
        .until("output", |b| b.lines.iter().any(|l| l == "up"))
        .await;
    until_alive("sleep 1777.1").await;
    until_alive("sleep 1777.2").await;
    started.desk.set(|b| b.fenced = true);
    until_gone("sleep 1777.1").await;
    until_gone("sleep 1777.2").await;
    started.desk.give("- run: echo next; ls -A $GITHUB_WORKSPACE ~");
    started
        .desk
        .until("the next result", |b| !b.results.is_empty())
        .await;
    let results = started.desk.book().results.clone();
    assert_eq!(
        results.iter().map(|r| r.conclusion).collect::<Vec<_>>(),
        [Conclusion::Success]
    );
    started.end().await;
}

#[tokio::test]
async fn a_cancel_runs_what_asks_for_it() {
    let started = Started::new().await;
    started
        .desk
        .give("- run: echo up; sleep 1778\n- if: cancelled()\n  run: echo cleaned up");
    started
        .desk
        .until("output", |b| b.lines.iter().any(|l| l == "up"))
        .await;
    let renewals = started.desk.book().renewals;
    assert!(renewals < 30, "{renewals}");
    started.desk.set(|b| b.cancel = true);
    started.desk.until("a result", |b| !b.results.is_empty()).await;
    assert_eq!(started.desk.book().results[0].conclusion, Conclusion::Cancelled);
    assert!(started.desk.book().lines.iter().any(|l| l == "cleaned up"));
    started.end().await;
}

#[tokio::test]
async fn draining_finishes_what_runs_and_a_second_word_cancels_it() {
    let started = Started::new().await;
    started.desk.give("- run: echo up; sleep 1; echo finished");
    started
        .desk
        .until("output", |b| b.lines.iter().any(|l| l == "up"))
        .await;
    started.desk.give("- run: echo not for this runner");
    let desk = started.desk.clone();
    started.end().await;
    assert!(desk.book().lines.iter().any(|l| l == "finished"));
    let (waiting, results) = {
        let book = desk.book();
        (book.waiting.len(), book.results.len())
    };
    assert_eq!((waiting, results), (1, 1));

    let started = Started::new().await;
    started.desk.give("- run: echo up; sleep 1779");
    started
        .desk
        .until("output", |b| b.lines.iter().any(|l| l == "up"))
        .await;
    started.ending.cancel.cancel();
    let desk = started.desk.clone();
    started.end().await;
    assert_eq!(desk.book().results[0].conclusion, Conclusion::Cancelled);
}

#[tokio::test]
async fn a_job_finds_nothing_of_the_platform_or_of_other_jobs() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("master.key"), "CANARY").unwrap();
    let work = data.path().join("work");
    std::fs::create_dir_all(work.join("other")).unwrap();
    std::fs::write(work.join("other/secret"), "CANARY").unwrap();
    let (desk, ending) = (Desk::open().await, Ending::default());
    let mut settings = settings(&desk.url, &work);
    settings.protected = vec![data.path().to_owned()];
    settings.first_user = Some(pilotage_runner::isolation::FIRST_USER + 500);
    let (told, isolation) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(run(settings, ending.clone(), move |text| {
        told.send(text.to_owned()).unwrap();
    }));
    let isolation = isolation.await.unwrap();
    desk.give(&format!(
        "- run: |
    cat {0}/master.key {0}/work/other/secret {0}/work/lock 2>/dev/null || true
    cat /proc/$PPID/environ 2>/dev/null | tr '\\0' '\\n' | sed 's/^/CANARY /' || true
    grep -rs CANARY {0} && echo CANARY found || true
    touch {0}/planted 2>/dev/null && echo CANARY planted || true
    touch here $HOME/there $TMPDIR/temp $RUNNER_TEMP/too && echo own places work",
        data.path().display()
    ));
    desk.until("a result", |b| !b.results.is_empty()).await;
    let lines = desk.book().lines.clone();
    // The script is in the log as well, which is why whole lines count.
    let found = lines.iter().filter(|l| l.starts_with("CANARY")).count();
    assert!(lines.iter().any(|l| l == "own places work"), "{lines:?}");
    if isolation.contains("Landlock") && !isolation.contains("no Landlock") {
        assert_eq!(found, 0, "{isolation}: {lines:?}");
    }
    ending.drain.cancel();
    running.await.unwrap().unwrap();
}

/// The process that the next test kills. Does nothing when it is run as a test.
#[tokio::test]
async fn runner_process() {
    let (Ok(server), Ok(work)) = (std::env::var("TEST_SERVER"), std::env::var("TEST_WORK")) else {
        return;
    };
    run(settings(&server, Path::new(&work)), Ending::default(), |_| {})
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_killed_runner_left_is_cleaned_at_the_next_start() {
    let (desk, work) = (Desk::open().await, tempfile::tempdir().unwrap());
    let mut runner = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "runner_process", "--nocapture"])
        .env("TEST_SERVER", &desk.url)
        .env("TEST_WORK", work.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    desk.give("- run: touch file; (setsid sleep 1780.1 &); echo up; sleep 1780.2");
    desk.until("output", |b| b.lines.iter().any(|l| l == "up")).await;
    until_alive("sleep 1780.1").await;
    until_alive("sleep 1780.2").await;
    let error = run(settings(&desk.url, work.path()), Ending::default(), |_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("another runner is using"), "{error}");
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(alive("sleep 1780.1") && alive("sleep 1780.2"));
    assert!(work.path().join("slot-0").exists());

    let ending = Ending::default();
    let running = tokio::spawn(run(settings(&desk.url, work.path()), ending.clone(), |_| {}));
    desk.until("registered again", |b| b.registered == 2).await;
    assert!(!alive("sleep 1780.1") && !alive("sleep 1780.2"));
    desk.give("- run: ls -A . | wc -l");
    desk.until("a result", |b| !b.results.is_empty()).await;
    assert!(
        desk.book().lines.iter().any(|l| l == "0"),
        "{:?}",
        desk.book().lines
    );
    ending.drain.cancel();
    running.await.unwrap().unwrap();
}
