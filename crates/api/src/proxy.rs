//! The proxy's route table and the words spoken on its control socket.
//!
//! The control socket takes one JSON [`Request`] a line and answers each with one JSON [`Response`] a line.
//! After [`Request::Watch`] the proxy writes an [`Event`] a line until the connection ends.

use crate::times::Times;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Shares are counted in parts of 10,000, so that they add up without rounding.
pub const WHOLE: u32 = 10_000;

/// One service of one environment: where it listens, what serves it. The unit that changes at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceTable {
    /// `owner/name/environment/service`.
    pub id: String,
    /// Rises with each change; an older or equal one is refused, an equal one with equal content is accepted again.
    pub epoch: u64,
    /// The address that listens for it, and the part of the address space it takes there.
    pub listen: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `/` or a prefix such as `/api`, matched at whole segments; the longest that fits wins.
    pub path: String,
    /// Prefix for assets that every kept revision is asked for (a 404 of one asks the next).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assets: Option<String>,
    pub revisions: Vec<RevisionTable>,
    /// Armed tests: which revision is judged against which, and the shares to return to when it loses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed: Option<Armed>,
    /// Requests are held (up to `hold_ms`, then 503) while no revision has a share, instead of refused at once.
    #[serde(default)]
    pub hold_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionTable {
    /// The revision's name, as in `PILOTAGE_REVISION`.
    pub revision: String,
    /// In parts of [`WHOLE`]; the shares of a service add up to it, or are all 0.
    pub share: u32,
    pub replicas: Vec<Replica>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub id: String,
    pub address: SocketAddr,
}

/// A replica's name everywhere: its keeper's folder, the route table, the answers' header. `parts` are owner,
/// project, environment, service and revision, `ordinal` counts from 1. Two replicas never share one: within a
/// part, a `-` stands only between other plain characters, everything else is escaped as in a URL.
#[must_use]
pub fn replica_name(parts: [&str; 5], ordinal: u32) -> String {
    let mut name = String::new();
    for part in parts {
        let bytes = part.as_bytes();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._".contains(&b);
        let plain_at = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|b| is_plain(*b));
        for (at, byte) in bytes.iter().enumerate() {
            let inner_dash = *byte == b'-' && plain_at(at.checked_sub(1)) && plain_at(Some(at + 1));
            if inner_dash || is_plain(*byte) && !(at == 0 && *byte == b'.') {
                name.push(char::from(*byte));
            } else {
                name.push_str(&format!("%{byte:02X}"));
            }
        }
        name.push_str("--");
    }
    name + &ordinal.to_string()
}

/// The guard, armed for one deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Armed {
    pub deployment: i64,
    /// The revision under judgement, and the one it is compared with (none at a first deployment).
    pub new: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// The guard's policy, in the form of `pilotage_guard::Policy`.
    pub policy: serde_json::Value,
    /// The shares to return to, by revision, when a test crosses.
    pub fallback: Vec<(String, u32)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Puts a service's table in force: written to disk (fsync) before the answer.
    Apply { table: Box<ServiceTable> },
    /// Takes a service out of the table.
    Remove { id: String, epoch: u64 },
    /// Everything the proxy knows of its services.
    Status,
    /// From here on: events, a line each, and no answer before them. Trips that nobody has acknowledged yet are repeated first.
    Watch,
    /// The trip was recorded; the proxy may forget it. The tripped revision stays refused for that deployment.
    AcknowledgeTrip { id: String, deployment: i64 },
    /// Lets go of the connections of a revision that has no share any more: answers when nothing is in flight,
    /// or when `deadline_ms` have passed (what is left then is cut). Upgraded streams count.
    Drain {
        id: String,
        revision: String,
        deadline_ms: u64,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Response {
    Done,
    Refused { reason: String },
    Status { services: Vec<ServiceStatus> },
    Drained { finished: u64, cut: u64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub table: ServiceTable,
    pub revisions: Vec<RevisionStatus>,
    /// The trip that is in force, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trip: Option<Trip>,
    /// The guard's state, in the form of `pilotage_guard::Evidence`, while it is armed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<serde_json::Value>,
}

/// Counts since the revision first had a share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RevisionStatus {
    pub revision: String,
    pub in_flight: u64,
    pub requests: u64,
    /// Answers of 500 and above, connections refused, resets and time-outs; not 4xx, not clients that went away.
    pub errors: u64,
    pub p50_us: u64,
    pub p95_us: u64,
    /// The response times that both are of.
    #[serde(default, skip_serializing_if = "Times::is_empty")]
    pub times: Times,
    /// When the last request was sent to it, in microseconds since 1970; 0 for never.
    pub last_request_at_us: i64,
}

/// A test crossed and traffic went back, before anybody was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    pub id: String,
    pub deployment: i64,
    pub revision: String,
    /// When the deciding answer came, and when the last request was sent to the revision; microseconds since 1970.
    pub decided_at_us: i64,
    pub last_request_at_us: i64,
    /// `pilotage_guard::Verdict` and its evidence, enough for a replay.
    pub verdict: serde_json::Value,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    Trip(Trip),
    /// The guard's state changed enough to be shown (at most a few times a second).
    Guard {
        id: String,
        deployment: i64,
        evidence: serde_json::Value,
    },
    Counts {
        services: Vec<ServiceStatus>,
    },
}
