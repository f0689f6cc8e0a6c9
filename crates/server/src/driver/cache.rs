//! Runs that were used lately, as they stand in the store, so that their workflows are not parsed at each event.

use super::projection::Shape;
use pilotage_engine::run::Run;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const RUNS_MAX: usize = 64;

/// A run, and the rows that were made of it.
#[derive(Clone)]
pub(super) struct Cached {
    pub(super) run: Run,
    pub(super) shape: Shape,
}

/// A run is taken out of it only by the very text that is stored: after a transaction that failed, what is here
/// does not fit and is not used.
#[derive(Default)]
pub(super) struct RunCache {
    runs: Mutex<HashMap<i64, (String, Cached)>>,
}

impl RunCache {
    pub(super) fn take(&self, id: i64, state: &str) -> Option<Cached> {
        let (text, cached) = self
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id)?;
        (text == state).then_some(cached)
    }

    /// A copy, to look at.
    pub(super) fn copy(&self, id: i64, state: &str) -> Option<Run> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(&id)
            .filter(|(text, _)| text == state)
            .map(|(_, cached)| cached.run.clone())
    }

    pub(super) fn put(&self, id: i64, state: String, cached: Cached) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.run.conclusion().is_some() {
            return;
        }
        if runs.len() >= RUNS_MAX
            && let Some(any) = runs.keys().next().copied()
        {
            runs.remove(&any);
        }
        runs.insert(id, (state, cached));
    }
}
