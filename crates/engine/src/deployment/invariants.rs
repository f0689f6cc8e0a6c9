//! What must hold after every event (`research`: the rollout invariants). Checked in every build that is not a
//! release, and by the simulator always.

use super::{BackStep, Deployment, EffectKind, Stage};
use pilotage_api::proxy::{ServiceTable, WHOLE};

impl Deployment {
    /// Panics, naming the invariant, when one is broken.
    pub(super) fn check_invariants(&self) {
        if cfg!(debug_assertions) {
            self.assert_invariants();
        }
    }

    /// See the module.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub fn assert_invariants(&self) {
        for kind in self.pending.values() {
            assert!(kind.is_awaited(), "only awaited effects are pending: {kind:?}");
            match kind {
                EffectKind::Apply { table } => self.assert_table(table),
                EffectKind::Stop { replica } => self.assert_may_stop(replica),
                EffectKind::MarkLive { .. } | EffectKind::Quarantine { .. } => unreachable!("never awaited"),
                _ => {}
            }
        }
        if self.back.is_some() {
            assert!(
                self.shares.iter().all(|s| *s == 0) || !self.was_turned(),
                "no share of the new revision after the way back began"
            );
        }
        assert_eq!(
            self.back.is_some(),
            matches!(self.stage, Stage::Back { .. }) || (self.back.is_some() && self.outcome().is_some()),
            "a reason to go back and the way back belong together"
        );
        if self.outcome().is_some() {
            assert!(self.pending.is_empty(), "an ended deployment waits for nothing");
        }
    }

    /// Shares add up to the whole or are all nothing, and go only to revisions with replicas.
    fn assert_table(&self, table: &ServiceTable) {
        let sum: u32 = table.revisions.iter().map(|r| r.share).sum();
        assert!(sum == WHOLE || sum == 0, "shares of {} add up to {sum}", table.id);
        for revision in &table.revisions {
            assert!(
                revision.share == 0 || !revision.replicas.is_empty(),
                "a share without a replica in {}",
                table.id
            );
        }
        if self.back.is_some() {
            let new = table
                .revisions
                .iter()
                .find(|r| r.revision == self.spec.new.revision);
            assert!(
                new.is_none_or(|r| r.share == 0),
                "a share of the new revision on the way back"
            );
        }
    }

    /// No replica is stopped while its revision can have traffic.
    fn assert_may_stop(&self, replica: &str) {
        let of_new = self.asked.iter().any(|id| id == replica);
        match self.stage {
            Stage::Back { step: BackStep::Stop } => {
                assert!(of_new, "the way back stops only the new revision");
                assert!(
                    self.shares.iter().all(|s| *s == 0),
                    "stopped while it had a share"
                );
            }
            Stage::Settling { .. } => {
                assert!(!of_new, "going live stops only the old revision");
                assert!(
                    self.shares.iter().all(|s| *s == WHOLE),
                    "the old revision was stopped while it had a share"
                );
            }
            _ => panic!("{replica} is stopped in {:?}", self.stage),
        }
    }

    fn was_turned(&self) -> bool {
        !matches!(
            self.stage,
            Stage::Back {
                step: BackStep::Shift
            }
        )
    }
}
