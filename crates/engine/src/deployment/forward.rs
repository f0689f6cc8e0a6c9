//! The way forward: from the rules to live. Each stage begins when everything that the one before it ordered has
//! ended well; what fails on the way takes the deployment back.

use super::{
    Deployment, EffectKind, Effects, IllegalEvent, Judged, Kind, Outcome, Replica, RulesAnswer, Settle,
    Stage, Step, Strategy, Undecided,
};
use crate::time::{Timestamp, words};
use pilotage_api::proxy::{Trip, WHOLE};
use pilotage_guard::{Evidence, replay};
use std::net::SocketAddr;
use std::time::Duration;

/// A held step may take this many times its length before a person is asked.
const HOLD: u32 = 10;

impl Deployment {
    pub(super) fn take_rules(&mut self, now: Timestamp, answer: RulesAnswer, effects: &mut Effects) {
        if !matches!(self.stage, Stage::Pending | Stage::Waiting { .. }) {
            return;
        }
        match answer {
            RulesAnswer::Granted { digest } if digest == self.spec.new.digest => {
                self.enter(now, Stage::Granted, effects);
            }
            RulesAnswer::Granted { .. } => {
                self.end(
                    now,
                    Outcome::Aborted,
                    "the approval is for another release",
                    effects,
                );
            }
            RulesAnswer::Refused { reason } => self.end(now, Outcome::Aborted, &reason, effects),
            RulesAnswer::Waiting { reason } => {
                let stage = Stage::Waiting {
                    reason: reason.clone(),
                };
                if self.stage != stage {
                    self.stage = stage;
                    self.note(now, format!("waits: {reason}"));
                    self.order(
                        effects,
                        EffectKind::Notify {
                            what: "waiting".to_owned(),
                            text: reason,
                        },
                    );
                }
            }
        }
    }

    pub(super) fn take_started(
        &mut self,
        now: Timestamp,
        kind: EffectKind,
        address: SocketAddr,
        effects: &mut Effects,
    ) {
        let EffectKind::Start { service, index, id } = kind else {
            return;
        };
        if self.died_early.contains(&id) {
            let why = format!("replica {id} of the new revision died as soon as it was healthy");
            self.go_back(now, why, true, effects);
            return;
        }
        self.replicas.push(Replica {
            service: service.clone(),
            index,
            id,
            address,
        });
        let wanted = self
            .spec
            .plan
            .services
            .iter()
            .find(|s| s.name == service)
            .map_or(0, |s| s.replicas);
        let healthy = self.replicas.iter().filter(|r| r.service == service).count();
        self.note(now, format!("{service}: {healthy} of {wanted} healthy"));
    }

    /// What a guard holds. A verdict takes it back, also when the trip that it made has not been told of yet.
    pub(super) fn take_guard(
        &mut self,
        now: Timestamp,
        service: String,
        judged: Judged,
        effects: &mut Effects,
    ) {
        let verdict = judged.evidence.as_ref().and_then(|e| e.verdict.clone());
        let (before, named) = (self.judged.remove(&service), service.clone());
        // What a trip said of its instants stays.
        let (decided_at_us, last_request_at_us) =
            before.map_or((None, None), |b| (b.decided_at_us, b.last_request_at_us));
        self.judged.insert(
            service,
            Judged {
                decided_at_us,
                last_request_at_us,
                at: now,
                ..judged
            },
        );
        let Some(verdict) = verdict else { return };
        self.go_back(now, verdict.sentence(&named), true, effects);
        if let Some(back) = &mut self.back {
            back.outage |= verdict.outcome == pilotage_guard::Outcome::Outage;
        }
    }

    /// The proxy returned to the old revision. The verdict is reached again here, from its evidence, by the same code.
    pub(super) fn take_trip(
        &mut self,
        now: Timestamp,
        service: &str,
        trip: Trip,
        effects: &mut Effects,
    ) -> Result<(), IllegalEvent> {
        if self.service(service).is_none() {
            return Err(IllegalEvent::UnknownService(self.spec.id, service.to_owned()));
        }
        self.order(
            effects,
            EffectKind::AcknowledgeTrip {
                service: service.to_owned(),
            },
        );
        if trip.deployment != self.spec.id || trip.revision != self.spec.new.revision || self.is_settled() {
            return Ok(());
        }
        let evidence: Option<Evidence> = serde_json::from_value(trip.verdict).ok();
        let verdict = evidence.as_ref().and_then(replay);
        let reason = match (&verdict, evidence.as_ref().and_then(|e| e.verdict.as_ref())) {
            (Some(replayed), Some(told)) if replayed.test == told.test => replayed.sentence(service),
            // Going back is the safe side, whatever the evidence is worth.
            _ => format!("the proxy went back from the new {service}; its evidence does not replay"),
        };
        let outage = verdict
            .as_ref()
            .is_some_and(|v| v.outcome == pilotage_guard::Outcome::Outage);
        let answers = evidence.as_ref().map_or(0, |e| e.new.answers);
        self.judged.insert(
            service.to_owned(),
            Judged {
                at: now,
                proven: false,
                answers,
                needed: 0,
                evidence: evidence.map(Box::new),
                decided_at_us: Some(trip.decided_at_us),
                last_request_at_us: Some(trip.last_request_at_us),
            },
        );
        self.go_back(now, reason, true, effects);
        if let Some(back) = &mut self.back {
            back.outage |= outage;
        }
        Ok(())
    }

    pub(super) fn take_death(&mut self, now: Timestamp, replica: &str, why: &str, effects: &mut Effects) {
        if self.is_settled() || self.back.is_some() {
            return;
        }
        if self.replicas.iter().any(|r| r.id == replica) {
            self.go_back(
                now,
                format!("replica {replica} of the new revision died: {why}"),
                true,
                effects,
            );
        } else {
            if self.asked.iter().any(|id| id == replica) {
                self.died_early.push(replica.to_owned());
            }
            self.note(now, format!("replica {replica} died: {why}"));
        }
    }

    /// A newer release wants the environment: one that has all traffic and was verified ends its watch as live, if its
    /// policy takes it as it is; one that is still on its way goes back first.
    pub(super) fn take_superseded(&mut self, now: Timestamp, by: i64, effects: &mut Effects) {
        match self.stage {
            Stage::Watching { .. } | Stage::JudgingWatch
                if self.is_proven() || self.spec.plan.guard.undecided == Undecided::Continue =>
            {
                self.pending.clear();
                self.note(now, format!("the watch ends early: deployment {by} follows"));
                self.enter(now, Stage::Settling { step: Settle::Disarm }, effects);
            }
            _ if self.back.is_some() || matches!(self.stage, Stage::Settling { .. } | Stage::Done { .. }) => {
            }
            _ => self.go_back(now, format!("deployment {by} takes its place"), false, effects),
        }
    }

    /// Goes on as far as nothing is waited for.
    pub(super) fn advance(&mut self, now: Timestamp, effects: &mut Effects) {
        while self.pending.is_empty() {
            let forward =
                self.back.is_none() && !matches!(self.stage, Stage::Settling { .. } | Stage::Done { .. });
            if forward && self.frozen.is_some() {
                return;
            }
            let Some(next) = self.next(now, effects) else {
                return;
            };
            self.enter(now, next, effects);
        }
    }

    /// The stage after this one, when this one's time has come.
    fn next(&mut self, now: Timestamp, effects: &mut Effects) -> Option<Stage> {
        let last = self.steps().len() - 1;
        Some(match self.stage.clone() {
            Stage::Pending | Stage::Waiting { .. } | Stage::Done { .. } => return None,
            Stage::Granted => Stage::Preparing,
            Stage::Preparing => Stage::Before { service: 0 },
            Stage::Before { service } if service + 1 < self.spec.plan.services.len() => {
                Stage::Before { service: service + 1 }
            }
            Stage::Before { .. } => Stage::Starting { step: 0 },
            Stage::Starting { step } => Stage::Shifting { step },
            Stage::Shifting { step } if step == last => Stage::Verifying,
            Stage::Shifting { step } => {
                let length = Duration::from_millis(self.steps()[step].for_ms);
                self.hold_until = now + length * HOLD;
                Stage::Standing {
                    step,
                    until: now + length,
                }
            }
            Stage::Standing { until, .. } | Stage::Watching { until } if now < until => return None,
            Stage::Standing { step, .. } if self.steps()[step].for_ms == 0 => {
                Stage::Starting { step: step + 1 }
            }
            Stage::Standing { step, .. } => Stage::Judging { step },
            Stage::Judging { step } => {
                let stay = |until| Stage::Standing { step, until };
                return self.judge(now, effects, Stage::Starting { step: step + 1 }, stay);
            }
            Stage::Verifying => self.watch(now),
            Stage::Watching { .. } => Stage::JudgingWatch,
            Stage::JudgingWatch => {
                let settle = Stage::Settling { step: Settle::Disarm };
                return self.judge(now, effects, settle, |until| Stage::Watching { until });
            }
            Stage::Settling { step } => match step {
                Settle::Disarm => Stage::Settling { step: Settle::Live },
                Settle::Live => Stage::Settling { step: Settle::Drain },
                Settle::Drain => Stage::Settling { step: Settle::Stop },
                Settle::Stop => Stage::Settling { step: Settle::Forget },
                Settle::Forget => Stage::Done {
                    outcome: Outcome::Live,
                },
            },
            Stage::Back { step } => return self.next_back(now, step, effects),
        })
    }

    fn watch(&mut self, now: Timestamp) -> Stage {
        let guard = &self.spec.plan.guard;
        if self.spec.kind == Kind::Rollback || !guard.enabled {
            return Stage::Settling { step: Settle::Disarm };
        }
        // However short the watch, the guard is asked at its end.
        let length = Duration::from_millis(guard.watch_ms);
        self.hold_until = now + length * HOLD;
        Stage::Watching { until: now + length }
    }

    /// What follows from what the guards hold: the next stage, a longer stay, or the way back (then none).
    fn judge(
        &mut self,
        now: Timestamp,
        effects: &mut Effects,
        next: Stage,
        stay: impl Fn(Timestamp) -> Stage,
    ) -> Option<Stage> {
        let Some((service, answers, needed)) = self.undecided()? else {
            return Some(next);
        };
        let seen = format!("{answers} answers of {service} seen, about {needed} needed");
        match self.spec.plan.guard.undecided {
            Undecided::Continue => Some(next),
            // Asked again soon: the stay ends when enough was seen.
            Undecided::Hold if now < self.hold_until => Some(stay(now + Duration::from_secs(1))),
            Undecided::Hold | Undecided::RollBack => {
                self.go_back(now, format!("not proven: {seen}"), false, effects);
                None
            }
        }
    }

    /// The first service whose release is not proven: its name, the answers seen, and about how many are needed.
    /// The outer none stands for "nothing was asked yet", which never promotes.
    #[expect(clippy::option_option, reason = "two different kinds of nothing")]
    fn undecided(&self) -> Option<Option<(String, u64, u64)>> {
        if !self.spec.plan.guard.enabled {
            return Some(None);
        }
        for service in &self.spec.plan.services {
            let judged = self.judged.get(&service.name)?;
            if !judged.proven {
                return Some(Some((service.name.clone(), judged.answers, judged.needed)));
            }
        }
        Some(None)
    }

    pub(super) fn is_proven(&self) -> bool {
        matches!(self.undecided(), Some(None)) && self.spec.plan.guard.enabled
    }

    /// Begins a stage: orders its effects.
    pub(super) fn enter(&mut self, now: Timestamp, stage: Stage, effects: &mut Effects) {
        self.stage = stage.clone();
        match stage {
            Stage::Preparing => {
                for service in self.names() {
                    self.order(effects, EffectKind::Prepare { service });
                }
            }
            Stage::Before { service } => {
                let service = &self.spec.plan.services[service];
                if service.before && self.spec.kind == Kind::Deploy {
                    let service = service.name.clone();
                    self.order(effects, EffectKind::Before { service });
                }
            }
            Stage::Starting { step } => self.start_replicas(step, effects),
            Stage::Shifting { step } => self.shift(now, step, effects),
            Stage::Judging { .. } | Stage::JudgingWatch => self.read_guards(effects),
            Stage::Verifying => {
                let new = &self.spec.new;
                let (revision, digest) = (new.revision.clone(), new.digest.clone());
                let answers = self.spec.plan.verify_answers;
                self.order(
                    effects,
                    EffectKind::Verify {
                        revision,
                        digest,
                        answers,
                    },
                );
            }
            Stage::Watching { until } => {
                self.note(
                    now,
                    format!(
                        "all traffic on {}; watched for {}",
                        self.spec.new.revision,
                        words(until.since(now))
                    ),
                );
            }
            Stage::Settling { step } => self.settle(now, step, effects),
            Stage::Back { step } => self.enter_back(step, effects),
            Stage::Done { outcome } => self.finish(now, outcome, effects),
            Stage::Pending | Stage::Waiting { .. } | Stage::Granted | Stage::Standing { .. } => {}
        }
    }

    fn names(&self) -> Vec<String> {
        self.spec.plan.services.iter().map(|s| s.name.clone()).collect()
    }

    /// The shares in order; the last is all of the traffic. A rollback does not climb.
    pub(super) fn steps(&self) -> Vec<Step> {
        let whole = Step {
            share: WHOLE,
            for_ms: 0,
        };
        let rolling = || {
            let most = self
                .spec
                .plan
                .services
                .iter()
                .map(|s| s.replicas)
                .max()
                .unwrap_or(1)
                .max(1);
            (1..=most)
                .map(|i| Step {
                    share: WHOLE * i / most,
                    for_ms: 0,
                })
                .collect::<Vec<_>>()
        };
        let mut steps = match &self.spec.plan.strategy {
            // With nobody to share with there is nothing to climb.
            _ if self.spec.kind == Kind::Rollback || self.spec.old.is_none() => Vec::new(),
            Strategy::BlueGreen => Vec::new(),
            Strategy::Rolling => rolling(),
            Strategy::Canary(steps) => steps.clone(),
        };
        steps.retain(|s| s.share < WHOLE);
        steps.push(whole);
        steps
    }

    /// Rolling starts a replica of each service a step; the others start all before the first step.
    fn start_replicas(&mut self, step: usize, effects: &mut Effects) {
        let last = step + 1 == self.steps().len();
        let one_by_one =
            self.spec.plan.strategy == Strategy::Rolling && self.spec.kind == Kind::Deploy && !last;
        for service in self.spec.plan.services.clone() {
            let wanted = if one_by_one {
                u32::try_from(step + 1).unwrap_or(u32::MAX)
            } else {
                service.replicas
            };
            for index in 0..wanted.min(service.replicas) {
                let id = self.replica_id(&service.name, index);
                if !self.asked.contains(&id) {
                    self.asked.push(id.clone());
                    self.order(
                        effects,
                        EffectKind::Start {
                            service: service.name.clone(),
                            index,
                            id,
                        },
                    );
                }
            }
        }
    }

    fn shift(&mut self, now: Timestamp, step: usize, effects: &mut Effects) {
        let share = self.steps()[step].share;
        for service in 0..self.spec.plan.services.len() {
            // A service that has no old revision has nobody to share with.
            let share = if self.has_old(service) { share } else { WHOLE };
            let armed = self.spec.kind == Kind::Deploy;
            let table = Box::new(self.table(service, share, armed));
            self.order(effects, EffectKind::Apply { table });
        }
        self.note(
            now,
            format!(
                "{} % of the traffic to {}",
                percent(share),
                self.spec.new.revision
            ),
        );
    }

    pub(super) fn read_guards(&mut self, effects: &mut Effects) {
        if self.spec.plan.guard.enabled {
            for service in self.names() {
                self.order(effects, EffectKind::ReadGuard { service });
            }
        }
    }

    fn settle(&mut self, now: Timestamp, step: Settle, effects: &mut Effects) {
        let services = 0..self.spec.plan.services.len();
        match step {
            Settle::Disarm => {
                for service in services {
                    let table = Box::new(self.table(service, WHOLE, false));
                    self.order(effects, EffectKind::Apply { table });
                }
            }
            Settle::Live => {
                self.remove_dropped(effects);
                let proven = self.is_proven();
                let (release, replicas) = (self.spec.new.clone(), self.replicas.clone());
                self.order(
                    effects,
                    EffectKind::MarkLive {
                        release,
                        replicas,
                        proven,
                    },
                );
                let text = self.live_text();
                self.note(now, text.clone());
                self.order(
                    effects,
                    EffectKind::Notify {
                        what: "live".to_owned(),
                        text,
                    },
                );
            }
            Settle::Drain => self.drain_old(effects),
            Settle::Stop => {
                let old = self.spec.old.iter().flat_map(|old| &old.replicas);
                let old = old
                    .filter(|r| !self.undrained.contains(&r.service))
                    .map(|r| r.id.clone());
                let gone: Vec<String> = old.filter(|id| !self.asked.contains(id)).collect();
                for replica in gone {
                    self.order(effects, EffectKind::Stop { replica });
                }
            }
            Settle::Forget => {
                self.old_is_gone = true;
                for service in services {
                    let table = Box::new(self.table(service, WHOLE, false));
                    self.order(effects, EffectKind::Apply { table });
                }
            }
        }
    }

    /// Services that the environment had and this release has not: nobody is sent to them any more.
    fn remove_dropped(&mut self, effects: &mut Effects) {
        for service in self.dropped() {
            self.epoch += 1;
            let (id, epoch) = (self.service_id(&service), self.table_epoch());
            self.order(effects, EffectKind::Remove { service, id, epoch });
        }
    }

    fn drain_old(&mut self, effects: &mut Effects) {
        let Some(old) = &self.spec.old else { return };
        let revision = old.release.revision.clone();
        if revision == self.spec.new.revision {
            return;
        }
        let mut drains: Vec<(String, u64)> = (0..self.spec.plan.services.len())
            .filter(|service| self.has_old(*service))
            .map(|service| &self.spec.plan.services[service])
            .map(|plan| (plan.name.clone(), plan.drain_ms))
            .collect();
        let longest = self.spec.plan.services.iter().map(|s| s.drain_ms).max();
        drains.extend(
            self.dropped()
                .into_iter()
                .map(|name| (name, longest.unwrap_or(0))),
        );
        for (service, deadline_ms) in drains {
            let revision = revision.clone();
            self.order(
                effects,
                EffectKind::Drain {
                    service,
                    revision,
                    deadline_ms,
                },
            );
        }
    }

    pub(super) fn live_text(&self) -> String {
        let answers: u64 = self.judged.values().map(|j| j.answers).sum();
        match (self.spec.kind, self.spec.plan.guard.enabled, self.undecided()) {
            (Kind::Rollback, ..) => "live: brought back and verified".to_owned(),
            (_, false, _) => "live, without a guard".to_owned(),
            (.., Some(None)) => format!("live: proven over {answers} answers"),
            // Of the service that it is said of: others may have had enough.
            (.., Some(Some((service, answers, needed)))) if needed > 0 => {
                format!("live, not proven: {answers} answers of {service} seen, about {needed} needed")
            }
            _ => format!("live, not proven: {answers} answers seen"),
        }
    }

    /// Live, or ended: nothing that comes now takes it back.
    pub(super) fn is_settled(&self) -> bool {
        match self.stage {
            Stage::Settling { step } => step != Settle::Disarm,
            Stage::Done { .. } => true,
            _ => false,
        }
    }

    /// Ends it before anything was done.
    pub(super) fn end(&mut self, now: Timestamp, outcome: Outcome, why: &str, effects: &mut Effects) {
        self.pending.clear();
        self.note(now, why.to_owned());
        self.order(
            effects,
            EffectKind::Notify {
                what: "aborted".to_owned(),
                text: why.to_owned(),
            },
        );
        self.enter(now, Stage::Done { outcome }, effects);
    }

    fn finish(&mut self, now: Timestamp, outcome: Outcome, effects: &mut Effects) {
        let word = match outcome {
            Outcome::Live => "live",
            Outcome::RolledBack => "rolled back",
            Outcome::Aborted => "aborted",
            Outcome::NeedsAttention => "needs attention",
        };
        self.note(now, word.to_owned());
        self.order(effects, EffectKind::Finished { outcome });
    }
}

/// A share for people: 500 of 10,000 is `5`, 1,250 is `12.5`.
pub(super) fn percent(share: u32) -> String {
    match (share / 100, share % 100) {
        (whole, 0) => whole.to_string(),
        (whole, part) => format!("{whole}.{}", format!("{part:02}").trim_end_matches('0')),
    }
}
