//! Runs that were used lately, as they stand in the store, so that their workflows are not parsed at each event.

use pilotage_engine::run::Run;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const RUNS_MAX: usize = 64;

/// A run is taken out of it only by the very text that is stored: after a transaction that failed, what is here
/// does not fit and is not used.
#[derive(Default)]
pub(super) struct RunCache {
    runs: Mutex<HashMap<i64, (String, Run)>>,
}

impl RunCache {
    pub(super) fn take(&self, id: i64, state: &str) -> Option<Run> {
        let (text, run) = self
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id)?;
        (text == state).then_some(run)
    }

    pub(super) fn put(&self, id: i64, state: String, run: Run) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if run.conclusion().is_some() {
            return;
        }
        if runs.len() >= RUNS_MAX
            && let Some(any) = runs.keys().next().copied()
        {
            runs.remove(&any);
        }
        runs.insert(id, (state, run));
    }
}
