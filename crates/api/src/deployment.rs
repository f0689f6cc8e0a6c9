//! Deployments and releases in `/api/v1`. The rules of [`crate::rest`] hold here, too.
//!
//! | call | scope | body → answer |
//! |---|---|---|
//! | `GET  projects/O/N/deployments?environment&before&limit` | read | list of [`Deployment`], the newest first |
//! | `POST projects/O/N/deployments` | deploy | [`Deploy`] → 201 [`Deployment`] |
//! | `POST projects/O/N/rollbacks` | deploy | [`Rollback`] → 201 [`Deployment`] |
//! | `GET  deployments/D` | read | [`DeploymentDetail`] |
//! | `GET  deployments/D/events` | read | server-sent events, each a [`DeploymentDetail`]; ends with the deployment |
//! | `GET  deployments/D/replay` | read | list of [`Replay`], one for each service with a verdict |
//! | `POST deployments/D/approvals` | deploy | [`ApproveDeployment`] → 204 |
//! | `POST deployments/D/abort` | deploy | [`Abort`] → [`Deployment`] |
//! | `GET  projects/O/N/releases?limit`, `…/releases/R` | read | list of [`Release`]; [`ReleaseDetail`]; `R` is a digest or the beginning of a commit |
//! | `GET  projects/O/N/standings`, `…/standings/E` | read | list of [`Standing`]: what stands in each environment |
//! | `GET  projects/O/N/logs/E/S?…` ([`ServiceLogQuery`]) | read | `text/plain`: what a service's replicas write |
//! | `GET  projects/O/N/quarantine` | read | list of [`Quarantined`] |
//! | `DELETE projects/O/N/quarantine/DIGEST` | deploy | 204 |

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Only deployments with a smaller id: the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// 20 unless told otherwise, 100 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Asks for a deployment. Without `release` and `ref`, of the default branch's newest green run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    pub environment: String,
    /// A digest, or the beginning of a commit that has a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// A branch or tag, short or whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#ref: Option<String>,
    #[serde(default)]
    pub reason: String,
}

/// Asks for the way back: of a deployment that is under way, or to an earlier release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub environment: String,
    /// `previous`, a digest, a commit or a revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default)]
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    #[serde(default)]
    pub reason: String,
    /// Whether the release goes nowhere any more.
    #[serde(default)]
    pub quarantine: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApproveDeployment {
    /// The release that was looked at; the deployment's, or the approval is refused.
    pub digest: String,
    pub approved: bool,
    #[serde(default)]
    pub reason: String,
}

/// A deployment in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: i64,
    /// `owner/name`.
    pub project: String,
    pub environment: String,
    /// `deploy` or `rollback`.
    pub kind: String,
    /// `queued`, `waiting`, `preparing`, `pre-deploy`, `starting`, `shifting`, `verifying`, `watching`, `live`,
    /// `rolling-back`, `verifying-rollback`, `rolled-back`, `aborted` or `needs-attention`.
    pub state: String,
    /// `live`, `rolled-back`, `aborted` or `needs-attention`, once it has ended.
    pub outcome: Option<String>,
    /// Why it stands where it stands, or why it was taken back; empty where there is nothing to say.
    pub reason: String,
    /// The release's name in the environment, and of the one before it; empty where there is none yet.
    pub revision: String,
    pub old_revision: String,
    /// The release's digest, its commit and that commit's title.
    pub release: String,
    pub sha: String,
    pub title: String,
    pub r#ref: String,
    pub run: Option<i64>,
    pub actor: String,
    pub created_at: i64,
    pub ended_at: Option<i64>,
    /// Where the environment is reached.
    pub url: String,
}

/// A deployment as `deployment watch` draws it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentDetail {
    pub deployment: Deployment,
    pub has_all_traffic: bool,
    /// When the step or the watch that stands now ends.
    pub until: Option<i64>,
    pub services: Vec<DeployedService>,
    /// Its history, the oldest first.
    pub moments: Vec<Moment>,
    /// Who was told of it, and of its job's waiting, by `notify` of `pilotage.yml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<Notification>,
}

/// A message on its way to a channel. Of its address, only the host is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// `slack`, `webhook` or `pagerduty`.
    pub channel: String,
    /// Empty before its first try.
    pub host: String,
    /// What it tells: `live`, `rolled-back`, `aborted`, `needs-attention` or `waiting`.
    pub event: String,
    /// `pending`, `told` or `given-up`.
    pub state: String,
    /// When it came to its state, or was last tried.
    pub at: i64,
    pub tries: u32,
    /// When it is tried next; none once it was told or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<i64>,
    /// How the last try failed: `refused: 404 no_service`; empty where none has.
    pub error: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub at: i64,
    pub text: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeployedService {
    pub name: String,
    /// Of the new revision, in parts of 10,000.
    pub share: u32,
    pub healthy: u32,
    pub replicas: u32,
    /// The error rate is shown to be under its limit.
    pub proven: bool,
    /// Answers judged, and about how many a proof needs.
    pub answers: u64,
    pub needed: u64,
    /// The verdict in a sentence, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Microseconds between the deciding answer and the last request that was sent to the new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_in_us: Option<i64>,
    /// What the proxy counts now; none while it has nothing of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Counts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Counts>,
    /// The evidence against the new revision, and where it goes back, each as "1 in so many".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_in: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_back_at: Option<f64>,
}

/// What one revision of a service answered since it first had a share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub revision: String,
    pub requests: u64,
    pub errors: u64,
    pub in_flight: u64,
    pub p50_us: u64,
    pub p95_us: u64,
}

/// A verdict, reached again from what is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    pub service: String,
    /// As it was told, and as it is reached again; none where the evidence decides nothing.
    pub told: Option<String>,
    pub replayed: Option<String>,
    pub same: bool,
    /// Answers of the new and of the old revision in the evidence.
    pub new_answers: u64,
    pub old_answers: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// `sha256:…`
    pub digest: String,
    pub sha: String,
    pub title: String,
    pub r#ref: String,
    /// None where no run built it.
    pub run: Option<i64>,
    pub created_at: i64,
    /// Environments in which it is live.
    pub live_in: Vec<String>,
    /// Why it is in quarantine; empty where it is not.
    pub quarantine: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseDetail {
    pub release: Release,
    /// The frozen plans of its environments, and what its services are made of.
    pub manifest: serde_json::Value,
    pub size_bytes: u64,
    pub deployments: Vec<Deployment>,
}

/// What stands in an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub environment: String,
    pub url: String,
    /// The deployment that brought it, and its release.
    pub deployment: i64,
    pub release: String,
    pub revision: String,
    pub sha: String,
    pub title: String,
    pub since: i64,
    /// Whether the guard saw enough to call it proven.
    pub proven: bool,
    pub services: Vec<StandingService>,
    /// The deployment that is under way, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Deployment>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingService {
    pub name: String,
    pub replicas: u32,
    pub running: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLogQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Goes on with what is written from here on.
    #[serde(default)]
    pub follow: bool,
    /// How much of each replica's past comes first; 64 KiB unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub digest: String,
    pub revision: String,
    pub environment: String,
    pub deployment: i64,
    pub reason: String,
    pub at: i64,
}
