//! A deployment: one release on its way to one environment, and back if it is worse.
//!
//! pending → waiting → preparing → pre-deploy → starting → shifting (step by step) → verifying → watching → live;
//! from each of them, on a failure, a trip or an abort: rolling back → verifying rollback → rolled back, or needs
//! attention. Never touches anything: the driver performs the effects and tells how they ended. Abort and rollback
//! win over everything; a freeze stops steps forward only; a share of the new revision never rises after a trip.

mod back;
mod event;
mod forward;
mod invariants;
mod plan;
mod table;
mod view;

pub use event::{
    DeploymentEffect, DeploymentEvent, DeploymentSpec, EffectKind, EffectResult, Guard, IllegalEvent, Kind,
    Moment, Outcome, Plan, Release, Replica, RulesAnswer, Service, Standing, Step, Strategy, Undecided,
};
pub use plan::{ANSWERS_PER_REPLICA, Floor, PlanError, listen_address};
pub use table::EPOCHS;
pub use view::{DeploymentView, ServiceView};

use crate::time::Timestamp;
use pilotage_guard::Evidence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is kept of a deployment. Restored from its serialised form at any instant, it goes on where it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deployment {
    spec: DeploymentSpec,
    stage: Stage,
    next_sequence: u64,
    /// Effects whose results are waited for, by sequence number.
    pending: BTreeMap<u64, EffectKind>,
    /// Replicas of the new revision that are healthy.
    replicas: Vec<Replica>,
    /// Every replica that was ever asked for, healthy or not: what has to be stopped on the way back.
    asked: Vec<String>,
    /// The new revision's share of each service, in the order of the plan, as last ordered.
    shares: Vec<u32>,
    /// The old revision was stopped: tables must not name it any more.
    old_is_gone: bool,
    /// Raised with each table of each service.
    epoch: u64,
    /// How long the step or the watch that stands now may be held for want of answers.
    hold_until: Timestamp,
    /// Why forward steps are stopped, if they are.
    frozen: Option<String>,
    /// Services whose leaving revision did not let go of its requests: its replicas are not stopped.
    #[serde(default)]
    undrained: Vec<String>,
    /// Replicas that died before their start was told of.
    #[serde(default)]
    died_early: Vec<String>,
    /// Why it goes back, once it does.
    back: Option<Back>,
    /// What the guard of each service was last seen to hold.
    judged: BTreeMap<String, Judged>,
    moments: Vec<Moment>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
enum Stage {
    Pending,
    Waiting {
        reason: String,
    },
    /// The rules let it go on; a freeze may still hold it here.
    Granted,
    Preparing,
    Before {
        service: usize,
    },
    Starting {
        step: usize,
    },
    /// Tables of a step are being put in force.
    Shifting {
        step: usize,
    },
    /// A step stands until then.
    Standing {
        step: usize,
        until: Timestamp,
    },
    /// The guard is asked before the next step.
    Judging {
        step: usize,
    },
    Verifying,
    Watching {
        until: Timestamp,
    },
    /// The guard is asked at the end of the watch.
    JudgingWatch,
    /// All but live: the guard is let go of, and a trip that is faster still takes it back. From the next step on it is
    /// live, but for the old revision that lets go of its last requests.
    Settling {
        step: Settle,
    },
    Back {
        step: BackStep,
    },
    Done {
        outcome: Outcome,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Settle {
    Disarm,
    Live,
    Drain,
    Stop,
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BackStep {
    Shift,
    Verify,
    Drain,
    /// The old revision has to answer well for a while, before the blame is settled.
    Quiet,
    /// The guard is asked whether the old revision turned out to fail the same way.
    Judge,
    Stop,
    Forget,
}

/// Why a deployment goes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Back {
    at: Timestamp,
    reason: String,
    quarantine: bool,
    /// The old revision fails the same way: nobody is to blame, somebody must look.
    outage: bool,
    /// The new revision may have had traffic.
    had_traffic: bool,
    /// A step of going back that failed.
    fault: Option<String>,
    verified: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Judged {
    at: Timestamp,
    proven: bool,
    answers: u64,
    needed: u64,
    evidence: Option<Box<Evidence>>,
    /// Of a trip: microseconds since 1970.
    decided_at_us: Option<i64>,
    last_request_at_us: Option<i64>,
}

impl Deployment {
    /// Begins a deployment. The first effect asks for the environment's rules.
    #[must_use]
    pub fn start(now: Timestamp, spec: DeploymentSpec) -> (Self, Vec<DeploymentEffect>) {
        let shares = vec![0; spec.plan.services.len()];
        let mut deployment = Self {
            spec,
            stage: Stage::Pending,
            next_sequence: 0,
            pending: BTreeMap::new(),
            replicas: Vec::new(),
            asked: Vec::new(),
            shares,
            old_is_gone: false,
            epoch: 0,
            hold_until: now,
            frozen: None,
            undrained: Vec::new(),
            died_early: Vec::new(),
            back: None,
            judged: BTreeMap::new(),
            moments: Vec::new(),
        };
        let mut effects = Effects::default();
        deployment.note(
            now,
            format!(
                "asked for by {}: {}",
                deployment.spec.actor, deployment.spec.reason
            ),
        );
        for note in deployment.spec.notes.clone() {
            deployment.note(now, note);
        }
        deployment.order(&mut effects, EffectKind::AskRules);
        deployment.check_invariants();
        (deployment, effects.0)
    }

    /// Takes an event; the effects that it gives have been counted as pending. Late, repeated and reordered events
    /// give nothing. Errors are for what a caller got wrong; they leave the deployment as it was.
    pub fn handle(
        &mut self,
        now: Timestamp,
        event: DeploymentEvent,
    ) -> Result<Vec<DeploymentEffect>, IllegalEvent> {
        let mut effects = Effects::default();
        match event {
            DeploymentEvent::Result { sequence, result } => {
                self.take_result(now, sequence, result, &mut effects);
            }
            DeploymentEvent::Rules { answer } => self.take_rules(now, answer, &mut effects),
            DeploymentEvent::Tripped { service, trip } => {
                self.take_trip(now, &service, *trip, &mut effects)?;
            }
            DeploymentEvent::ReplicaDied { replica, why } => {
                self.take_death(now, &replica, &why, &mut effects);
            }
            DeploymentEvent::Abort {
                by,
                reason,
                quarantine,
            } => {
                if self.outcome().is_some() {
                    return Err(IllegalEvent::Ended(self.spec.id));
                }
                self.go_back(
                    now,
                    format!("taken back by {by}: {reason}"),
                    quarantine,
                    &mut effects,
                );
            }
            DeploymentEvent::Superseded { by } => self.take_superseded(now, by, &mut effects),
            DeploymentEvent::Freeze { reason } => {
                if self.frozen != reason && self.outcome().is_none() {
                    self.note(
                        now,
                        reason
                            .as_ref()
                            .map_or("may go on".to_owned(), |r| format!("frozen: {r}")),
                    );
                    self.frozen = reason;
                }
            }
            DeploymentEvent::Wake => {}
        }
        self.advance(now, &mut effects);
        self.check_invariants();
        Ok(effects.0)
    }

    /// The only timer: when to send [`DeploymentEvent::Wake`].
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Back {
                step: BackStep::Quiet,
            } => self.quiet_until(),
            _ if self.frozen.is_some() => None,
            Stage::Standing { until, .. } | Stage::Watching { until } => Some(*until),
            _ => None,
        }
    }

    #[must_use]
    pub fn spec(&self) -> &DeploymentSpec {
        &self.spec
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self.stage {
            Stage::Done { outcome } => Some(outcome),
            _ => None,
        }
    }

    /// Whether all traffic is on the new revision and that was verified: what a deploying step waits for.
    #[must_use]
    pub fn has_all_traffic(&self) -> bool {
        matches!(
            self.stage,
            Stage::Watching { .. } | Stage::JudgingWatch | Stage::Settling { .. }
        ) || self.outcome() == Some(Outcome::Live)
    }

    /// Whether it waits for the environment's rules: a person, a timer, a freeze, a lock.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Pending | Stage::Waiting { .. })
    }

    /// Whether a trip of that service is recorded already.
    #[must_use]
    pub fn knows_trip(&self, service: &str) -> bool {
        self.judged
            .get(service)
            .is_some_and(|judged| judged.decided_at_us.is_some())
    }

    /// Whether the deployment waits for the result of that effect.
    #[must_use]
    pub fn awaits(&self, sequence: u64) -> bool {
        self.pending.contains_key(&sequence)
    }

    /// Whether it goes back, or went back.
    #[must_use]
    pub fn is_going_back(&self) -> bool {
        self.back.is_some()
    }

    /// Effects that were ordered and have given no result yet: what a driver does again after a crash.
    pub fn pending(&self) -> impl Iterator<Item = DeploymentEffect> + '_ {
        self.pending.iter().map(|(sequence, kind)| DeploymentEffect {
            sequence: *sequence,
            kind: kind.clone(),
        })
    }

    fn order(&mut self, effects: &mut Effects, kind: EffectKind) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        if kind.is_awaited() {
            self.pending.insert(sequence, kind.clone());
        }
        effects.0.push(DeploymentEffect { sequence, kind });
    }

    fn note(&mut self, now: Timestamp, text: impl Into<String>) {
        self.moments.push(Moment {
            at: now,
            text: text.into(),
        });
    }

    fn service(&self, name: &str) -> Option<usize> {
        self.spec.plan.services.iter().position(|s| s.name == name)
    }

    fn take_result(&mut self, now: Timestamp, sequence: u64, result: EffectResult, effects: &mut Effects) {
        let Some(kind) = self.pending.remove(&sequence) else {
            return;
        };
        match result {
            EffectResult::Failed { why } => self.take_failure(now, &kind, &why, effects),
            EffectResult::Rules { answer } => self.take_rules(now, answer, effects),
            EffectResult::Started { address } => self.take_started(now, kind, address, effects),
            EffectResult::Guard {
                evidence,
                proven,
                answers,
                needed,
            } => {
                if let EffectKind::ReadGuard { service } = kind {
                    let judged = Judged {
                        at: now,
                        proven,
                        answers,
                        needed,
                        evidence,
                        decided_at_us: None,
                        last_request_at_us: None,
                    };
                    self.take_guard(now, service, judged, effects);
                }
            }
            EffectResult::Verified { what } => {
                self.note(now, format!("verified: {what}"));
                if let Some(back) = &mut self.back {
                    back.verified = Some(what);
                }
            }
            EffectResult::Drained { finished, cut } => {
                if let EffectKind::Drain {
                    service, revision, ..
                } = kind
                {
                    self.note(now, drained(&service, &revision, finished, cut));
                }
            }
            EffectResult::Done => {}
        }
    }

    /// A failure on the way forward takes it back; one on the way back is remembered, and a person is asked.
    fn take_failure(&mut self, now: Timestamp, kind: &EffectKind, why: &str, effects: &mut Effects) {
        let what = match kind {
            EffectKind::AskRules => "the environment's rules could not be read".to_owned(),
            EffectKind::Prepare { .. } => "the release could not be prepared".to_owned(),
            EffectKind::Before { service } => format!("the `before` command of {service} failed"),
            EffectKind::Start { service, index, .. } => {
                format!("replica {} of {service} did not get healthy", index + 1)
            }
            EffectKind::Apply { table } => format!("the proxy did not take the table of {}", table.id),
            EffectKind::ReadGuard { service } => format!("the guard of {service} could not be read"),
            EffectKind::Verify { revision, .. } => format!("{revision} could not be verified"),
            EffectKind::Drain {
                service, revision, ..
            } => format!("{revision} of {service} could not be drained"),
            EffectKind::Stop { replica } => format!("replica {replica} could not be stopped"),
            _ => "a step failed".to_owned(),
        };
        let fault = format!("{what}: {why}");
        if let EffectKind::Drain { service, .. } = kind {
            self.undrained.push(service.clone());
        }
        match &self.back {
            Some(_) => self.take_failure_on_the_way_back(now, fault, effects),
            // The new revision is live; an old one that does not end cleanly is no reason to go back to it.
            None if self.is_settled() => self.note(now, fault),
            None => {
                let quarantine = matches!(kind, EffectKind::Start { .. } | EffectKind::Verify { .. });
                self.go_back(now, fault, quarantine, effects);
            }
        }
    }
}

fn drained(service: &str, revision: &str, finished: u64, cut: u64) -> String {
    match (finished, cut) {
        (0, 0) => format!("{revision} of {service} had no request left"),
        (1, 0) => format!("{revision} of {service} let go of its last request"),
        (_, 0) => format!("{revision} of {service} let go of its last {finished} requests"),
        _ => format!("{revision} of {service} let go of {finished} requests, {cut} were cut at the deadline"),
    }
}

#[derive(Default)]
struct Effects(Vec<DeploymentEffect>);

#[cfg(test)]
mod tests;
