//! Whole jobs, run by real shells, git and Node: a workflow in, its events and its result out.

mod actions;
mod built_in;
mod gates;
mod platform;
mod steps;
mod world;
