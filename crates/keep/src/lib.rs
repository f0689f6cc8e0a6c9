//! The keeper: owns one process, its log, its restarts, and the proxy's listening sockets.
//!
//! A keeper is a process of its own (`pilotage keep DIR`) with one poll loop and nothing else: no threads, no
//! runtime, no HTTP. Everything it knows lies in its directory, so that a killed keeper loses nothing:
//!
//! | file | what |
//! |---|---|
//! | `spec` | what to run and how, written once before the first start ([`Spec`]) |
//! | `lock` | flock: one keeper per directory |
//! | `child` | pid, start time and digest of the kept process, written by that process itself before it executes |
//! | `out` | what the kept process writes; it writes straight into the file, so a dead keeper cannot hurt it |
//! | `exits` | how it ended, a line each |
//! | `listeners` | the addresses of the listening sockets that the keeper holds |
//! | `stopped` | stands while the process was asked to stop and must not be started again |
//! | `sock` | the control socket ([`client`]) |
//! | `keeper.log` | what the keeper itself has to say: faults only |
//!
//! A keeper must never start a second process beside one that lives, and must never decide what should run: it
//! is told by its directory and its socket.

pub mod client;
mod control;
mod error;
mod keeper;
mod listeners;
pub mod output;
mod process;
pub mod socket;
mod spec;
mod state;
mod sys;
mod text;

pub use error::KeepError;
pub use keeper::{Ended, run};
pub use process::Identity;
pub use spec::{Spec, SpecError};
pub use state::{Exit, ExitKind, State, Status};
