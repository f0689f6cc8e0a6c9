//! The way to a server: which one, with which token, about which project. Never prints a token.

use crate::error::{CommandError, CommandResult};
use clap::Args;
use pilotage_api::client::{Client, ClientError, ProjectName};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TOKEN_BYTES_MAX: u64 = 4_096;

/// Which server, and who asks.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArguments {
    /// The server's address.
    #[arg(
        long,
        global = true,
        env = "PILOTAGE_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:7070",
        hide_env_values = true,
        help_heading = "Server"
    )]
    url: String,
    /// A file that holds the token. Without it: PILOTAGE_TOKEN, or .pilotage/admin-token of a server on this machine.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    token_file: Option<PathBuf>,
}

/// Which server, and which project on it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProjectArguments {
    /// The project. Without it: that of this folder's git remote.
    #[arg(
        long,
        global = true,
        env = "PILOTAGE_PROJECT",
        value_name = "OWNER/NAME",
        hide_env_values = true,
        help_heading = "Server"
    )]
    project: Option<String>,
    #[command(flatten)]
    server: ServerArguments,
}

/// A server that can be asked. Calls are waited for one after the other: that is all that a command needs.
pub(crate) struct Session {
    pub(crate) client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    pub(crate) fn wait<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> CommandResult<T> {
        self.runtime.block_on(call).map_err(CommandError::from)
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

impl ServerArguments {
    pub(crate) fn connect(&self) -> CommandResult<Session> {
        let client = Client::new(&self.url, None)?;
        let client = Client::new(&self.url, self.token(client.is_local())?)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| CommandError::failed("cannot start").because(&e))?;
        Ok(Session { client, runtime })
    }

    /// The file that was named, the environment's, else a local server's own. That one goes to nobody but a server on
    /// this machine.
    fn token(&self, local: bool) -> CommandResult<Option<String>> {
        if let Some(file) = &self.token_file {
            return read_token(file).map(Some);
        }
        if let Some(token) = std::env::var("PILOTAGE_TOKEN")
            .ok()
            .filter(|token| !token.is_empty())
        {
            return Ok(Some(token.trim().to_owned()));
        }
        let file = Path::new(".pilotage/admin-token");
        if local && file.is_file() {
            return read_token(file).map(Some);
        }
        Err(
            CommandError::unreachable(format!("there is no token for {}", self.url))
                .hint("set PILOTAGE_TOKEN, or give --token-file FILE")
                .hint("a server's first token is in admin-token of its data directory"),
        )
    }
}

fn read_token(file: &Path) -> CommandResult<String> {
    let shown = file.display();
    let failed = |e: &std::io::Error| {
        CommandError::unreachable(format!("cannot read the token in {shown}")).because(e)
    };
    if file.metadata().map_err(|e| failed(&e))?.len() > TOKEN_BYTES_MAX {
        return Err(CommandError::unreachable(format!(
            "{shown} is too long to be a token"
        )));
    }
    let token = std::fs::read_to_string(file).map_err(|e| failed(&e))?;
    let token = token.trim();
    if token.is_empty() || token.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(CommandError::unreachable(format!(
            "{shown} holds no token: it must be one word"
        )));
    }
    Ok(token.to_owned())
}

impl ProjectArguments {
    pub(crate) fn connect(&self) -> CommandResult<Session> {
        self.server.connect()
    }

    /// The project that was named, else that of this folder.
    pub(crate) fn name(&self, session: &Session) -> CommandResult<ProjectName> {
        self.optional_name(session)?.ok_or_else(|| {
            CommandError::unreachable("it is not known which project is meant: no git remote here names one")
                .hint("give --project OWNER/NAME, or set PILOTAGE_PROJECT")
        })
    }

    /// None where nobody says one.
    pub(crate) fn optional_name(&self, session: &Session) -> CommandResult<Option<ProjectName>> {
        match &self.project {
            Some(name) => name.parse().map(Some).map_err(|_| {
                CommandError::invalid(format!("`{name}` is no project's name")).hint("write OWNER/NAME")
            }),
            None => Ok(from_remotes(&remotes(), session.client.url())),
        }
    }
}

/// `git remote -v` of this folder: name and address.
fn remotes() -> Vec<(String, String)> {
    let output = Command::new("git").args(["remote", "-v"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let remotes = text
        .lines()
        .filter_map(|line| line.strip_suffix(" (fetch)")?.split_once('\t'));
    remotes
        .map(|(name, url)| (name.to_owned(), url.to_owned()))
        .collect()
}

/// The remote on this server, else `pilotage`, else `origin`, else the only one.
fn from_remotes(remotes: &[(String, String)], server: &str) -> Option<ProjectName> {
    let named = |wanted: &str| remotes.iter().find(|(name, _)| name == wanted);
    let here = remotes.iter().find(|(_, url)| {
        let (_, rest) = url.split_once("://").unwrap_or(("", url));
        let without_user = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let host = server.split_once("://").map_or(server, |(_, host)| host);
        without_user
            .strip_prefix(host)
            .is_some_and(|path| path.starts_with('/'))
    });
    let only = remotes.first().filter(|_| remotes.len() == 1);
    let (_, url) = here
        .or_else(|| named("pilotage"))
        .or_else(|| named("origin"))
        .or(only)?;
    let path = url.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut parts = path.rsplit(['/', ':']);
    let (name, owner) = (parts.next()?, parts.next()?);
    format!("{owner}/{name}").parse().ok()
}

/// Waits for something while a view is kept up to date.
pub(crate) async fn ticking<T>(future: impl Future<Output = T>, mut tick: impl FnMut()) -> T {
    let mut future = std::pin::pin!(future);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    // The first tick is at once, and nothing has changed yet.
    ticks.reset();
    loop {
        tokio::select! {
            biased;
            done = &mut future => return done,
            _ = ticks.tick() => tick(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_name_the_project() {
        let check = |remotes: &[(&str, &str)], expected: Option<&str>| {
            let remotes: Vec<(String, String)> = remotes
                .iter()
                .map(|(n, u)| ((*n).to_owned(), (*u).to_owned()))
                .collect();
            let found = from_remotes(&remotes, "http://127.0.0.1:7070").map(|name| name.to_string());
            assert_eq!(found.as_deref(), expected, "{remotes:?}");
        };
        check(&[], None);
        check(&[("origin", "git@example.org:omni/life.git")], Some("omni/life"));
        check(&[("other", "https://example.org/omni/life")], Some("omni/life"));
        check(
            &[
                ("origin", "https://example.org/a/b.git"),
                ("local", "http://x:TOKEN@127.0.0.1:7070/omni/life.git"),
            ],
            Some("omni/life"),
        );
        check(
            &[("a", "https://example.org/a/b"), ("c", "https://example.org/c/d")],
            None,
        );
        check(&[("origin", "/srv")], None);
    }
}
