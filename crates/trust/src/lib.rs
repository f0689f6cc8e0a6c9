//! Secrets, masking, tokens and the audit chain.

pub mod audit;
pub mod mask;
pub mod scan;
pub mod seal;
pub mod token;
