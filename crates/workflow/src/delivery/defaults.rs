//! What holds where nothing is written. Health, guard and rollback are on without a word.

use super::model::{Guard, Health, Settings, Stop};
use super::plan::{Canary, GuardPlan, HealthPlan, StopPlan, Strategy, Undecided};

pub(super) const PATH: &str = "/";
pub(super) const REPLICAS: u32 = 1;
pub(super) const KEEP: u32 = 5;
pub(super) const CHECK_STATUS: u16 = 200;
pub(super) const CHECK_WITHIN_MS: u64 = 5_000;

/// `strategy: canary` without steps.
pub(super) const CANARY: [Canary; 3] = [
    Canary {
        share: 500,
        for_ms: 30_000,
    },
    Canary {
        share: 2_500,
        for_ms: 60_000,
    },
    Canary {
        share: 5_000,
        for_ms: 60_000,
    },
];

pub(super) fn strategy(settings: &Settings) -> Strategy {
    settings.strategy.clone().unwrap_or(Strategy::Rolling)
}

/// Without a path any answer of `/` below 500 shows that the program runs; a path that somebody named must
/// exist.
pub(super) fn health(health: &Health) -> HealthPlan {
    HealthPlan {
        path: health.path.clone().unwrap_or_else(|| PATH.to_owned()),
        every_ms: health.every_ms.unwrap_or(500),
        passes: health.passes.unwrap_or(3),
        within_ms: health.within_ms.unwrap_or(60_000),
        status_below: if health.path.is_some() { 400 } else { 500 },
    }
}

pub(super) fn stop(stop: &Stop) -> StopPlan {
    StopPlan {
        signal: stop.signal.clone().unwrap_or_else(|| "TERM".to_owned()),
        grace_ms: stop.grace_ms.unwrap_or(30_000),
    }
}

pub(super) fn guard(guard: &Guard) -> GuardPlan {
    GuardPlan {
        enabled: guard.enabled.unwrap_or(true),
        error_rate: guard.error_rate.unwrap_or(0.05),
        response_time: guard.response_time.unwrap_or(0.5),
        watch_ms: guard.watch_ms.unwrap_or(600_000),
        false_alarms: guard.false_alarms.unwrap_or(0.01),
        undecided: guard.undecided.unwrap_or(Undecided::Continue),
    }
}
