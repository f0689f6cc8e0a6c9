//! One module a page: a view model with public fields, its markup, and the fragments that change while it is open.

pub mod audit;
pub mod confirm;
pub mod dashboard;
pub mod deployment;
pub mod environment;
pub mod environments;
pub mod help;
pub mod log;
pub mod login;
pub mod me;
pub mod overview;
pub mod problem;
pub mod rollback;
pub mod run;
pub mod runners;
pub mod runs;
pub mod search;
pub mod server;
pub mod settings;
pub mod workflow;
