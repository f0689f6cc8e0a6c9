//! Measures what the engine adds to empty `run` steps: `cargo run --release -p pilotage-runner --example steps [N]`.
//!
//! Runs one job of N steps `true`, and N times the same shell by hand; prints both and their difference.

use pilotage_api::runner::JobSpec;
use pilotage_runner::isolation::ChildRules;
use pilotage_runner::job::{CheckoutSource, Dirs, JobHost, execute};
use pilotage_runner::process::Ladder;
use pilotage_runner::services::{Local, Services};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let steps: u32 = std::env::args().nth(1).map_or(Ok(200), |n| n.parse())?;
    let root = std::env::temp_dir().join(format!("pilotage-steps-{}", std::process::id()));
    let (ours, bare) = (job(&root, steps).await?, shells(&root, steps)?);
    std::fs::remove_dir_all(&root)?;
    let (p50, p95) = (at(&ours, 50), at(&ours, 95));
    let (bare50, bare95) = (at(&bare, 50), at(&bare, 95));
    let mut text = String::new();
    writeln!(text, "step       p50 {p50:>8.2?}  p95 {p95:>8.2?}")?;
    writeln!(text, "bash -e    p50 {bare50:>8.2?}  p95 {bare95:>8.2?}")?;
    writeln!(
        text,
        "overhead   p50 {:>8.2?}  p95 {:>8.2?}",
        p50.saturating_sub(bare50),
        p95.saturating_sub(bare95)
    )?;
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?;
    Ok(())
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted
        .get(sorted.len() * percent / 100)
        .copied()
        .unwrap_or_default()
}

/// The time from one step's end to the next one's.
async fn job(root: &Path, steps: u32) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    for name in ["workspace", "temp", "home", "tools"] {
        std::fs::create_dir_all(root.join(name))?;
    }
    let mut workflow = "on: push\njobs:\n  test:\n    runs-on: x\n    steps:\n".to_owned();
    for _ in 0..steps {
        workflow.push_str("      - run: 'true'\n");
    }
    let (events, mut receiver) = mpsc::channel(64);
    let at = |name: &str| root.join(name);
    let host = JobHost {
        dirs: Dirs {
            workspace: at("workspace"),
            temp: at("temp"),
            home: at("home"),
            tool_cache: at("tools"),
        },
        events,
        cancel: CancellationToken::new(),
        kill: CancellationToken::new(),
        services: Services::Local(Local::new(at("artifacts"), at("caches"))),
        checkout: CheckoutSource::WorkingDirectory(root.to_owned()),
        rules: Arc::new(ChildRules::default()),
        private: Vec::new(),
        tracking_id: format!("steps-{}", std::process::id()),
        ladder: Ladder::default(),
        runner_name: "steps".into(),
        runner_environment: "self-hosted".into(),
        actions_from: Vec::new(),
        server_url: String::new(),
        token: None,
        env: Vec::new(),
        line_bytes_max: 1 << 20,
    };
    let spec = JobSpec {
        run_id: 1,
        run_attempt: 1,
        job_id: 1,
        name: "test".into(),
        workflow_path: "steps.yml".into(),
        workflow_text: workflow,
        job_key: "test".into(),
        contexts: serde_json::Map::new(),
        secrets: std::collections::BTreeMap::new(),
        reason: String::new(),
    };
    let job = tokio::spawn(execute(spec, host));
    let mut times = Vec::new();
    let mut last = None;
    while let Some(event) = receiver.recv().await {
        if let pilotage_runner::event::JobEvent::Report(pilotage_api::runner::Report::StepFinished {
            ..
        }) = event
        {
            let now = Instant::now();
            times.extend(last.map(|last| now - last));
            last = Some(now);
        }
    }
    job.await?;
    times.sort();
    Ok(times)
}

fn shells(root: &Path, steps: u32) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(root)?;
    let script = root.join("true.sh");
    std::fs::write(&script, "true")?;
    let mut times = Vec::new();
    for _ in 0..steps {
        let began = Instant::now();
        std::process::Command::new("bash")
            .arg("-e")
            .arg(&script)
            .output()?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times)
}
