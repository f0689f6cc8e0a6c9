//! What `pilotage` does for the local target, and nothing else:
//! `keep DIR`, and `before DIR KEY LINE`, which is a control plane that may be killed while a migration runs.

use pilotage_deploy::Local;
use pilotage_deploy::once::Command;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["keep", dir] => pilotage_keep::run(Path::new(dir)).is_ok(),
        ["before", dir, key, line] => before(Path::new(dir), key, line),
        _ => false,
    };
    if done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn before(dir: &Path, key: &str, line: &str) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return false;
    };
    let Ok(local) = Local::new(dir, Path::new("/nowhere")) else {
        return false;
    };
    let within = Duration::from_secs(20);
    let command = Command {
        line: line.to_owned(),
        folder: PathBuf::new(),
        env: Vec::new(),
        within,
    };
    runtime
        .block_on(local.run_before(key, "sha256:feed", command))
        .is_ok()
}
