//! Numbers and names of things, each a type of its own so that none is taken for another.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A project's number.
    ProjectId
);
number!(
    /// A run's number, unique over all projects of a server.
    RunId
);
number!(
    /// One attempt of one job of a run. A re-run makes new ones, as on GitHub.
    ///
    /// It is `run * 1,000,000 + index`: unique over all projects without asking anybody, and exact in JavaScript
    /// up to run 9,000,000,000. A run holds at most [`JobId::PER_RUN`] of them over all its attempts.
    JobId
);

impl JobId {
    /// How many jobs a run can have over all its attempts.
    pub const PER_RUN: i64 = 1_000_000;

    /// The job with that index (from 0) in a run.
    #[must_use]
    pub fn new(run: RunId, index: usize) -> Self {
        Self(
            run.0
                .saturating_mul(Self::PER_RUN)
                .saturating_add(i64::try_from(index).unwrap_or(i64::MAX)),
        )
    }

    #[must_use]
    pub fn run(self) -> RunId {
        RunId(self.0.div_euclid(Self::PER_RUN))
    }

    /// The place of the job in its run, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0.rem_euclid(Self::PER_RUN)).unwrap_or(usize::MAX)
    }
}

/// Rises with each lease of a job; what is said with an older one is not listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl Fence {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A slot of a runner: `runner` is the runner's name, unique on a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotId {
    pub runner: String,
    pub slot: u32,
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.runner, self.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_knows_its_run_and_index() {
        let id = JobId::new(RunId(1846), 12);
        assert_eq!((id.0, id.run(), id.index()), (1_846_000_012, RunId(1846), 12));
    }
}
