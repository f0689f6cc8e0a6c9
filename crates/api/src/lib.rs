//! Wire types between Pilotage's own processes and to its clients.
//!
//! Plain data with serde; no I/O but in the typed client (feature `client`). A field may be added, never renamed: an
//! older process may be on the other side.

#[cfg(feature = "client")]
pub mod client;
pub mod deployment;
pub mod lease;
pub mod proxy;
pub mod rest;
pub mod runner;
pub mod services;
pub mod times;
