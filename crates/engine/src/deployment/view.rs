//! A deployment as it is shown: to the command line, the pages and the API.

use super::{Deployment, Kind, Moment, Outcome, Release, Stage};
use crate::time::Timestamp;
use pilotage_guard::Evidence;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeploymentView {
    pub id: i64,
    pub project: String,
    pub environment: String,
    pub kind: Kind,
    /// `pending`, `waiting`, `preparing`, `pre-deploy`, `starting`, `shifting`, `verifying`, `watching`, `live`,
    /// `rolling back`, `verifying rollback`, `rolled back`, `aborted` or `needs attention`.
    pub state: String,
    /// Why it stands where it stands: whom it waits for, what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub outcome: Option<Outcome>,
    pub has_all_traffic: bool,
    pub new: Release,
    pub old: Option<Release>,
    pub actor: String,
    /// When the step or the watch that stands now ends.
    pub until: Option<Timestamp>,
    pub services: Vec<ServiceView>,
    pub moments: Vec<Moment>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceView {
    pub name: String,
    /// Of the new revision, in parts of 10,000.
    pub share: u32,
    pub healthy: u32,
    pub replicas: u32,
    pub proven: bool,
    pub answers: u64,
    pub needed: u64,
    /// The verdict in a sentence, once there is one.
    pub verdict: Option<String>,
    /// Microseconds between the deciding answer and the last request sent to the new revision.
    pub returned_in_us: Option<i64>,
    /// Of a trip, in microseconds since 1970: the deciding answer, and the last request sent to the new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at_us: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request_at_us: Option<i64>,
    pub evidence: Option<Evidence>,
}

impl Deployment {
    #[must_use]
    pub fn view(&self) -> DeploymentView {
        let spec = &self.spec;
        DeploymentView {
            id: spec.id,
            project: spec.project.clone(),
            environment: spec.environment.clone(),
            kind: spec.kind,
            state: self.state().to_owned(),
            reason: self.why(),
            outcome: self.outcome(),
            has_all_traffic: self.has_all_traffic(),
            new: spec.new.clone(),
            old: spec.old.as_ref().map(|old| old.release.clone()),
            actor: spec.actor.clone(),
            until: self.deadline(),
            services: (0..spec.plan.services.len())
                .map(|service| self.service_view(service))
                .collect(),
            moments: self.moments.clone(),
        }
    }

    fn state(&self) -> &'static str {
        match &self.stage {
            Stage::Pending | Stage::Granted => "pending",
            Stage::Waiting { .. } => "waiting",
            Stage::Preparing => "preparing",
            Stage::Before { .. } => "pre-deploy",
            Stage::Starting { .. } => "starting",
            Stage::Shifting { .. } | Stage::Standing { .. } | Stage::Judging { .. } => "shifting",
            Stage::Verifying => "verifying",
            Stage::Watching { .. }
            | Stage::JudgingWatch
            | Stage::Settling {
                step: super::Settle::Disarm,
            } => "watching",
            Stage::Settling { .. }
            | Stage::Done {
                outcome: Outcome::Live,
            } => "live",
            Stage::Back {
                step: super::BackStep::Shift,
            } => "rolling back",
            Stage::Back { .. } => "verifying rollback",
            Stage::Done {
                outcome: Outcome::RolledBack,
            } => "rolled back",
            Stage::Done {
                outcome: Outcome::Aborted,
            } => "aborted",
            Stage::Done {
                outcome: Outcome::NeedsAttention,
            } => "needs attention",
        }
    }

    fn why(&self) -> Option<String> {
        if let Some(back) = &self.back {
            return Some(
                back.fault
                    .as_ref()
                    .map_or(back.reason.clone(), |f| format!("{}; {f}", back.reason)),
            );
        }
        match &self.stage {
            Stage::Waiting { reason } => Some(reason.clone()),
            _ if self.outcome() == Some(Outcome::Aborted) => {
                self.moments.iter().rev().nth(1).map(|m| m.text.clone())
            }
            _ => self.frozen.clone(),
        }
    }

    fn service_view(&self, service: usize) -> ServiceView {
        let plan = &self.spec.plan.services[service];
        let judged = self.judged.get(&plan.name);
        let verdict = judged
            .and_then(|j| j.evidence.as_ref())
            .and_then(|e| e.verdict.as_ref());
        let healthy = self.replicas.iter().filter(|r| r.service == plan.name).count();
        ServiceView {
            name: plan.name.clone(),
            share: self.shares.get(service).copied().unwrap_or(0),
            healthy: u32::try_from(healthy).unwrap_or(u32::MAX),
            replicas: plan.replicas,
            proven: judged.is_some_and(|j| j.proven),
            answers: judged.map_or(0, |j| j.answers),
            needed: judged.map_or(0, |j| j.needed),
            verdict: verdict.map(|v| v.sentence(&plan.name)),
            returned_in_us: judged.and_then(|j| Some((j.last_request_at_us? - j.decided_at_us?).max(0))),
            decided_at_us: judged.and_then(|j| j.decided_at_us),
            last_request_at_us: judged.and_then(|j| j.last_request_at_us),
            evidence: judged.and_then(|j| j.evidence.as_deref().cloned()),
        }
    }
}
