//! Executes jobs: leases, steps, processes, isolation, actions, logs.

pub mod command;
pub mod files;
pub mod isolation;
pub mod log;
pub mod process;
pub mod shell;
