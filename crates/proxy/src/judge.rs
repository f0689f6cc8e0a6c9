//! The guard of an armed service, fed with each counted answer of all cores.
//!
//! It decides nothing but to go back: shares are raised by the control plane alone.

use crate::seat::lock;
use pilotage_api::proxy::Armed;
use pilotage_guard::{Answer, Arm, Guard, Policy};
use std::sync::{Arc, Mutex};

/// One deployment's guard. Lives as long as tables of that deployment are in force.
pub(crate) struct Judge {
    pub(crate) armed: Armed,
    guard: Mutex<Guard>,
}

impl Judge {
    /// # Errors
    /// When the policy is not one of the guard's.
    pub(crate) fn new(armed: &Armed) -> Result<Self, serde_json::Error> {
        let policy: Policy = serde_json::from_value(armed.policy.clone())?;
        Ok(Self {
            armed: armed.clone(),
            guard: Mutex::new(Guard::new(policy)),
        })
    }

    pub(crate) fn evidence(&self) -> serde_json::Value {
        // Cloned first: writing the trace as text would hold up the answers.
        let evidence = lock(&self.guard).evidence();
        serde_json::to_value(evidence).unwrap_or_default()
    }

    /// How many answers of the new revision it saw, to know whether something is new.
    pub(crate) fn answers(&self) -> u64 {
        lock(&self.guard).standing().answers
    }
}

/// A revision's place before a judge, at the share that its table gives the new one.
#[derive(Clone)]
pub(crate) struct Bench {
    judge: Arc<Judge>,
    arm: Arm,
    share: u32,
}

impl Bench {
    /// None for a revision that the deployment does not compare.
    pub(crate) fn of(judge: &Arc<Judge>, revision: &str, share_of_new: u32) -> Option<Self> {
        let arm = if revision == judge.armed.new {
            Arm::New
        } else if judge.armed.old.as_deref() == Some(revision) {
            Arm::Old
        } else {
            return None;
        };
        Some(Self {
            judge: Arc::clone(judge),
            arm,
            share: share_of_new,
        })
    }

    pub(crate) fn deployment(&self) -> i64 {
        self.judge.armed.deployment
    }

    /// Whether this answer decides against the new revision.
    pub(crate) fn observe(&self, at_us: u64, error: bool, latency_us: u64) -> bool {
        let mut guard = lock(&self.judge.guard);
        guard.set_share(self.share);
        let answer = Answer {
            at_us,
            error,
            latency_us,
        };
        guard.observe(self.arm, answer).is_some()
    }
}
