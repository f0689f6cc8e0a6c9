//! The way back: traffic first, proof next, clean-up last. Each step is ordered in the reverse order of going live.
//! When traffic cannot be turned back, or the old revision cannot be proven, it stops where it stands and asks for a
//! person: what serves then is not stopped.

use super::{Back, BackStep, Deployment, EffectKind, Effects, Outcome, Stage};
use crate::time::{Timestamp, words};
use std::time::Duration;

impl Deployment {
    /// Turns round. Later reasons do not change the first one, but may be worth a quarantine; what was waited for is
    /// not waited for any more.
    pub(super) fn go_back(
        &mut self,
        now: Timestamp,
        reason: String,
        quarantine: bool,
        effects: &mut Effects,
    ) {
        if self.is_settled() {
            return;
        }
        if let Some(back) = &mut self.back {
            back.quarantine |= quarantine;
            return;
        }
        if matches!(
            self.stage,
            Stage::Pending | Stage::Waiting { .. } | Stage::Granted
        ) {
            self.end(now, Outcome::Aborted, &reason, effects);
            return;
        }
        self.pending.clear();
        self.note(now, format!("goes back: {reason}"));
        let had_traffic = self.shares.iter().any(|share| *share > 0);
        let back = Back {
            at: now,
            reason,
            quarantine,
            outage: false,
            had_traffic,
            fault: None,
            verified: None,
        };
        self.back = Some(back);
        self.enter(
            now,
            Stage::Back {
                step: BackStep::Shift,
            },
            effects,
        );
    }

    pub(super) fn next_back(
        &mut self,
        now: Timestamp,
        step: BackStep,
        effects: &mut Effects,
    ) -> Option<Stage> {
        let step = match step {
            BackStep::Shift => BackStep::Verify,
            BackStep::Verify => BackStep::Drain,
            BackStep::Drain => {
                self.say_what_is_watched(now);
                BackStep::Quiet
            }
            BackStep::Quiet if self.quiet_until().is_some_and(|until| now < until) => return None,
            BackStep::Quiet => BackStep::Judge,
            BackStep::Judge => BackStep::Stop,
            BackStep::Stop => BackStep::Forget,
            BackStep::Forget => {
                return Some(Stage::Done {
                    outcome: self.settle_blame(now, effects),
                });
            }
        };
        Some(Stage::Back { step })
    }

    /// The wait that follows looks like idleness to whoever does not know what it is for.
    fn say_what_is_watched(&mut self, now: Timestamp) {
        let until = self.quiet_until().filter(|until| now < *until);
        if let (Some(until), Some(old)) = (until, &self.spec.old) {
            let (old, time) = (old.release.revision.clone(), words(until.since(now)));
            self.note(
                now,
                format!("watches {old} for {time}: if it fails the same way, nobody is blamed"),
            );
        }
    }

    /// When the old revision has answered well for long enough; none where it has nothing to show: the new one had
    /// no traffic, or nobody stands beside it.
    pub(super) fn quiet_until(&self) -> Option<Timestamp> {
        let back = self
            .back
            .as_ref()
            .filter(|back| back.had_traffic && self.spec.plan.guard.enabled)?;
        self.spec.old.as_ref()?;
        self.judged
            .values()
            .any(|j| j.decided_at_us.is_some())
            .then_some(())?;
        Some(back.at + Duration::from_millis(self.spec.plan.guard.quiet_ms))
    }

    pub(super) fn enter_back(&mut self, step: BackStep, effects: &mut Effects) {
        let had_traffic = self.back.as_ref().is_some_and(|back| back.had_traffic);
        let services: Vec<usize> = (0..self.spec.plan.services.len()).rev().collect();
        match step {
            BackStep::Shift if had_traffic => self.shift_back(&services, true, effects),
            BackStep::Verify => self.verify_old(effects),
            BackStep::Drain if had_traffic => {
                for service in services {
                    let plan = &self.spec.plan.services[service];
                    let (service, deadline_ms) = (plan.name.clone(), plan.drain_ms);
                    let revision = self.spec.new.revision.clone();
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
            BackStep::Judge if self.quiet_until().is_some() => self.read_guards(effects),
            BackStep::Stop => {
                self.replicas.clear();
                let left = self.undrained.clone();
                let kept = |id: &String| left.iter().any(|service| self.is_replica_of(service, id));
                let gone: Vec<String> = self.asked.iter().filter(|id| !kept(id)).cloned().collect();
                for replica in gone {
                    self.order(effects, EffectKind::Stop { replica });
                }
            }
            BackStep::Forget if had_traffic => self.shift_back(&services, false, effects),
            BackStep::Shift | BackStep::Drain | BackStep::Quiet | BackStep::Judge | BackStep::Forget => {}
        }
    }

    /// All traffic to the old revision; a service that had none is taken away. The guard stays armed at first: it
    /// looks at whether the old revision fails the same way.
    fn shift_back(&mut self, services: &[usize], armed: bool, effects: &mut Effects) {
        for &service in services {
            let table = self.table(service, 0, armed);
            if self.has_old(service) {
                self.order(
                    effects,
                    EffectKind::Apply {
                        table: Box::new(table),
                    },
                );
            } else {
                let name = self.spec.plan.services[service].name.clone();
                self.order(
                    effects,
                    EffectKind::Remove {
                        service: name,
                        id: table.id,
                        epoch: table.epoch,
                    },
                );
            }
        }
    }

    fn verify_old(&mut self, effects: &mut Effects) {
        if let Some(old) = &self.spec.old {
            let (revision, digest) = (old.release.revision.clone(), old.release.digest.clone());
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
    }

    pub(super) fn take_failure_on_the_way_back(
        &mut self,
        now: Timestamp,
        fault: String,
        effects: &mut Effects,
    ) {
        self.note(now, fault.clone());
        let Some(back) = &mut self.back else { return };
        if matches!(
            self.stage,
            Stage::Back {
                step: BackStep::Shift | BackStep::Verify
            }
        ) {
            back.fault = Some(fault.clone());
            self.pending.clear();
            self.order(
                effects,
                EffectKind::Notify {
                    what: "needs-attention".to_owned(),
                    text: fault,
                },
            );
            self.enter(
                now,
                Stage::Done {
                    outcome: Outcome::NeedsAttention,
                },
                effects,
            );
        }
    }

    fn settle_blame(&mut self, now: Timestamp, effects: &mut Effects) -> Outcome {
        let Some(back) = self.back.clone() else {
            return Outcome::NeedsAttention;
        };
        let release = self.spec.new.clone();
        if back.outage {
            let text = format!(
                "{}; nobody is blamed: the old revision fails the same way",
                back.reason
            );
            self.order(
                effects,
                EffectKind::Notify {
                    what: "needs-attention".to_owned(),
                    text,
                },
            );
            return Outcome::NeedsAttention;
        }
        if back.quarantine {
            self.note(now, format!("{} is quarantined", release.revision));
            self.order(
                effects,
                EffectKind::Quarantine {
                    release,
                    reason: back.reason.clone(),
                },
            );
        }
        let outcome = if self.spec.old.is_some() {
            Outcome::RolledBack
        } else {
            Outcome::Aborted
        };
        let what = if outcome == Outcome::RolledBack {
            "rolled-back"
        } else {
            "aborted"
        };
        self.order(
            effects,
            EffectKind::Notify {
                what: what.to_owned(),
                text: back.reason,
            },
        );
        outcome
    }
}
