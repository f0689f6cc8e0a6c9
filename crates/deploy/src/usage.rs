//! What processes take of the machine, as the kernel tells it. Each kept process leads a session of its own, so what it
//! started counts as well.

use crate::error::{DeployError, blocking};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The kernel's clock tick in `/proc`, on every Linux that we run on.
const TICK_US: u64 = 10_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since the beginning.
    pub cpu_us: u64,
    /// Resident now.
    pub memory_bytes: u64,
}

/// Of each of these sessions, by the process that leads it; what is not there is left out.
///
/// # Errors
/// When `/proc` cannot be read.
pub async fn usage(sessions: Vec<i32>) -> Result<HashMap<i32, Usage>, DeployError> {
    blocking(move || {
        let mut found: HashMap<i32, Usage> = HashMap::new();
        for entry in fs::read_dir("/proc")
            .map_err(DeployError::path("read", Path::new("/proc")))?
            .flatten()
        {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            let Some((session, cpu_us)) =
                session_and_time(&stat).filter(|(session, _)| sessions.contains(session))
            else {
                continue;
            };
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let usage = found.entry(session).or_default();
            usage.cpu_us += cpu_us;
            usage.memory_bytes += resident_bytes(&status);
        }
        Ok(found)
    })
    .await
}

/// Of a line of `/proc/PID/stat`: the session, and the time that it and its ended children took.
fn session_and_time(stat: &str) -> Option<(i32, u64)> {
    // The program's name, in parentheses, may have anything in it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let session = fields.get(3)?.parse().ok()?;
    let mut ticks = 0_u64;
    for field in fields.get(11..15)? {
        ticks = ticks.saturating_add(field.parse().ok()?);
    }
    Some((session, ticks.saturating_mul(TICK_US)))
}

fn resident_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok())
        .unwrap_or(0)
        .saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_program_is_called() {
        let stat = "42 (a) b (c) S 1 42 40 0 -1 4194304 1 2 3 4 150 50 7 3 20 0 1 0 99 1 2";
        assert_eq!(session_and_time(stat), Some((40, 2_100_000)));
        assert_eq!(session_and_time("42 (short) S 1 42"), None);
        assert_eq!(session_and_time(""), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    1200 kB\n"), 1_228_800);
        assert_eq!(resident_bytes("Name:\tx\n"), 0);
    }

    #[tokio::test]
    async fn a_process_and_what_it_started_count_together() {
        let own = nix::unistd::getsid(None).unwrap().as_raw();
        let found = usage(vec![own, i32::MAX]).await.unwrap();
        assert!(
            found.get(&own).is_some_and(|usage| usage.memory_bytes > 1 << 20),
            "{found:?}"
        );
        assert_eq!(found.len(), 1);
    }
}
