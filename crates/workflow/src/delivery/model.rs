//! The typed model of `pilotage.yml`: what was written, level by level, without defaults.

use super::plan::{ArtifactSource, Before, Check, Route, Strategy, Undecided};
use crate::source::{Source, Span, Spanned};
use indexmap::IndexMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Delivery {
    pub source: Arc<Source>,
    /// What stands at the root, for all services.
    pub settings: Settings,
    pub services: IndexMap<String, Service>,
    pub environments: IndexMap<String, Environment>,
    pub notify: Vec<Route>,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub name: Spanned<String>,
    pub source: ArtifactSource,
    pub run: String,
    pub prepare: Option<String>,
    pub before: Option<Before>,
    pub path: Option<Spanned<String>>,
    pub assets: Option<String>,
    pub after: Vec<Spanned<String>>,
    pub settings: Settings,
}

#[derive(Clone, Debug)]
pub struct Environment {
    pub name: Spanned<String>,
    pub url: Option<Spanned<String>>,
    pub verify: Option<Vec<Check>>,
    pub settings: Settings,
    /// What differs for single services here.
    pub services: IndexMap<String, ServiceHere>,
}

/// One service in one environment.
#[derive(Clone, Debug)]
pub struct ServiceHere {
    pub span: Span,
    pub url: Option<Spanned<String>>,
    pub settings: Settings,
}

/// What may stand at every level; the nearest value wins, field by field.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub health: Health,
    pub stop: Stop,
    pub memory_bytes: Option<u64>,
    pub replicas: Option<u32>,
    /// Merged by name.
    pub env: Vec<(String, String)>,
    /// At the root and in an environment.
    pub strategy: Option<Strategy>,
    pub guard: Guard,
    pub keep: Option<u32>,
}

#[derive(Clone, Debug, Default)]
pub struct Health {
    pub path: Option<String>,
    pub every_ms: Option<u64>,
    pub passes: Option<u32>,
    pub within_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Stop {
    pub signal: Option<String>,
    pub grace_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Guard {
    pub enabled: Option<bool>,
    pub error_rate: Option<f64>,
    pub response_time: Option<f64>,
    pub watch_ms: Option<u64>,
    pub false_alarms: Option<f64>,
    pub undecided: Option<Undecided>,
}

impl Settings {
    /// These, with what `nearer` says in its place.
    #[must_use]
    pub fn with(&self, nearer: &Settings) -> Settings {
        let mut env = self.env.clone();
        for (name, value) in &nearer.env {
            match env.iter_mut().find(|(n, _)| n == name) {
                Some(slot) => slot.1.clone_from(value),
                None => env.push((name.clone(), value.clone())),
            }
        }
        Settings {
            health: Health {
                path: nearer.health.path.clone().or_else(|| self.health.path.clone()),
                every_ms: nearer.health.every_ms.or(self.health.every_ms),
                passes: nearer.health.passes.or(self.health.passes),
                within_ms: nearer.health.within_ms.or(self.health.within_ms),
            },
            stop: Stop {
                signal: nearer.stop.signal.clone().or_else(|| self.stop.signal.clone()),
                grace_ms: nearer.stop.grace_ms.or(self.stop.grace_ms),
            },
            memory_bytes: nearer.memory_bytes.or(self.memory_bytes),
            replicas: nearer.replicas.or(self.replicas),
            env,
            strategy: nearer.strategy.clone().or_else(|| self.strategy.clone()),
            guard: Guard {
                enabled: nearer.guard.enabled.or(self.guard.enabled),
                error_rate: nearer.guard.error_rate.or(self.guard.error_rate),
                response_time: nearer.guard.response_time.or(self.guard.response_time),
                watch_ms: nearer.guard.watch_ms.or(self.guard.watch_ms),
                false_alarms: nearer.guard.false_alarms.or(self.guard.false_alarms),
                undecided: nearer.guard.undecided.or(self.guard.undecided),
            },
            keep: nearer.keep.or(self.keep),
        }
    }
}
