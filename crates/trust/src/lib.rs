//! Secrets, masking, tokens and the audit chain.
