//! Replicas on this machine: where each one lies, how it is started once, found again, and stopped.
//!
//! A replica is a folder with a keeper in it. `replica.json` is written before the keeper's `spec`, and the `spec`
//! before the keeper starts; so whatever interrupts us, a repeated start finds the same port and the same process.

use crate::error::{DeployError, blocking};
use crate::local::{Local, create_private, remove_tree, write_durable};
use crate::{port, release};
use nix::sys::signal::Signal;
use pilotage_api::proxy;
use pilotage_keep::{ExitKind, Spec, State, Status, client, output};
use pilotage_workflow::delivery::ServicePlan;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

const FILE: &str = "replica.json";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// After the grace and the kill, what is gone is gone; this is for a machine under load.
const STOP_SLACK: Duration = Duration::from_secs(10);

/// An environment of a project.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Environment {
    pub owner: String,
    pub project: String,
    pub environment: String,
}

/// Which replica: number `ordinal` (from 1) of a revision of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplicaId {
    #[serde(flatten)]
    pub environment: Environment,
    pub service: String,
    pub revision: String,
    pub ordinal: u32,
}

impl fmt::Display for ReplicaId {
    /// Its name everywhere: the folder, the route table, the answers' header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Environment {
            owner,
            project,
            environment,
        } = &self.environment;
        let parts = [owner, project, environment, &self.service, &self.revision].map(String::as_str);
        f.write_str(&proxy::replica_name(parts, self.ordinal))
    }
}

/// What a replica runs. The same id always has the same of it.
#[derive(Clone)]
pub struct ReplicaSpec {
    pub id: ReplicaId,
    /// Of a release that [`Local::ensure_release`] brought here.
    pub digest: String,
    /// The folder of the service within the release; empty for the release's own.
    pub folder: PathBuf,
    pub service: ServicePlan,
    /// The plan's `env`, resolved.
    pub env: Vec<(String, String)>,
}

impl fmt::Debug for ReplicaSpec {
    /// Without the values of the environment: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaSpec")
            .field("id", &self.id)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// A replica's `replica.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    #[serde(flatten)]
    pub id: ReplicaId,
    pub digest: String,
    pub address: SocketAddr,
    pub grace_ms: u64,
}

impl Placed {
    /// As the proxy's table wants it.
    #[must_use]
    pub fn route(&self) -> proxy::Replica {
        proxy::Replica {
            id: self.id.to_string(),
            address: self.address,
        }
    }
}

/// A replica as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    pub placed: Placed,
    pub state: State,
    /// The digest that its process executes now, by its keeper.
    pub executes: Option<String>,
    pub restarts: u64,
    pub last_exit: Option<ExitKind>,
    pub pid: Option<i32>,
    /// Its keeper was dead and has been replaced.
    pub adopted: bool,
}

impl Local {
    /// Starts a replica, or finds it; comes back when its keeper has started the process, which may not listen
    /// yet. A port that was taken by somebody else before the process could have it is changed.
    ///
    /// # Errors
    /// When no keeper can be started, no port is free, or a name is none.
    pub async fn start_replica(&self, spec: ReplicaSpec) -> Result<Placed, DeployError> {
        let _alone = self.alone(format!("replica {}", spec.id)).await;
        let local = self.clone();
        blocking(move || local.start(&spec)).await
    }

    /// Stops a replica by its name: its signal, its grace, then the kill; comes back when it is gone. Nothing there is as good.
    ///
    /// # Errors
    /// When its keeper cannot be spoken to.
    pub async fn stop_replica(&self, id: &str) -> Result<(), DeployError> {
        let _alone = self.alone(format!("replica {id}")).await;
        let (local, id) = (self.clone(), id.to_owned());
        blocking(move || local.stop(&id)).await
    }

    /// The replicas of an environment that should be alive, as they stand. A dead keeper is replaced: its living
    /// process is adopted, a dead one started again.
    ///
    /// # Errors
    /// When the folder cannot be read. A replica whose keeper cannot be brought back is said to be stopped.
    pub async fn observe(&self, environment: &Environment) -> Result<Vec<ReplicaState>, DeployError> {
        let (local, environment) = (self.clone(), environment.clone());
        blocking(move || {
            let placed = local.placed()?;
            let ours = placed
                .into_iter()
                .filter(|placed| placed.id.environment == environment);
            Ok(ours.filter_map(|placed| local.observe_one(placed)).collect())
        })
        .await
    }

    /// One replica as it stands, by its name in the route table.
    ///
    /// # Errors
    /// [`DeployError::NoReplica`] when there is none, or its keeper cannot be brought back.
    pub async fn observe_replica(&self, id: &str) -> Result<ReplicaState, DeployError> {
        let (local, id) = (self.clone(), id.to_owned());
        blocking(move || {
            let found = local
                .placed_at(&local.replica_dir(&id)?)
                .and_then(|placed| local.observe_one(placed));
            found.ok_or(DeployError::NoReplica { id })
        })
        .await
    }

    pub(crate) fn replica_dir(&self, id: &str) -> Result<PathBuf, DeployError> {
        let mut parts = Path::new(id).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(name)), None) if name.len() <= 255 => Ok(self.replicas().join(name)),
            _ => Err(DeployError::Name {
                kind: "replica",
                name: id.to_owned(),
            }),
        }
    }

    /// Every replica that has a folder here.
    pub(crate) fn placed(&self) -> Result<Vec<Placed>, DeployError> {
        let dir = self.replicas();
        let entries = fs::read_dir(&dir).map_err(DeployError::path("read", &dir))?;
        let mut placed: Vec<Placed> = entries
            .flatten()
            .filter_map(|e| self.placed_at(&e.path()))
            .collect();
        placed.sort_by_key(|placed| {
            (
                placed.id.service.clone(),
                placed.id.revision.clone(),
                placed.id.ordinal,
            )
        });
        Ok(placed)
    }

    pub(crate) fn placed_at(&self, dir: &Path) -> Option<Placed> {
        serde_json::from_slice(&fs::read(dir.join(FILE)).ok()?).ok()
    }

    fn start(&self, spec: &ReplicaSpec) -> Result<Placed, DeployError> {
        let id = spec.id.to_string();
        let dir = self.replica_dir(&id)?;
        create_private(&dir)?;
        if let Some(placed) = self.placed_at(&dir)
            && dir.join("spec").exists()
        {
            self.bring_up(&dir, &id)?;
            if !self.is_displaced(&dir, placed.address)? {
                return Ok(placed);
            }
            tracing::warn!(replica = %id, "replica {id} lost {} to another process and moves", placed.address);
            self.stop(&id)?;
            fs::remove_file(dir.join("spec")).map_err(DeployError::path("remove the spec of", &dir))?;
        }
        let placed = self.place(spec, &dir)?;
        let described = self.keeper_spec(spec, &placed, &dir)?.write(&dir);
        described.map_err(DeployError::keep(format!("describe replica {id}")))?;
        self.bring_up(&dir, &id)?;
        Ok(placed)
    }

    fn bring_up(&self, dir: &Path, id: &str) -> Result<(), DeployError> {
        let up = client::spawn(&self.inner.exe, dir);
        let up = up.and_then(|()| {
            if client::is_stopped(dir) {
                client::start(dir)
            } else {
                Ok(())
            }
        });
        up.map_err(DeployError::keep(format!("start replica {id}")))
    }

    /// Whether it cannot have its port because somebody else listens there.
    fn is_displaced(&self, dir: &Path, address: SocketAddr) -> Result<bool, DeployError> {
        let status = client::status(dir).map_err(DeployError::keep("ask a keeper"))?;
        Ok(status.state == State::BackingOff && !port::is_free(address))
    }

    /// Chooses the port and writes it down; keeps the one that an interrupted start chose, if it is still free.
    fn place(&self, spec: &ReplicaSpec, dir: &Path) -> Result<Placed, DeployError> {
        let _one_at_a_time = self.inner.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = self
            .placed_at(dir)
            .map(|placed| placed.address)
            .filter(|address| port::is_free(*address));
        let address = match earlier {
            Some(address) => address,
            None => {
                let given: HashSet<u16> = self
                    .placed()?
                    .iter()
                    .map(|placed| placed.address.port())
                    .collect();
                port::free(&dir.to_string_lossy(), &given)?
            }
        };
        let grace_ms = spec.service.stop.grace_ms;
        let placed = Placed {
            id: spec.id.clone(),
            digest: spec.digest.clone(),
            address,
            grace_ms,
        };
        let json =
            serde_json::to_vec_pretty(&placed).map_err(|e| DeployError::path("write", dir)(e.into()))?;
        write_durable(&dir.join(FILE), &json)?;
        Ok(placed)
    }

    fn keeper_spec(&self, spec: &ReplicaSpec, placed: &Placed, dir: &Path) -> Result<Spec, DeployError> {
        let stop_signal = parse_signal(&spec.service.stop.signal)?;
        let release_dir = self.release_dir(&spec.digest)?;
        let mut env = plain_environment(dir)?;
        identity_environment(&spec.id)
            .into_iter()
            .for_each(|(name, value)| set(&mut env, &name, &value));
        set(&mut env, "PORT", &placed.address.port().to_string());
        spec.env
            .iter()
            .for_each(|(name, value)| set(&mut env, name, value));
        Ok(Spec {
            argv: vec!["/bin/sh".into(), "-c".into(), shell_line(&spec.service.run)],
            env,
            cwd: self.release_tree(&spec.digest)?.join(below(&spec.folder)?),
            digest_file: Some(release_dir.join(release::DIGEST)),
            stop_signal,
            grace_ms: placed.grace_ms,
            memory_bytes: spec.service.memory_bytes,
            ..Spec::default()
        })
    }

    pub(crate) fn stop(&self, id: &str) -> Result<(), DeployError> {
        let dir = self.replica_dir(id)?;
        let Some(placed) = self.placed_at(&dir).filter(|_| dir.join("spec").exists()) else {
            return Ok(());
        };
        let within = Duration::from_millis(placed.grace_ms).saturating_add(STOP_SLACK);
        client::end(&self.inner.exe, &dir, within).map_err(DeployError::keep(format!("stop replica {id}")))
    }

    /// Ends what may still live there, and removes the folder.
    pub(crate) fn remove_replica(&self, dir: &Path) -> Result<(), DeployError> {
        if dir.join("spec").exists() {
            let ended = client::end(&self.inner.exe, dir, STOP_SLACK);
            ended.map_err(DeployError::keep(format!("end what runs in {}", dir.display())))?;
        }
        remove_tree(dir)
    }

    fn observe_one(&self, placed: Placed) -> Option<ReplicaState> {
        let dir = self.replica_dir(&placed.id.to_string()).ok()?;
        if !dir.join("spec").exists() {
            return None;
        }
        let stopped = client::is_stopped(&dir);
        let mut adopted = false;
        let status = client::status(&dir).or_else(|e| {
            if stopped {
                return Err(e);
            }
            adopted = true;
            client::spawn(&self.inner.exe, &dir)?;
            client::status(&dir)
        });
        match status {
            Ok(status) => Some(ReplicaState::new(placed, status, adopted)),
            Err(_) if stopped => None,
            Err(error) => {
                tracing::error!(replica = %placed.id, %error, "the keeper of replica {} cannot be started", placed.id);
                Some(ReplicaState {
                    placed,
                    state: State::Stopped,
                    executes: None,
                    restarts: 0,
                    last_exit: None,
                    pid: None,
                    adopted: false,
                })
            }
        }
    }

    /// The last lines that a replica wrote.
    pub(crate) fn last_lines(&self, id: &str) -> Vec<String> {
        let dir = self.replica_dir(id);
        dir.ok()
            .and_then(|dir| output::tail(&dir, 20, 64 << 10).ok())
            .unwrap_or_default()
    }
}

impl ReplicaState {
    fn new(placed: Placed, status: Status, adopted: bool) -> Self {
        ReplicaState {
            placed,
            state: status.state,
            executes: status.digest,
            restarts: status.restarts,
            last_exit: status.last_exit.map(|exit| exit.kind),
            pid: status.child.map(|child| child.pid),
            adopted,
        }
    }
}

/// `PILOTAGE_SERVICE`, `PILOTAGE_ENVIRONMENT` and `PILOTAGE_REVISION`: for a replica, and for what runs before it.
#[must_use]
pub fn identity_environment(id: &ReplicaId) -> Vec<(String, String)> {
    let pairs = [
        ("PILOTAGE_SERVICE", &id.service),
        ("PILOTAGE_ENVIRONMENT", &id.environment.environment),
        ("PILOTAGE_REVISION", &id.revision),
    ];
    pairs
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .to_vec()
}

/// What everything that is run here gets before its own: nothing leaks from the server. `home` and `tmp` are made
/// in `dir`.
pub(crate) fn plain_environment(dir: &Path) -> Result<Vec<(String, String)>, DeployError> {
    let (home, tmp) = (dir.join("home"), dir.join("tmp"));
    create_private(&home)?;
    create_private(&tmp)?;
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let pairs = [
        ("PATH", PATH.to_owned()),
        ("HOME", text(home)),
        ("TMPDIR", text(tmp)),
    ];
    Ok(pairs.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

fn set(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    env.retain(|(known, _)| known != name);
    env.push((name.to_owned(), value.to_owned()));
}

/// A simple command takes the shell's place, so that signals reach it and not the shell. Anything else (several
/// commands, assignments, words of the shell) stays with the shell; the stop signal goes to the whole group.
fn shell_line(line: &str) -> String {
    let first = line.split_ascii_whitespace().next().unwrap_or_default();
    let words = [
        "exec", "cd", "if", "for", "while", "until", "case", "export", "set", "trap", "ulimit", "umask", ".",
    ];
    // `${NAME}` is no group of commands.
    let plain = line.replace("${", "");
    let simple =
        !plain.contains([';', '&', '|', '\n', '(', ')', '{', '!', '#', '`']) && !first.contains(['=', '$']);
    if simple && !words.contains(&first) && !first.is_empty() {
        format!("exec {line}")
    } else {
        line.to_owned()
    }
}

fn parse_signal(name: &str) -> Result<Signal, DeployError> {
    let full = if name.starts_with("SIG") {
        name.to_owned()
    } else {
        format!("SIG{name}")
    };
    full.parse().map_err(|_| DeployError::Name {
        kind: "signal",
        name: name.to_owned(),
    })
}

/// A path that stays below where it is put.
pub(crate) fn below(folder: &Path) -> Result<&Path, DeployError> {
    if folder
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        Ok(folder)
    } else {
        Err(DeployError::Name {
            kind: "folder of a release",
            name: folder.display().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(parts: [&str; 5]) -> String {
        let [owner, project, environment, service, revision] = parts.map(str::to_owned);
        let environment = Environment {
            owner,
            project,
            environment,
        };
        ReplicaId {
            environment,
            service,
            revision,
            ordinal: 1,
        }
        .to_string()
    }

    #[test]
    fn names_are_plain_where_they_can_be_and_never_shared() {
        assert_eq!(
            name(["ana", "my-app", "production", "web", "4f1c9ae"]),
            "ana--my-app--production--web--4f1c9ae--1"
        );
        let tricky = [
            ["a--b", "c", "d", "e", "f"],
            ["a", "b--c", "d", "e", "f"],
            ["a-", "b", "c", "d", "e"],
            ["a", "-b", "c", "d", "e"],
            ["a", "b", "c", "d", "../../e"],
            ["a%2D", "b", "c", "d", "e"],
            [".", "b", "c", "d", "é"],
        ];
        let names: HashSet<String> = tricky.into_iter().map(name).collect();
        assert_eq!(names.len(), tricky.len());
        assert!(
            names.iter().all(|n| !n.contains('/') && !n.starts_with('.')),
            "{names:?}"
        );
    }

    #[test]
    fn a_simple_line_takes_the_shells_place() {
        for (line, expected) in [
            ("python3 app.py", "exec python3 app.py"),
            (
                "node server.mjs --port ${PORT}",
                "exec node server.mjs --port ${PORT}",
            ),
            ("A=1 node x", "A=1 node x"),
            ("a && b", "a && b"),
            ("cd x", "cd x"),
            ("exec a", "exec a"),
            ("$RUN it", "$RUN it"),
            ("a > log 2>&1", "a > log 2>&1"),
            ("", ""),
        ] {
            assert_eq!(shell_line(line), expected);
        }
    }

    #[test]
    fn what_could_leave_the_folders_is_refused() {
        assert!(below(Path::new("a/../..")).is_err() && below(Path::new("/etc")).is_err());
        assert!(below(Path::new("./backend")).is_ok() && below(Path::new("")).is_ok());
        assert!(
            parse_signal("INT").is_ok() && parse_signal("SIGQUIT").is_ok() && parse_signal("NO").is_err()
        );
    }
}
