//! Finds files by the patterns that actions take: `*`, `?`, `[…]`, `**`, `!` to take away again, `#` for a comment.
//!
//! Follows the rules and the order of the toolkit's glob package (dots match, no braces, a matched directory takes
//! all below it, directories are walked depth first, names in byte order), since keys of caches depend on them.
//! It only looks; it never opens a file.

use std::path::{Component, Path, PathBuf};

/// More files than this are refused: a pattern that finds a million files is a mistake.
const FILES_MAX: usize = 1_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Symbolic links to directories are walked into. A link to a file counts as a file either way.
    pub follow_links: bool,
    /// Files and directories whose name begins with a dot are left out.
    pub exclude_hidden: bool,
    /// A matched directory is listed itself and not walked into.
    pub keep_directories: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum GlobError {
    #[error("the pattern `{0}` leaves no directory to search")]
    Empty(String),
    #[error("the pattern `{0}` holds a part that is no pattern: `..` may stand only at its beginning")]
    Parent(String),
    #[error("the patterns match more than {FILES_MAX} files")]
    TooMany,
    #[error("cannot list {path}")]
    List {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Some patterns, rooted.
#[derive(Clone, Debug)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    negate: bool,
    /// Segments from the root of the file system; `**` for any number of them.
    segments: Vec<String>,
    /// Only directories match: it ended with a slash.
    directories_only: bool,
}

impl Patterns {
    /// Relative patterns begin at `root`, `~` at `home`. Empty lines and comments are left out.
    pub fn parse<'a>(
        lines: impl IntoIterator<Item = &'a str>,
        root: &Path,
        home: &Path,
    ) -> Result<Self, GlobError> {
        let lines = lines.into_iter().flat_map(str::lines).map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let patterns = lines
            .map(|line| Pattern::parse(line, root, home))
            .collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.iter().all(|p| p.negate)
    }

    /// The directories (or single files) in which a search begins: the part of each pattern before its first
    /// wildcard, without those that lie in another of them.
    #[must_use]
    pub fn roots(&self) -> Vec<PathBuf> {
        let mut roots: Vec<PathBuf> = Vec::new();
        let literal: Vec<PathBuf> = self
            .patterns
            .iter()
            .filter(|p| !p.negate)
            .map(Pattern::literal_prefix)
            .collect();
        for root in &literal {
            let inside_another = literal
                .iter()
                .any(|other| other != root && root.starts_with(other));
            if !inside_another && !roots.contains(root) {
                roots.push(root.clone());
            }
        }
        roots
    }

    /// The files that match, in the order of the search.
    pub fn find(&self, options: Options) -> Result<Vec<PathBuf>, GlobError> {
        let mut found = Vec::new();
        for root in self.roots() {
            let parents = root.parent().into_iter().flat_map(Path::ancestors);
            let linked_above = parents.clone().any(|p| p.is_symlink());
            if !linked_above || options.follow_links || root.exists() {
                self.walk(&root, options, &mut Vec::new(), &mut found)?;
            }
        }
        Ok(found)
    }

    fn walk(
        &self,
        path: &Path,
        options: Options,
        trail: &mut Vec<PathBuf>,
        found: &mut Vec<PathBuf>,
    ) -> Result<(), GlobError> {
        let metadata = if options.follow_links {
            path.metadata()
        } else {
            path.symlink_metadata()
        };
        // A broken link, or a file that went away: there is nothing to find.
        let Ok(metadata) = metadata else { return Ok(()) };
        let segments = segments(path);
        let directory = metadata.is_dir();
        let matched = self.matches(&segments, directory);
        if !directory {
            if matched {
                found.push(path.to_owned());
            }
            return if found.len() > FILES_MAX {
                Err(GlobError::TooMany)
            } else {
                Ok(())
            };
        }
        if matched && options.keep_directories {
            found.push(path.to_owned());
            return Ok(());
        }
        if !matched && !self.may_lie_below(&segments) {
            return Ok(());
        }
        if options.follow_links {
            // A link that leads back to a directory on the way here would be walked for ever.
            let Ok(real) = path.canonicalize() else {
                return Ok(());
            };
            if trail.contains(&real) {
                return Ok(());
            }
            trail.push(real);
        }
        for child in children(path)? {
            let name = child
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            if !(options.exclude_hidden && name.starts_with('.')) {
                self.walk(&child, options, trail, found)?;
            }
        }
        if options.follow_links {
            trail.pop();
        }
        Ok(())
    }

    /// The last pattern that speaks of a path decides.
    fn matches(&self, path: &[String], directory: bool) -> bool {
        let mut matched = false;
        for pattern in &self.patterns {
            if pattern.matches(path, directory) {
                matched = !pattern.negate;
            }
        }
        matched
    }

    fn may_lie_below(&self, path: &[String]) -> bool {
        self.patterns
            .iter()
            .any(|p| !p.negate && may_lead_to(&p.segments, path))
    }
}

/// Every file below a directory, relative to it, without `.git`.
pub(crate) fn all_files(root: &Path) -> Result<Vec<PathBuf>, GlobError> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for child in children(&directory)? {
            let Ok(metadata) = child.symlink_metadata() else {
                continue;
            };
            if metadata.is_dir() && child.file_name().is_some_and(|n| n != ".git") {
                directories.push(child);
            } else if !metadata.is_dir() {
                found.extend(child.strip_prefix(root).map(Path::to_owned));
            }
        }
        if found.len() > FILES_MAX {
            return Err(GlobError::TooMany);
        }
    }
    Ok(found)
}

impl Pattern {
    fn parse(line: &str, root: &Path, home: &Path) -> Result<Self, GlobError> {
        let negate = line.bytes().take_while(|b| *b == b'!').count() % 2 == 1;
        let text = line.trim_start_matches('!').trim();
        let directories_only = text.ends_with('/');
        let text = text.trim_end_matches('/');
        let (start, rest) = if let Some(rest) = text.strip_prefix("~/") {
            (segments(home), rest)
        } else if text == "~" {
            (segments(home), "")
        } else if line.trim_start_matches('!').trim().starts_with('/') {
            (Vec::new(), text)
        } else {
            (segments(root), text)
        };
        let mut all = start;
        let mut wild = false;
        for segment in rest.split('/').filter(|s| !s.is_empty() && *s != ".") {
            if segment == ".." {
                if wild {
                    return Err(GlobError::Parent(line.to_owned()));
                }
                all.pop();
                continue;
            }
            wild = wild || is_wild(segment);
            all.push(segment.to_owned());
        }
        if text.is_empty() && !directories_only {
            return Err(GlobError::Empty(line.to_owned()));
        }
        Ok(Self {
            negate,
            segments: all,
            directories_only,
        })
    }

    fn literal_prefix(&self) -> PathBuf {
        let literal = self.segments.iter().take_while(|s| !is_wild(s));
        std::iter::once("/".to_owned()).chain(literal.cloned()).collect()
    }

    /// Whether it matches the path itself, or a directory above it (which takes all below).
    fn matches(&self, path: &[String], directory: bool) -> bool {
        let itself = matches_all(&self.segments, path) && (directory || !self.directories_only);
        itself || (1..path.len()).any(|n| matches_all(&self.segments, &path[..n]))
    }
}

fn segments(path: &Path) -> Vec<String> {
    let normal = path.components().filter_map(|c| match c {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    normal.collect()
}

/// In byte order, as the C library's `alphasort` gives it to Node.
fn children(path: &Path) -> Result<Vec<PathBuf>, GlobError> {
    let list = |source| GlobError::List {
        path: path.to_owned(),
        source,
    };
    let mut children = Vec::new();
    for entry in std::fs::read_dir(path).map_err(list)? {
        children.push(entry.map_err(list)?.path());
    }
    children.sort_by(|a, b| {
        a.as_os_str()
            .as_encoded_bytes()
            .cmp(b.as_os_str().as_encoded_bytes())
    });
    Ok(children)
}

fn is_wild(segment: &str) -> bool {
    segment.contains(['*', '?', '['])
}

fn matches_all(pattern: &[String], path: &[String]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            (0..=path.len()).any(|skipped| matches_all(rest, &path[skipped..]))
        }
        (Some((first, rest)), Some((name, below))) => {
            matches_segment(first, name) && matches_all(rest, below)
        }
        _ => false,
    }
}

/// Whether something below `path` can match.
fn may_lead_to(pattern: &[String], path: &[String]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (Some(_), None) => true,
        (Some((first, _)), _) if first == "**" => true,
        (Some((first, rest)), Some((name, below))) => {
            matches_segment(first, name) && may_lead_to(rest, below)
        }
        (None, _) => false,
    }
}

/// One segment: `*` and `?` within it, and classes. Linear in both, with one place to go back to.
pub(crate) fn matches_segment(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match class(&pattern[p..], name[n]) {
                Some((true, length)) => Some(p + length),
                Some((false, _)) => None,
                None => (name[n] == '[').then_some(p + 1),
            },
            Some(c) if *c == name[n] => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                n += 1;
            }
            (None, Some((at, taken))) => {
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether a character is in the class at the beginning of the pattern, and how long the class is; none where the
/// bracket never closes and stands for itself.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negate = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negate { 2 } else { 1 };
    let end = (start + 1..pattern.len()).find(|i| pattern[*i] == ']')?;
    let set = &pattern[start..end];
    let mut inside = false;
    let mut i = 0;
    while i < set.len() {
        if i + 2 < set.len() && set[i + 1] == '-' {
            inside |= set[i] <= c && c <= set[i + 2];
            i += 3;
        } else {
            inside |= set[i] == c;
            i += 1;
        }
    }
    Some((inside != negate, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        dir
    }

    fn check(files: &[&str], patterns: &str, expected: &[&str]) {
        let dir = tree(files);
        let patterns = Patterns::parse([patterns], dir.path(), Path::new("/home/x")).unwrap();
        let found = patterns.find(Options::default()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|p| p.strip_prefix(dir.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn finds_in_the_order_of_the_toolkit() {
        let files = [
            "b/z.txt",
            "a.txt",
            "b/a/q.txt",
            "b.txt",
            ".hidden/c.txt",
            "b/n.md",
        ];
        check(
            &files,
            "**/*.txt",
            &[".hidden/c.txt", "a.txt", "b/a/q.txt", "b/z.txt", "b.txt"],
        );
        check(&files, "b", &["b/a/q.txt", "b/n.md", "b/z.txt"]);
        check(&files, "b\n!b/a", &["b/n.md", "b/z.txt"]);
        check(&files, "b\n!**/*.txt\n**/q.txt", &["b/a/q.txt", "b/n.md"]);
        check(&files, "?.txt", &["a.txt", "b.txt"]);
        check(&files, "[!a].txt\n# comment", &["b.txt"]);
        check(&files, "*/n.md", &["b/n.md"]);
        check(&files, "nowhere/**", &[]);
        check(&files, "./a.txt", &["a.txt"]);
    }

    #[test]
    fn segments_match_as_in_the_toolkit() {
        let table = [
            ("*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("*.t*t", "a.b.txt", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[", "[", true),
            ("a?c", "aüc", true),
            ("**", "", true),
            ("*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches_segment(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn links_are_not_walked_unless_asked_and_never_in_circles() {
        let dir = tree(&["real/a.txt"]);
        std::os::unix::fs::symlink("..", dir.path().join("real/up")).unwrap();
        let patterns = Patterns::parse(["**/*.txt"], dir.path(), Path::new("/")).unwrap();
        assert_eq!(patterns.find(Options::default()).unwrap().len(), 1);
        let followed = patterns
            .find(Options {
                follow_links: true,
                ..Options::default()
            })
            .unwrap();
        assert_eq!(followed.len(), 1);
    }
}
