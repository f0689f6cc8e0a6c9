//! What tests and the demo share. [`load`] is a client that counts what an update loses: it sends at a constant rate,
//! whatever the answers do, gives each request an id of its own, and never retries. [`browser`] drives a real Chromium.

pub mod browser;
pub mod load;
