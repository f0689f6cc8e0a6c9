//! Secrets, masking, tokens and the audit chain.

pub mod audit;
pub mod seal;
pub mod token;
pub mod mask;
