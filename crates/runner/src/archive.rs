//! Archives of jobs: ZIP for artifacts (what people and `gh` download), zstd-compressed tar for caches.
//!
//! Reading trusts nothing in an archive: a name stays below the directory it is unpacked to, nothing is written
//! through a link, and size, number and ratio are bounded.

mod target;

use crate::hash_files::hex;
use crate::reach::Reach;
use crate::services::Packed;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use target::{Budget, Target};

/// What an archive may unpack to. The ratio is checked above 256 MiB: small texts compress better than bombs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub entries: usize,
    pub bytes: u64,
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 250_000,
            bytes: 32 << 30,
            ratio: 150,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the archive is broken: {0}")]
    Broken(String),
    #[error("the archive's entry `{name}` {fault}; nothing more is unpacked")]
    Hostile { name: String, fault: &'static str },
    #[error("the archive holds more than {limit}")]
    TooMuch { limit: String },
}

type Result<T> = std::result::Result<T, ArchiveError>;

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::File { path, source }
}

/// Writes files, each under the name beside it, to a ZIP. `level` 0 stores, 9 is smallest.
pub fn zip(files: &[(PathBuf, String)], level: u8, to: &Path, reach: &Reach) -> Result<Packed> {
    let broken = |e: zip::result::ZipError| ArchiveError::Broken(e.to_string());
    let mut writer = zip::ZipWriter::new(BufWriter::new(File::create_new(to).map_err(at(to))?));
    for (path, name) in files {
        let mut file = reach.open(path).map_err(at(path))?;
        let metadata = file.metadata().map_err(at(path))?;
        let method = if level == 0 {
            zip::CompressionMethod::Stored
        } else {
            zip::CompressionMethod::Deflated
        };
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(method)
            .compression_level((level > 0).then_some(i64::from(level)))
            .large_file(metadata.len() > u64::from(u32::MAX) / 2)
            .unix_permissions(metadata.mode() & 0o777);
        writer.start_file(name.as_str(), options).map_err(broken)?;
        std::io::copy(&mut file, &mut writer).map_err(at(path))?;
    }
    let mut writer = writer.finish().map_err(broken)?;
    writer.flush().map_err(at(to))?;
    packed(to)
}

/// Unpacks a ZIP below a directory and gives the number of its files.
pub fn unzip(from: &Path, to: &Path, limits: Limits, reach: &Reach) -> Result<usize> {
    let broken = |e: zip::result::ZipError| ArchiveError::Broken(e.to_string());
    let file = File::open(from).map_err(at(from))?;
    let mut budget = Budget::new(limits, file.metadata().map_err(at(from))?.len());
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    let mut target = Target::new(to, reach)?;
    let mut files = 0;
    for index in 0..archive.len() {
        budget.entry()?;
        let mut entry = archive.by_index(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let kind = entry.unix_mode().map_or(0, |mode| mode & 0o170_000);
        if !matches!(kind, 0 | 0o100_000 | 0o040_000) {
            return Err(ArchiveError::Hostile {
                name,
                fault: "is a link or a device",
            });
        }
        if entry.is_dir() {
            target.directory(&name)?;
            continue;
        }
        let mode = entry.unix_mode().unwrap_or(0o644) & 0o777 | 0o600;
        target.file(&name, mode, &mut entry, &mut budget)?;
        files += 1;
    }
    Ok(files)
}

/// Writes what lies at some roots to a compressed tar: each entry's name is the root's number and its path below
/// the root, so that it fits another machine whose directories lie elsewhere.
pub fn pack(roots: &[PathBuf], files: &[PathBuf], to: &Path, reach: &Reach) -> Result<Packed> {
    let file = File::create_new(to).map_err(at(to))?;
    let encoder = zstd::Encoder::new(BufWriter::new(file), 3).map_err(at(to))?;
    let mut tar = tar::Builder::new(encoder);
    tar.follow_symlinks(false);
    for path in files {
        let metadata = path.symlink_metadata().map_err(at(path))?;
        append(&mut tar, roots, path, &metadata, reach)?;
    }
    let encoder = tar.into_inner().map_err(at(to))?;
    let mut file = encoder.finish().map_err(at(to))?;
    file.flush().map_err(at(to))?;
    packed(to)
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    roots: &[PathBuf],
    path: &Path,
    metadata: &Metadata,
    reach: &Reach,
) -> Result<()> {
    let found = roots
        .iter()
        .enumerate()
        .find_map(|(i, root)| Some((i, path.strip_prefix(root).ok()?)));
    let Some((index, below)) = found else {
        return Ok(());
    };
    // `x/` with nothing behind it is the root itself, where a pattern named a single file.
    let name = Path::new(&index.to_string()).join(below);
    if metadata.is_symlink() {
        return tar.append_path_with_name(path, name).map_err(at(path));
    }
    if metadata.is_file() {
        let mut file = reach.open(path).map_err(at(path))?;
        return tar.append_file(name, &mut file).map_err(at(path));
    }
    if metadata.is_dir() {
        tar.append_dir(&name, path).map_err(at(path))?;
        let mut children: Vec<_> = std::fs::read_dir(path)
            .map_err(at(path))?
            .filter_map(|e| Some(e.ok()?.path()))
            .collect();
        children.sort();
        for child in children {
            let Ok(metadata) = child.symlink_metadata() else {
                continue;
            };
            append(tar, roots, &child, &metadata, reach)?;
        }
    }
    Ok(())
}

/// Unpacks what [`pack`] wrote, each entry below the root of its number.
pub fn unpack(from: &Path, roots: &[PathBuf], limits: Limits, reach: &Reach) -> Result<usize> {
    let file = File::open(from).map_err(at(from))?;
    let mut budget = Budget::new(limits, file.metadata().map_err(at(from))?.len());
    let mut tar = tar::Archive::new(zstd::Decoder::new(file).map_err(at(from))?);
    let mut targets: Vec<Option<Target<'_>>> = roots.iter().map(|_| None).collect();
    let mut files = 0;
    for entry in tar.entries().map_err(at(from))? {
        budget.entry()?;
        let mut entry = entry.map_err(|e| ArchiveError::Broken(e.to_string()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let hostile = |fault| ArchiveError::Hostile {
            name: name.clone(),
            fault,
        };
        let (index, below) = name.split_once('/').unwrap_or((&name, ""));
        let index: usize = index
            .parse()
            .map_err(|_| hostile("belongs to none of the cached paths"))?;
        let (Some(root), Some(target)) = (roots.get(index), targets.get_mut(index)) else {
            return Err(hostile("belongs to none of the cached paths"));
        };
        let kind = entry.header().entry_type();
        let single = below.trim_matches('/').is_empty() && !kind.is_dir();
        // A pattern may name a single file: then the directory around it is what is unpacked to.
        let (directory, below) = match (single, root.parent(), root.file_name()) {
            (true, Some(parent), Some(file)) => (parent, file.to_string_lossy().into_owned()),
            _ => (root.as_path(), below.to_owned()),
        };
        let target = match target {
            Some(target) => target,
            None => target.insert(Target::new(directory, reach)?),
        };
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
        if kind.is_dir() {
            target.directory(&below)?;
        } else if kind.is_symlink() {
            let link = entry
                .link_name()
                .ok()
                .flatten()
                .ok_or_else(|| hostile("is a link to nowhere"))?;
            target.link(&below, &link)?;
        } else if kind.is_file() {
            target.file(&below, mode | 0o600, &mut entry, &mut budget)?;
            files += 1;
        } else {
            return Err(hostile("is a hard link or a device"));
        }
    }
    Ok(files)
}

fn packed(path: &Path) -> Result<Packed> {
    let mut file = File::open(path).map_err(at(path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size_bytes = 0;
    loop {
        let n = file.read(&mut buffer).map_err(at(path))?;
        let Some(read) = buffer.get(..n).filter(|read| !read.is_empty()) else {
            break;
        };
        digest.update(read);
        size_bytes += read.len() as u64;
    }
    Ok(Packed {
        path: path.to_owned(),
        size_bytes,
        digest: format!("sha256:{}", hex(&digest.finalize())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Everything is open.
    fn open() -> Reach {
        Reach::default()
    }

    fn zip_of(entries: &[(&str, u32, &str)], to: &Path) {
        let mut writer = zip::ZipWriter::new(File::create_new(to).unwrap());
        for (name, mode, text) in entries {
            let options = zip::write::SimpleFileOptions::default().unix_permissions(mode & 0o777);
            if mode & 0o170_000 == 0o120_000 {
                writer.add_symlink(*name, *text, options).unwrap();
            } else {
                writer.start_file(*name, options).unwrap();
                writer.write_all(text.as_bytes()).unwrap();
            }
        }
        writer.finish().unwrap();
    }

    #[test]
    fn a_zip_keeps_content_and_the_executable_bit() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let packed = zip(
            &[(script, "bin/script".into())],
            6,
            &dir.path().join("a.zip"),
            &open(),
        )
        .unwrap();
        assert_eq!(packed.digest.len(), 71);
        let to = dir.path().join("out");
        assert_eq!(unzip(&packed.path, &to, Limits::default(), &open()).unwrap(), 1);
        assert_eq!(
            std::fs::read_to_string(to.join("bin/script")).unwrap(),
            "#!/bin/sh\n"
        );
        assert_eq!(to.join("bin/script").metadata().unwrap().mode() & 0o777, 0o755);
    }

    #[test]
    fn hostile_zips_write_nothing_outside() {
        type Entry = (&'static str, u32, &'static str);
        let table: &[(&[Entry], &str)] = &[
            (&[("../evil", 0o644, "x")], "leads outside"),
            (&[("/evil", 0o644, "x")], "leads outside"),
            (&[("a/../../evil", 0o644, "x")], "leads outside"),
            (&[("..\\evil", 0o644, "x")], "backslash"),
            (&[("link", 0o120_777, "..")], "link"),
            (&[("out/evil", 0o644, "x")], "through a link"),
        ];
        for (entries, fault) in table {
            let dir = tempfile::tempdir().unwrap();
            let to = dir.path().join("to");
            std::fs::create_dir(&to).unwrap();
            std::os::unix::fs::symlink("..", to.join("out")).unwrap();
            let from = dir.path().join("a.zip");
            zip_of(entries, &from);
            let error = unzip(&from, &to, Limits::default(), &open())
                .unwrap_err()
                .to_string();
            assert!(error.contains(fault), "{entries:?}: {error}");
            assert!(!dir.path().join("evil").exists(), "{entries:?}");
        }
    }

    #[test]
    fn bombs_end_at_their_limit() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("a.zip");
        zip_of(&[("a", 0o644, &"0".repeat(10_000)), ("b", 0o644, "x")], &from);
        let limits = Limits {
            bytes: 5000,
            ..Limits::default()
        };
        assert!(matches!(
            unzip(&from, &dir.path().join("o"), limits, &open()),
            Err(ArchiveError::TooMuch { .. })
        ));
        let limits = Limits {
            entries: 1,
            ..Limits::default()
        };
        assert!(matches!(
            unzip(&from, &dir.path().join("p"), limits, &open()),
            Err(ArchiveError::TooMuch { .. })
        ));
    }

    #[test]
    fn a_cache_goes_to_where_its_paths_are_now() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for root in [&a, &b] {
            std::fs::create_dir_all(root.join("modules/x")).unwrap();
        }
        std::fs::write(a.join("modules/x/index.js"), "1").unwrap();
        std::os::unix::fs::symlink("x/index.js", a.join("modules/link")).unwrap();
        std::fs::write(a.join("single"), "2").unwrap();
        let roots = |base: &Path| [base.join("modules"), base.join("single")];
        let packed = pack(&roots(&a), &roots(&a), &dir.path().join("c.tzst"), &open()).unwrap();
        assert_eq!(
            unpack(&packed.path, &roots(&b), Limits::default(), &open()).unwrap(),
            2
        );
        assert_eq!(std::fs::read_to_string(b.join("modules/link")).unwrap(), "1");
        assert_eq!(std::fs::read_to_string(b.join("single")).unwrap(), "2");
    }

    /// A cache of entries, each a link or an empty file. The builder refuses hostile names, so they are written to
    /// the header itself.
    fn cache_of(entries: &[(&str, Option<&str>)], to: &Path) {
        let mut tar = tar::Builder::new(zstd::Encoder::new(File::create(to).unwrap(), 1).unwrap());
        for (name, link) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o644);
            if let Some(link) = link {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name(link).unwrap();
            }
            header.set_size(0);
            header.set_cksum();
            tar.append(&header, std::io::empty()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn a_cached_link_leads_where_it_led() {
        let dir = tempfile::tempdir().unwrap();
        let (from, root) = (dir.path().join("c.tzst"), dir.path().join("root"));
        cache_of(
            &[("0/bin/python", Some("/usr/bin/python3")), ("0/up", Some("../x"))],
            &from,
        );
        unpack(&from, std::slice::from_ref(&root), Limits::default(), &open()).unwrap();
        let leads = |name: &str| std::fs::read_link(root.join(name)).unwrap();
        assert_eq!(
            (leads("bin/python"), leads("up")),
            (PathBuf::from("/usr/bin/python3"), PathBuf::from("../x"))
        );
    }

    #[test]
    fn hostile_caches_write_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let check = |entries: &[(&str, Option<&str>)]| {
            let from = dir.path().join("c.tzst");
            cache_of(entries, &from);
            let error = unpack(&from, &[dir.path().join("root")], Limits::default(), &open());
            assert!(
                matches!(error, Err(ArchiveError::Hostile { .. })),
                "{entries:?}: {error:?}"
            );
            assert!(!dir.path().join("evil").exists(), "{entries:?}");
        };
        check(&[("0/../evil", None)]);
        check(&[("1/evil", None)]);
        check(&[("/etc/evil", None)]);
        check(&[("0/link", Some("..")), ("0/link/evil", None)]);
        check(&[("0/link", Some("../evil")), ("0/link", None)]);
    }
}
