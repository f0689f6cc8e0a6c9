//! The audit log's chain: each entry holds the hash of the one before it, so that none can be changed, taken out
//! or put in between without the end no longer fitting.
//!
//! Owns the hash and its check. Where entries are stored, and who writes them, is not its business.

use sha2::{Digest, Sha256};

/// The hash before the first entry.
pub const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1, without a gap.
    pub seq: i64,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Who: `token 3 (ana)`, `server`.
    pub actor: String,
    /// What was done: `secret.set`, `token.create`.
    pub action: String,
    /// To what: `omnilife/platform`, `omnilife/platform/production`.
    pub subject: String,
    /// More, as JSON; never a secret's value.
    pub detail: String,
    pub hash: String,
}

impl Entry {
    /// Puts the entry behind `previous` by giving it its hash.
    #[must_use]
    pub fn chained(mut self, previous: &str) -> Self {
        self.hash = self.digest(previous);
        self
    }

    fn digest(&self, previous: &str) -> String {
        let mut digest = Sha256::new();
        let (seq, at) = (self.seq.to_string(), self.at_ms.to_string());
        // Each field is preceded by its length: no two different entries give the same bytes.
        for field in [
            previous,
            &seq,
            &at,
            &self.actor,
            &self.action,
            &self.subject,
            &self.detail,
        ] {
            digest.update((field.len() as u64).to_be_bytes());
            digest.update(field.as_bytes());
        }
        hex::encode(digest.finalize())
    }
}

/// Where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log does not hold at entry {seq}: {reason}")]
pub struct Broken {
    pub seq: i64,
    pub reason: &'static str,
}

/// Walks a chain from its start, as many entries at a time as the caller has.
#[derive(Clone, Debug)]
pub struct Verifier {
    pub entries: i64,
    pub head: String,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            entries: 0,
            head: START.to_owned(),
        }
    }
}

impl Verifier {
    pub fn check(&mut self, entry: &Entry) -> Result<(), Broken> {
        let expected = self.entries + 1;
        if entry.seq != expected {
            return Err(Broken {
                seq: expected,
                reason: "it is missing",
            });
        }
        if entry.digest(&self.head) != entry.hash {
            return Err(Broken {
                seq: entry.seq,
                reason: "it, or one before it, was changed",
            });
        }
        self.entries = entry.seq;
        self.head.clone_from(&entry.hash);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<Entry> {
        let mut head = START.to_owned();
        let entry = |seq| Entry {
            seq,
            at_ms: 1000 + seq,
            actor: "token 1".to_owned(),
            action: "secret.set".to_owned(),
            subject: format!("o/p/{seq}"),
            detail: "{}".to_owned(),
            hash: String::new(),
        };
        (1..=4)
            .map(|seq| {
                let entry = entry(seq).chained(&head);
                head.clone_from(&entry.hash);
                entry
            })
            .collect()
    }

    fn verify(entries: &[Entry]) -> Result<i64, i64> {
        let mut verifier = Verifier::default();
        entries
            .iter()
            .try_for_each(|entry| verifier.check(entry))
            .map_err(|broken| broken.seq)?;
        Ok(verifier.entries)
    }

    #[test]
    fn a_whole_chain_holds_and_a_changed_one_does_not() {
        assert_eq!(verify(&chain()), Ok(4));
        let mut changed = chain();
        changed[1].actor = "token 2".to_owned();
        assert_eq!(verify(&changed), Err(2));
        let mut moved = chain();
        // The same letters, split differently between two fields.
        moved[2].action = "secret.seto".to_owned();
        moved[2].subject = "/p/3".to_owned();
        assert_eq!(verify(&moved), Err(3));
        let mut shorter = chain();
        shorter.remove(1);
        assert_eq!(verify(&shorter), Err(2));
        let mut swapped = chain();
        swapped.swap(2, 3);
        assert_eq!(verify(&swapped), Err(3));
    }
}
