//! The target as it really stands, written without a look at the machine: replicas, and a proxy with its own rules.

use crate::random::Random;
use pilotage_api::proxy::{Armed, ServiceTable, Trip, WHOLE};
use pilotage_guard::{Answer, Arm, Evidence, Guard, Policy, replay};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Healthy,
    Dead,
    Stopped,
}

pub(crate) struct Stood {
    pub(crate) service: String,
    pub(crate) revision: String,
    pub(crate) address: SocketAddr,
    pub(crate) health: Health,
}

#[derive(Default)]
pub(crate) struct Target {
    pub(crate) replicas: BTreeMap<String, Stood>,
    /// By the service's name.
    pub(crate) services: BTreeMap<String, Proxied>,
}

/// What the proxy holds of a service.
#[derive(Default)]
pub(crate) struct Proxied {
    epoch: u64,
    table: Option<ServiceTable>,
    trip: Option<Trip>,
    pub(crate) acknowledged: bool,
    guard: Option<(Armed, Guard)>,
}

/// How the answers of a revision are, in percent of errors and times the usual response time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Manner {
    pub(crate) errors: usize,
    pub(crate) slow: u64,
}

impl Target {
    /// What a user gets: the revision's share now, in parts of 10,000.
    pub(crate) fn share(&self, service: &str, revision: &str) -> u32 {
        self.services.get(service).map_or(0, |s| s.share(revision))
    }

    pub(crate) fn start(
        &mut self,
        id: &str,
        service: &str,
        revision: &str,
        healthy: bool,
    ) -> Option<SocketAddr> {
        let port = 20_000 + u16::try_from(self.replicas.len()).unwrap();
        let stood = self.replicas.entry(id.to_owned()).or_insert_with(|| Stood {
            service: service.to_owned(),
            revision: revision.to_owned(),
            address: ([127, 0, 0, 1], port).into(),
            health: if healthy { Health::Healthy } else { Health::Dead },
        });
        (stood.health == Health::Healthy).then_some(stood.address)
    }

    pub(crate) fn stop(&mut self, id: &str) {
        if let Some(stood) = self.replicas.get_mut(id) {
            stood.health = Health::Stopped;
        }
    }

    pub(crate) fn healthy(&self, service: &str, revision: &str) -> usize {
        let of = |s: &&Stood| s.service == service && s.revision == revision && s.health == Health::Healthy;
        self.replicas.values().filter(of).count()
    }

    pub(crate) fn apply(&mut self, service: &str, table: &ServiceTable) -> Result<(), String> {
        sound(table)?;
        self.services.entry(service.to_owned()).or_default().apply(table)
    }

    /// The tables and the trips are on disk; what the guard has seen is not.
    pub(crate) fn restart_proxy(&mut self) {
        for service in self.services.values_mut() {
            if let Some((_, guard)) = &mut service.guard {
                *guard = Guard::new(Policy::default());
            }
        }
    }
}

impl Proxied {
    fn share(&self, revision: &str) -> u32 {
        let Some(table) = &self.table else { return 0 };
        if let (Some(trip), Some(armed)) = (&self.trip, &table.armed)
            && trip.deployment == armed.deployment
        {
            let back = armed.fallback.iter().find(|(name, _)| name == revision);
            return back.map_or(0, |(_, share)| *share);
        }
        table
            .revisions
            .iter()
            .find(|r| r.revision == revision)
            .map_or(0, |r| r.share)
    }

    pub(crate) fn trip(&self) -> Option<&Trip> {
        self.trip.as_ref()
    }

    fn apply(&mut self, table: &ServiceTable) -> Result<(), String> {
        if self.table.as_ref() == Some(table) {
            return Ok(());
        }
        if table.epoch <= self.epoch {
            return Err(format!("epoch {} is not after {}", table.epoch, self.epoch));
        }
        if let Some(trip) = &self.trip {
            let newer = table
                .armed
                .as_ref()
                .is_some_and(|armed| armed.deployment > trip.deployment);
            let share = table
                .revisions
                .iter()
                .find(|r| r.revision == trip.revision)
                .map_or(0, |r| r.share);
            if !newer && share > 0 {
                return Err(format!(
                    "{} tripped in deployment {}",
                    trip.revision, trip.deployment
                ));
            }
            if newer {
                self.trip = None;
            }
        }
        let known = self.guard.take();
        self.guard = table.armed.as_ref().map(|armed| match known {
            Some((before, guard)) if before.deployment == armed.deployment && before.old == armed.old => {
                (armed.clone(), guard)
            }
            _ => {
                let policy: Policy = serde_json::from_value(armed.policy.clone()).unwrap();
                (armed.clone(), Guard::new(policy))
            }
        });
        self.epoch = table.epoch;
        self.table = Some(table.clone());
        Ok(())
    }

    pub(crate) fn remove(&mut self, epoch: u64) -> Result<(), String> {
        if epoch < self.epoch || (epoch == self.epoch && self.table.is_some()) {
            return Err(format!("epoch {epoch} is not after {}", self.epoch));
        }
        *self = Self {
            epoch,
            ..Self::default()
        };
        Ok(())
    }

    pub(crate) fn evidence(&self) -> Option<(Evidence, bool, u64, u64)> {
        let (_, guard) = self.guard.as_ref()?;
        let standing = guard.standing();
        Some((
            guard.evidence(),
            standing.proven,
            standing.answers,
            standing.needed,
        ))
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.guard.is_some()
    }

    /// Answers some requests; gives whether the guard returned to the old revision by itself.
    pub(crate) fn answer(
        &mut self,
        now: i64,
        requests: u64,
        random: &mut Random,
        manner: impl Fn(&str) -> Manner,
    ) -> bool {
        let mut tripped = false;
        for request in 0..requests {
            let Some(table) = &self.table else { return false };
            let point = u32::try_from(random.below(10_000)).unwrap();
            let mut sum = 0;
            let shares: Vec<(String, u32)> = table
                .revisions
                .iter()
                .map(|r| (r.revision.clone(), self.share(&r.revision)))
                .collect();
            let found = shares.iter().find(|(_, share)| {
                sum += share;
                point < sum
            });
            let Some((revision, _)) = found else { return false };
            let Manner { errors, slow } = manner(revision);
            let answer = Answer {
                at_us: u64::try_from(now).unwrap() * 1_000 + request * 1_000,
                error: random.percent(errors),
                latency_us: (8_000 + u64::try_from(random.below(4_000)).unwrap()) * slow,
            };
            tripped |= self.judge(revision, answer);
        }
        tripped
    }

    fn judge(&mut self, revision: &str, answer: Answer) -> bool {
        let Some((armed, _)) = &self.guard else {
            return false;
        };
        let arm = if *revision == armed.new {
            Arm::New
        } else if armed.old.as_deref() == Some(revision) {
            Arm::Old
        } else {
            return false;
        };
        let share = self.share(&armed.new);
        let Some((armed, guard)) = &mut self.guard else {
            return false;
        };
        guard.set_share(share);
        if guard.observe(arm, answer).is_none() {
            return false;
        }
        let evidence = guard.evidence();
        let told = evidence.verdict.clone().unwrap();
        assert_eq!(
            replay(&evidence).map(|v| (v.test, v.outcome, v.new, v.old)),
            Some((told.test, told.outcome, told.new, told.old)),
            "a verdict replays"
        );
        let at = i64::try_from(answer.at_us).unwrap();
        self.trip = Some(Trip {
            id: String::new(),
            deployment: armed.deployment,
            revision: armed.new.clone(),
            decided_at_us: at,
            last_request_at_us: at + 3,
            verdict: serde_json::to_value(evidence).unwrap(),
        });
        self.acknowledged = false;
        true
    }
}

/// Whether a proxy could serve such a table at all.
fn sound(table: &ServiceTable) -> Result<(), String> {
    let sum: u32 = table.revisions.iter().map(|r| r.share).sum();
    if sum != 0 && sum != WHOLE {
        return Err(format!("the shares add up to {sum}"));
    }
    let mut names = BTreeSet::new();
    for revision in &table.revisions {
        if revision.share > 0 && revision.replicas.is_empty() || !names.insert(&revision.revision) {
            return Err(format!("{} has no replica, or is there twice", revision.revision));
        }
    }
    let Some(armed) = &table.armed else { return Ok(()) };
    for (name, share) in armed.fallback.iter().filter(|(_, share)| *share > 0) {
        let known = table.revisions.iter().find(|r| r.revision == *name);
        if *name == armed.new || known.is_none_or(|r| r.replicas.is_empty()) {
            return Err(format!("the fallback gives {share} to {name}"));
        }
    }
    Ok(())
}
