//! What a job says while it runs, in the order of what happened.

use pilotage_api::runner::{LogChunk, Report};

/// One thing that a job says. Log and reports share one channel, so that their order is kept.
#[derive(Clone, Debug)]
pub enum JobEvent {
    Report(Report),
    Log(LogChunk),
}
