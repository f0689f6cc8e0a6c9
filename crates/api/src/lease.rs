//! What a runner and the server say to each other: `/api/runner/v1`.
//!
//! Every call carries the runner's token (`Authorization: Bearer …`); the runner's identity comes from it alone.
//! A lease is named by its job and its fence, both in the path: [`Lease::path`]. What an older holder says is
//! answered with 409, and whoever gets a 409 kills the job's processes and forgets the lease.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST register` | [`Register`] | [`Registered`] |
//! | `POST lease` | [`LeaseRequest`] | [`LeaseAnswer`], held up to `wait_ms` while there is nothing to do |
//! | `POST leases/JOB/FENCE/ack` | – | 204; without it the lease ends after `ack_ms`, before the job began |
//! | `POST leases/JOB/FENCE/renew` | [`Renew`] | [`Renewed`]; renews at once, answers after `wait_ms` or on a cancel |
//! | `POST leases/JOB/FENCE/reports` | [`Reports`] | [`Next`] |
//! | `POST leases/JOB/FENCE/log` | log frames, see [`LogHeader`] | [`Next`], after the lines are on disk |
//! | `POST leases/JOB/FENCE/result` | [`crate::runner::JobResult`] | [`ResultAnswer`]; may be repeated |
//!
//! Calls may be repeated after a broken connection: what was taken already is taken once.
//! 401 means that the token is not (or no longer) good, 503 that the server is going down: try again later.

use crate::runner::{JobSpec, LogChunk, Report};
use serde::{Deserialize, Serialize};

/// The prefix of every path here.
pub const PREFIX: &str = "/api/runner/v1";
/// The version of these words that this file describes; a server refuses one that it does not know (400).
pub const PROTOCOL: u32 = 1;
/// The longest body of a `log` call, in bytes.
pub const LOG_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The longest header line of a log frame, in bytes.
pub const LOG_HEADER_BYTES_MAX: usize = 512;

/// A runner says that it is there, at its start and whenever it gets a 404 from `lease`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    pub protocol: u32,
    /// Shown to people; kept over restarts. One runner of a name and token: a later one takes its place.
    pub name: String,
    /// New at each start of the process. Leases of an earlier instance of the same runner end at once as lost.
    pub instance: String,
    /// What `runs-on` may ask for.
    pub labels: Vec<String>,
    pub slots: u32,
    /// Of the program.
    pub version: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registered {
    pub runner: i64,
    /// A lease ends this long after its last renewal.
    pub lease_ms: u64,
    /// Renew at least this often.
    pub renew_ms: u64,
    /// Acknowledge a lease within this time, before anything of the job is begun.
    pub ack_ms: u64,
}

/// A free slot asks for a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaseRequest {
    pub runner: i64,
    pub instance: String,
    pub slot: u32,
    /// How long the server may hold the call; it shortens what is too long.
    pub wait_ms: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LeaseAnswer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Box<Lease>>,
    /// Finish what runs and ask for nothing more.
    #[serde(default)]
    pub drain: bool,
}

/// The right to execute one attempt of one job, until it runs out.
#[derive(Clone, Serialize, Deserialize)]
pub struct Lease {
    pub job: i64,
    /// Rises with each lease that is given out.
    pub fence: u64,
    pub spec: JobSpec,
    /// For this job alone: git (read only, this project), artifacts, caches, deployments. It dies with the lease.
    pub token: String,
    /// Below the server's address: `/owner/name.git`.
    pub git_path: String,
}

impl Lease {
    /// `/api/runner/v1/leases/JOB/FENCE/CALL`.
    #[must_use]
    pub fn path(&self, call: &str) -> String {
        format!("{PREFIX}/leases/{}/{}/{call}", self.job, self.fence)
    }
}

impl std::fmt::Debug for Lease {
    /// Without the token and the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (job, fence, name) = (self.job, self.fence, &self.spec.name);
        f.debug_struct("Lease")
            .field("job", &job)
            .field("fence", &fence)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Renew {
    /// The lease is renewed when the call arrives; the answer may wait this long for a cancel to tell of.
    pub wait_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Renewed {
    /// How long the lease is good from now on.
    pub lease_ms: u64,
    /// The job is to be cancelled: its steps end as GitHub's would, `always()` steps run, then the result is sent.
    #[serde(default)]
    pub cancel: bool,
    /// Why, for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Reports in order. A repeated one is taken once, a gap is refused (400).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reports {
    /// The number of the first of them; the job's first report is 0.
    pub first: u64,
    pub reports: Vec<Report>,
}

/// The number of the report, or of the log's line, that the server wants next. What is below it may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    pub next: u64,
}

/// The result was taken. The lease is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultAnswer {
    /// The lines (from, up to and not with) that the result counts and that never came; none when the log is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<(u64, u64)>,
}

/// The head of one frame of a `log` body: this as JSON, `\n`, then `bytes` bytes of whole lines. Frames follow one
/// another until the body ends. Text travels as it is, not as JSON, because it may be hundreds of megabytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHeader {
    pub step: u32,
    pub first_line: u64,
    pub at_ms: i64,
    pub bytes: usize,
}

/// Why a `log` body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrame {
    pub reason: &'static str,
}

impl std::fmt::Display for BadFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for BadFrame {}

/// Adds a frame to the body of a `log` call. The chunk's text holds whole lines.
pub fn write_frame(body: &mut Vec<u8>, chunk: &LogChunk) {
    let header = LogHeader {
        step: chunk.step,
        first_line: chunk.first_line,
        at_ms: chunk.at_ms,
        bytes: chunk.text.len(),
    };
    // Numbers only: this cannot fail, and an empty header would be refused by the reader.
    body.extend_from_slice(&serde_json::to_vec(&header).unwrap_or_default());
    body.push(b'\n');
    body.extend_from_slice(chunk.text.as_bytes());
}

/// Takes the first frame off the body of a `log` call: its head and its text, which is UTF-8 and ends with `\n`.
pub fn read_frame<'a>(body: &mut &'a [u8]) -> Result<(LogHeader, &'a str), BadFrame> {
    let head_end = body.iter().take(LOG_HEADER_BYTES_MAX).position(|b| *b == b'\n');
    let (head, rest) = head_end
        .and_then(|at| body.split_at_checked(at))
        .ok_or(BadFrame {
            reason: "a log frame has no head",
        })?;
    let header: LogHeader = serde_json::from_slice(head).map_err(|_| BadFrame {
        reason: "a log frame's head is not valid",
    })?;
    let rest = rest.get(1..).unwrap_or_default();
    let (text, rest) = rest.split_at_checked(header.bytes).ok_or(BadFrame {
        reason: "a log frame is cut short",
    })?;
    let text = std::str::from_utf8(text).map_err(|_| BadFrame {
        reason: "a log frame's text is no UTF-8",
    })?;
    if !text.ends_with('\n') {
        return Err(BadFrame {
            reason: "a log frame does not end with a whole line",
        });
    }
    *body = rest;
    Ok((header, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let chunk = |first_line, text: &str| LogChunk {
            step: 2,
            first_line,
            at_ms: 17,
            text: text.to_owned(),
        };
        let mut body = Vec::new();
        write_frame(&mut body, &chunk(0, "a\nü{\"b\"}\n"));
        write_frame(&mut body, &chunk(2, "\n"));
        let mut rest = body.as_slice();
        let (head, text) = read_frame(&mut rest).expect("first frame");
        assert_eq!(
            (head.step, head.first_line, head.at_ms, text),
            (2, 0, 17, "a\nü{\"b\"}\n")
        );
        let (head, text) = read_frame(&mut rest).expect("second frame");
        assert_eq!((head.first_line, text, rest.len()), (2, "\n", 0));
    }

    #[test]
    fn bad_frames_are_refused() {
        for body in [
            "",
            "x",
            "{}\n",
            "{\"step\":1,\"first_line\":0,\"at_ms\":0,\"bytes\":4}\na\n",
            "{\"step\":1,\"first_line\":0,\"at_ms\":0,\"bytes\":1}\na",
            "{\"step\":1,\"first_line\":0,\"at_ms\":0,\"bytes\":18446744073709551615}\na\n",
            "{\"step\":-1,\"first_line\":0,\"at_ms\":0,\"bytes\":2}\na\n",
        ] {
            assert!(read_frame(&mut body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
