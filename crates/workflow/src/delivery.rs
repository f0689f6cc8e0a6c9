//! `pilotage.yml`: services, environments and how a release comes to one.
//!
//! Owns the file's form, its defaults and its diagnostics (`P01xx`). It decides nothing about a deployment:
//! what comes out is an [`EnvironmentPlan`], with every default filled in, which is frozen into a release.

mod defaults;
mod environment;
mod init;
mod keys;
mod model;
mod notify;
mod parse;
mod plan;
mod reader;
mod reference;
mod service;
mod unit;
mod verify;

pub use init::init;
pub use model::{Delivery, Environment, Service, Settings};
pub use parse::parse;
pub use plan::{
    ArtifactSource, Before, Canary, Channel, Check, EnvironmentPlan, GuardPlan, HealthPlan, Occasion, Route,
    ServicePlan, StopPlan, Strategy, Undecided, plan,
};
pub use reference::reference;

/// Where the file stands in a project.
pub const FILE_NAME: &str = "pilotage.yml";

#[cfg(test)]
mod tests;
