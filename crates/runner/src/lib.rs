//! Executes jobs: leases, steps, processes, isolation, actions, logs.

mod action;
pub mod agent;
pub mod archive;
mod base64;
pub mod builtin;
pub mod command;
mod contexts;
mod coverage;
pub mod event;
pub mod files;
pub mod glob;
pub mod hash_files;
pub mod isolation;
pub mod job;
pub mod log;
pub mod matcher;
pub mod process;
mod program;
pub mod reach;
pub mod services;
pub mod shell;
mod step;
mod version;
pub mod workspace;
