//! `pilotage.yml`: services, environments and how a release comes to one.
//!
//! Owns the file's form, its defaults and its diagnostics (`P01xx`). It decides nothing about a deployment:
//! what comes out is an [`EnvironmentPlan`], with every default filled in, which is frozen into a release.

mod plan;

pub use plan::{
    ArtifactSource, Before, Canary, Check, EnvironmentPlan, GuardPlan, HealthPlan, ServicePlan, StopPlan,
    Strategy, Undecided,
};
