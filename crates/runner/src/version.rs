//! Versions of tools, and which of them a text like `20`, `3.x`, `^18.2` or `>=3.9 <3.13` wants.

use std::cmp::Ordering;
use std::fmt;

/// `major.minor.patch`, and what stands behind it in a version before a release (`rc1`, `-beta.2`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) major: u64,
    pub(crate) minor: u64,
    patch: u64,
    pre: String,
}

impl Version {
    /// Missing numbers are 0; a `v` before them is left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', 'V', '=']);
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (numbers, pre) = text.split_at(end);
        let mut parts = numbers.split('.').filter(|p| !p.is_empty()).map(str::parse);
        let mut next = || parts.next().unwrap_or(Ok(0)).ok();
        let (major, minor, patch) = (next()?, next()?, next()?);
        let any = numbers.starts_with(|c: char| c.is_ascii_digit());
        // What stands behind a plus says nothing of the order.
        let pre = pre
            .split('+')
            .next()
            .unwrap_or_default()
            .trim_start_matches('-')
            .to_owned();
        any.then_some(Self {
            major,
            minor,
            patch,
            pre,
        })
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = |v: &Self| (v.major, v.minor, v.patch);
        let pre = || match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.pre.cmp(&other.pre),
        };
        numbers(self).cmp(&numbers(other)).then_with(pre)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        match self.pre.as_str() {
            "" => Ok(()),
            pre => write!(f, "-{pre}"),
        }
    }
}

/// A range of versions, in npm's form: `||` between alternatives, blanks between conditions that all hold.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    alternatives: Vec<Vec<(Comparison, Version)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    Above,
    AtMost,
    Below,
}

impl Wanted {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let alternatives = text
            .split("||")
            .map(|part| conditions(part).ok_or_else(|| format!("`{text}` is no version")));
        Ok(Self {
            alternatives: alternatives.collect::<Result<_, _>>()?,
        })
    }

    /// Versions before a release fit only where one is named.
    pub(crate) fn fits(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|all| {
            let named_pre = all.iter().any(|(_, v)| !v.pre.is_empty());
            (version.pre.is_empty() || named_pre)
                && all.iter().all(|(how, bound)| holds(*how, version, bound))
        })
    }
}

fn holds(how: Comparison, version: &Version, bound: &Version) -> bool {
    match how {
        Comparison::AtLeast => version >= bound,
        Comparison::Above => version > bound,
        Comparison::AtMost => version <= bound,
        Comparison::Below => version < bound,
    }
}

fn conditions(text: &str) -> Option<Vec<(Comparison, Version)>> {
    let text = text.replace(',', " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [from, "-", to] = words.as_slice() {
        let (_, below) = bounds(to)?;
        return Some(vec![
            (Comparison::AtLeast, Version::parse(from)?),
            (Comparison::Below, below?),
        ]);
    }
    let mut all = Vec::new();
    let mut operator = String::new();
    for word in words {
        // `>= 18` may have a blank.
        let word = format!("{}{word}", std::mem::take(&mut operator));
        if matches!(
            word.as_str(),
            ">" | ">=" | "<" | "<=" | "^" | "~" | "~=" | "=" | "=="
        ) {
            operator = word;
            continue;
        }
        all.extend(condition(&word)?);
    }
    operator.is_empty().then_some(all)
}

fn condition(word: &str) -> Option<Vec<(Comparison, Version)>> {
    use Comparison::{Above, AtLeast, AtMost, Below};
    let at = word
        .find(|c: char| c.is_ascii_digit() || c == '*' || c == 'x' || c == 'v')
        .unwrap_or(word.len());
    let (operator, text) = word.split_at(at);
    let (low, high) = bounds(text)?;
    let between = |below: Option<Version>| {
        let mut all = vec![(AtLeast, low.clone())];
        all.extend(below.map(|b| (Below, b)));
        all
    };
    let next = |major: u64, minor: u64| {
        Some(Version {
            major,
            minor,
            patch: 0,
            pre: String::new(),
        })
    };
    Some(match operator {
        "" | "=" | "==" => between(high),
        ">=" => vec![(AtLeast, low)],
        ">" => vec![high.map_or((Above, low), |h| (AtLeast, h))],
        "<" => vec![(Below, low)],
        "<=" => vec![high.map_or((AtMost, low), |h| (Below, h))],
        "^" if low.major > 0 => between(next(low.major + 1, 0)),
        "^" if low.minor > 0 => between(next(0, low.minor + 1)),
        "^" => between(high),
        "~" if text.contains('.') => between(next(low.major, low.minor + 1)),
        "~" => between(next(low.major + 1, 0)),
        "~=" if text.matches('.').count() >= 2 => between(next(low.major, low.minor + 1)),
        "~=" => between(next(low.major + 1, 0)),
        _ => return None,
    })
}

/// The versions that a text with parts left out stands for: from the first to below the second.
fn bounds(text: &str) -> Option<(Version, Option<Version>)> {
    let text = text.trim_start_matches(['v', 'V']);
    let wild = |p: &str| matches!(p, "x" | "X" | "*");
    let known: Vec<&str> = text.split('.').take_while(|p| !wild(p)).collect();
    if known.is_empty() || text.is_empty() {
        let zero = Version {
            major: 0,
            minor: 0,
            patch: 0,
            pre: String::new(),
        };
        return (!text.is_empty()).then_some((zero, None));
    }
    let low = Version::parse(&known.join("."))?;
    if !known
        .iter()
        .take(2)
        .all(|p| p.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let mut high = Version {
        pre: String::new(),
        ..low.clone()
    };
    match known.len() {
        1 => (high.major, high.minor, high.patch) = (low.major + 1, 0, 0),
        2 => (high.minor, high.patch) = (low.minor + 1, 0),
        _ => high.patch = low.patch + 1,
    }
    Some((low, Some(high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_npms() {
        let table = [
            ("20", "20.11.1", true),
            ("20", "21.0.0", false),
            ("20.x", "20.1.0", true),
            ("3.12", "3.12.1", true),
            ("3.12", "3.1.2", false),
            ("3.1", "3.10.0", false),
            ("3.12.1", "3.12.1", true),
            ("3.12.1", "3.12.2", false),
            ("*", "99.0.0", true),
            ("x", "1.0.0", true),
            ("^18.2", "18.9.0", true),
            ("^18.2", "18.1.0", false),
            ("^18.2", "19.0.0", false),
            ("^0.2.3", "0.3.0", false),
            ("~3.9", "3.9.7", true),
            ("~3.9", "3.10.0", false),
            (">=3.9 <3.13", "3.12.1", true),
            (">=3.9,<3.13", "3.13.0", false),
            (">= 18", "22.0.0", true),
            (">18", "18.5.0", false),
            ("<=18", "18.5.0", true),
            ("18 || 20", "20.1.0", true),
            ("18 || 20", "19.1.0", false),
            ("16 - 18", "18.9.0", true),
            ("v20.11.1", "20.11.1", true),
            ("3.13", "3.13.0rc1", false),
            ("3.13.0-rc1", "3.13.0-rc1", true),
            ("~=3.9", "3.12.0", true),
        ];
        for (wanted, version, fits) in table {
            let parsed = Wanted::parse(wanted).unwrap();
            assert_eq!(
                parsed.fits(&Version::parse(version).unwrap()),
                fits,
                "{wanted} {version}"
            );
        }
        for bad in ["", "abc", "3.a", "?3", ">="] {
            assert!(
                Wanted::parse(bad).is_err() || Wanted::parse(bad).unwrap().alternatives[0].is_empty(),
                "{bad}"
            );
        }
    }

    #[test]
    fn versions_are_ordered() {
        let mut versions: Vec<_> = ["3.10.1", "3.9.2", "3.13.0rc1", "3.13.0"]
            .map(|v| Version::parse(v).unwrap())
            .into();
        versions.sort();
        let sorted: Vec<_> = versions.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["3.9.2", "3.10.1", "3.13.0-rc1", "3.13.0"]);
    }
}
