//! Runs a workflow of a checkout here and now: the run machine of the engine, driven in memory, and the runner's
//! jobs in this process. What happens is told in the objects of `exec --json`.

pub(crate) mod driver;
pub(crate) mod event;
