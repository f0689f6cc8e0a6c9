//! What a server is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Config {
    /// Everything that the server keeps lies here.
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// Where people and programs reach it, if that is not the address it listens on.
    pub url: Option<String>,
    /// Slots of the runner that the server starts for itself; 0 for no runner.
    pub runner_slots: u32,
    pub retention: Retention,
}

/// How long things are kept, unless something needs them.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Runs with their logs, in days after their end.
    pub run_days: u32,
    /// Caches that nobody used for so many days.
    pub cache_days: u32,
    /// All caches of a project together, in bytes; the longest unused go first.
    pub cache_bytes_max: u64,
}

impl Default for Retention {
    /// As on GitHub: 90 days, 7 days, 10 GB.
    fn default() -> Self {
        Self {
            run_days: 90,
            cache_days: 7,
            cache_bytes_max: 10 * 1024 * 1024 * 1024,
        }
    }
}

impl Config {
    /// A server on loopback with a runner of two slots.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            url: None,
            runner_slots: 2,
            retention: Retention::default(),
        }
    }
}
