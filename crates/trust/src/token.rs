//! Tokens: how they are made, what is stored of them, what they may do.
//!
//! A token is 256 random bits with a prefix that says whose it is. Only its SHA-256 is ever stored: that many
//! random bits need no slow hash. Never prints a token.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Whose token it is; the word is in the token's prefix, so that a leaked one is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A person's, or a program's on behalf of one.
    Person,
    Runner,
    /// Of one lease of one job; dies with it.
    Job,
}

impl TokenKind {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            TokenKind::Person => "person",
            TokenKind::Runner => "runner",
            TokenKind::Job => "job",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [TokenKind::Person, TokenKind::Runner, TokenKind::Job]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// What a person's token may do. Each is granted by name; none contains another but [`Scope::Admin`], all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everything, and what has no scope of its own: tokens, projects, runners, the audit log.
    Admin,
    /// See projects, runs, logs, environments; clone and fetch.
    Read,
    /// Push, start, rerun, cancel and delete runs.
    Write,
    /// Deploy, roll back, approve, lock environments.
    Deploy,
    /// Set secrets, variables and the rules of environments.
    Secrets,
}

impl Scope {
    pub const ALL: [Scope; 5] = [
        Scope::Admin,
        Scope::Read,
        Scope::Write,
        Scope::Deploy,
        Scope::Secrets,
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Scope::Admin => "admin",
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Deploy => "deploy",
            Scope::Secrets => "secrets",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

/// A new token's text, to be shown once.
pub fn generate(kind: TokenKind) -> Result<Zeroizing<String>, NoRandomness> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| NoRandomness)?;
    Ok(Zeroizing::new(format!(
        "pilotage_{}_{}",
        kind.word(),
        hex::encode(*bytes)
    )))
}

/// What is stored of a token, and by what it is found again.
#[must_use]
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no system randomness")]
pub struct NoRandomness;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_different_and_marked() {
        let (a, b) = (
            generate(TokenKind::Job).unwrap(),
            generate(TokenKind::Job).unwrap(),
        );
        assert!(a.starts_with("pilotage_job_") && a.len() == "pilotage_job_".len() + 64);
        assert_ne!(a, b);
        assert_ne!(hash(&a), hash(&b));
        assert!(!hash(&a).contains(&a[13..]));
    }

    #[test]
    fn words_come_back() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.word()), Some(scope));
        }
        assert_eq!(Scope::parse("Admin"), None);
        assert_eq!(TokenKind::parse("runner"), Some(TokenKind::Runner));
    }
}
