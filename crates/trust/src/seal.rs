//! Secrets at rest: sealed with a key that lies beside the database, never in it.
//!
//! XChaCha20-Poly1305 with a random nonce. The record's own name (project, environment, secret) is bound in as
//! associated data, so that two sealed records cannot be swapped. Never logs or prints what it holds.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const FORMAT: u8 = 1;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    #[error("a key is 64 hexadecimal digits a line")]
    BadKey,
    #[error("the key file holds no key")]
    NoKey,
    #[error("no system randomness")]
    NoRandomness,
    #[error("sealed with a key that is not in the key file")]
    UnknownKey,
    /// Tampered with, swapped with another record, or damaged.
    #[error("a sealed record does not open: it was changed, or belongs to another name")]
    Tampered,
}

struct MasterKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl MasterKey {
    /// Names the key without telling anything of it.
    fn id(&self) -> [u8; KEY_ID_BYTES] {
        let digest = Sha256::new()
            .chain_update(b"pilotage key id")
            .chain_update(*self.bytes)
            .finalize();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest[..KEY_ID_BYTES]);
        id
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.bytes))
    }
}

/// The keys of `master.key`: the first seals, all of them open. A rotation puts a new one in front.
pub struct KeyRing {
    keys: Vec<MasterKey>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.keys.len()).finish()
    }
}

impl KeyRing {
    /// A key file for a first start: one new key, as text.
    pub fn generate() -> Result<Zeroizing<String>, SealError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| SealError::NoRandomness)?;
        Ok(Zeroizing::new(format!("{}\n", hex::encode(*bytes))))
    }

    /// Reads a key file: one key a line, the newest first.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines
            .map(|line| {
                let mut bytes = Zeroizing::new([0; KEY_BYTES]);
                hex::decode_to_slice(line, bytes.as_mut_slice()).map_err(|_| SealError::BadKey)?;
                Ok(MasterKey { bytes })
            })
            .collect::<Result<Vec<_>, SealError>>()?;
        if keys.is_empty() {
            Err(SealError::NoKey)
        } else {
            Ok(Self { keys })
        }
    }

    /// Seals `secret` for the record of that name. The result is bytes to be stored as they are.
    pub fn seal(&self, record: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.keys.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let payload = Payload {
            msg: secret,
            aad: record.as_bytes(),
        };
        let sealed = key
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Tampered)?;
        let mut out = Vec::with_capacity(1 + KEY_ID_BYTES + NONCE_BYTES + sealed.len());
        out.push(FORMAT);
        out.extend_from_slice(&key.id());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens what [`Self::seal`] made for the same name.
    pub fn open(&self, record: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (format, rest) = sealed.split_first().ok_or(SealError::Tampered)?;
        let (id, rest) = rest
            .split_first_chunk::<KEY_ID_BYTES>()
            .ok_or(SealError::Tampered)?;
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::Tampered)?;
        if *format != FORMAT {
            return Err(SealError::Tampered);
        }
        let key = self
            .keys
            .iter()
            .find(|key| key.id() == *id)
            .ok_or(SealError::UnknownKey)?;
        let payload = Payload {
            msg: sealed,
            aad: record.as_bytes(),
        };
        let secret = key
            .cipher()
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SealError::Tampered)?;
        Ok(Zeroizing::new(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        KeyRing::parse(&KeyRing::generate().unwrap()).unwrap()
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let keys = ring();
        let sealed = keys.seal("o/p//TOKEN", b"s3cr3t").unwrap();
        assert_eq!(keys.open("o/p//TOKEN", &sealed).unwrap().as_slice(), b"s3cr3t");
        assert_eq!(keys.open("o/p//OTHER", &sealed).unwrap_err(), SealError::Tampered);
        assert_eq!(
            ring().open("o/p//TOKEN", &sealed).unwrap_err(),
            SealError::UnknownKey
        );
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.open("o/p//TOKEN", &changed).is_err(), "byte {at}");
            assert!(keys.open("o/p//TOKEN", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn an_older_key_still_opens() {
        let old = KeyRing::generate().unwrap();
        let sealed = KeyRing::parse(&old).unwrap().seal("r", b"x").unwrap();
        let both = format!("{}{}", *KeyRing::generate().unwrap(), *old);
        assert_eq!(
            KeyRing::parse(&both)
                .unwrap()
                .open("r", &sealed)
                .unwrap()
                .as_slice(),
            b"x"
        );
    }

    #[test]
    fn bad_key_files_are_refused() {
        assert_eq!(KeyRing::parse(" \n").unwrap_err(), SealError::NoKey);
        assert_eq!(KeyRing::parse("abcd").unwrap_err(), SealError::BadKey);
        assert_eq!(KeyRing::parse(&"g".repeat(64)).unwrap_err(), SealError::BadKey);
    }
}
