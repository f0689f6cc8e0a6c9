//! Proves that the simulations can fail: each patch under `crates/*/mutants` breaks one invariant in a line, and the
//! test that its first line names must then fail. Works on a copy of the checkout, never on the checkout itself.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn run(names: &[&str]) -> Result<String, Vec<String>> {
    let patches: Vec<PathBuf> = find(Path::new("crates"))
        .into_iter()
        .filter(|path| names.is_empty() || names.iter().any(|name| path.to_string_lossy().contains(name)))
        .collect();
    if patches.is_empty() {
        return Err(vec!["there is no such mutant".to_owned()]);
    }
    let copy = copy_of_the_checkout().map_err(|error| vec![error])?;
    let faults: Vec<String> = patches
        .iter()
        .filter_map(|patch| survives(patch, &copy).err())
        .collect();
    // The copy keeps its build folder for the next time.
    if faults.is_empty() {
        Ok(format!("mutants: all {} were caught", patches.len()))
    } else {
        Err(faults)
    }
}

fn find(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(find(&path));
        } else if path.extension().is_some_and(|e| e == "patch")
            && path.components().any(|c| c.as_os_str() == "mutants")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy_of_the_checkout() -> Result<PathBuf, String> {
    let copy = PathBuf::from("target/mutants/checkout");
    std::fs::create_dir_all(&copy).map_err(|e| format!("cannot make {}: {e}", copy.display()))?;
    let files = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output();
    let files = files.map_err(|e| format!("git gave no answer: {e}"))?.stdout;
    for file in files
        .split(|b| *b == 0)
        .filter_map(|name| std::str::from_utf8(name).ok())
        .filter(|n| !n.is_empty())
    {
        let (from, to) = (Path::new(file), copy.join(file));
        let (Ok(new), Some(folder)) = (std::fs::read(from), to.parent()) else {
            continue;
        };
        // Unchanged files keep their time, so that cargo builds only what a mutant touches.
        if std::fs::read(&to).is_ok_and(|old| old == new) {
            continue;
        }
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&to, new));
        written.map_err(|e| format!("cannot copy {file}: {e}"))?;
    }
    Ok(copy)
}

/// The first line of a patch says what must catch it: `# cargo test -p CRATE TEST...`.
fn survives(patch: &Path, copy: &Path) -> Result<(), String> {
    let shown = patch.display();
    let text = std::fs::read_to_string(patch).map_err(|e| format!("{shown}: {e}"))?;
    let first = text.lines().next().unwrap_or_default();
    let test = first
        .strip_prefix("# cargo ")
        .ok_or(format!("{shown}: the first line names no `# cargo test ...`"))?;
    let absolute = std::path::absolute(patch).map_err(|e| format!("{shown}: {e}"))?;
    // The copy lies inside the checkout's repository, from where git would pass over every file without a word.
    let ceiling = std::path::absolute(copy.parent().unwrap_or(copy)).map_err(|e| format!("{shown}: {e}"))?;
    let git = |arguments: &[&str]| {
        Command::new("git")
            .current_dir(copy)
            .env("GIT_CEILING_DIRECTORIES", &ceiling)
            .args(arguments)
            .arg(&absolute)
            .status()
            .is_ok_and(|s| s.success())
    };
    if !git(&["apply", "--whitespace=nowarn"]) {
        return Err(format!("{shown}: does not apply any more"));
    }
    let output = Command::new("cargo")
        .current_dir(copy)
        .args(test.split_whitespace())
        .output();
    let reverted = git(&["apply", "--whitespace=nowarn", "--reverse"]);
    let output = output.map_err(|e| format!("{shown}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match (reverted, output.status.success()) {
        (false, _) => Err(format!("{shown}: could not be taken back")),
        (_, true) => Err(format!("{shown}: was not caught by cargo {test}")),
        (_, false) if said.contains("could not compile") => Err(format!("{shown}: does not compile")),
        (_, false) => Ok(()),
    }
}
