//! How a `run` script becomes a program: the shell's command line and the script's file.
//!
//! Follows `ScriptHandlerHelpers.cs` of GitHub's runner, on Linux. Finds programs in the step's own `PATH`, so that
//! a missing one is named before anything starts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The `PATH` of a step that has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A shell, ready to be given a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell {
    /// Absolute.
    pub program: PathBuf,
    /// `{0}` stands for the script's path.
    args: Vec<String>,
    /// Of the script's file, with the dot; may be empty.
    pub extension: &'static str,
    /// Put around the script.
    before: &'static str,
    after: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShellError {
    #[error("cannot find `{program}`, which the shell `{shell}` needs; searched in {path}")]
    Missing {
        shell: String,
        program: String,
        path: String,
    },
    #[error("the shell `{shell}` is not available on Linux; use `bash`, `sh`, `python` or `pwsh`")]
    NotHere { shell: String },
    #[error(
        "`{shell}` is no shell: use `bash`, `sh`, `python`, `pwsh`, or a command line with `{{0}}` for the script"
    )]
    Unknown { shell: String },
    #[error("the shell `{shell}` has a quote that does not end")]
    Quote { shell: String },
}

/// A known shell: name, its program and arguments, the script's extension, and what is put around the script.
type Known = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
);

const KNOWN: &[Known] = &[
    (
        "bash",
        "bash",
        &["--noprofile", "--norc", "-e", "-o", "pipefail", "{0}"],
        ".sh",
        "",
        "",
    ),
    ("sh", "sh", &["-e", "{0}"], ".sh", "", ""),
    ("python", "python", &["{0}"], ".py", "", ""),
    (
        "pwsh",
        "pwsh",
        &["-command", ". '{0}'"],
        ".ps1",
        "$ErrorActionPreference = 'stop'\n",
        "\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }\n",
    ),
];
/// Where no shell is named: `-e` alone, without `pipefail`.
const UNNAMED: [&str; 2] = ["bash", "sh"];

impl Shell {
    /// The shell of that name, or of the command line `name`; without a name bash, or sh where there is no bash.
    /// Programs are searched in `path`, relative entries of it in `cwd`.
    pub fn find(name: Option<&str>, path: &OsStr, cwd: &Path) -> Result<Self, ShellError> {
        let Some(name) = name.map(str::trim).filter(|n| !n.is_empty()) else {
            let found = UNNAMED
                .iter()
                .find_map(|program| find_program(OsStr::new(program), path, cwd));
            let program = found.ok_or_else(|| missing("", "bash", path))?;
            return Ok(Self {
                program,
                args: vec!["-e".into(), "{0}".into()],
                extension: ".sh",
                before: "",
                after: "",
            });
        };
        let words = split_words(name).ok_or_else(|| ShellError::Quote {
            shell: name.to_owned(),
        })?;
        let (first, rest) = words.split_first().ok_or_else(|| ShellError::Unknown {
            shell: name.to_owned(),
        })?;
        let known = KNOWN.iter().find(|(n, ..)| n.eq_ignore_ascii_case(first));
        if rest.is_empty() {
            return match known {
                Some((_, program, args, extension, before, after)) => Ok(Self {
                    program: known_program(name, program, path, cwd)?,
                    args: args.iter().map(|a| (*a).to_owned()).collect(),
                    extension,
                    before,
                    after,
                }),
                None if matches!(first.to_ascii_lowercase().as_str(), "cmd" | "powershell") => {
                    Err(ShellError::NotHere {
                        shell: name.to_owned(),
                    })
                }
                None => Err(ShellError::Unknown {
                    shell: name.to_owned(),
                }),
            };
        }
        if !rest.iter().any(|word| word.contains("{0}")) {
            return Err(ShellError::Unknown {
                shell: name.to_owned(),
            });
        }
        Ok(Self {
            program: find_program(OsStr::new(first), path, cwd).ok_or_else(|| missing(name, first, path))?,
            args: rest.to_vec(),
            extension: known.map_or("", |(_, _, _, extension, ..)| extension),
            before: "",
            after: "",
        })
    }

    /// The text of the script's file: with line ends of Unix, and with what the shell needs around it.
    #[must_use]
    pub fn script(&self, text: &str) -> String {
        format!("{}{}{}", self.before, text.replace("\r\n", "\n"), self.after)
    }

    /// The arguments that run the script at `script`.
    #[must_use]
    pub fn args(&self, script: &Path) -> Vec<OsString> {
        let fill = |arg: &String| {
            let mut out = OsString::new();
            for (index, part) in arg.split("{0}").enumerate() {
                if index > 0 {
                    out.push(script);
                }
                out.push(part);
            }
            out
        };
        self.args.iter().map(fill).collect()
    }

    /// As a person would write it, for the log: `/usr/bin/bash -e {0}`.
    #[must_use]
    pub fn command_line(&self) -> String {
        let program = self.program.display().to_string();
        std::iter::once(program)
            .chain(self.args.iter().cloned())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The program's absolute path: a name is searched in `path`, one with a slash is taken from `cwd`. Only files
/// that somebody may execute count.
#[must_use]
pub fn find_program(name: &OsStr, path: &OsStr, cwd: &Path) -> Option<PathBuf> {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return None;
    }
    if bytes.contains(&b'/') {
        return Some(cwd.join(name)).filter(|p| is_program(p));
    }
    std::env::split_paths(path)
        .map(|directory| cwd.join(directory).join(name))
        .find(|p| is_program(p))
}

fn is_program(path: &Path) -> bool {
    const ANY_EXECUTE: u32 = 0o111;
    path.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & ANY_EXECUTE != 0)
}

/// `python` is `python3` where there is no `python`, as on Debian; GitHub's machines have both.
fn known_program(shell: &str, program: &str, path: &OsStr, cwd: &Path) -> Result<PathBuf, ShellError> {
    let second = (program == "python").then_some("python3");
    let names = std::iter::once(program).chain(second);
    let mut found = names.filter_map(|name| find_program(OsStr::new(name), path, cwd));
    found.next().ok_or_else(|| missing(shell, program, path))
}

fn missing(shell: &str, program: &str, path: &OsStr) -> ShellError {
    let shell = if shell.is_empty() { program } else { shell };
    ShellError::Missing {
        shell: shell.to_owned(),
        program: program.to_owned(),
        path: path.to_string_lossy().into_owned(),
    }
}

/// Words apart by white space, with single and double quotes. `None` where a quote does not end.
fn split_words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut in_word, mut quote) = (Vec::new(), String::new(), false, None);
    for c in text.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => word.push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                in_word = true;
            }
            None if c.is_whitespace() => {
                if in_word {
                    words.push(std::mem::take(&mut word));
                }
                in_word = false;
            }
            None => {
                word.push(c);
                in_word = true;
            }
        }
    }
    if in_word {
        words.push(word);
    }
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command line in a directory that holds exactly these programs.
    fn check(shell: Option<&str>, programs: &[&str], expected: Result<&str, &str>) {
        let bin = tempfile::tempdir().unwrap();
        for program in programs {
            let path = bin.path().join(program);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::write(bin.path().join("no-program"), "").unwrap();
        let found = Shell::find(shell, bin.path().as_os_str(), Path::new("/"));
        let shown = found.map(|s| {
            let args: Vec<_> = s
                .args(Path::new("/t/s p"))
                .iter()
                .map(|a| a.to_string_lossy().into_owned())
                .collect();
            let program = s
                .program
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            format!("{program} {}{}", args.join(" "), s.extension)
        });
        match (shown, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{shell:?}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{shell:?}: {error}"),
            (found, expected) => panic!("{shell:?}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn command_lines() {
        check(None, &["bash", "sh"], Ok("bash -e /t/s p.sh"));
        check(None, &["sh"], Ok("sh -e /t/s p.sh"));
        check(None, &[], Err("cannot find `bash`"));
        check(
            Some("bash"),
            &["bash"],
            Ok("bash --noprofile --norc -e -o pipefail /t/s p.sh"),
        );
        check(Some("sh"), &["sh"], Ok("sh -e /t/s p.sh"));
        check(Some("python"), &["python", "python3"], Ok("python /t/s p.py"));
        check(Some("python"), &["python3"], Ok("python3 /t/s p.py"));
        check(Some("pwsh"), &["pwsh"], Ok("pwsh -command . '/t/s p'.ps1"));
        check(Some("pwsh"), &["bash"], Err("cannot find `pwsh`"));
        check(Some("perl {0}"), &["perl"], Ok("perl /t/s p"));
        check(
            Some("bash -x '{0}' \"a b\""),
            &["bash"],
            Ok("bash -x /t/s p a b.sh"),
        );
        check(Some("perl -e"), &["perl"], Err("`perl -e` is no shell"));
        check(Some("perl {0}"), &["bash"], Err("cannot find `perl`"));
        check(Some("zsh"), &["zsh"], Err("`zsh` is no shell"));
        check(Some("cmd"), &[], Err("not available on Linux"));
        check(Some("no-program {0}"), &[], Err("cannot find `no-program`"));
        check(Some("perl '{0}"), &["perl"], Err("quote"));
        check(Some("  "), &["bash"], Ok("bash -e /t/s p.sh"));
    }

    #[test]
    fn scripts_have_the_line_ends_of_unix() {
        let shell = Shell::find(None, OsStr::new(DEFAULT_PATH), Path::new("/")).unwrap();
        assert_eq!(shell.script("a\r\nb\n"), "a\nb\n");
    }
}
