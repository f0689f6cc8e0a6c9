//! `hashFiles(patterns…)`: one digest over the files of the workspace that match.
//!
//! The digest of the files' digests, in the order in which the toolkit finds them, so that keys of caches stay what
//! they are on GitHub. Never reads a file that lies outside of the workspace, whatever links say.

use crate::glob::{GlobError, Options, Patterns};
use crate::reach::open_inside;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum HashFilesError {
    #[error(transparent)]
    Pattern(#[from] GlobError),
    #[error("hashFiles takes no option `{0}`; only --follow-symbolic-links")]
    Option(String),
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// The digest as 64 hexadecimal digits; empty where no file matches.
pub fn hash_files(workspace: &Path, home: &Path, arguments: &[String]) -> Result<String, HashFilesError> {
    let (follow_links, patterns) = match arguments.split_first() {
        Some((first, rest)) if first == "--follow-symbolic-links" => (true, rest),
        Some((first, _)) if first.starts_with("--") => return Err(HashFilesError::Option(first.clone())),
        _ => (false, arguments),
    };
    let Ok(workspace) = workspace.canonicalize() else {
        return Ok(String::new());
    };
    let patterns = Patterns::parse(patterns.iter().map(String::as_str), &workspace, home)?;
    let mut all = Sha256::new();
    let mut any = false;
    for path in patterns.find(Options {
        follow_links,
        ..Options::default()
    })? {
        if !path.starts_with(&workspace) {
            continue;
        }
        // What links lead out of the workspace, and what is no file, does not count.
        let Ok(file) = open_inside(&path, &workspace) else {
            continue;
        };
        all.update(digest(file).map_err(|source| HashFilesError::Read { path, source })?);
        any = true;
    }
    Ok(if any { hex(&all.finalize()) } else { String::new() })
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn digest(mut file: std::fs::File) -> std::io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..n).filter(|read| !read.is_empty()) else {
            break;
        };
        digest.update(read);
    }
    Ok(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], expected_files: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let workspace = dir.path().join("w");
        std::fs::create_dir_all(workspace.join("sub")).unwrap();
        for (name, text) in [
            ("w/a.lock", "one"),
            ("w/sub/b.lock", "two"),
            ("secret.lock", "three"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("../secret.lock", workspace.join("link.lock")).unwrap();
        let arguments: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        let expected = if expected_files.is_empty() {
            String::new()
        } else {
            let all: Vec<u8> = expected_files.iter().flat_map(Sha256::digest).collect();
            hex(&Sha256::digest(all))
        };
        assert_eq!(
            hash_files(&workspace, dir.path(), &arguments).unwrap(),
            expected,
            "{patterns:?}"
        );
    }

    #[test]
    fn is_the_digest_of_the_digests_inside_the_workspace() {
        check(&["**/*.lock"], &["one", "two"]);
        check(&["a.lock"], &["one"]);
        check(&["**/*.lock", "!a.lock"], &["two"]);
        check(&["--follow-symbolic-links", "**/*.lock"], &["one", "two"]);
        check(&["../secret.lock"], &[]);
        check(&["/etc/passwd"], &[]);
        check(&["nothing"], &[]);
    }
}
