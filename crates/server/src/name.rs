//! Names that come from outside, read into types of their own. What is not a good name is refused here, once.

use std::fmt;

/// Why a name is refused, in words for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {shown} is no good name: {reason}")]
pub(crate) struct BadName {
    what: &'static str,
    shown: String,
    reason: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $type(String);

        impl $type {
            pub(crate) fn parse(text: &str) -> Result<Self, BadName> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(reason) => Err(BadName { what: $what, shown: shown(text), reason }),
                }
            }

            #[must_use]
            #[allow(dead_code, reason = "of some kinds only the check is wanted")]
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// An owner, or a project's own name: a folder's name on our disk.
    Slug, "the name", slug
);
name!(
    /// A whole ref that may be pushed: of a branch or a tag, as `git check-ref-format` has it.
    RefName, "the ref", ref_name
);
name!(
    /// The name of a secret or a variable.
    VariableName, "the name", variable
);
name!(
    /// The name of an environment.
    EnvironmentName, "the environment", |text| label(text, 255)
);
name!(
    /// The name of an artifact, as GitHub allows them.
    ArtifactName, "the artifact", artifact
);
name!(
    /// A cache's key: GitHub allows 512 characters, no comma.
    CacheKey, "the cache key", |text| if text.contains(',') { Err("it holds a comma") } else { label(text, 512) }
);
name!(
    /// The name of a token's holder, of a runner, or a label.
    Label, "the name", |text| label(text, 100)
);

fn slug(text: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match text {
        "" => Err("it is empty"),
        _ if text.len() > 100 => Err("it is longer than 100 characters"),
        _ if !text.chars().all(plain) => Err("it holds more than letters, digits, `-`, `_` and `.`"),
        _ if text.starts_with(['-', '.']) => Err("it begins with `-` or `.`"),
        _ if text.ends_with('.') || text.contains("..") => Err("it ends with a dot, or holds two in a row"),
        _ if text.to_ascii_lowercase().ends_with(".git") => Err("it ends with `.git`"),
        _ => Ok(()),
    }
}

/// The rules of `git check-ref-format`, for `refs/heads/…` and `refs/tags/…`.
fn ref_name(text: &str) -> Result<(), &'static str> {
    let rest = text
        .strip_prefix("refs/heads/")
        .or_else(|| text.strip_prefix("refs/tags/"));
    let Some(rest) = rest else {
        return Err("only refs/heads/… and refs/tags/… are taken");
    };
    let forbidden = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    if text.len() > 1024 {
        return Err("it is longer than 1024 bytes");
    }
    if rest.chars().any(forbidden) || text.contains("..") || text.contains("@{") || text.ends_with('.') {
        return Err("git does not allow its characters");
    }
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if rest.split('/').any(bad_part) || rest.starts_with('-') {
        return Err("git does not allow one of its parts");
    }
    Ok(())
}

fn variable(text: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text {
        "" => Err("it is empty"),
        _ if text.len() > 255 => Err("it is longer than 255 characters"),
        _ if !text.chars().all(plain) => Err("it holds more than letters, digits and `_`"),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => Err("it begins with a digit"),
        _ if text.to_ascii_uppercase().starts_with("GITHUB_") => Err("`GITHUB_` is kept for the platform"),
        _ => Ok(()),
    }
}

fn label(text: &str, length_max: usize) -> Result<(), &'static str> {
    match text {
        "" => Err("it is empty"),
        _ if text.len() > length_max => Err("it is too long"),
        _ if text.chars().any(hides) => Err("it holds control characters"),
        _ if text.trim() != text => Err("it begins or ends with a blank"),
        _ => Ok(()),
    }
}

fn artifact(text: &str) -> Result<(), &'static str> {
    if text.contains(['"', ':', '<', '>', '|', '*', '?', '\\', '/']) {
        return Err("it holds one of \" : < > | * ? \\ /");
    }
    if text.trim_matches('.').is_empty() {
        return Err("it is made of dots");
    }
    label(text, 255)
}

/// Characters that move the cursor, turn the writing round or are not seen.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A text from outside for a terminal or a log: no control characters, not endless, in backticks.
pub(crate) fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 80;
    let mut out: String = text
        .chars()
        .take(CHARACTERS_MAX)
        .map(|c| if hides(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        out.push('…');
    }
    format!("`{out}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_are_taken() {
        for text in ["omnilife", "a", "A.b-c_9", "x.github.io"] {
            assert!(Slug::parse(text).is_ok(), "{text}");
        }
        for text in [
            "refs/heads/main",
            "refs/heads/fix/login",
            "refs/tags/v1.0",
            "refs/heads/ü\"'$(x)",
            "refs/heads/@",
        ] {
            assert!(RefName::parse(text).is_ok(), "{text}");
        }
        assert!(VariableName::parse("NPM_TOKEN").is_ok());
        assert!(EnvironmentName::parse("production eu").is_ok());
        assert!(ArtifactName::parse("dist (linux)").is_ok());
    }

    #[test]
    fn hostile_names_are_refused() {
        for text in [
            "", ".", "..", "a/b", "a\\b", "-x", ".git", "x.git", "x.GIT", "a b", "a%2fb", "ü", "a\0b",
            "a\nb", "a..b",
        ] {
            assert!(Slug::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "main",
            "refs/heads/",
            "refs/heads//a",
            "refs/heads/a..b",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a~1",
            "refs/heads/a^",
            "refs/heads/a:b",
            "refs/heads/-a",
            "refs/heads/a@{1}",
            "refs/heads/a\\b",
            "refs/notes/x",
            "refs/pull/1/head",
            "HEAD",
            "refs/heads/a/",
            "--upload-pack=x",
        ] {
            assert!(RefName::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "1A", "A-B", "GITHUB_TOKEN", "github_x", "A B", "Ä"] {
            assert!(VariableName::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "../x",
            "a/b",
            "..",
            ".",
            "C:\\x",
            "a\0",
            "",
            " a",
            "a\u{202e}b",
            "a:b",
            &"x".repeat(300),
        ] {
            assert!(ArtifactName::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(shown("a\u{1b}[31mb"), "`a\u{fffd}[31mb`");
    }
}
