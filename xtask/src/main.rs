//! Checks of the project itself. `cargo xtask tidy` repeats what a reviewer would; `cargo xtask mutants` proves that
//! the simulations can fail.

mod mutants;
mod tidy;

use std::process::ExitCode;

#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the edge of a development tool"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["tidy"] => tidy::run(),
        ["mutants", names @ ..] => mutants::run(names),
        _ => Err(vec!["use: cargo xtask tidy | mutants [NAME...]".to_owned()]),
    };
    match outcome {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            eprintln!("{} to put right", faults.len());
            ExitCode::FAILURE
        }
    }
}
