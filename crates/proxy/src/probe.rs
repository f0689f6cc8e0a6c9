//! Requests of our own: with the secret, an answer says which replica gave it, and a request may choose one.

use crate::plane::Wanted;
use http::{HeaderMap, HeaderName};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

pub(crate) const REPLICA: HeaderName = HeaderName::from_static("pilotage-replica");
pub(crate) const REVISION: HeaderName = HeaderName::from_static("pilotage-revision");
const SECRET: HeaderName = HeaderName::from_static("pilotage-probe");
const PINNED_REVISION: HeaderName = HeaderName::from_static("pilotage-probe-revision");
const PINNED_REPLICA: HeaderName = HeaderName::from_static("pilotage-probe-replica");

/// Removes the headers of a probe, so that no replica sees the secret. None when it is no probe of ours.
pub(crate) fn take(headers: &mut HeaderMap, secret: &[u8]) -> Option<Wanted> {
    let given = headers.remove(SECRET)?;
    let text = |value: http::HeaderValue| value.to_str().ok().map(str::to_owned);
    let revision = headers.remove(PINNED_REVISION).and_then(text);
    let replica = headers.remove(PINNED_REPLICA).and_then(text);
    if !equal(given.as_bytes(), secret) {
        return None;
    }
    Some(match (revision, replica) {
        (None, None) => Wanted::Share,
        (revision, replica) => Wanted::Pinned { revision, replica },
    })
}

/// In a time that tells nothing of where they differ.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// Reads `probe-secret`, or makes it: 64 hexadecimal digits, readable by the owner only.
pub(crate) fn secret(directory: &Path) -> io::Result<Vec<u8>> {
    let path = directory.join("probe-secret");
    match fs::read(&path) {
        Ok(text) if text.len() >= 32 => return Ok(text.trim_ascii().to_vec()),
        Ok(_) => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => return Err(error),
    }
    let mut random = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let temporary = directory.join(".probe-secret");
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    Ok(text.into_bytes())
}
