//! What a running job asks of the platform: artifacts, caches and deployments, under [`BASE`].
//!
//! Every request carries `Authorization: Bearer JOB-TOKEN`. The token says which project, run, job, attempt and
//! ref it is for; nothing in a path or body can widen that. It dies with the job. A refusal is a [`Refusal`]
//! with a 4xx code: 401 no or dead token, 404 not there (or not this run's), 409 exists already, 413 too large,
//! 422 the body does not have the digest that was announced.
//!
//! | request | body → answer |
//! |---|---|
//! | `PUT  artifacts?name&retention_days&overwrite` | a ZIP, streamed → 201 [`ArtifactInfo`] |
//! | `GET  artifacts` | → [`ArtifactList`], of this run, finished ones only |
//! | `GET  artifacts/{id}/content` | → the ZIP, streamed |
//! | `GET  caches?key&restore_key…&version` | → 200 [`CacheInfo`], or 204 where nothing fits |
//! | `GET  caches/{id}/content` | → the archive, streamed |
//! | `PUT  caches?key&version` | the archive, streamed → 201 [`CacheInfo`]; 409 where the key is taken |
//! | `POST deployments` | [`DeployRequest`] → [`DeploymentProgress`] |
//! | `POST rollbacks` | [`RollbackRequest`] → [`DeploymentProgress`] |
//! | `GET  deployments/{id}?after&until&wait_s` | → [`DeploymentProgress`], as soon as there is news |
//! | `POST verifications` | [`VerifyRequest`] → [`VerifyResult`] |
//!
//! A streamed upload announces its length (`content-length`) and [`DIGEST_HEADER`]; the platform checks both
//! before the name becomes visible, so a broken upload leaves nothing behind. A streamed download carries the
//! same header.

use serde::{Deserialize, Serialize};

/// The root of these requests on the server.
pub const BASE: &str = "/api/runner/v1";

/// `sha256:` and 64 hexadecimal digits of the whole body.
pub const DIGEST_HEADER: &str = "x-pilotage-digest";

/// The query of an artifact's upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactUpload {
    /// Unique in its run; immutable once it is there.
    pub name: String,
    /// None takes the project's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Deletes an artifact of that name of this run first.
    #[serde(default)]
    pub overwrite: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactInfo {
    pub id: i64,
    pub name: String,
    pub size_bytes: u64,
    /// As in [`DIGEST_HEADER`].
    pub digest: String,
    /// Where a person finds it; empty where there is no such page.
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub created_at_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactList {
    pub artifacts: Vec<ArtifactInfo>,
}

/// What a cache is looked up by. In the query, `restore_key` is repeated, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheQuery {
    pub key: String,
    /// Prefixes, tried in order after the key itself; the newest entry that fits wins.
    #[serde(default)]
    pub restore_keys: Vec<String>,
    /// A digest of the paths and the compression: an entry of another version does not fit.
    pub version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheInfo {
    pub id: i64,
    /// The whole key of the entry that was found, which may be longer than what was asked for.
    pub key: String,
    pub size_bytes: u64,
    pub digest: String,
}

/// What `pilotage/deploy@v1` asks for. Asking again with the same run, job, environment and release digest finds
/// the deployment that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployRequest {
    /// None is the job's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Empty is all of them.
    #[serde(default)]
    pub services: Vec<String>,
    /// None is this run's release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// What `pilotage/rollback@v1` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// `previous` or a release.
    pub to: String,
    /// Undoes only that one; nothing to do where it is undone already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<i64>,
    #[serde(default)]
    pub reason: String,
}

/// Until when a step waits for its deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// All traffic is on it and it is verified; watching goes on without the job.
    #[default]
    Traffic,
    /// It is live: the watch is over too.
    Live,
}

/// The query of a look at a deployment; the answer comes when there are lines after `after`, when `until` is
/// reached, or after `wait_s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressQuery {
    /// How many lines the asker has already.
    #[serde(default)]
    pub after: u64,
    #[serde(default)]
    pub until: Until,
    /// At most 30.
    #[serde(default)]
    pub wait_s: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentProgress {
    pub deployment: i64,
    /// The deployment's state in a word, as design and pages name it: `shifting`, `live`, `rolled-back` …
    pub state: String,
    /// Whether what was asked for by `until` is over, well or badly.
    pub settled: bool,
    /// Whether it went well; only meaningful when it is settled.
    #[serde(default)]
    pub ok: bool,
    /// The state in which it settled, or what went wrong, in a sentence for the log.
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub url: String,
    /// The release that is brought, and the one that was live before.
    #[serde(default)]
    pub release: String,
    #[serde(default)]
    pub previous: String,
    /// Progress for people: the lines from `after` on.
    #[serde(default)]
    pub lines: Vec<String>,
    /// The total of lines so far: the next `after`.
    #[serde(default)]
    pub next: u64,
}

/// What `pilotage/verify@v1` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<i64>,
    /// Empty is the environment's own.
    #[serde(default)]
    pub checks: Vec<String>,
    /// `live` or `rolled-back`.
    pub expect: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyResult {
    pub ok: bool,
    /// The deployment's state in a word.
    pub result: String,
    /// A line for each check and the digest's proof.
    #[serde(default)]
    pub lines: Vec<String>,
}

/// Why the platform refuses: one sentence, and advice where there is some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}
