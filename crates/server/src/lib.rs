//! The control plane: use cases, drivers, REST, git over HTTP.
//!
//! Owns the database and decides who may do what. It never holds a pipe, a socket or a child that traffic depends
//! on, and formats nothing for people but what git clients are shown.

mod answer;
mod app;
mod attempts;
mod audit_reads;
mod auth;
mod blob;
pub mod clock;
mod config;
mod connection;
pub mod driver;
mod error;
mod event;
mod git;
mod metric;
mod name;
mod notification;
mod outgoing;
mod own_runner;
mod render;
mod rest;
mod runner;
mod secrets;
mod serve;
mod task;
mod trigger;
mod web;
mod workflows;

pub use config::{Config, OutgoingConfig, Retention};
pub use outgoing::Allowed;
pub use serve::{ServeError, Server, serve, serve_with_clock};
