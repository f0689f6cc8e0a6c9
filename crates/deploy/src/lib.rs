//! Targets: makes what a deployment decided stand, and proves it.
//!
//! [`Local`] is the target of this machine: releases unpacked once, replicas under keepers, a proxy before them.
//! Every call first looks at what stands and then moves it towards what should stand, so that a call may be
//! repeated after any crash. It decides nothing: which release, how many replicas and which shares is the
//! engine's, and it never answers "done" for what it has not seen.
//!
//! Where to find what: [`release`] unpacks and prepares, [`replica`] places, starts, finds and stops, [`probe`] and
//! [`verify`] judge from outside, [`proxy`] speaks with the proxy, [`once`] runs what must run once (migrations),
//! [`logs`] reads what replicas write, [`usage`] what they take, [`retention`] removes what nothing needs.

mod archive;
mod error;
pub mod http;
mod local;
pub mod logs;
pub mod once;
mod port;
pub mod probe;
pub mod proxy;
pub mod release;
pub mod replica;
pub mod retention;
pub mod usage;
pub mod verify;

pub use error::DeployError;
pub use local::Local;
