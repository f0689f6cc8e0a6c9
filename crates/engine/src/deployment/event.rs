//! What a deployment is told and what it asks for. The serialised form is stored: it may grow, not change.

use crate::time::Timestamp;
use pilotage_api::proxy::{ServiceTable, Trip};
use pilotage_guard::{Evidence, Policy};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Everything that is decided before a deployment begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeploymentSpec {
    pub id: i64,
    /// `owner/name`.
    pub project: String,
    pub environment: String,
    pub kind: Kind,
    pub new: Release,
    /// The last release that went live here: what is compared with, and gone back to. It never moves while the
    /// deployment runs. None at an environment's first deployment.
    pub old: Option<Standing>,
    pub plan: Plan,
    /// Who or what asked for it, for the audit and the history.
    pub actor: String,
    pub reason: String,
    /// What people must know of it beforehand: what a rollback cannot bring back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Deploy,
    /// Brings back an earlier release; goes to all traffic at once, and is always verified.
    Rollback,
}

/// A release, as far as the machine needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub digest: String,
    /// Its name as a revision of this environment, as replicas see it in `PILOTAGE_REVISION`.
    pub revision: String,
    pub commit: String,
}

/// A release that stands in the environment, with its replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub release: Release,
    pub replicas: Vec<Replica>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub service: String,
    pub index: u32,
    /// Unique in the target: the name of its keeper.
    pub id: String,
    pub address: SocketAddr,
}

/// How the release goes to its users. Made from the environment's plan in `pilotage.yml` and the server's floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In the order of going live.
    pub services: Vec<Service>,
    pub strategy: Strategy,
    pub guard: Guard,
    /// Answers in a row, each with the right digest behind it, that verify a revision.
    pub verify_answers: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub replicas: u32,
    pub listen: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assets: Option<String>,
    /// Has a command that runs once before the new revision starts (a migration), and whether it can be taken back.
    pub before: bool,
    pub reversible: bool,
    pub drain_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// One replica at a time, new before old.
    Rolling,
    Canary(Vec<Step>),
    /// All at once, after all are healthy.
    BlueGreen,
}

/// A share of the traffic, in parts of 10,000, and how long it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub share: u32,
    pub for_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    pub enabled: bool,
    pub policy: Policy,
    pub watch_ms: u64,
    /// How long the old revision must answer well after a return, before the blame is settled.
    pub quiet_ms: u64,
    pub undecided: Undecided,
}

/// What to do at the end of a step, or of the watch, when too little was seen to call the release proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undecided {
    Continue,
    /// Stay at the step until enough was seen; ten times its length at most, then a person is asked.
    Hold,
    RollBack,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum DeploymentEvent {
    /// How an effect ended. Of an effect that is not waited for any more, it changes nothing.
    Result { sequence: u64, result: EffectResult },
    /// The environment's rules changed their answer (an approval came, a timer ran out).
    Rules { answer: RulesAnswer },
    /// The proxy went back by itself.
    Tripped { service: String, trip: Box<Trip> },
    /// A replica ended and does not come back by itself.
    ReplicaDied { replica: String, why: String },
    /// A person, or a step of the run, wants it undone. Wins over everything.
    Abort {
        by: String,
        reason: String,
        quarantine: bool,
    },
    /// A newer deployment wants the environment.
    Superseded { by: i64 },
    /// Stops, or allows again, steps forward. Going back is always allowed.
    Freeze { reason: Option<String> },
    /// A deadline may have passed, or nothing: wake-ups carry no data.
    Wake,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum EffectResult {
    Done,
    Rules {
        answer: RulesAnswer,
    },
    Started {
        address: SocketAddr,
    },
    Guard {
        evidence: Option<Box<Evidence>>,
        proven: bool,
        answers: u64,
        needed: u64,
    },
    Verified {
        what: String,
    },
    Drained {
        finished: u64,
        cut: u64,
    },
    Failed {
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum RulesAnswer {
    /// For exactly this digest.
    Granted {
        digest: String,
    },
    /// Waits for a person, a timer, a freeze or a lock, in words.
    Waiting {
        reason: String,
    },
    Refused {
        reason: String,
    },
}

/// Something to be done. Doing it twice does what doing it once does; `sequence` is unique in its deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentEffect {
    pub sequence: u64,
    pub kind: EffectKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum EffectKind {
    AskRules,
    /// Put the release where replicas can start from, and run the service's `prepare` once.
    Prepare {
        service: String,
    },
    /// Run the service's `before` command once.
    Before {
        service: String,
    },
    /// Start a replica of the new revision and wait until it is healthy.
    Start {
        service: String,
        index: u32,
        id: String,
    },
    Apply {
        table: Box<ServiceTable>,
    },
    /// The service has no revision to serve it any more.
    Remove {
        service: String,
        id: String,
        epoch: u64,
    },
    ReadGuard {
        service: String,
    },
    /// Prove that this revision answers, by the digest behind each of so many answers, and by the checks.
    Verify {
        revision: String,
        digest: String,
        answers: u32,
    },
    Drain {
        service: String,
        revision: String,
        deadline_ms: u64,
    },
    Stop {
        replica: String,
    },
    /// The proxy may forget a trip that is now recorded here.
    AcknowledgeTrip {
        service: String,
    },
    /// From here on this is the release of the environment.
    MarkLive {
        release: Release,
        replicas: Vec<Replica>,
        proven: bool,
    },
    Quarantine {
        release: Release,
        reason: String,
    },
    /// Tell people: `waiting`, `live`, `rolled-back`, `needs-attention`, `aborted`.
    Notify {
        what: String,
        text: String,
    },
    Finished {
        outcome: Outcome,
    },
}

impl EffectKind {
    /// Whether the deployment waits for its result before it goes on.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !matches!(
            self,
            EffectKind::Notify { .. }
                | EffectKind::Finished { .. }
                | EffectKind::MarkLive { .. }
                | EffectKind::Quarantine { .. }
                | EffectKind::AcknowledgeTrip { .. }
        )
    }
}

/// How a deployment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Live,
    RolledBack,
    /// It ended before it had any traffic, or there was nothing to go back to.
    Aborted,
    NeedsAttention,
}

/// One line of the deployment's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub at: Timestamp,
    pub text: String,
}

/// An event that makes no sense for this deployment, whatever its order. It did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    #[error("deployment {0} has no service `{1}`")]
    UnknownService(i64, String),
    #[error("deployment {0} has ended: start a new one")]
    Ended(i64),
}
