//! Route tables: what the proxy is told for each state of a deployment. A share goes only to a revision that has a
//! healthy replica of that service.

use super::{Deployment, Replica};
use pilotage_api::proxy::{self, Armed, RevisionTable, ServiceTable, WHOLE};

/// How many tables a deployment may give: the next one's are newer than all of them.
pub const EPOCHS: u64 = 100_000;

impl Deployment {
    /// The table of a service with that share (of 10,000) on the new revision, and the guard armed or not.
    pub(super) fn table(&mut self, service: usize, share: u32, armed: bool) -> ServiceTable {
        self.epoch += 1;
        self.shares[service] = share;
        let spec = &self.spec;
        let plan = &spec.plan.services[service];
        let old = spec
            .old
            .as_ref()
            .filter(|_| !self.old_is_gone)
            .map(|old| (&old.release, replicas(&old.replicas, &plan.name)));
        let old = old.filter(|(_, replicas)| !replicas.is_empty());
        let new = replicas(&self.replicas, &plan.name);
        let mut revisions = Vec::new();
        if !new.is_empty() {
            revisions.push(RevisionTable {
                revision: spec.new.revision.clone(),
                share,
                replicas: new,
            });
        }
        let mut fallback = vec![(spec.new.revision.clone(), 0)];
        if let Some((release, replicas)) = &old {
            revisions.push(RevisionTable {
                revision: release.revision.clone(),
                share: WHOLE - share,
                replicas: replicas.clone(),
            });
            fallback.push((release.revision.clone(), WHOLE));
        } else if share < WHOLE {
            // Nothing to share with: all or nothing.
            revisions.iter_mut().for_each(|r| r.share = 0);
        }
        let armed = (armed && spec.plan.guard.enabled && !revisions.is_empty()).then(|| Armed {
            deployment: spec.id,
            new: spec.new.revision.clone(),
            old: old.map(|(release, _)| release.revision.clone()),
            policy: serde_json::to_value(&spec.plan.guard.policy).unwrap_or_default(),
            fallback,
        });
        ServiceTable {
            id: self.service_id(&plan.name),
            epoch: self.table_epoch(),
            listen: plan.listen,
            host: plan.host.clone(),
            path: plan.path.clone(),
            assets: plan.assets.clone(),
            revisions,
            armed,
            hold_ms: 0,
        }
    }

    /// Later deployments have higher numbers, so their tables are newer.
    pub(super) fn table_epoch(&self) -> u64 {
        u64::try_from(self.spec.id).unwrap_or(0) * EPOCHS + self.epoch
    }

    pub(super) fn service_id(&self, service: &str) -> String {
        format!("{}/{}/{service}", self.spec.project, self.spec.environment)
    }

    pub(super) fn replica_id(&self, service: &str, index: u32) -> String {
        let (owner, name) = self
            .spec
            .project
            .split_once('/')
            .unwrap_or(("", &self.spec.project));
        let parts = [
            owner,
            name,
            &self.spec.environment,
            service,
            &self.spec.new.revision,
        ];
        proxy::replica_name(parts, index + 1)
    }

    pub(super) fn is_replica_of(&self, service: &str, id: &str) -> bool {
        let planned = self.spec.plan.services.iter().find(|s| s.name == service);
        planned.is_some_and(|s| (0..s.replicas).any(|index| self.replica_id(service, index) == id))
    }

    /// Services of the old revision that the new one does not have.
    pub(super) fn dropped(&self) -> Vec<String> {
        let mut dropped: Vec<String> = Vec::new();
        for replica in self.spec.old.iter().flat_map(|old| &old.replicas) {
            if self.service(&replica.service).is_none() && !dropped.contains(&replica.service) {
                dropped.push(replica.service.clone());
            }
        }
        dropped
    }

    /// Whether the environment had this service before, with replicas to go back to.
    pub(super) fn has_old(&self, service: usize) -> bool {
        let name = &self.spec.plan.services[service].name;
        self.spec
            .old
            .as_ref()
            .is_some_and(|old| old.replicas.iter().any(|r| r.service == *name))
    }
}

fn replicas(all: &[Replica], service: &str) -> Vec<proxy::Replica> {
    all.iter()
        .filter(|r| r.service == service)
        .map(|r| proxy::Replica {
            id: r.id.clone(),
            address: r.address,
        })
        .collect()
}
