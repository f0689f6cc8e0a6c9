//! The workflow language: what a user wrote, with places.
//!
//! Owns YAML with spans, the typed model, parsing, expressions, filters, the expansion of matrices and
//! reusable workflows, the order and conditions of steps, diagnostics and lints, and `pilotage.yml`.
//! It is pure: no clock, no randomness, no file, no network; whoever calls it gives it texts.

pub mod delivery;
pub mod diagnostic;
pub mod expr;
pub mod filter;
pub mod glob;
pub mod lint;
pub mod matrix;
pub mod model;
pub mod parse;
pub mod secret;
pub mod sequence;
pub mod source;
pub mod yaml;
