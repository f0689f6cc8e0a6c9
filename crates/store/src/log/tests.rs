use super::*;

fn piece(step: u32, first_line: u64, text: &str) -> LogPiece {
    LogPiece {
        step,
        first_line,
        at_ms: 5,
        text: text.to_owned(),
    }
}

async fn all(logs: &Logs, step: Option<u32>, from: u64) -> String {
    let (mut text, mut line) = (String::new(), from);
    loop {
        let (pieces, next) = logs.read(1, step, line).await.unwrap();
        pieces.iter().for_each(|piece| text.push_str(&piece.text));
        if next == line {
            return text;
        }
        line = next;
    }
}

/// A log of three steps, 300 lines each, some of them long.
async fn fill(logs: &Logs) -> Vec<String> {
    let lines: Vec<String> = (0..900)
        .map(|n| format!("line {n} {}\n", "x".repeat(n * 7 % 3000)))
        .collect();
    for (at, part) in lines.chunks(100).enumerate() {
        let step = u32::try_from(at / 3).unwrap() + 1;
        let next = logs
            .append(1, piece(step, at as u64 * 100, &part.concat()))
            .await
            .unwrap();
        assert_eq!(next, (at as u64 + 1) * 100);
    }
    lines
}

#[tokio::test]
async fn lines_come_back_live_after_a_restart_and_from_the_archive() {
    let directory = tempfile::tempdir().unwrap();
    let mut logs = Logs::open(directory.path(), u64::MAX).unwrap();
    let lines = fill(&logs).await;
    for stage in ["live", "reopened", "archived"] {
        assert_eq!(logs.state(1).await.unwrap().lines, 900, "{stage}");
        for from in [0, 1, 99, 100, 455, 899, 900, 5000] {
            assert_eq!(
                all(&logs, None, from).await,
                lines[900.min(usize::try_from(from).unwrap())..].concat(),
                "{stage} {from}"
            );
        }
        assert_eq!(all(&logs, Some(2), 0).await, lines[300..600].concat(), "{stage}");
        assert_eq!(
            all(&logs, Some(2), 350).await,
            lines[350..600].concat(),
            "{stage}"
        );
        assert_eq!(all(&logs, Some(9), 0).await, "", "{stage}");
        logs = Logs::open(directory.path(), u64::MAX).unwrap();
        if stage == "reopened" {
            logs.archive(1).await.unwrap();
            logs.archive(1).await.unwrap();
            assert!(matches!(
                logs.append(1, piece(1, 900, "late\n")).await,
                Err(StoreError::Closed)
            ));
        }
    }
    assert!(logs.state(1).await.unwrap().ended);
    assert!(logs.remove(1).unwrap() > 0);
    assert_eq!(logs.state(1).await.unwrap().lines, 0);
}

#[tokio::test]
async fn gaps_are_refused_and_repeats_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let logs = Logs::open(directory.path(), 20).unwrap();
    assert_eq!(logs.append(1, piece(1, 0, "a\nb\n")).await.unwrap(), 2);
    assert_eq!(logs.append(1, piece(1, 0, "a\nb\n")).await.unwrap(), 2);
    assert_eq!(logs.append(1, piece(1, 1, "b\nc\n")).await.unwrap(), 3);
    assert!(matches!(
        logs.append(1, piece(1, 4, "e\n")).await,
        Err(StoreError::Gap { next: 3, got: 4, .. })
    ));
    assert!(matches!(
        logs.append(1, piece(1, 3, "this is too long\n")).await,
        Err(StoreError::LogFull { .. })
    ));
    assert_eq!(all(&logs, None, 0).await, "a\nb\nc\n");
}

#[tokio::test]
async fn a_torn_end_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let logs = Logs::open(directory.path(), u64::MAX).unwrap();
    logs.append(1, piece(1, 0, "a\nb\n")).await.unwrap();
    let path = directory.path().join("active/1.log");
    let whole = std::fs::read(&path).unwrap();
    logs.append(1, piece(1, 2, "c\n")).await.unwrap();
    let longer = std::fs::read(&path).unwrap();
    for length in whole.len()..longer.len() {
        std::fs::write(&path, &longer[..length]).unwrap();
        let logs = Logs::open(directory.path(), u64::MAX).unwrap();
        assert_eq!(
            logs.append(1, piece(2, 2, "d\n")).await.unwrap(),
            3,
            "cut at {length}"
        );
        assert_eq!(all(&logs, None, 0).await, "a\nb\nd\n");
    }
    let mut damaged = longer.clone();
    *damaged.last_mut().unwrap() = 0;
    damaged[longer.len() - 2] = 0;
    std::fs::write(&path, &damaged).unwrap();
    let logs = Logs::open(directory.path(), u64::MAX).unwrap();
    assert_eq!(logs.state(1).await.unwrap().lines, 2);
    assert_eq!(all(&logs, None, 0).await, "a\nb\n");
}

#[tokio::test]
async fn followers_see_every_line_and_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let logs = Arc::new(Logs::open(directory.path(), u64::MAX).unwrap());
    let follower = tokio::spawn({
        let logs = Arc::clone(&logs);
        let mut state = logs.watch_new(1).unwrap();
        async move {
            let (mut text, mut line) = (String::new(), 0);
            loop {
                let seen = *state.borrow_and_update();
                while line < seen.lines {
                    let (pieces, next) = logs.read(1, None, line).await.unwrap();
                    pieces.iter().for_each(|piece| text.push_str(&piece.text));
                    line = next;
                }
                if seen.ended {
                    return text;
                }
                state.changed().await.unwrap();
            }
        }
    });
    let lines = fill(&logs).await;
    logs.archive(1).await.unwrap();
    assert_eq!(follower.await.unwrap(), lines.concat());
}

#[tokio::test]
async fn many_writers_share_their_syncs_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let logs = Arc::new(Logs::open(directory.path(), u64::MAX).unwrap());
    let writers: Vec<_> = (0..20)
        .map(|job| {
            let logs = Arc::clone(&logs);
            tokio::spawn(async move {
                for line in 0..20 {
                    assert_eq!(
                        logs.append(job, piece(1, line, &format!("{line}\n")))
                            .await
                            .unwrap(),
                        line + 1
                    );
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(logs.state(19).await.unwrap().lines, 20);
}
