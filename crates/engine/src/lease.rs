//! Leases: a slot's time-limited right to one job, numbered so that an older holder is not listened to.
//!
//! Owns who executes what and until when. All times are the server's: a runner's clock plays no part.
//! A runner acknowledges within [`ACK`] and renews within [`LEASE`], or the job is lost.

use crate::ids::{Fence, JobId, SlotId};
use crate::time::{Timestamp, words};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a lease stands without being renewed.
pub const LEASE: Duration = Duration::from_secs(45);
/// How long a runner may take to accept a lease.
pub const ACK: Duration = Duration::from_secs(15);
/// How long no job is given up after many runners fell silent at once.
pub const FREEZE: Duration = Duration::from_secs(120);
/// The next freeze is not before this long after the last: what is really lost must be given up some time.
const FREEZE_AGAIN: Duration = Duration::from_secs(600);

/// All leases of a server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Leases {
    leases: BTreeMap<JobId, Lease>,
    last_fence: Fence,
    /// Runners that lost a job lately, and when.
    lost: Vec<(String, Timestamp)>,
    freeze: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub job: JobId,
    pub fence: Fence,
    pub slot: SlotId,
    pub granted_at: Timestamp,
    /// The runner has accepted it: from then on a step may have begun.
    pub acknowledged: bool,
    /// It ends then, unless the runner is heard of before.
    pub until: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum LeaseEvent {
    /// The queue gives a job to a slot. `floor` is the smallest fence that the run listens to.
    Grant {
        job: JobId,
        slot: SlotId,
        floor: Fence,
    },
    Acknowledge {
        job: JobId,
        fence: Fence,
    },
    Renew {
        job: JobId,
        fence: Fence,
    },
    /// The job has ended, or the runner gives it back.
    Release {
        job: JobId,
        fence: Fence,
    },
    /// The server was away and could hear nobody.
    Resumed,
    Wake,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum LeaseEffect {
    Granted(Lease),
    /// To be given to the run, as [`crate::run::RunEvent::Lost`].
    JobLost {
        job: JobId,
        fence: Fence,
        started: bool,
        reason: String,
    },
    /// Many runners fell silent at once: it is rather us. Nothing is given up until then.
    Suspicious {
        silent: usize,
        of: usize,
        until: Timestamp,
    },
}

/// Why a runner is not listened to. It must end the job at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    #[error("the lease {fence} of job {job} has ended")]
    Ended { job: JobId, fence: Fence },
    #[error("job {job} is leased already, to {slot}")]
    Taken { job: JobId, slot: SlotId },
}

impl Leases {
    pub fn handle(&mut self, now: Timestamp, event: LeaseEvent) -> Result<Vec<LeaseEffect>, LeaseError> {
        match event {
            LeaseEvent::Grant { job, slot, floor } => self.grant(now, job, slot, floor),
            LeaseEvent::Acknowledge { job, fence } => {
                let lease = self.current(job, fence)?;
                lease.acknowledged = true;
                lease.until = lease.until.max(now + LEASE);
                Ok(Vec::new())
            }
            LeaseEvent::Renew { job, fence } => {
                let lease = self.current(job, fence)?;
                // One that renews has accepted, even if we never heard it say so.
                lease.acknowledged = true;
                lease.until = lease.until.max(now + LEASE);
                Ok(Vec::new())
            }
            LeaseEvent::Release { job, fence } => {
                self.current(job, fence)?;
                self.leases.remove(&job);
                Ok(Vec::new())
            }
            LeaseEvent::Resumed => {
                for lease in self.leases.values_mut() {
                    lease.until = lease.until.max(now + LEASE);
                }
                Ok(Vec::new())
            }
            LeaseEvent::Wake => Ok(self.expire(now)),
        }
    }

    /// When leases must be looked at next.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let first = self.leases.values().map(|lease| lease.until).min()?;
        Some(self.freeze.map_or(first, |until| first.max(until)))
    }

    #[must_use]
    pub fn get(&self, job: JobId) -> Option<&Lease> {
        self.leases.get(&job)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values()
    }

    /// Checks what is always true: no slot has two jobs, no fence was given twice.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut slots = BTreeSet::new();
        let mut fences = BTreeSet::new();
        for (job, lease) in &self.leases {
            if *job != lease.job || !slots.insert(&lease.slot) {
                return Err(format!("slot {} has two jobs", lease.slot));
            }
            if !fences.insert(lease.fence) || lease.fence > self.last_fence {
                return Err(format!("fence {} was given twice", lease.fence));
            }
        }
        Ok(())
    }

    fn grant(
        &mut self,
        now: Timestamp,
        job: JobId,
        slot: SlotId,
        floor: Fence,
    ) -> Result<Vec<LeaseEffect>, LeaseError> {
        if let Some(lease) = self
            .leases
            .values()
            .find(|lease| lease.job == job || lease.slot == slot)
        {
            // Given again to the same slot: said twice.
            return if lease.job == job && lease.slot == slot {
                Ok(vec![LeaseEffect::Granted(lease.clone())])
            } else {
                Err(LeaseError::Taken {
                    job: lease.job,
                    slot: lease.slot.clone(),
                })
            };
        }
        self.last_fence = self.last_fence.next().max(floor);
        let fence = self.last_fence;
        let lease = Lease {
            job,
            fence,
            slot,
            granted_at: now,
            acknowledged: false,
            until: now + ACK,
        };
        self.leases.insert(job, lease.clone());
        Ok(vec![LeaseEffect::Granted(lease)])
    }

    fn current(&mut self, job: JobId, fence: Fence) -> Result<&mut Lease, LeaseError> {
        self.leases
            .get_mut(&job)
            .filter(|lease| lease.fence == fence)
            .ok_or(LeaseError::Ended { job, fence })
    }

    fn expire(&mut self, now: Timestamp) -> Vec<LeaseEffect> {
        if self.freeze.is_some_and(|until| now < until) {
            return Vec::new();
        }
        let silent: Vec<Lease> = self
            .leases
            .values()
            .filter(|lease| lease.until <= now)
            .cloned()
            .collect();
        if silent.is_empty() {
            return Vec::new();
        }
        self.lost.retain(|(_, at)| *at + LEASE > now);
        if let Some(effect) = self.suspect(now, &silent) {
            return vec![effect];
        }
        let mut effects = Vec::new();
        for lease in silent {
            self.leases.remove(&lease.job);
            let reason = if lease.acknowledged {
                format!(
                    "{} was not heard of for {}",
                    lease.slot.runner,
                    words(now.since(lease.until) + LEASE)
                )
            } else {
                format!(
                    "{} did not accept the job within {}",
                    lease.slot.runner,
                    words(ACK)
                )
            };
            effects.push(LeaseEffect::JobLost {
                job: lease.job,
                fence: lease.fence,
                started: lease.acknowledged,
                reason,
            });
            self.lost.push((lease.slot.runner, now));
        }
        effects
    }

    /// More than a fifth of several runners silent within one lease: suspects the server and waits.
    fn suspect(&mut self, now: Timestamp, silent: &[Lease]) -> Option<LeaseEffect> {
        if self.freeze.is_some_and(|until| now < until + FREEZE_AGAIN) {
            return None;
        }
        let lately = self.lost.iter().map(|(runner, _)| runner.as_str());
        let gone: BTreeSet<&str> = silent
            .iter()
            .map(|lease| lease.slot.runner.as_str())
            .chain(lately.clone())
            .collect();
        let all: BTreeSet<&str> = self
            .leases
            .values()
            .map(|lease| lease.slot.runner.as_str())
            .chain(lately)
            .collect();
        if gone.len() < 2 || gone.len() * 5 <= all.len() {
            return None;
        }
        let (silent, of, until) = (gone.len(), all.len(), now + FREEZE);
        self.freeze = Some(until);
        Some(LeaseEffect::Suspicious { silent, of, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn grant(leases: &mut Leases, seconds: i64, job: i64, runner: &str) -> Fence {
        let slot = SlotId {
            runner: runner.to_owned(),
            slot: 1,
        };
        let effects = leases
            .handle(
                at(seconds),
                LeaseEvent::Grant {
                    job: JobId(job),
                    slot,
                    floor: Fence(1),
                },
            )
            .unwrap();
        leases.check_invariants().unwrap();
        match effects.as_slice() {
            [LeaseEffect::Granted(lease)] => lease.fence,
            other => panic!("{other:?}"),
        }
    }

    /// The jobs given up at that second, `+` for those that may have started, `!` for a suspicion.
    fn wake(leases: &mut Leases, seconds: i64) -> String {
        let effects = leases.handle(at(seconds), LeaseEvent::Wake).unwrap();
        leases.check_invariants().unwrap();
        let words: Vec<String> = effects
            .iter()
            .map(|effect| match effect {
                LeaseEffect::JobLost { job, started, .. } => {
                    format!("{job}{}", if *started { "+" } else { "" })
                }
                LeaseEffect::Suspicious { silent, of, .. } => format!("!{silent}/{of}"),
                LeaseEffect::Granted(_) => "granted".to_owned(),
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn a_lease_must_be_accepted_and_renewed() {
        let mut leases = Leases::default();
        grant(&mut leases, 0, 1, "a");
        let two = grant(&mut leases, 0, 2, "b");
        leases
            .handle(
                at(14),
                LeaseEvent::Acknowledge {
                    job: JobId(2),
                    fence: two,
                },
            )
            .unwrap();
        assert_eq!(leases.deadline(), Some(at(15)));
        assert_eq!(wake(&mut leases, 14), "");
        assert_eq!(wake(&mut leases, 15), "1");
        leases
            .handle(
                at(50),
                LeaseEvent::Renew {
                    job: JobId(2),
                    fence: two,
                },
            )
            .unwrap();
        assert_eq!(wake(&mut leases, 94), "");
        assert_eq!(wake(&mut leases, 95), "2+");
    }

    #[test]
    fn an_older_holder_is_not_listened_to() {
        let mut leases = Leases::default();
        let old = grant(&mut leases, 0, 1, "a");
        assert_eq!(wake(&mut leases, 15), "1");
        let new = grant(&mut leases, 20, 1, "b");
        assert!(new > old);
        for event in [
            LeaseEvent::Acknowledge {
                job: JobId(1),
                fence: old,
            },
            LeaseEvent::Renew {
                job: JobId(1),
                fence: old,
            },
            LeaseEvent::Release {
                job: JobId(1),
                fence: old,
            },
        ] {
            let error = LeaseError::Ended {
                job: JobId(1),
                fence: old,
            };
            assert_eq!(leases.handle(at(21), event), Err(error));
        }
        leases
            .handle(
                at(21),
                LeaseEvent::Release {
                    job: JobId(1),
                    fence: new,
                },
            )
            .unwrap();
        assert_eq!(leases.iter().count(), 0);
    }

    #[test]
    fn a_job_and_a_slot_are_given_once() {
        let mut leases = Leases::default();
        let fence = grant(&mut leases, 0, 1, "a");
        assert_eq!(grant(&mut leases, 1, 1, "a"), fence, "said twice");
        for (job, runner) in [(1, "b"), (2, "a")] {
            let slot = SlotId {
                runner: runner.to_owned(),
                slot: 1,
            };
            let grant = LeaseEvent::Grant {
                job: JobId(job),
                slot,
                floor: Fence(1),
            };
            assert!(matches!(
                leases.handle(at(1), grant),
                Err(LeaseError::Taken { .. })
            ));
        }
    }

    #[test]
    fn many_silent_runners_are_suspicious_once() {
        let mut leases = Leases::default();
        let fences: Vec<Fence> = (0..5)
            .map(|n| grant(&mut leases, 0, n, &format!("r{n}")))
            .collect();
        for (job, fence) in fences.iter().enumerate() {
            let job = JobId(i64::try_from(job).unwrap());
            leases
                .handle(at(1), LeaseEvent::Acknowledge { job, fence: *fence })
                .unwrap();
        }
        assert_eq!(wake(&mut leases, 46), "!5/5");
        assert_eq!(leases.deadline(), Some(at(166)));
        leases
            .handle(
                at(100),
                LeaseEvent::Renew {
                    job: JobId(3),
                    fence: fences[3],
                },
            )
            .unwrap();
        assert_eq!(wake(&mut leases, 165), "");
        assert_eq!(
            wake(&mut leases, 166),
            "0+ 1+ 2+ 3+ 4+",
            "what stays silent is given up in the end"
        );
    }

    #[test]
    fn one_of_many_is_lost_alone() {
        let mut leases = Leases::default();
        for n in 0..10 {
            grant(&mut leases, i64::from(n != 0) * 10, n, &format!("r{n}"));
        }
        assert_eq!(wake(&mut leases, 15), "0");
    }

    #[test]
    fn after_an_absence_everybody_has_time_to_call() {
        let mut leases = Leases::default();
        let fence = grant(&mut leases, 0, 1, "a");
        leases
            .handle(at(1), LeaseEvent::Acknowledge { job: JobId(1), fence })
            .unwrap();
        leases.handle(at(900), LeaseEvent::Resumed).unwrap();
        assert_eq!(wake(&mut leases, 901), "");
        assert_eq!(wake(&mut leases, 945), "1+");
    }
}
