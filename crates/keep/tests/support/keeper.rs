#![allow(clippy::print_stderr)]
//! `keeper-for-tests keep DIR`: what `pilotage keep DIR` does, and nothing else.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let dir = std::env::args().nth(2).unwrap_or_default();
    match pilotage_keep::run(Path::new(&dir)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error)
                .map(|e| format!(": {e}"))
                .unwrap_or_default();
            eprintln!("{error}{cause}");
            ExitCode::FAILURE
        }
    }
}
