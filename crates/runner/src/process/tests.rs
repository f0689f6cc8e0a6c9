use super::*;
use crate::log::{JobLog, LOCAL_LINE_BYTES_MAX};
use pilotage_api::runner::LogChunk;
use pilotage_trust::mask::Masker;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use tokio::sync::mpsc;

fn bash(script: &str) -> Program {
    Program {
        path: "/bin/bash".into(),
        args: ["--noprofile", "--norc", "-c", script]
            .map(OsString::from)
            .to_vec(),
        env: vec![("PATH".into(), crate::shell::DEFAULT_PATH.into())],
        cwd: "/".into(),
        timeout: None,
        ladder: Ladder {
            interrupt: Duration::from_millis(300),
            terminate: Duration::from_millis(300),
        },
    }
}

fn job() -> JobProcesses {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    become_subreaper().unwrap();
    let id = format!(
        "test_{}_{}_",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    JobProcesses::new(id, Arc::new(ChildRules::default()))
}

/// Runs a script; gives how it ended and all that it wrote.
async fn run(job: &JobProcesses, program: &Program) -> (Ended, String) {
    let mut output = Captured::new(1024 * 1024);
    let ended = job.run(program, &Stop::default(), &mut output).await.unwrap();
    (ended, String::from_utf8_lossy(&output.bytes).into_owned())
}

fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn a_program_gets_what_it_is_given_and_nothing_else() {
    let job = job();
    for (script, code, output) in [
        ("echo out; echo err >&2; echo out2", 0, "out\nerr\nout2\n"),
        ("exit 3", 3, ""),
        ("kill -9 $$", 137, ""),
        ("kill -TERM $$", 143, ""),
        ("cat; echo -n end", 0, "end"),
        ("pwd; echo ${HOME-none}", 0, "/\nnone\n"),
        (
            "ulimit -c >/dev/null; trap '' PIPE; trap -p PIPE; echo $-",
            0,
            "trap -- '' SIGPIPE\nhBc\n",
        ),
        ("(yes; echo yes ended $? >&2) | head -1", 0, "y\nyes ended 141\n"),
        ("ls /proc/self/fd | wc -l", 0, "4\n"),
        ("echo a > /dev/stderr; echo b > /dev/stdout", 0, "a\nb\n"),
        (
            "exec 3</dev/tty || echo no terminal",
            0,
            "/bin/bash: line 1: /dev/tty: No such device or address\nno terminal\n",
        ),
        (
            "[ $(ps -o sid= -p $$) = $$ ] && echo leads its session",
            0,
            "leads its session\n",
        ),
    ] {
        let (ended, text) = run(&job, &bash(script)).await;
        assert_eq!((ended.status.code(), text.as_str()), (code, output), "{script}");
        assert_eq!((ended.stopped, ended.left_behind), (None, false), "{script}");
    }
    let (_, text) = run(
        &job,
        &Program {
            path: "/usr/bin/env".into(),
            args: vec![],
            env: vec![("A".into(), "b=c".into())],
            ..bash("")
        },
    )
    .await;
    assert!(text.starts_with("A=b=c\nPILOTAGE_TRACKING_ID=test_"), "{text}");
    assert_eq!(text.lines().count(), 2);
    assert_eq!(job.end().await, []);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let job = job();
    for (program, message) in [
        (
            Program {
                path: "/no/such".into(),
                ..bash("")
            },
            "cannot start `/no/such`: cannot execute it",
        ),
        (
            Program {
                path: "/etc/passwd".into(),
                ..bash("")
            },
            "cannot start `/etc/passwd`: cannot execute it",
        ),
        (
            Program {
                cwd: "/no/such".into(),
                ..bash("")
            },
            "cannot start `/bin/bash`: cannot enter its working directory",
        ),
        (
            Program {
                args: vec!["a\0b".into()],
                ..bash("")
            },
            "cannot start `/bin/bash`: cannot pass its arguments",
        ),
        (
            Program {
                args: vec!["x".repeat(200_000).into()],
                ..bash("")
            },
            "cannot start `/bin/bash`: cannot execute it",
        ),
    ] {
        let error = job
            .run(&program, &Stop::default(), &mut Captured::new(9))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(std::error::Error::source(&error).is_some());
    }
    assert_eq!(job.end().await, []);
}

#[tokio::test]
async fn what_a_step_leaves_behind_neither_holds_it_up_nor_outlives_the_job() {
    let job = job();
    let started = Instant::now();
    // Plainly; in its own session; with an empty environment in its own session; a fork that goes on forking.
    let (ended, pids) = run(
        &job,
        &bash(
            "sleep 1000 & echo $!; setsid sleep 1001 & echo $!; env -i setsid -f bash -c 'echo $$; exec sleep 1002'; \
             (trap '' INT TERM HUP; while :; do sleep 0.01; done) & echo $!; sleep 0.2",
        ),
    )
    .await;
    assert!(ended.left_behind && ended.status.success());
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    let pids: Vec<&str> = pids.lines().collect();
    assert_eq!(pids.len(), 4);
    // They live while the job does, and the next step can use them.
    let (ended, _) = run(&job, &bash(&format!("kill -0 {} && sleep 0.1", pids.join(" ")))).await;
    assert_eq!(ended.status, Status::Code(0));
    let left = job.end().await;
    assert!(left.iter().all(|l| l.killed) && left.len() >= 4, "{left:?}");
    assert!(left.iter().any(|l| l.name == "sleep"), "{left:?}");
    for pid in pids {
        assert!(!alive(pid), "{pid} is alive");
    }
}

#[tokio::test]
async fn processes_that_go_on_forking_are_ended_too() {
    let job = job();
    let script = "trap '' TERM\n\
        bomb() { while :; do (sleep 0.05 &) ; sleep 0.001; done; }; bomb >/dev/null 2>&1 & bomb >/dev/null 2>&1 & sleep 0.2";
    let (ended, _) = run(&job, &bash(script)).await;
    assert!(ended.status.success());
    let left = job.end().await;
    assert!(left.len() > 2 && left.iter().all(|l| l.killed), "{left:?}");
}

#[tokio::test]
async fn a_background_process_can_write_on_after_its_step() {
    let job = job();
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; (sleep 0.8; seq 100000; echo $? > code) &",
        dir.path().display()
    );
    let (ended, _) = run(&job, &bash(&script)).await;
    assert!(ended.left_behind);
    let wait = format!(
        "cd {}; while [ ! -s code ]; do sleep 0.02; done; cat code",
        dir.path().display()
    );
    let (_, code) = run(
        &job,
        &Program {
            timeout: Some(Duration::from_secs(10)),
            ..bash(&wait)
        },
    )
    .await;
    assert_eq!(code, "0\n", "neither killed by SIGPIPE nor blocked");
    job.end().await;
}

#[tokio::test]
async fn output_of_children_that_end_with_their_step_is_complete() {
    let job = job();
    let (ended, text) = run(&job, &bash("exec > >(sleep 0.2; cat; echo end)\nseq 1000")).await;
    assert!(text.ends_with("1000\nend\n"), "{}", text.len());
    assert!(!ended.left_behind);
    job.end().await;
}

#[tokio::test]
async fn cancelling_goes_down_the_ladder() {
    let job = job();
    for (script, reason, code, output) in [
        ("echo up; sleep 100", StopReason::Cancelled, 130, "up\n"),
        (
            "trap 'echo int; exit 4' INT; echo up; while :; do :; done",
            StopReason::Cancelled,
            4,
            "up\nint\n",
        ),
        (
            "trap 'echo int' INT; trap 'echo term; exit 5' TERM; echo up; while :; do :; done",
            StopReason::Cancelled,
            5,
            "up\nint\nterm\n",
        ),
        (
            "trap '' INT TERM; echo up; while :; do :; done",
            StopReason::Cancelled,
            137,
            "up\n",
        ),
        (
            "trap '' INT; echo up; kill -STOP $$; sleep 100",
            StopReason::Cancelled,
            137,
            "up\n",
        ),
    ] {
        let stop = Stop::default();
        let mut output_sink = WhenUp {
            captured: Captured::new(4096),
            token: stop.cancel.clone(),
        };
        let ended = job.run(&bash(script), &stop, &mut output_sink).await.unwrap();
        let text = String::from_utf8_lossy(&output_sink.captured.bytes).into_owned();
        assert_eq!(
            (ended.stopped, ended.status.code(), text.as_str()),
            (Some(reason), code, output),
            "{script}"
        );
    }
    assert_eq!(job.end().await, []);
}

/// Cancels when the program says that it is up.
struct WhenUp {
    captured: Captured,
    token: CancellationToken,
}

impl Output for WhenUp {
    fn push(&mut self, bytes: &[u8]) {
        self.captured.push(bytes);
        if self.captured.bytes.starts_with(b"up\n") {
            self.token.cancel();
        }
    }
    fn finish(&mut self) {}
    fn is_full(&self) -> bool {
        false
    }
    fn due(&self) -> Option<Instant> {
        None
    }
    async fn flush(&mut self) -> Result<(), LogClosed> {
        Ok(())
    }
}

#[tokio::test]
async fn output_without_end_is_stopped_like_any_other() {
    let job = job();
    let program = Program {
        timeout: Some(Duration::from_millis(300)),
        ..bash("exec yes")
    };
    let started = Instant::now();
    let (ended, _) = run(&job, &program).await;
    assert_eq!(ended.stopped, Some(StopReason::TimedOut));
    let (ended, _) = run(&job, &bash("yes &")).await;
    assert!(ended.left_behind && ended.stopped.is_none());
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
    let left = job.end().await;
    assert_eq!(
        left.iter()
            .map(|l| (l.name.as_str(), l.killed))
            .collect::<Vec<_>>(),
        [("yes", true)]
    );
}

#[tokio::test]
async fn a_timeout_and_a_kill_take_everything_along() {
    let job = job();
    let script = "sleep 1000 & echo $!; trap '' INT TERM; sleep 1001 & echo $!; wait";
    let program = Program {
        timeout: Some(Duration::from_millis(200)),
        ..bash(script)
    };
    let (ended, pids) = run(&job, &program).await;
    assert_eq!(
        (ended.stopped, ended.status.code()),
        (Some(StopReason::TimedOut), 137)
    );
    assert!(!pids.lines().any(alive), "{pids}");

    let stop = Stop::default();
    let mut output = WhenUp {
        captured: Captured::new(99),
        token: stop.kill.clone(),
    };
    let started = Instant::now();
    let ended = job
        .run(&bash("trap '' INT TERM; echo up; sleep 1000"), &stop, &mut output)
        .await
        .unwrap();
    assert_eq!(
        (ended.stopped, ended.status.code()),
        (Some(StopReason::Killed), 137)
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    job.end().await;
}

#[tokio::test]
async fn a_run_that_is_given_up_leaves_nothing() {
    let job = job();
    let program = bash("echo $$ > $F; sleep 1000; echo");
    let file = tempfile::NamedTempFile::new().unwrap();
    let env = vec![
        ("F".into(), file.path().into()),
        ("PATH".into(), crate::shell::DEFAULT_PATH.into()),
    ];
    let program = Program { env, ..program };
    let pid = || std::fs::read_to_string(file.path()).unwrap_or_default();
    {
        let (stop, mut output) = (Stop::default(), Captured::new(9));
        let mut running = std::pin::pin!(job.run(&program, &stop, &mut output));
        while !pid().ends_with('\n') {
            tokio::select! {
                _ = &mut running => panic!("it sleeps"),
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
            }
        }
    }
    job.end().await;
    assert!(!alive(&pid()));
}

/// A step's log, read as fast as it comes; the chunks, joined.
async fn logged(script: &str, secret: &str) -> (Ended, Vec<LogChunk>) {
    let masker = Arc::new(Masker::new());
    masker.add(secret);
    let (log, mut receiver) = JobLog::channel(masker, LOCAL_LINE_BYTES_MAX);
    let (job, mut step) = (job(), log.step(1));
    let reader = tokio::spawn(async move {
        let mut chunks: Vec<LogChunk> = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            chunks.push(chunk);
        }
        chunks
    });
    let mut output = StepOutput::new(&mut step, |line, log| log.line(&line.text));
    let ended = job
        .run(&bash(script), &Stop::default(), &mut output)
        .await
        .unwrap();
    job.end().await;
    let totals = log.totals();
    drop((step, log));
    let chunks = reader.await.unwrap();
    let mut next = 0;
    for chunk in &chunks {
        assert_eq!(chunk.first_line, next, "no gap and no overlap");
        assert!(chunk.text.ends_with('\n'));
        next += chunk.text.lines().count() as u64;
    }
    assert_eq!(totals, (next, chunks.iter().map(|c| c.text.len() as u64).sum()));
    (ended, chunks)
}

fn text(chunks: &[LogChunk]) -> String {
    chunks.iter().map(|c| c.text.as_str()).collect()
}

#[tokio::test]
async fn a_million_lines_come_in_order() {
    let (ended, chunks) = logged(
        "seq 1000000; echo -n 'the word is hunter2 without end'",
        "hunter2",
    )
    .await;
    assert!(ended.status.success());
    let text = text(&chunks);
    let mut lines = text.lines();
    assert!((1..=1_000_000).all(|n| lines.next().is_some_and(|l| l.parse() == Ok(n))));
    assert_eq!(lines.next(), Some("the word is *** without end"));
    assert_eq!(lines.next(), None);
    assert!(chunks.len() < 5_000, "{} chunks", chunks.len());
}

#[tokio::test]
async fn a_line_of_50_megabytes_is_one_line() {
    let (_, chunks) = logged(
        "echo begin; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo end",
        "",
    )
    .await;
    let text = text(&chunks);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.iter().map(|l| l.len()).collect::<Vec<_>>(),
        [5, 50_000_000, 3]
    );
}

#[tokio::test]
async fn binary_output_is_text_in_the_log() {
    let (_, chunks) = logged(
        "printf 'a\\xff\\0b\\n\\xc3'; printf '\\xa4\\r\\n'; printf 'x\\xc3'",
        "",
    )
    .await;
    assert_eq!(text(&chunks), "a\u{fffd}\0b\nä\nx\u{fffd}\n");
}

#[tokio::test]
async fn a_receiver_that_is_slow_slows_the_step_and_loses_nothing() {
    let (sender, mut receiver) = mpsc::channel::<LogChunk>(1);
    let log = JobLog::new(Arc::new(Masker::new()), sender, LOCAL_LINE_BYTES_MAX);
    let (job, mut step) = (job(), log.step(1));
    let mut output = StepOutput::new(&mut step, |line, log| log.line(&line.text));
    let (program, stop) = (bash("seq 300000"), Stop::default());
    let slow = async {
        let mut bytes = 0;
        while let Some(chunk) = receiver.recv().await {
            assert!(chunk.text.len() < 1024 * 1024);
            bytes += chunk.text.len();
            tokio::time::sleep(Duration::from_millis(5)).await;
            if bytes == 1_988_895 {
                break;
            }
        }
        bytes
    };
    let (ended, bytes) = tokio::join!(job.run(&program, &stop, &mut output), slow);
    assert_eq!((ended.unwrap().status.code(), bytes), (0, 1_988_895));
    assert!(receiver.try_recv().is_err());
    drop(receiver);
    let mut output = StepOutput::new(&mut step, |line, log| log.line(&line.text));
    let error = job
        .run(&bash("while :; do echo x; done"), &Stop::default(), &mut output)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the log's receiver is gone");
    job.end().await;
}

#[tokio::test]
async fn jobs_side_by_side_do_not_disturb_each_other() {
    let mut jobs = JoinSet::new();
    for number in 0..8 {
        jobs.spawn(async move {
            let job = job();
            for step in 0..10 {
                let script = format!("sleep 1000 >/dev/null 2>&1 & echo $!; (exit {})", step % 3);
                let (ended, pid) = run(&job, &bash(&script)).await;
                assert_eq!(ended.status.code(), step % 3, "job {number} step {step}");
                assert!(alive(&pid));
            }
            let left = job.end().await;
            assert_eq!(left.len(), 10);
        });
    }
    while let Some(result) = jobs.join_next().await {
        result.unwrap();
    }
}

#[tokio::test]
async fn strays_of_a_dead_runner_are_found_by_their_marker() {
    let marked = |id: &str| {
        let mut command = std::process::Command::new("/bin/sh");
        let mut child = command
            .args(["-c", "echo runs; read never"])
            .env_clear()
            .env("A", "b")
            .env(TRACKING_VARIABLE, id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Before that the kernel may not show its environment.
        let mut said = [0; 4];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"runs");
        child
    };
    let prefix = format!("dead_{}_", std::process::id());
    let (mut stray, mut other) = (marked(&format!("{prefix}7_1")), marked("alive_7_1"));
    let left = kill_marked(&prefix).await;
    assert_eq!(
        left.iter()
            .map(|l| (l.pid.unsigned_abs(), l.killed))
            .collect::<Vec<_>>(),
        [(stray.id(), true)]
    );
    assert!(stray.wait().unwrap().code().is_none());
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(Path::new("/proc/self").exists());
}
