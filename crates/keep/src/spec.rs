//! What a keeper runs: the file `spec` of its directory.
//!
//! Written whole before the keeper's first start and never changed after. It holds secrets (the environment), so
//! the file is 0600 and `Debug` leaves the values out.

use crate::error::KeepError;
use crate::text;
use nix::sys::signal::Signal;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{error, fmt};

/// The name of the file in a keeper's directory.
pub(crate) const FILE: &str = "spec";
const HEADER: &str = "pilotage-keep 1";
const BYTES_MAX: usize = 4 << 20;

/// What to run, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct Spec {
    /// The program (an absolute path, or a name to be found in the environment's `PATH`) and its arguments.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub env: Vec<(String, String)>,
    /// An absolute path.
    pub cwd: PathBuf,
    /// The file beside what is executed that names its digest; read at each start.
    pub digest_file: Option<PathBuf>,
    /// Sent to the process group first when it is stopped.
    pub stop_signal: Signal,
    /// How long a stopped process may take before it is killed, in milliseconds.
    pub grace_ms: u64,
    /// The first and the longest wait before a restart, in milliseconds. A process that lived as long as the
    /// longest wait starts again from the first.
    pub restart_min_ms: u64,
    pub restart_max_ms: u64,
    /// Limit of writable private memory (`RLIMIT_DATA`), in bytes.
    pub memory_bytes: Option<u64>,
    /// How much of the newest output is kept, in bytes; about a quarter more stands at times.
    pub log_bytes: u64,
    /// Listening sockets to hold from the start.
    pub listen: Vec<SocketAddr>,
}

impl Default for Spec {
    fn default() -> Self {
        Spec {
            argv: Vec::new(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            digest_file: None,
            stop_signal: Signal::SIGTERM,
            grace_ms: 30_000,
            restart_min_ms: 100,
            restart_max_ms: 30_000,
            memory_bytes: None,
            log_bytes: 64 << 20,
            listen: Vec::new(),
        }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Spec")
            .field("argv", &self.argv)
            .field("env", &names)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

impl Spec {
    /// Writes `spec` into the directory, which must exist: whole and durable, or not at all.
    pub fn write(&self, dir: &Path) -> Result<(), KeepError> {
        let path = dir.join(FILE);
        let bytes = self.to_string();
        parse(&bytes).map_err(|source| KeepError::Spec {
            path: path.clone(),
            source,
        })?;
        let temporary = dir.join("spec.new");
        let fail = |source| KeepError::path("write", &path, source);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(fail)?;
        file.write_all(bytes.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(fail)?;
        fs::rename(&temporary, &path).map_err(fail)?;
        File::open(dir).and_then(|d| d.sync_all()).map_err(fail)
    }

    /// Reads the `spec` of a keeper's directory.
    pub fn read(dir: &Path) -> Result<Self, KeepError> {
        let path = dir.join(FILE);
        let mut text = String::new();
        File::open(&path)
            .and_then(|f| f.take(BYTES_MAX as u64 + 1).read_to_string(&mut text))
            .map_err(|source| KeepError::path("read", &path, source))?;
        parse(&text).map_err(|source| KeepError::Spec { path, source })
    }
}

impl fmt::Display for Spec {
    /// The form of the file. It holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |p: &Path| text::escape(&p.to_string_lossy());
        writeln!(f, "{HEADER}")?;
        for arg in &self.argv {
            writeln!(f, "arg={}", text::escape(arg))?;
        }
        for (name, value) in &self.env {
            writeln!(f, "env={}={}", text::escape(name), text::escape(value))?;
        }
        writeln!(f, "cwd={}", path(&self.cwd))?;
        if let Some(file) = &self.digest_file {
            writeln!(f, "digest-file={}", path(file))?;
        }
        writeln!(f, "stop-signal={}", self.stop_signal.as_str())?;
        writeln!(f, "grace-ms={}", self.grace_ms)?;
        writeln!(f, "restart-min-ms={}", self.restart_min_ms)?;
        writeln!(f, "restart-max-ms={}", self.restart_max_ms)?;
        if let Some(bytes) = self.memory_bytes {
            writeln!(f, "memory-bytes={bytes}")?;
        }
        writeln!(f, "log-bytes={}", self.log_bytes)?;
        self.listen
            .iter()
            .try_for_each(|address| writeln!(f, "listen={address}"))
    }
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        parse(text)
    }
}

/// What is wrong with a spec. Values are not shown: they may be secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    TooLarge,
    Header,
    Line { number: usize },
    Value { key: String },
    UnknownKey { key: String },
    Missing { key: &'static str },
}

impl error::Error for SpecError {}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecError::TooLarge => write!(f, "larger than {BYTES_MAX} bytes"),
            SpecError::Header => write!(f, "the first line is not `{HEADER}`"),
            SpecError::Line { number } => write!(f, "line {number} is not of the form key=value"),
            SpecError::Value { key } => write!(f, "the value of `{key}` is not valid"),
            SpecError::UnknownKey { key } => write!(f, "unknown key `{key}`"),
            SpecError::Missing { key } => write!(f, "`{key}` is missing"),
        }
    }
}

fn parse(text: &str) -> Result<Spec, SpecError> {
    if text.len() > BYTES_MAX {
        return Err(SpecError::TooLarge);
    }
    let body = text
        .strip_prefix(HEADER)
        .and_then(|t| t.strip_prefix('\n'))
        .ok_or(SpecError::Header)?;
    let mut spec = Spec {
        cwd: PathBuf::new(),
        ..Spec::default()
    };
    for (i, pair) in text::pairs(body).enumerate() {
        let (key, value) = pair.ok_or(SpecError::Line { number: i + 2 })?;
        set(&mut spec, key, value)?;
    }
    if spec.argv.first().is_none_or(String::is_empty) {
        return Err(SpecError::Missing { key: "arg" });
    }
    if !spec.cwd.is_absolute() {
        return Err(SpecError::Missing { key: "cwd" });
    }
    Ok(spec)
}

fn set(spec: &mut Spec, key: &str, value: String) -> Result<(), SpecError> {
    let wrong = || SpecError::Value { key: key.to_owned() };
    if value.contains('\0') {
        return Err(wrong());
    }
    let number = || value.parse::<u64>().map_err(|_| wrong());
    match key {
        "arg" => spec.argv.push(value),
        "env" => {
            let (name, value) = value
                .split_once('=')
                .filter(|(n, _)| !n.is_empty())
                .ok_or_else(wrong)?;
            spec.env.push((name.to_owned(), value.to_owned()));
        }
        "cwd" => spec.cwd = PathBuf::from(value),
        "digest-file" => spec.digest_file = Some(PathBuf::from(value)),
        "stop-signal" => spec.stop_signal = value.parse().map_err(|_| wrong())?,
        "grace-ms" => spec.grace_ms = number()?,
        "restart-min-ms" => spec.restart_min_ms = number()?,
        "restart-max-ms" => spec.restart_max_ms = number()?,
        "memory-bytes" => spec.memory_bytes = Some(number()?),
        "log-bytes" => spec.log_bytes = number()?,
        "listen" => spec.listen.push(value.parse().map_err(|_| wrong())?),
        _ => {
            return Err(SpecError::UnknownKey {
                key: text::escape(key),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(
            text.parse::<Spec>().unwrap_err().to_string(),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn faults_are_named_without_their_values() {
        check("", "the first line is not `pilotage-keep 1`");
        check("pilotage-keep 2\n", "the first line is not `pilotage-keep 1`");
        check("pilotage-keep 1\nfoo\n", "line 2 is not of the form key=value");
        check(
            "pilotage-keep 1\narg=a\nenv=SECRET\n",
            "the value of `env` is not valid",
        );
        check(
            "pilotage-keep 1\narg=a\ngrace-ms=-1\n",
            "the value of `grace-ms` is not valid",
        );
        check("pilotage-keep 1\narg=a%00b\n", "the value of `arg` is not valid");
        check("pilotage-keep 1\nusr=1\n", "unknown key `usr`");
        check("pilotage-keep 1\ncwd=/\n", "`arg` is missing");
        check("pilotage-keep 1\narg=a\ncwd=here\n", "`cwd` is missing");
    }

    #[test]
    fn debug_shows_no_value_of_the_environment() {
        let spec = Spec {
            env: vec![("TOKEN".into(), "s3cret".into())],
            ..Spec::default()
        };
        assert!(!format!("{spec:?}").contains("s3cret"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            argv in prop::collection::vec("[^\0]{1,9}", 1..4),
            env in prop::collection::vec(("[^=\0]{1,9}", "[^\0]{0,9}"), 0..4),
            grace_ms: u64,
            memory_bytes: Option<u64>,
        ) {
            let spec = Spec { argv, env, grace_ms, memory_bytes, ..Spec::default() };
            prop_assert_eq!(spec.to_string().parse::<Spec>(), Ok(spec));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), lines in prop::collection::vec("(arg|env|cwd|listen|grace-ms)?=?.{0,6}", 0..6)) {
            let _ = text.parse::<Spec>();
            let _ = format!("pilotage-keep 1\n{}", lines.join("\n")).parse::<Spec>();
        }
    }
}
