//! Measures a step's output on its way to the log: `cargo run --release -p pilotage-runner --example log [MEGABYTES]`.
//!
//! A real program writes lines into the step's pipe; they are cut, read for commands, masked against five secrets,
//! numbered, and counted by the receiver.

use pilotage_runner::command::Commands;
use pilotage_runner::isolation::ChildRules;
use pilotage_runner::log::{JobLog, REMOTE_LINE_BYTES_MAX};
use pilotage_runner::process::{JobProcesses, Ladder, Program, StepOutput, Stop};
use pilotage_trust::mask::Masker;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let megabytes: u64 = std::env::args().nth(1).map_or(Ok(200), |n| n.parse())?;
    let masker = Arc::new(Masker::new());
    for number in 0..5 {
        masker.add(&format!("s3cr3t/{number}-Zq8&x'\"k2-wVtR41pLmN"));
    }
    let (log, mut receiver) = JobLog::channel(masker, REMOTE_LINE_BYTES_MAX);
    let reader = tokio::spawn(async move {
        let (mut bytes, mut chunks) = (0, 0u64);
        while let Some(chunk) = receiver.recv().await {
            bytes += chunk.text.len() as u64;
            chunks += 1;
        }
        (bytes, chunks)
    });
    let line =
        "2026-11-25T02:03:04.5678Z   Compiling pilotage-trust v0.1.0 (crates/trust), 12 of 345 units done";
    let program = Program {
        path: "/bin/sh".into(),
        args: vec![
            "-c".into(),
            format!("yes '{line}' | head -c {megabytes}000000").into(),
        ],
        env: vec![("PATH".into(), pilotage_runner::shell::DEFAULT_PATH.into())],
        cwd: "/".into(),
        timeout: None,
        ladder: Ladder::default(),
    };
    let job = JobProcesses::new("measure", Arc::new(ChildRules::default()));
    let (mut step, mut commands) = (log.step(1), Commands::new(1));
    let started = Instant::now();
    let mut output = StepOutput::new(&mut step, |line, log| {
        if let Some(print) = commands.line(&line.text).print {
            log.line(&print);
        }
    });
    job.run(&program, &Stop::default(), &mut output).await?;
    job.end().await;
    drop((step, log));
    let (bytes, chunks) = reader.await?;
    let rate = bytes as f64 / 1e6 / started.elapsed().as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{bytes} bytes in {chunks} chunks: {rate:.0} MB/s"
    )?;
    Ok(())
}
