//! Unpacks a release's tar file (plain or zstd) so that nothing of it lands outside of its folder.
//!
//! Only regular files, folders, symbolic and hard links are taken. Every folder that something is written into was
//! made here and is no link; a symbolic link may climb (`..`) only at its beginning and only as far as the tree
//! reaches. Owners, times, and bits beyond read, write and execute are not taken over.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use tar::{Entry, EntryType};

/// What a release may have at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            entries: 500_000,
            bytes: 16 << 30,
        }
    }
}

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// More than any writer of releases uses, and less than a bomb would like.
const ZSTD_WINDOW_LOG: u32 = 27;

/// What is wrong, and with which entry.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) entry: String,
    pub(crate) why: String,
}

impl Fault {
    fn new(entry: &Path, why: impl ToString) -> Self {
        Fault {
            entry: entry.display().to_string(),
            why: why.to_string(),
        }
    }
}

/// Unpacks into `tree`, an empty folder.
pub(crate) fn unpack(archive: &Path, tree: &Path, limits: Limits) -> Result<(), Fault> {
    let whole = |e: io::Error| Fault::new(archive, e);
    let mut file = BufReader::new(File::open(archive).map_err(whole)?);
    let is_zstd = io::BufRead::fill_buf(&mut file)
        .map_err(whole)?
        .starts_with(&ZSTD_MAGIC);
    if is_zstd {
        let mut decoder = zstd::Decoder::with_buffer(file).map_err(whole)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(whole)?;
        unpack_tar(decoder, tree, limits)
    } else {
        unpack_tar(file, tree, limits)
    }
}

fn unpack_tar(reader: impl Read, tree: &Path, limits: Limits) -> Result<(), Fault> {
    let mut archive = tar::Archive::new(reader);
    let mut unpacking = Unpacking {
        tree,
        folders: HashSet::from([PathBuf::new()]),
        left: limits,
    };
    let whole = |e: io::Error| Fault::new(Path::new("the archive"), e);
    for entry in archive.entries().map_err(whole)? {
        unpacking.entry(entry.map_err(whole)?)?;
    }
    Ok(())
}

struct Unpacking<'a> {
    tree: &'a Path,
    /// Made here, relative to the tree.
    folders: HashSet<PathBuf>,
    left: Limits,
}

impl Unpacking<'_> {
    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> Result<(), Fault> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let shown = entry
            .path()
            .map_err(|e| Fault::new(Path::new("a name"), e))?
            .into_owned();
        let fault = |why: &str| Fault::new(&shown, why);
        self.left.entries = self
            .left
            .entries
            .checked_sub(1)
            .ok_or_else(|| fault("too many entries"))?;
        let path = inside(&shown).ok_or_else(|| fault("leaves the release's folder"))?;
        if path.as_os_str().is_empty() {
            return if kind.is_dir() {
                Ok(())
            } else {
                Err(fault("has no name"))
            };
        }
        if kind.is_dir() {
            return self.folder(&path).map_err(|e| Fault::new(&shown, e));
        }
        let parent = path.parent().unwrap_or(Path::new("")).to_owned();
        self.folder(&parent).map_err(|e| Fault::new(&shown, e))?;
        let target = self.tree.join(&path);
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.left.bytes = self
                    .left
                    .bytes
                    .checked_sub(entry.size())
                    .ok_or_else(|| fault("too many bytes"))?;
                let mode = entry.header().mode().unwrap_or(0o644) & 0o755 | 0o644;
                write_file(&target, &mut entry, mode).map_err(|e| Fault::new(&shown, e))
            }
            EntryType::Symlink => {
                let to = link_target(&entry).ok_or_else(|| fault("has no target"))?;
                if !stays_inside(&to, parent.components().count()) {
                    return Err(fault(&format!("points out of the release, to {}", to.display())));
                }
                replace(&target, || std::os::unix::fs::symlink(&to, &target))
                    .map_err(|e| Fault::new(&shown, e))
            }
            EntryType::Link => {
                let to = link_target(&entry).and_then(|to| inside(&to));
                let to = to.ok_or_else(|| fault("points out of the release"))?;
                if !self.folders.contains(to.parent().unwrap_or(Path::new(""))) {
                    return Err(fault("links to what is not there"));
                }
                // Of a symbolic link, the link itself is linked.
                let source = self.tree.join(to);
                replace(&target, || fs::hard_link(&source, &target)).map_err(|e| Fault::new(&shown, e))
            }
            other => Err(fault(&format!("is no file, folder or link ({other:?})"))),
        }
    }

    /// Makes a folder and those above it. One that is there and was not made here is a link or a file.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut made = PathBuf::new();
        for part in path.components() {
            made.push(part);
            if !self.folders.contains(&made) {
                fs::create_dir(self.tree.join(&made))?;
                self.folders.insert(made.clone());
            }
        }
        Ok(())
    }
}

fn write_file(target: &Path, from: &mut impl Read, mode: u32) -> io::Result<()> {
    let mut file = None;
    replace(target, || {
        file = Some(
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(target)?,
        );
        Ok(())
    })?;
    let mut file = file.ok_or(io::ErrorKind::NotFound)?;
    io::copy(from, &mut file)?;
    file.set_permissions(Permissions::from_mode(mode))
}

/// A later entry of the same name stands for it, as in every tar program.
fn replace(target: &Path, mut make: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    match make() {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(target)?;
            make()
        }
        other => other,
    }
}

fn link_target(entry: &Entry<'_, impl Read>) -> Option<PathBuf> {
    entry
        .link_name()
        .ok()
        .flatten()
        .map(|to| to.into_owned())
        .filter(|to| !to.as_os_str().is_empty())
}

/// The path without `.`; `None` if it is absolute or climbs.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// `..` counts only before the first name: after one, the name may itself be a link, and lead elsewhere.
fn stays_inside(target: &Path, depth: usize) -> bool {
    let (mut climbed, mut named) = (0, false);
    target.components().all(|part| match part {
        Component::Normal(_) => {
            named = true;
            true
        }
        Component::CurDir => true,
        Component::ParentDir => {
            climbed += 1;
            !named && climbed <= depth
        }
        Component::RootDir | Component::Prefix(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    type Item = (EntryType, &'static str, &'static str);
    const FILE: EntryType = EntryType::Regular;

    /// A tar file with these entries, written byte by byte so that it may hold what no library would write.
    fn tar_of(items: &[Item]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, name, text) in items {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o6777);
            header.set_entry_type(*kind);
            let data = if *kind == FILE { text.as_bytes() } else { b"" };
            header.set_size(data.len() as u64);
            if kind.is_symlink() || kind.is_hard_link() {
                header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_cksum();
            bytes.extend(header.as_bytes());
            bytes.extend(data);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    fn unpack_items(items: &[Item], limits: Limits) -> (tempfile::TempDir, Result<(), String>) {
        let root = tempfile::tempdir().unwrap();
        let (archive, tree) = (root.path().join("a.tar"), root.path().join("tree"));
        fs::write(&archive, tar_of(items)).unwrap();
        fs::create_dir(&tree).unwrap();
        let result = unpack(&archive, &tree, limits).map_err(|f| format!("{}: {}", f.entry, f.why));
        (root, result)
    }

    fn check(items: &[Item], expected: &str) {
        let (root, result) = unpack_items(
            items,
            Limits {
                entries: 4,
                bytes: 10,
            },
        );
        assert_eq!(result.unwrap_err(), expected, "{items:?}");
        let outside: Vec<_> = fs::read_dir(root.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(outside.len(), 2, "something was written outside: {outside:?}");
    }

    #[test]
    fn nothing_leaves_the_folder() {
        use EntryType::{Fifo, Link, Symlink};
        check(&[(FILE, "../x", "")], "../x: leaves the release's folder");
        check(
            &[(FILE, "a/../../x", "")],
            "a/../../x: leaves the release's folder",
        );
        check(&[(FILE, "/tmp/x", "")], "/tmp/x: leaves the release's folder");
        check(&[(Symlink, "l", "/etc")], "l: points out of the release, to /etc");
        check(&[(Symlink, "l", "..")], "l: points out of the release, to ..");
        check(
            &[(Symlink, "a/l", "../..")],
            "a/l: points out of the release, to ../..",
        );
        check(
            &[(Symlink, "a/l", "b/../..")],
            "a/l: points out of the release, to b/../..",
        );
        check(
            &[(Symlink, "l", "."), (FILE, "l/x", "")],
            "l/x: File exists (os error 17)",
        );
        check(&[(Link, "l", "../a.tar")], "l: points out of the release");
        check(
            &[(Symlink, "s", "."), (Link, "l", "s/x")],
            "l: links to what is not there",
        );
        check(&[(Fifo, "f", "")], "f: is no file, folder or link (Fifo)");
        check(&[(FILE, "", "")], ": has no name");
    }

    #[test]
    fn limits_hold() {
        check(&[(FILE, "big", "12345678901")], "big: too many bytes");
        check(&[(FILE, "a", ""); 5], "a: too many entries");
    }

    #[test]
    fn what_is_good_is_taken_without_its_dangerous_bits() {
        use EntryType::{Directory, Link, Symlink};
        let items = [
            (Directory, "./", ""),
            (Directory, "bin/", ""),
            (FILE, "./bin/run", "one"),
            (FILE, "bin/run", "two"),
            (Symlink, "bin/up", "../deep/er"),
            (FILE, "deep/er/file", "x"),
            (Link, "hard", "bin/run"),
        ];
        let (root, result) = unpack_items(&items, Limits::default());
        assert_eq!(result, Ok(()));
        let tree = root.path().join("tree");
        assert_eq!(fs::read_to_string(tree.join("hard")).unwrap(), "two");
        assert_eq!(fs::read_to_string(tree.join("bin/up/file")).unwrap(), "x");
        assert_eq!(
            fs::metadata(tree.join("bin/run")).unwrap().permissions().mode() & 0o7777,
            0o755
        );
    }

    #[test]
    fn compressed_and_broken_archives() {
        let root = tempfile::tempdir().unwrap();
        let (archive, tree) = (root.path().join("a"), root.path().join("tree"));
        fs::create_dir(&tree).unwrap();
        let bytes = zstd::encode_all(&*tar_of(&[(FILE, "a", "text")]), 3).unwrap();
        fs::write(&archive, &bytes).unwrap();
        unpack(&archive, &tree, Limits::default()).unwrap();
        assert_eq!(fs::read_to_string(tree.join("a")).unwrap(), "text");
        for broken in [
            &bytes[..bytes.len() / 2],
            b"no archive at all, but long enough to be read as a header",
        ] {
            let mut file = File::create(&archive).unwrap();
            file.write_all(broken).unwrap();
            assert!(unpack(&archive, &tree, Limits::default()).is_err());
        }
    }
}
