//! What the page of an environment is given.

use crate::shell::Viewer;
use crate::status::Status;

pub struct Environment {
    pub viewer: Viewer,
    /// Why this viewer may not deploy here; none if they may.
    pub refusal: Option<String>,
    pub owner: String,
    pub name: String,
    pub environment: String,
    pub now: i64,
    pub serving: Option<Serving>,
    /// The deployment that is under way.
    pub active: Option<Active>,
    pub back: Back,
    pub lock: Option<Lock>,
    pub surprise: Option<Surprise>,
    /// Jobs of runs that wait for the environment.
    pub waiting: Vec<Waiting>,
    /// The newest first.
    pub history: Vec<Past>,
    /// Whether there are older ones.
    pub more: bool,
    pub replicas: Vec<Replica>,
    /// None where nothing was ever deployed.
    pub metrics: Option<Metrics>,
    /// Releases that can be deployed here, the newest first.
    pub choices: Vec<Choice>,
    /// What a form was refused with.
    pub problem: Option<String>,
    pub filled: Filled,
}

/// What stands in the environment.
pub struct Serving {
    pub revision: String,
    pub title: String,
    pub since: i64,
    /// It was brought back.
    pub rollback: bool,
    pub proven: bool,
    pub actor: String,
    pub approved_by: Option<String>,
    pub url: String,
}

pub struct Active {
    pub id: i64,
    pub status: Status,
    /// `Bringing`, `Going back to`.
    pub state: String,
    pub revision: String,
    pub title: String,
    pub actor: String,
    pub reason: String,
}

/// The undo of the environment.
pub enum Back {
    /// To the release before the one that serves, or by taking back what is under way.
    To { revision: String },
    /// Why there is none: `nothing before it`, `artifact gone`.
    Not(String),
}

pub struct Lock {
    pub by: String,
    pub reason: String,
    /// When it goes by itself.
    pub until: Option<i64>,
}

/// The last deployment that did not end as it was meant to, if it is recent.
pub struct Surprise {
    pub id: i64,
    pub revision: String,
    pub status: Status,
    pub by_guard: bool,
    pub at: i64,
    pub why: String,
    pub quarantined: bool,
}

/// What waits of one run.
pub struct Waiting {
    pub run: i64,
    pub title: String,
    pub actor: String,
    /// The names of its jobs.
    pub jobs: Vec<String>,
    pub sha: String,
    pub why: String,
    pub asked_at: i64,
    /// When it goes on by itself.
    pub until: Option<i64>,
    /// Who may approve, and how many of them must.
    pub reviewers: Vec<String>,
    pub needed: u32,
    /// What was said about this commit.
    pub said: Vec<Said>,
    /// Whether a person's word is what it waits for.
    pub wants_person: bool,
    /// Why this viewer may not give it, in a sentence.
    pub refusal: Option<String>,
}

pub struct Said {
    pub by: String,
    pub approved: bool,
    pub at: i64,
    pub reason: String,
}

/// What stood in the form that was refused.
#[derive(Default)]
pub struct Filled {
    /// `deploy`, `lock` or `approval`; empty for none.
    pub form: String,
    pub reason: String,
    /// By its digest.
    pub release: String,
}

/// A deployment of the past, or the one under way.
pub struct Past {
    pub id: i64,
    pub status: Status,
    pub state: String,
    pub rollback: bool,
    pub revision: String,
    /// The release that served before it, or that it went back to.
    pub old_revision: String,
    pub title: String,
    pub actor: String,
    pub approved_by: Option<String>,
    pub created_at: i64,
    pub ended_at: Option<i64>,
    /// How it ended; empty where there is nothing to say.
    pub why: String,
    /// Where the guard took it back.
    pub trip: Option<Trip>,
    /// When it was verified which digest answers.
    pub verified_at: Option<i64>,
    /// Where its release can be gone back to, or why not.
    pub back: PastBack,
}

/// The guard's own rollback.
#[derive(Clone)]
pub struct Trip {
    /// The rule, with the measured value.
    pub rule: String,
    pub decided_at: i64,
    /// From the deciding answer to the last request that was sent to the new revision, in microseconds.
    pub returned_us: Option<i64>,
}

pub enum PastBack {
    Nothing,
    ServesNow,
    /// By its digest.
    To(String),
    Gone,
}

/// A running instance, with what its keeper says it executes.
pub struct Replica {
    pub service: String,
    pub number: u32,
    pub revision: String,
    pub ready: bool,
    pub status: Status,
    pub word: String,
    pub executes: Option<String>,
    pub restarts: u64,
    /// Of one core, where it can be read.
    pub cpu: Option<f64>,
    pub memory: Option<u64>,
}

/// A release that can be deployed.
pub struct Choice {
    pub digest: String,
    pub sha: String,
    pub title: String,
    pub branch: String,
    /// Why it goes nowhere.
    pub quarantined: bool,
}

/// What was measured of one service.
pub struct Metrics {
    /// All services of the environment.
    pub services: Vec<String>,
    pub service: String,
    pub window: Window,
    pub from: i64,
    pub to: i64,
    /// How far points are apart.
    pub span_ms: i64,
    /// The oldest first.
    pub points: Vec<Point>,
    /// Deployments that began in this time, the oldest first.
    pub marks: Vec<Mark>,
    /// What the guard would hold a new release to: the share of failed answers, and how much slower it may be.
    pub error_limit: Option<f64>,
    pub slower_limit: Option<f64>,
    /// What a replica may have.
    pub memory_limit: Option<u64>,
}

/// How much time is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    #[default]
    HalfHour,
    TwoHours,
    Day,
    Month,
}

/// What was measured until a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: i64,
    pub requests_per_s: f64,
    /// The share of answers that failed; none without answers.
    pub failed: Option<f64>,
    pub p50_us: Option<u64>,
    pub p95_us: Option<u64>,
    /// Of all replicas together, in cores.
    pub cpu: Option<f64>,
    /// Of the largest replica.
    pub memory: Option<u64>,
}

/// A deployment on the axis of time.
pub struct Mark {
    pub id: i64,
    pub at: i64,
    pub ended_at: Option<i64>,
    pub rollback: bool,
    /// It was taken back, or took itself back.
    pub went_back: bool,
}
