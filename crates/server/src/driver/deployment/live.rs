//! What the proxy tells between two decisions: counts and evidence, for people who watch. Nothing is decided by it.

use pilotage_api::proxy::ServiceStatus;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// The newest figures of each service, by its id in the route table.
pub struct Live {
    services: Mutex<HashMap<String, ServiceStatus>>,
    changed: watch::Sender<u64>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            services: Mutex::default(),
            changed: watch::channel(0).0,
        }
    }
}

impl Live {
    /// Rises when new figures came.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    #[must_use]
    pub fn service(&self, id: &str) -> Option<ServiceStatus> {
        self.services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// Whether a guard judges a service for this deployment now.
    #[must_use]
    pub fn is_judging(&self, deployment: i64) -> bool {
        let known = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let mut armed = known.values().filter_map(|service| service.table.armed.as_ref());
        armed.any(|armed| armed.deployment == deployment)
    }

    /// What was counted of every service, without the evidence of guards.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceStatus> {
        let known = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = known.values().map(|service| ServiceStatus {
            table: service.table.clone(),
            revisions: service.revisions.clone(),
            trip: None,
            guard: None,
        });
        counted.collect()
    }

    /// Counts come without evidence; the last evidence stays while the same deployment is judged.
    pub(super) fn counts(&self, services: Vec<ServiceStatus>) {
        let mut known = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::with_capacity(services.len());
        for mut service in services {
            if let Some(before) = known.remove(&service.table.id)
                && service.guard.is_none()
                && before.table.armed.as_ref().map(|a| a.deployment)
                    == service.table.armed.as_ref().map(|a| a.deployment)
            {
                service.guard = before.guard;
            }
            next.insert(service.table.id.clone(), service);
        }
        *known = next;
        drop(known);
        self.tell();
    }

    pub(super) fn guard(&self, id: &str, evidence: Value) {
        if let Some(service) = self
            .services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(id)
        {
            service.guard = Some(evidence);
        }
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }
}
