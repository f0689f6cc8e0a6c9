//! The driver and the target's side of the world: effects are done, late, twice or not at all, and told of.

use super::{Mail, TICK, World};
use crate::made::Fault;
use pilotage_api::proxy::{Trip, WHOLE};
use pilotage_engine::deployment::{
    Deployment, DeploymentEffect, DeploymentEvent, EffectKind, EffectResult, Kind, RulesAnswer,
};
use serde_json::Value;
use std::collections::BTreeSet;

impl World {
    pub(super) fn ask_rules(&mut self, cell: usize, sequence: u64) {
        let digest = self.cells[cell].law.spec.new.digest.clone();
        let granted = RulesAnswer::Granted { digest };
        let other = RulesAnswer::Granted {
            digest: "sha256:other".to_owned(),
        };
        let forward = self.cells[cell].law.spec.kind == Kind::Deploy;
        let held = forward && self.quarantined.contains(&self.cells[cell].law.spec.new.digest);
        let refused = RulesAnswer::Refused {
            reason: "no".to_owned(),
        };
        let waiting = |n: usize| RulesAnswer::Waiting {
            reason: format!("waits {n}"),
        };
        let answer = match self.random.below(40) {
            _ if held => refused,
            _ if self.calm || !forward => granted,
            0 => refused,
            1 => other,
            n @ 2..=8 => {
                let later = match self.random.below(10) {
                    0 => other,
                    1 => refused,
                    2 => waiting(n + 1),
                    _ => granted.clone(),
                };
                for (most, answer) in [(8_000, later), (1_000, granted)] {
                    let delay = self.some(most) + if most == 1_000 { 8_000 } else { 0 };
                    self.post(delay, Mail::Event(cell, DeploymentEvent::Rules { answer }));
                }
                waiting(n)
            }
            _ => granted,
        };
        let delay = if self.calm { 0 } else { self.some(300) };
        self.post(
            delay,
            Mail::Result(cell, sequence, EffectResult::Rules { answer }),
        );
    }

    pub(super) fn send(&mut self, cell: usize, effect: DeploymentEffect) {
        let most = match effect.kind {
            EffectKind::Prepare { .. } | EffectKind::Before { .. } | EffectKind::Start { .. } => 1_500,
            EffectKind::Apply { .. } | EffectKind::Verify { .. } => 600,
            _ => 200,
        };
        let delay = self.some(most);
        self.post(delay, Mail::Perform(cell, effect));
    }

    /// What was ordered and is still waited for is done again, all of it or one.
    pub(super) fn again(&mut self, cell: usize, sequence: Option<u64>) {
        let open: Vec<DeploymentEffect> = self.cells[cell]
            .machine
            .pending()
            .filter(|effect| sequence.is_none_or(|sequence| effect.sequence == sequence))
            .collect();
        for effect in open {
            match effect.kind {
                EffectKind::AskRules => self.ask_rules(cell, effect.sequence),
                _ => self.send(cell, effect),
            }
        }
    }

    /// The driver dies: what it was at is cut off or runs on unheard, and it goes on from what was stored.
    pub(super) fn crash(&mut self) -> Result<(), String> {
        self.count("crashes");
        self.say(|| "the driver dies".to_owned());
        let keep = self.random.percent(50);
        self.mail.retain(|_, mail| match mail {
            Mail::Result(..) | Mail::Again(..) => false,
            Mail::Perform(..) => keep,
            _ => true,
        });
        let Some(cell) = self.open() else { return Ok(()) };
        let stored = serde_json::to_string(&self.cells[cell].machine).unwrap();
        let machine: Deployment = serde_json::from_str(&stored).unwrap();
        let again = serde_json::to_string(&machine).unwrap();
        if again != stored
            && !same(
                &serde_json::from_str(&again).unwrap(),
                &serde_json::from_str(&stored).unwrap(),
            )
        {
            return Err("the stored form does not hold all".to_owned());
        }
        self.cells[cell].machine = machine;
        self.again(cell, None);
        Ok(())
    }

    pub(super) fn tick(&mut self) -> Result<(), String> {
        self.post(TICK, Mail::Tick);
        let Some(cell) = self.open() else { return Ok(()) };
        let names: Vec<String> = self.target.services.keys().cloned().collect();
        for name in names {
            let Some(service) = self.target.services.get_mut(&name).filter(|s| s.is_armed()) else {
                continue;
            };
            let had = service.trip().is_some();
            let (cells, releases, born) = (&self.cells, &self.releases, &self.born);
            let (now, outage) = (self.now, self.outage);
            let manner = |revision: &str| {
                let of = revision.trim_start_matches('r').parse::<usize>().unwrap();
                let mut manner =
                    releases[cells[of - 1].release].manner(now - born.get(revision).unwrap_or(&now));
                if outage {
                    manner.errors = 100;
                }
                manner
            };
            let requests = if cell.is_multiple_of(4) { 3 } else { 12 };
            if service.answer(now, requests, &mut self.random, manner) && !had {
                self.count("trips");
                self.say(|| format!("{name} trips"));
                self.cells[cell].law.see(&self.target);
                self.send_trip(cell, &name);
            }
        }
        Ok(())
    }

    /// The proxy tells of its trip until it is acknowledged; the mail may be slow, and double it.
    pub(super) fn send_trip(&mut self, cell: usize, name: &str) {
        let Some(service) = self.target.services.get(name).filter(|s| !s.acknowledged) else {
            return;
        };
        let Some(trip) = service.trip().cloned() else {
            return;
        };
        let trip = if self.faults(10) {
            Trip {
                verdict: serde_json::json!({}),
                ..trip
            }
        } else {
            trip
        };
        let times = if self.faults(10) { 2 } else { 1 };
        for _ in 0..times {
            let delay = if self.faults(20) {
                self.some(8_000)
            } else {
                self.some(100)
            };
            let event = DeploymentEvent::Tripped {
                service: name.to_owned(),
                trip: Box::new(trip.clone()),
            };
            self.post(delay, Mail::Event(cell, event));
        }
        self.post(3_000, Mail::TripIsRepeated(cell, name.to_owned()));
    }

    pub(super) fn perform(&mut self, cell: usize, effect: DeploymentEffect) -> Result<(), String> {
        let sequence = effect.sequence;
        let waited_for = self.cells[cell]
            .machine
            .pending()
            .any(|known| known.sequence == sequence);
        // What is not wanted any more is not begun; but a table may have been on its way to the proxy already.
        let late = matches!(effect.kind, EffectKind::Apply { .. }) && self.random.percent(50);
        if effect.kind.is_awaited() && !waited_for && !late {
            return Ok(());
        }
        self.say(|| format!("#{}     does {sequence}", cell + 1));
        let failed = |why: &str| EffectResult::Failed { why: why.to_owned() };
        let result = if self.rough && self.faults(2) {
            self.count("failed");
            failed("out of order")
        } else {
            let (result, length) = self.carry_out(cell, &effect.kind)?;
            if length > 0 {
                self.post(length, Mail::Result(cell, sequence, result));
                return Ok(());
            }
            if self.rough && self.faults(2) {
                self.count("failed");
                failed("timed out, and was done")
            } else {
                result
            }
        };
        if self.faults(4) {
            self.count("lost");
            let delay = 500 + self.some(2_000);
            self.post(delay, Mail::Again(cell, sequence));
            return Ok(());
        }
        if self.faults(5) {
            self.count("doubled");
            let delay = self.some(5_000);
            self.post(delay, Mail::Result(cell, sequence, result.clone()));
        }
        let delay = self.some(200);
        self.post(delay, Mail::Result(cell, sequence, result));
        Ok(())
    }

    /// Does it in the target; the result, and how long it takes beyond that.
    fn carry_out(&mut self, cell: usize, kind: &EffectKind) -> Result<(EffectResult, i64), String> {
        let law = &self.cells[cell].law;
        let fault = self.releases[self.cells[cell].release].fault;
        let end = |result: Result<(), String>| match result {
            Ok(()) => EffectResult::Done,
            Err(why) => EffectResult::Failed { why },
        };
        let result = match kind {
            EffectKind::Start { service, index, id } => {
                let revision = law.spec.new.revision.clone();
                let good = fault != Fault::Crash || *index == 0;
                let known = self.target.start(id, service, &revision, good);
                self.born.entry(revision).or_insert(self.now);
                match known {
                    Some(address) => EffectResult::Started { address },
                    None => EffectResult::Failed {
                        why: "exited with 1".to_owned(),
                    },
                }
            }
            EffectKind::Apply { table } => {
                let service = table.id.rsplit('/').next().unwrap_or_default();
                let done = self.target.apply(service, table);
                self.cells[cell].law.see(&self.target);
                end(done)
            }
            EffectKind::Remove { service, epoch, .. } => end(self
                .target
                .services
                .entry(service.clone())
                .or_default()
                .remove(*epoch)),
            EffectKind::ReadGuard { service } => {
                let known = self.target.services.get(service).and_then(|s| s.evidence());
                match known {
                    None => EffectResult::Guard {
                        evidence: None,
                        proven: false,
                        answers: 0,
                        needed: 0,
                    },
                    Some((evidence, proven, answers, needed)) => EffectResult::Guard {
                        evidence: Some(Box::new(evidence)),
                        proven,
                        answers,
                        needed,
                    },
                }
            }
            EffectKind::Verify { revision, .. } => self.verify(cell, revision),
            EffectKind::Drain {
                service,
                revision,
                deadline_ms,
            } => {
                if self.target.share(service, revision) > 0 {
                    EffectResult::Failed {
                        why: format!("{revision} has a share"),
                    }
                } else {
                    let length = 1 + self.some(i64::try_from(*deadline_ms).unwrap());
                    return Ok((EffectResult::Drained { finished: 3, cut: 0 }, length));
                }
            }
            EffectKind::Stop { replica } => {
                law.check_idle(replica, &self.target)?;
                self.target.stop(replica);
                EffectResult::Done
            }
            EffectKind::AcknowledgeTrip { service } => {
                if let Some(service) = self.target.services.get_mut(service) {
                    service.acknowledged = true;
                }
                EffectResult::Done
            }
            _ => EffectResult::Done,
        };
        Ok((result, 0))
    }

    /// Asks each service of that release who answers, and how.
    fn verify(&self, cell: usize, revision: &str) -> EffectResult {
        let spec = &self.cells[cell].law.spec;
        let services: BTreeSet<&str> = match spec.old.as_ref().filter(|old| old.release.revision == revision)
        {
            Some(old) => old.replicas.iter().map(|r| r.service.as_str()).collect(),
            None => spec.plan.services.iter().map(|s| s.name.as_str()).collect(),
        };
        let fault = self.releases[self.cells[cell].release].fault;
        let checks = fault == Fault::Checks && revision == spec.new.revision;
        for service in services {
            let right =
                self.target.share(service, revision) == WHOLE && self.target.healthy(service, revision) > 0;
            if !right || self.outage || checks {
                return EffectResult::Failed {
                    why: format!("{service} is not answered well by {revision}"),
                };
            }
        }
        EffectResult::Verified {
            what: format!("{revision} answers"),
        }
    }
}

/// Whether two stored forms say the same; JSON may lose the last bit of a fraction.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(x), Value::Number(y)) if x.is_f64() && y.is_f64() => {
            let (x, y) = (x.as_f64().unwrap_or(0.0), y.as_f64().unwrap_or(0.0));
            (x - y).abs() <= 1e-12 * x.abs().max(y.abs())
        }
        _ => a == b,
    }
}
