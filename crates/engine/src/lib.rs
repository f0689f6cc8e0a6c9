//! Every decision that must survive a restart, as pure machines.
//!
//! A machine takes events and gives effects: `handle(now, event) -> effects`, with its only timer in
//! `deadline()`. Nothing here reads a clock, draws a random number, touches a file, a socket or a thread; whoever
//! drives a machine stores its state and its effects in one transaction and performs the effects afterwards.

pub mod concurrency;
pub mod deployment;
pub mod ids;
pub mod lease;
pub mod policy;
pub mod queue;
pub mod run;
pub mod time;
