//! `actions/setup-python`: a Python of this machine that satisfies the wanted version, first in `PATH`.
//!
//! Nothing is downloaded: where no Python here fits, it is refused, with those that are here.

use super::{BuiltIn, Call, Input, Post, cache};
use crate::action::ActionError;
use crate::hash_files::hash_files;
use crate::version::{Version, Wanted};
use std::path::{Path, PathBuf};

pub(super) const SETUP_PYTHON: BuiltIn = BuiltIn {
    name: "actions/setup-python",
    majors: &[3, 4, 5, 6],
    inputs: &[
        Input::new("python-version", ""),
        Input::new("python-version-file", ""),
        Input::new("cache", ""),
        Input::new("cache-dependency-path", ""),
        Input::new("architecture", ""),
        Input::refused("check-latest", "false"),
        Input::new("token", ""),
        Input::new("update-environment", "true"),
        Input::refused("allow-prereleases", "false"),
        Input::refused("freethreaded", "false"),
        Input::refused("pip-version", ""),
        Input::refused("pip-install", ""),
    ],
    outputs: &["python-version", "cache-hit", "python-path"],
    main: |call| Box::pin(run(call)),
    post: Some(Post {
        run: |call| Box::pin(save_cache(call)),
        on_success_only: true,
    }),
};

/// A Python that is here.
#[derive(Clone, Debug)]
struct Python {
    version: Version,
    program: PathBuf,
}

async fn run(call: &mut Call<'_>) -> Result<(), ActionError> {
    let wanted = wanted(call)?;
    let here = find_all(call).await?;
    let chosen = match &wanted {
        // Several may be asked for, one a line; the last becomes `python`.
        Some(list) => {
            let mut chosen = None;
            for text in list {
                chosen = Some(choose(text, &here)?);
            }
            chosen
        }
        None => here.first().cloned(),
    };
    let Some(python) = chosen else {
        return Err(ActionError::failed("there is no Python on this machine"));
    };
    call.say(&format!(
        "Python {} of this machine: {}",
        python.version,
        python.program.display()
    ));
    call.output("python-version", &python.version.to_string());
    call.output("python-path", &python.program.to_string_lossy());
    if call.flag("update-environment")? {
        put_first(call, &python).await?;
    }
    restore_cache(call, &python.version).await
}

fn wanted(call: &mut Call<'_>) -> Result<Option<Vec<String>>, ActionError> {
    let given = call.lines("python-version");
    if !given.is_empty() {
        return Ok(Some(given));
    }
    let named = call.input("python-version-file").to_owned();
    let file = if named.is_empty() {
        ".python-version".to_owned()
    } else {
        named.clone()
    };
    match call.read_in_workspace(&file) {
        Ok(text) if file.ends_with(".toml") => {
            let line = text
                .lines()
                .find_map(|l| l.trim().strip_prefix("requires-python"))
                .unwrap_or_default();
            let version = line
                .trim_start_matches([' ', '='])
                .trim()
                .trim_matches(['"', '\''])
                .to_owned();
            Ok(Some(vec![version]).filter(|v| v.iter().all(|v| !v.is_empty())))
        }
        Ok(text) => {
            let lines = text
                .lines()
                .map(str::trim)
                .filter(|l| !l.is_empty() && !l.starts_with('#'));
            let version = |l: &str| {
                l.trim_start_matches("python-")
                    .trim_start_matches("python ")
                    .to_owned()
            };
            Ok(Some(lines.map(version).collect::<Vec<_>>()).filter(|v| !v.is_empty()))
        }
        Err(_) if named.is_empty() => {
            call.say("No version is asked for: the machine's first Python is taken");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn choose(text: &str, here: &[Python]) -> Result<Python, ActionError> {
    if text.to_lowercase().starts_with("pypy") || text.to_lowercase().starts_with("graalpy") {
        return Err(ActionError::failed(format!(
            "`{text}`: only CPython is supported"
        )));
    }
    let wanted = Wanted::parse(text).map_err(ActionError::Failed)?;
    let fitting = here.iter().filter(|p| wanted.fits(&p.version));
    let best = fitting.max_by(|a, b| a.version.cmp(&b.version)).cloned();
    best.ok_or_else(|| {
        let versions: Vec<_> = here.iter().map(|p| p.version.to_string()).collect();
        ActionError::failed(format!(
            "there is no Python {text} on this machine, only {}; install it (pyenv install {text}), or ask for one \
             of these",
            if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
        ))
    })
}

/// Those of the tool cache, of pyenv, and `python3` and `python3.X` of `PATH`.
async fn find_all(call: &mut Call<'_>) -> Result<Vec<Python>, ActionError> {
    let mut programs: Vec<PathBuf> = Vec::new();
    programs.extend(
        call.find_program("python3")
            .or_else(|| call.find_program("python")),
    );
    let search = call.env_of("PATH").unwrap_or_default();
    for directory in std::env::split_paths(&search).filter(|d| !d.ends_with("shims")) {
        for minor in 6..30 {
            programs.push(directory.join(format!("python3.{minor}")));
        }
    }
    let pyenv = call
        .env_of("PYENV_ROOT")
        .map_or_else(|| machine_home().join(".pyenv"), PathBuf::from);
    for versions in [pyenv.join("versions"), call.tool_cache().join("Python")] {
        for entry in std::fs::read_dir(&versions).into_iter().flatten().flatten() {
            programs.push(entry.path().join("bin/python3"));
            programs.push(
                entry
                    .path()
                    .join(crate::job::architecture().to_lowercase())
                    .join("bin/python3"),
            );
        }
    }
    let mut found: Vec<Python> = Vec::new();
    for program in programs.into_iter().filter(|p| p.is_file()) {
        let script = "import platform,sys; print(platform.python_version(), sys.executable)";
        let workspace = call.workspace().to_owned();
        let name = program.to_string_lossy().into_owned();
        let Some(bytes) = call.capture(&name, &["-c", script], &workspace, &[]).await? else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((version, executable)) = text.trim().split_once(' ') else {
            continue;
        };
        let Some(version) = Version::parse(version) else {
            continue;
        };
        let program = PathBuf::from(executable);
        if !found.iter().any(|p| p.version == version) {
            found.push(Python { version, program });
        }
    }
    Ok(found)
}

/// The home of the user that runs this process: there pyenv keeps what it built, not in the job's home.
fn machine_home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from)
}

/// `python`, `python3` and `pip` are those of the chosen one, also where its directory holds no `python`.
async fn put_first(call: &mut Call<'_>, python: &Python) -> Result<(), ActionError> {
    let Some(directory) = python.program.parent().map(Path::to_owned) else {
        return Ok(());
    };
    call.add_path(&directory);
    let major_minor = format!("python{}.{}", python.version.major, python.version.minor);
    let is_it = |name: &str| {
        let real = |p: &Path| p.canonicalize().ok();
        real(&directory.join(name)) == real(&python.program)
    };
    if !is_it("python") || !is_it("python3") {
        // Scripts, not links: a virtual environment remembers where its Python was, and is cached longer than this job.
        const WRITE: &str = r#"printf %s "$1" > "$2" && chmod 755 -- "$2""#;
        let names = call.temporary("python");
        let workspace = call.workspace().to_owned();
        let place = names.to_string_lossy().into_owned();
        let program = python.program.to_string_lossy().replace('\'', r"'\''");
        let script = format!("#!/bin/sh\nexec '{program}' \"$@\"\n");
        call.run("mkdir", &["--", &place], &workspace, &[]).await?;
        for name in ["python", "python3", major_minor.as_str()] {
            let path = format!("{place}/{name}");
            call.run("sh", &["-c", WRITE, "sh", &script, &path], &workspace, &[])
                .await?;
        }
        call.add_path(&names);
    }
    let location = directory
        .parent()
        .unwrap_or(&directory)
        .to_string_lossy()
        .into_owned();
    for name in [
        "pythonLocation",
        "Python_ROOT_DIR",
        "Python2_ROOT_DIR",
        "Python3_ROOT_DIR",
    ] {
        call.set_env(name, &location);
    }
    Ok(())
}

async fn restore_cache(call: &mut Call<'_>, version: &Version) -> Result<(), ActionError> {
    let default: &[&str] = match call.input("cache") {
        "" => return Ok(()),
        "pip" => &["**/requirements.txt", "**/pyproject.toml"],
        other => {
            let message = format!("the input `cache` is implemented for `pip` only, not `{other}`");
            return Err(ActionError::Failed(message));
        }
    };
    let mut patterns = call.lines("cache-dependency-path");
    if patterns.is_empty() {
        patterns = default.iter().map(ToString::to_string).collect();
    }
    let hash = hash_files(call.workspace(), &call.home(), &patterns);
    let hash = hash.map_err(|e| ActionError::failed(e.to_string()))?;
    if hash.is_empty() {
        let message = format!(
            "no file matches {} in the workspace: there is no key for a cache",
            patterns.join(", ")
        );
        return Err(ActionError::Failed(message));
    }
    let prefix = format!(
        "setup-python-Linux-{}-python-{version}-pip-",
        crate::job::architecture().to_lowercase()
    );
    let key = format!("{prefix}{hash}");
    call.save("key", &key);
    let found = cache::find_and_unpack(call, &[pip_cache()], &key, vec![prefix], false).await?;
    let hit = found.as_ref().is_some_and(|f| f.key == key);
    if let Some(found) = &found {
        call.save("matched", &found.key);
    } else {
        call.say("No pip cache is there yet");
    }
    call.output("cache-hit", if hit { "true" } else { "false" });
    Ok(())
}

fn pip_cache() -> String {
    "~/.cache/pip".to_owned()
}

async fn save_cache(call: &mut Call<'_>) -> Result<(), ActionError> {
    let Some(key) = call.saved("key").map(str::to_owned) else {
        return Ok(());
    };
    if call.saved("matched") == Some(key.as_str()) {
        return Ok(());
    }
    if !call.home().join(".cache/pip").exists() {
        call.say("pip kept nothing: no cache is saved");
        return Ok(());
    }
    cache::pack_and_save(call, &[pip_cache()], &key).await
}
