//! The access log: a line a request, gathered by each core and written together, renamed when it grows too large.
//!
//! `TIME CLIENT METHOD PATH STATUS SERVICE REVISION REPLICA BYTES MICROSECONDS`, apart by spaces, `-` for nothing.
//! A query may hold secrets, so it is left out. A full disk costs lines, never a request.

use crate::exchange::Exchange;
use crate::seat::{lock, micros, now_us};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The file, shared by all cores.
pub(crate) struct AccessLog {
    path: PathBuf,
    limit: u64,
    file: Mutex<Open>,
}

struct Open {
    file: File,
    bytes: u64,
    failed: bool,
}

impl AccessLog {
    pub(crate) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            limit,
            file: Mutex::new(Open::at(path)?),
        })
    }

    /// Writes whole lines. Called every 32 KiB and a few times a second, so its lock is no one's wait.
    fn write(&self, lines: &[u8]) {
        let mut open = lock(&self.file);
        let result = open.file.write_all(lines);
        open.bytes += lines.len() as u64;
        if open.bytes >= self.limit && fs::rename(&self.path, self.path.with_extension("log.1")).is_ok() {
            match Open::at(&self.path) {
                Ok(fresh) => *open = fresh,
                Err(error) => tracing::error!(%error, "cannot begin a new access log"),
            }
        }
        match result {
            Err(error) if !open.failed => {
                tracing::error!(%error, "cannot write the access log");
                open.failed = true;
            }
            Err(_) => (),
            Ok(()) => open.failed = false,
        }
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            file,
            bytes,
            failed: false,
        })
    }
}

/// One core's lines that are not written yet.
#[derive(Default)]
pub(crate) struct Lines {
    text: Vec<u8>,
    /// The second that `stamp` shows.
    second: u64,
    stamp: String,
}

const GATHER: usize = 32 << 10;

impl Lines {
    pub(crate) fn add(&mut self, exchange: &Exchange, log: &AccessLog) {
        let now = now_us();
        if now / 1_000_000 != self.second {
            self.second = now / 1_000_000;
            self.stamp = stamp(self.second);
        }
        let text = &mut self.text;
        text.extend_from_slice(self.stamp.as_bytes());
        // The fraction has six digits: a leading one is written and taken away.
        let dot = text.len();
        number(text, 1_000_000 + now % 1_000_000);
        if let Some(first) = text.get_mut(dot) {
            *first = b'.';
        }
        text.extend_from_slice(b"Z ");
        text.extend_from_slice(exchange.client());
        text.push(b' ');
        text.extend_from_slice(exchange.method.as_str().as_bytes());
        text.push(b' ');
        text.extend_from_slice(exchange.uri.path().as_bytes());
        text.push(b' ');
        number(text, u64::from(exchange.status));
        match exchange.flight() {
            Some(flight) => {
                let replica = flight.endpoint().map_or("-", |endpoint| &endpoint.id);
                for word in [&*flight.seat().service, &*flight.seat().revision, replica] {
                    text.push(b' ');
                    text.extend_from_slice(word.as_bytes());
                }
            }
            None => text.extend_from_slice(b" - - -"),
        }
        text.push(b' ');
        number(text, exchange.bytes);
        text.push(b' ');
        number(text, micros(exchange.started.elapsed()));
        text.push(b'\n');
        if text.len() >= GATHER {
            self.flush(log);
        }
    }

    pub(crate) fn flush(&mut self, log: &AccessLog) {
        if !self.text.is_empty() {
            log.write(&self.text);
            self.text.clear();
        }
    }
}

fn number(text: &mut Vec<u8>, mut n: u64) {
    let start = text.len();
    loop {
        text.push(b'0' + (n % 10) as u8);
        n /= 10;
        if n == 0 {
            break;
        }
    }
    if let Some(digits) = text.get_mut(start..) {
        digits.reverse();
    }
}

/// `2026-11-25T02:00:00`, by the civil calendar (H. Hinnant's days_from_civil, the other way round).
fn stamp(second: u64) -> String {
    let (day, rest) = (second / 86_400 + 719_468, second % 86_400);
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_by_the_calendar() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00");
        assert_eq!(stamp(951_827_696), "2000-02-29T12:34:56");
        assert_eq!(stamp(1_795_572_000), "2026-11-25T02:00:00");
        assert_eq!(stamp(1_798_761_599), "2026-12-31T23:59:59");
    }

    #[test]
    fn numbers_are_decimal() {
        let mut text = Vec::new();
        for n in [0, 7, 10, 12_345, u64::MAX] {
            number(&mut text, n);
            text.push(b' ');
        }
        assert_eq!(text, b"0 7 10 12345 18446744073709551615 ");
    }

    #[test]
    fn a_log_that_grows_too_large_is_renamed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access.log");
        let log = AccessLog::open(&path, 20).expect("opened");
        for line in ["first line\n", "second line\n", "third line\n"] {
            log.write(line.as_bytes());
        }
        let read = |path: &Path| fs::read_to_string(path).expect("there");
        assert_eq!(read(&path), "third line\n");
        assert_eq!(
            read(&directory.path().join("access.log.1")),
            "first line\nsecond line\n"
        );
    }
}
