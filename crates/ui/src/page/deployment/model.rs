//! What the page of a deployment is given.

use crate::shell::Viewer;
use crate::status::Status;

pub struct Deployment {
    pub viewer: Viewer,
    /// Why this viewer may not take it back or approve it; none if they may.
    pub refusal: Option<String>,
    /// Why what was just asked of it was refused.
    pub problem: Option<String>,
    pub owner: String,
    pub name: String,
    pub environment: String,
    pub now: i64,
    pub id: i64,
    pub rollback: bool,
    /// The engine's word: `shifting`, `rolled-back`, or `queued`.
    pub state: String,
    pub status: Status,
    /// Why it stands where it stands, or went back.
    pub reason: String,
    pub release: Release,
    /// The revision it is compared with and goes back to; none at a first deployment.
    pub old: Option<String>,
    pub actor: String,
    pub run: Option<i64>,
    pub created_at: i64,
    pub ended_at: Option<i64>,
    /// When the step or the watch that stands now ends.
    pub until: Option<i64>,
    pub url: String,
    /// Whether this deployment is what serves now.
    pub serves: bool,
    /// Why the release goes nowhere any more.
    pub quarantine: Option<String>,
    pub services: Vec<Service>,
    /// The steps of a canary.
    pub steps: Vec<Step>,
    /// How long it is watched with all traffic; none where no guard looks on.
    pub watch_ms: Option<i64>,
    pub moments: Vec<Moment>,
    pub approvals: Vec<Approval>,
    /// While it waits for a person.
    pub approve: Option<Approve>,
    pub replicas: Vec<Replica>,
    pub checks: Vec<Check>,
    /// Who was told of it, the oldest first.
    pub told: Vec<Told>,
}

/// A notification, as far as it came.
pub struct Told {
    /// Slack, a webhook, PagerDuty.
    pub channel: String,
    /// Where it was sent to last; of an address, no more is shown.
    pub host: String,
    /// Of what: `live`, `rolled-back`.
    pub event: String,
    /// `pending`, `told` or `given-up`.
    pub state: String,
    pub tries: i64,
    pub next_at: Option<i64>,
    /// How the last try ended, if it failed.
    pub error: String,
    pub at: i64,
}

pub struct Release {
    pub revision: String,
    pub digest: String,
    pub sha: String,
    pub title: String,
    pub branch: String,
}

#[derive(Default)]
pub struct Service {
    pub name: String,
    /// Of the new revision, in parts of 10,000.
    pub share: u32,
    pub healthy: u32,
    pub replicas: u32,
    pub proven: bool,
    pub answers: u64,
    /// About how many answers a proof needs.
    pub needed: u64,
    /// What the proxy counts now.
    pub new: Option<Counts>,
    pub old: Option<Counts>,
    /// What the guard holds.
    pub judged: Option<Judged>,
    /// How it came about: where the evidence stood after each answer that changed something.
    pub course: Vec<Seen>,
    pub verdict: Option<Verdict>,
    /// Of a trip, in microseconds since 1970: the deciding answer, and the last request that was sent on.
    pub decided_at_us: Option<i64>,
    pub last_request_at_us: Option<i64>,
}

#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub requests: u64,
    pub errors: u64,
    pub in_flight: u64,
    pub p50_us: u64,
    pub p95_us: u64,
}

/// Answers that were judged, of one revision.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub answers: u64,
    pub errors: u64,
    pub timed: u64,
    pub over_p50: u64,
    pub over_p95: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Test {
    Errors,
    MoreErrors,
    SlowP50,
    SlowP95,
}

impl Test {
    pub const ALL: [Test; 4] = [Test::Errors, Test::MoreErrors, Test::SlowP50, Test::SlowP95];
}

pub struct Judged {
    pub new: Tally,
    pub old: Tally,
    /// The test whose evidence is the strongest.
    pub test: Test,
    pub one_in: f64,
    pub goes_back_at: f64,
    /// The share of failures that a release may have, and how much slower than the old one it may be.
    pub error_limit: f64,
    pub slower_limit: f64,
    pub false_alarms: f64,
}

/// Where the evidence stood after an answer.
#[derive(Clone, Copy, Default)]
pub struct Seen {
    pub new: Tally,
    pub old: Tally,
    /// The new revision's share, in parts of 10,000.
    pub share: u32,
    /// Against the new revision, in the order of [`Test::ALL`].
    pub against: [Odds; 4],
    /// That the old one fails the same way.
    pub old_too: Odds,
    pub decided: bool,
}

impl Seen {
    /// Answers of both so far.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.new.answers + self.old.answers
    }
}

/// Evidence as "1 in so many", and what decides.
#[derive(Clone, Copy, Default)]
pub struct Odds {
    pub one_in: f64,
    pub needed: f64,
}

pub struct Verdict {
    /// The old revision failed the same way.
    pub outage: bool,
    pub test: Test,
    /// After a good phase.
    pub late: bool,
    pub one_in: f64,
    pub new: Tally,
    pub old: Tally,
}

pub struct Step {
    pub share: u32,
    pub for_ms: i64,
}

pub struct Moment {
    pub at: i64,
    pub text: String,
}

pub struct Approval {
    pub by: String,
    pub approved: bool,
    pub at: i64,
    pub reason: String,
}

pub struct Approve {
    /// Who may, as the rules say it.
    pub reviewers: Vec<String>,
    /// Why this viewer may not.
    pub refusal: Option<String>,
}

/// A running instance, with what its keeper says it executes.
pub struct Replica {
    pub service: String,
    pub number: u32,
    pub new: bool,
    pub state: Status,
    pub word: String,
    pub executes: Option<String>,
}

/// What was asked to verify, in the words of the plan.
pub struct Check {
    pub service: String,
    pub what: String,
}

impl Verdict {
    #[must_use]
    pub fn is_slow(&self) -> bool {
        matches!(self.test, Test::SlowP50 | Test::SlowP95)
    }
}

impl Tally {
    /// The share of answers that failed; none without answers.
    #[must_use]
    pub fn failed(&self) -> Option<f64> {
        share(self.errors, self.answers)
    }
}

#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
