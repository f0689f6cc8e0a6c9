//! What a deployment may do at each moment, from what it was told and from how the target stands, and from nothing
//! that the machine says about itself.

use crate::target::{Health, Target};
use pilotage_api::proxy::{ServiceTable, WHOLE};
use pilotage_engine::deployment::{
    DeploymentEffect, DeploymentEvent, DeploymentSpec, EffectKind, EffectResult, Kind, Outcome, RulesAnswer,
    Strategy, Undecided,
};
use pilotage_guard::{Evidence, replay};
use std::collections::{BTreeMap, BTreeSet};

/// What one deployment was told, and what it ordered.
pub(crate) struct Law {
    pub(crate) spec: DeploymentSpec,
    pub(crate) granted: bool,
    pub(crate) frozen: bool,
    superseded: bool,
    /// Told of a reason to go back before it was live.
    pub(crate) turned: Option<String>,
    /// Before anything was begun, an abort just ends it.
    begun: bool,
    pub(crate) live: bool,
    pub(crate) ended: Option<Outcome>,
    last_sequence: Option<u64>,
    /// The new revision's share of each service, as last ordered, and whether it fell before.
    shares: BTreeMap<String, (u32, bool)>,
    once: BTreeSet<String>,
    pub(crate) started: BTreeSet<String>,
    dead: BTreeSet<String>,
    /// (Service, revision) that had a share while it ran, and those whose drain was answered.
    pub(crate) had_share: BTreeSet<(String, String)>,
    drained: BTreeSet<(String, String)>,
    /// Of each service: proven, as the guard was last read.
    proven: BTreeMap<String, bool>,
    outage: bool,
    regression: bool,
    quarantined: bool,
    pub(crate) back_failed: bool,
    tidying: bool,
    pub(crate) stop_failed: bool,
    /// By the wall clock: the last table was taken, all was verified.
    standing_since: i64,
    verified_at: Option<i64>,
    /// The latest that the wall clock ever showed: it may jump back.
    latest: i64,
}

impl Law {
    pub(crate) fn new(spec: DeploymentSpec) -> Self {
        Self {
            spec,
            granted: false,
            frozen: false,
            superseded: false,
            turned: None,
            begun: false,
            live: false,
            ended: None,
            last_sequence: None,
            shares: BTreeMap::new(),
            once: BTreeSet::new(),
            started: BTreeSet::new(),
            dead: BTreeSet::new(),
            had_share: BTreeSet::new(),
            drained: BTreeSet::new(),
            proven: BTreeMap::new(),
            outage: false,
            regression: false,
            quarantined: false,
            back_failed: false,
            tidying: false,
            stop_failed: false,
            standing_since: 0,
            verified_at: None,
            latest: 0,
        }
    }

    /// The world changed: who has traffic now.
    pub(crate) fn see(&mut self, target: &Target) {
        for (service, revision) in self.revisions() {
            if target.share(&service, &revision) > 0 {
                self.had_share.insert((service, revision));
            }
        }
    }

    fn revisions(&self) -> Vec<(String, String)> {
        let new = &self.spec.new.revision;
        let mut all: Vec<_> = self
            .spec
            .plan
            .services
            .iter()
            .map(|s| (s.name.clone(), new.clone()))
            .collect();
        if let Some(old) = &self.spec.old {
            let names: BTreeSet<_> = old.replicas.iter().map(|r| r.service.clone()).collect();
            all.extend(names.into_iter().map(|name| (name, old.release.revision.clone())));
        }
        all
    }

    pub(crate) fn has_old(&self, service: &str) -> bool {
        self.spec
            .old
            .iter()
            .flat_map(|old| &old.replicas)
            .any(|r| r.service == service)
    }

    fn is_new(&self, service: &str) -> bool {
        self.spec.plan.services.iter().any(|s| s.name == service)
    }

    /// It goes back, and nobody said so: only its policy for too few answers allows that.
    fn turn_by_itself(&mut self) -> Result<(), String> {
        let guard = &self.spec.plan.guard;
        let proven = self
            .spec
            .plan
            .services
            .iter()
            .all(|s| self.proven.get(&s.name) == Some(&true));
        let held = self.superseded && self.frozen;
        if held || guard.enabled && guard.undecided != Undecided::Continue && !proven {
            self.turn("too few answers");
            return Ok(());
        }
        Err("it goes back without a reason".to_owned())
    }

    fn turn(&mut self, why: &str) {
        if !self.live && self.ended.is_none() && self.turned.is_none() {
            self.turned = Some(why.to_owned());
        }
    }

    /// An event that the machine took. `of` is the effect whose result it is, if that was still waited for.
    pub(crate) fn told(&mut self, now: i64, event: &DeploymentEvent, of: Option<&EffectKind>) {
        self.latest = self.latest.max(now);
        match event {
            DeploymentEvent::Rules { answer } => self.told_rules(answer),
            DeploymentEvent::Tripped { trip, .. } => {
                if trip.deployment != self.spec.id || trip.revision != self.spec.new.revision || self.live {
                    return;
                }
                if self.ended.is_none() {
                    let evidence: Option<Evidence> = serde_json::from_value(trip.verdict.clone()).ok();
                    self.told_evidence(evidence.as_ref());
                    self.regression = true;
                    self.turn("a trip");
                }
            }
            DeploymentEvent::ReplicaDied { replica, .. } => {
                self.dead.insert(replica.clone());
                if self.started.contains(replica) {
                    self.turn("a death");
                }
            }
            DeploymentEvent::Abort { .. } => self.turn("an abort"),
            DeploymentEvent::Superseded { .. } => {
                self.superseded = true;
                if self.verified_at.is_none() {
                    self.turn("a newer deployment");
                }
            }
            DeploymentEvent::Freeze { reason } => self.frozen = reason.is_some(),
            DeploymentEvent::Wake => {}
            DeploymentEvent::Result { result, .. } => {
                if let Some(kind) = of {
                    self.told_result(now, kind, result);
                }
            }
        }
    }

    fn told_rules(&mut self, answer: &RulesAnswer) {
        if let RulesAnswer::Granted { digest } = answer {
            self.granted |= *digest == self.spec.new.digest;
        }
    }

    fn told_evidence(&mut self, evidence: Option<&Evidence>) {
        let verdict = evidence.and_then(replay);
        self.outage |= verdict.is_some_and(|v| v.outcome == pilotage_guard::Outcome::Outage);
    }

    fn told_result(&mut self, now: i64, kind: &EffectKind, result: &EffectResult) {
        self.tidying |= matches!(kind, EffectKind::Drain { .. });
        match (kind, result) {
            (EffectKind::Stop { .. }, EffectResult::Failed { .. }) => self.stop_failed = true,
            // What was not let go of is not stopped.
            (EffectKind::Drain { .. }, EffectResult::Failed { .. }) => self.stop_failed = true,
            (
                EffectKind::Drain {
                    service, revision, ..
                },
                _,
            ) => {
                self.drained.insert((service.clone(), revision.clone()));
            }
            (_, EffectResult::Failed { .. }) if self.live || self.ended.is_some() => {}
            (_, EffectResult::Failed { .. }) if self.turned.is_some() => {
                let turns = matches!(
                    kind,
                    EffectKind::Apply { .. } | EffectKind::Remove { .. } | EffectKind::Verify { .. }
                );
                // After the drain, a table is tidying up only.
                self.back_failed |= turns && !self.tidying;
            }
            (_, EffectResult::Failed { why }) => self.turn(&format!("a failure: {why}")),
            (EffectKind::AskRules, EffectResult::Rules { answer }) => self.told_rules(answer),
            (EffectKind::Start { id, .. }, EffectResult::Started { .. }) => {
                self.started.insert(id.clone());
                if self.dead.contains(id) {
                    self.turn("an early death");
                }
            }
            (EffectKind::Apply { .. }, _) => self.standing_since = now,
            (EffectKind::Verify { digest, .. }, _) if *digest == self.spec.new.digest => {
                self.verified_at = Some(now);
            }
            (EffectKind::ReadGuard { service }, EffectResult::Guard { proven, evidence, .. }) => {
                self.proven.insert(service.clone(), *proven);
                let verdict = evidence.as_ref().and_then(|e| e.verdict.as_ref());
                if verdict.is_some() {
                    self.told_evidence(evidence.as_deref());
                    self.turn("a verdict");
                }
            }
            _ => {}
        }
    }

    /// What it orders. The error names the law that is broken.
    pub(crate) fn ordered(&mut self, effects: &[DeploymentEffect], target: &Target) -> Result<(), String> {
        for effect in effects {
            if self.last_sequence.is_some_and(|last| effect.sequence <= last) {
                return Err(format!("sequence {} was used before", effect.sequence));
            }
            self.last_sequence = Some(effect.sequence);
            if self.ended.is_some() && !matches!(effect.kind, EffectKind::AcknowledgeTrip { .. }) {
                return Err(format!("it ended, and orders {:?}", effect.kind));
            }
            self.check(&effect.kind, target)
                .map_err(|why| format!("{why}: {}", short(&effect.kind)))?;
        }
        Ok(())
    }

    fn check(&mut self, kind: &EffectKind, target: &Target) -> Result<(), String> {
        match kind {
            EffectKind::Prepare { service } => self.forward(&format!("prepare {service}")),
            EffectKind::Before { service } => self.forward(&format!("before {service}")),
            EffectKind::Start { id, .. } => self.forward(&format!("start {id}")),
            EffectKind::Apply { table } => self.check_table(table, target),
            EffectKind::Remove { service, .. } => self.check_remove(service),
            EffectKind::Verify { revision, digest, .. } => self.check_verify(revision, digest),
            EffectKind::Stop { replica } => self.check_stop(replica, target),
            EffectKind::MarkLive { proven, .. } => self.check_live(*proven, target),
            EffectKind::Quarantine { .. } => {
                self.quarantined = true;
                if self.outage {
                    return Err("an outage is nobody's fault, and it is quarantined".to_owned());
                }
                if self.turned.is_none() {
                    return Err("quarantined without a reason".to_owned());
                }
                Ok(())
            }
            EffectKind::Finished { outcome } => self.check_end(*outcome, target),
            EffectKind::Drain {
                service, revision, ..
            } if target.share(service, revision) > 0 && self.is_new(service) => {
                Err(format!("{revision} is drained while it has a share"))
            }
            _ => Ok(()),
        }
    }

    /// A step forward, done once.
    fn forward(&mut self, what: &str) -> Result<(), String> {
        if !self.granted {
            return Err("nobody granted this digest".to_owned());
        }
        if let Some(why) = &self.turned {
            return Err(format!("a step forward after {why}"));
        }
        if self.frozen {
            return Err("a step forward in a freeze".to_owned());
        }
        self.begun = true;
        if !self.once.insert(what.to_owned()) {
            return Err("ordered twice".to_owned());
        }
        Ok(())
    }

    fn check_table(&mut self, table: &ServiceTable, target: &Target) -> Result<(), String> {
        let service = table.id.rsplit('/').next().unwrap_or_default().to_owned();
        let sum: u32 = table.revisions.iter().map(|r| r.share).sum();
        if sum != WHOLE && sum != 0 {
            return Err(format!("the shares add up to {sum}"));
        }
        let old = self.spec.old.as_ref().map(|old| old.release.revision.as_str());
        for revision in &table.revisions {
            if revision.revision != self.spec.new.revision && Some(revision.revision.as_str()) != old {
                return Err(format!(
                    "{} is neither the new nor the old one",
                    revision.revision
                ));
            }
            let up = |id: &String| {
                let stood = target.replicas.get(id);
                stood.is_some_and(|s| {
                    s.health == Health::Healthy || s.health == Health::Dead && !self.dead.contains(id)
                })
            };
            // Once it is live there is no other to serve; whoever looks after what stands starts it again.
            if revision.share > 0 && !self.live && !revision.replicas.iter().any(|r| up(&r.id)) {
                return Err(format!(
                    "{} has a share and no healthy replica",
                    revision.revision
                ));
            }
        }
        if let Some(armed) = &table.armed {
            let good = |(name, share): &(String, u32)| *share == 0 || Some(name.as_str()) == old;
            if !armed.fallback.iter().all(good) {
                return Err("the fallback is not the release that was live".to_owned());
            }
        }
        let new = table
            .revisions
            .iter()
            .find(|r| r.revision == self.spec.new.revision)
            .map_or(0, |r| r.share);
        let armed = self.spec.kind == Kind::Deploy && self.spec.plan.guard.enabled;
        if armed && new > 0 && new < WHOLE && table.armed.is_none() {
            return Err("a share with no guard armed".to_owned());
        }
        self.check_share(&service, new, table.armed.is_none() && armed)
    }

    fn check_share(&mut self, service: &str, new: u32, disarmed: bool) -> Result<(), String> {
        let (before, fell) = self.shares.get(service).copied().unwrap_or((0, false));
        if new < before && self.turned.is_none() {
            self.turn_by_itself()?;
        }
        if new > before {
            if let Some(why) = &self.turned {
                return Err(format!("a share rises after {why}"));
            }
            if fell {
                return Err("a share rises again".to_owned());
            }
            if self.frozen || !self.granted {
                return Err("a share rises in a freeze, or without a grant".to_owned());
            }
            let stands = match &self.spec.plan.strategy {
                Strategy::Canary(steps) if self.spec.kind == Kind::Deploy => steps
                    .iter()
                    .find(|step| step.share == before)
                    .map_or(0, |step| step.for_ms),
                _ => 0,
            };
            if before > 0 && stands > 0 && self.latest - self.standing_since < i64::try_from(stands).unwrap()
            {
                return Err("a share rises before its step has stood".to_owned());
            }
            if before > 0 && stands > 0 {
                self.check_judged()?;
            }
        }
        if disarmed && new == WHOLE && !self.live {
            if self.turned.is_some() || self.frozen && !self.superseded {
                return Err("the guard is disarmed on the way back, or in a freeze".to_owned());
            }
            self.check_watched()?;
        }
        self.shares
            .insert(service.to_owned(), (new, fell || new < before));
        Ok(())
    }

    /// What the policy says of a release that is not proven.
    fn check_judged(&self) -> Result<(), String> {
        let guard = &self.spec.plan.guard;
        if !guard.enabled || self.spec.kind == Kind::Rollback {
            return Ok(());
        }
        if self.superseded && guard.undecided == Undecided::Continue {
            return Ok(());
        }
        for service in &self.spec.plan.services {
            match self.proven.get(&service.name) {
                None => return Err(format!("promoted without asking the guard of {}", service.name)),
                Some(false) if guard.undecided != Undecided::Continue => {
                    return Err(format!("promoted although {} is not proven", service.name));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn check_watched(&self) -> Result<(), String> {
        let Some(verified) = self.verified_at else {
            return Err("never verified".to_owned());
        };
        let watch = i64::try_from(self.spec.plan.guard.watch_ms).unwrap();
        let watched = self.spec.kind == Kind::Deploy && self.spec.plan.guard.enabled;
        if watched && !self.superseded && self.latest - verified < watch {
            return Err("the watch was cut short".to_owned());
        }
        self.check_judged()
    }

    fn check_verify(&mut self, revision: &str, digest: &str) -> Result<(), String> {
        if self.turned.is_none() {
            if revision != self.spec.new.revision || digest != self.spec.new.digest {
                return Err("not the new release is verified".to_owned());
            }
            return self.forward("verify");
        }
        let old = self.spec.old.as_ref().map(|old| &old.release);
        if old.is_none_or(|old| old.revision != revision || old.digest != digest) {
            return Err("not the old release is verified".to_owned());
        }
        Ok(())
    }

    fn check_remove(&mut self, service: &str) -> Result<(), String> {
        let is_new = self.is_new(service);
        if self.turned.is_none() && is_new && !self.has_old(service) {
            self.turn_by_itself()?;
        }
        match (&self.turned, is_new) {
            (Some(_), true) if self.has_old(service) => Err("the old revision is taken away".to_owned()),
            (Some(_), false) => Err("a service of the old release is taken away".to_owned()),
            (None, true) => Err("a service is taken away on the way forward".to_owned()),
            (None, false) if self.verified_at.is_none() => {
                Err("taken away before all was verified".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_stop(&mut self, replica: &str, target: &Target) -> Result<(), String> {
        if !self.once.insert(format!("stop {replica}")) {
            return Err("ordered twice".to_owned());
        }
        if self.back_failed {
            return Err("the way back failed, and something is stopped".to_owned());
        }
        let old = self
            .spec
            .old
            .iter()
            .flat_map(|old| &old.replicas)
            .any(|r| r.id == replica);
        if old != self.live || self.turned.is_some() == self.live {
            return Err("neither the new one on the way back nor the old one when live".to_owned());
        }
        self.check_idle(replica, target)
    }

    /// Holds when a stop is ordered, and when it is done.
    pub(crate) fn check_idle(&self, replica: &str, target: &Target) -> Result<(), String> {
        let Some(stood) = target.replicas.get(replica) else {
            return Ok(());
        };
        let key = (stood.service.clone(), stood.revision.clone());
        if target.share(&key.0, &key.1) > 0 {
            return Err(format!("{replica} is stopped while {} has a share", key.1));
        }
        if self.had_share.contains(&key) && !self.drained.contains(&key) {
            return Err(format!("{replica} is stopped before {} was drained", key.1));
        }
        Ok(())
    }

    fn check_live(&mut self, proven: bool, target: &Target) -> Result<(), String> {
        if let Some(why) = &self.turned {
            return Err(format!("live after {why}"));
        }
        if self.live || !self.granted {
            return Err("live twice, or without a grant".to_owned());
        }
        self.live = true;
        let new = &self.spec.new.revision;
        for service in &self.spec.plan.services {
            if target.share(&service.name, new) != WHOLE {
                return Err(format!("live, and {} has not all traffic", service.name));
            }
        }
        if proven
            && !self
                .spec
                .plan
                .services
                .iter()
                .all(|s| self.proven.get(&s.name) == Some(&true))
        {
            return Err("called proven, and is not".to_owned());
        }
        // The watch was looked at when the guard was let go of; the clock may have jumped since.
        if self.verified_at.is_none() {
            return Err("live, and never verified".to_owned());
        }
        self.check_judged()
    }

    fn check_end(&mut self, outcome: Outcome, target: &Target) -> Result<(), String> {
        self.ended = Some(outcome);
        let all_on_old = || {
            let old = self.spec.old.as_ref();
            old.is_none_or(|old| {
                old.replicas
                    .iter()
                    .all(|r| target.share(&r.service, &old.release.revision) == WHOLE)
            })
        };
        let wrong = match outcome {
            Outcome::Live => !self.live,
            _ if self.live => true,
            Outcome::NeedsAttention => !self.back_failed && !self.outage,
            Outcome::Aborted if !self.begun => false,
            Outcome::Aborted => self.spec.old.is_some() || self.back_failed || self.outage,
            Outcome::RolledBack => {
                self.spec.old.is_none() || self.back_failed || self.outage || !all_on_old()
            }
        };
        if wrong {
            return Err(format!("ended as {outcome:?} after {:?}", self.turned));
        }
        let back = matches!(outcome, Outcome::RolledBack | Outcome::Aborted);
        if back && self.regression && !self.quarantined {
            return Err("the guard found it worse, and it is not quarantined".to_owned());
        }
        Ok(())
    }

    /// After its end, when nothing happens any more: what stands is what should.
    pub(crate) fn check_rest(&self, target: &Target) -> Result<(), String> {
        let gone = match self.ended {
            None => return Err("it never ended".to_owned()),
            Some(_) if self.stop_failed => return Ok(()),
            Some(Outcome::Live) => self.spec.old.as_ref().map(|old| old.release.revision.clone()),
            Some(Outcome::RolledBack | Outcome::Aborted) => Some(self.spec.new.revision.clone()),
            Some(Outcome::NeedsAttention) => None,
        };
        let left = |(_, s): &(&String, &crate::target::Stood)| {
            Some(&s.revision) == gone.as_ref() && s.health == Health::Healthy
        };
        match target.replicas.iter().find(left) {
            Some((id, _)) => Err(format!("{id} was left running after {:?}", self.ended)),
            None => Ok(()),
        }
    }
}

pub(crate) fn short(kind: &EffectKind) -> String {
    match kind {
        EffectKind::Apply { table } => {
            let shares = table
                .revisions
                .iter()
                .map(|r| format!("{} {}", r.revision, r.share));
            let armed = if table.armed.is_some() { ", armed" } else { "" };
            format!(
                "apply {} [{}]{armed} at {}",
                table.id,
                shares.collect::<Vec<_>>().join(", "),
                table.epoch
            )
        }
        other => format!("{other:?}"),
    }
}
