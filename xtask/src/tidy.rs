//! What a reviewer would say again and again, as a check: who may depend on whom, how long files and functions are,
//! words that do not land, modules without an opening sentence.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each crate may depend on. Development crates are not listed: they may use all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("workflow", &[]),
    ("guard", &[]),
    ("api", &[]),
    ("trust", &[]),
    ("keep", &[]),
    ("ui", &[]),
    ("engine", &["workflow", "guard", "api"]),
    ("store", &["engine", "trust", "api"]),
    ("runner", &["workflow", "api", "trust"]),
    ("deploy", &["engine", "workflow", "api", "keep"]),
    ("proxy", &["api", "guard", "keep"]),
    (
        "server",
        &[
            "store", "engine", "workflow", "trust", "api", "deploy", "guard", "keep", "ui",
        ],
    ),
];

/// Crates that are pure, and what they must not know.
const PURE: &[&str] = &["workflow", "guard", "engine", "trust", "ui"];
const IMPURE: &[&str] = &["tokio", "hyper", "sqlx", "reqwest", "axum"];

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;

/// Words that mark unfinished work, spelled in two parts so that this file passes.
const WORDS: &[&str] = &[
    concat!("FIX", "ME"),
    concat!("XX", "X "),
    concat!("dbg", "!("),
    concat!("#[ig", "nore]"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
];

pub(crate) fn run() -> Result<String, Vec<String>> {
    let mut faults = Vec::new();
    dependencies(&mut faults);
    let files = rust_files();
    for file in &files {
        match std::fs::read_to_string(file) {
            Ok(text) => check_file(file, &text, &mut faults),
            Err(error) => faults.push(format!("{}: {error}", file.display())),
        }
    }
    if faults.is_empty() {
        Ok(format!("tidy: {} files", files.len()))
    } else {
        Err(faults)
    }
}

fn dependencies(faults: &mut Vec<String>) {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .output();
    let metadata: Value = match output.map(|o| serde_json::from_slice(&o.stdout)) {
        Ok(Ok(metadata)) => metadata,
        _ => return faults.push("cargo metadata gave no answer (is Cargo.lock up to date?)".to_owned()),
    };
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches("pilotage-");
        let Some(allowed) = allowed.get(name) else {
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            match other.strip_prefix("pilotage-") {
                Some(ours) if !allowed.contains(&ours) => {
                    faults.push(format!("crate {name} must not depend on {ours}"));
                }
                None if PURE.contains(&name) && IMPURE.contains(&other) => {
                    faults.push(format!("crate {name} is pure and must not depend on {other}"));
                }
                _ => {}
            }
        }
    }
}

fn rust_files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .output();
    let text = output
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    text.lines()
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect()
}

fn check_file(path: &Path, text: &str, faults: &mut Vec<String>) {
    let shown = path.display();
    let is_test = path
        .components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "benches" | "examples")))
        || path
            .file_stem()
            .is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
    for (number, line) in text.lines().enumerate() {
        if let Some(word) = WORDS.iter().find(|word| line.contains(**word)) {
            faults.push(format!("{shown}:{}: `{}` does not land", number + 1, word.trim()));
        }
    }
    if is_test {
        return;
    }
    if !text.trim_start().starts_with("//!") && !text.is_empty() {
        faults.push(format!(
            "{shown}:1: a module opens with what it owns and what it must never do (`//!`)"
        ));
    }
    let code: Vec<&str> = text
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .collect();
    if code.len() > FILE_LINES {
        faults.push(format!(
            "{shown}: {} lines of code, {FILE_LINES} are the most",
            code.len()
        ));
    }
    for (name, line, length) in functions(&code) {
        if length > FUNCTION_LINES {
            faults.push(format!(
                "{shown}:{line}: function {name} has {length} lines, {FUNCTION_LINES} are the most"
            ));
        }
    }
}

/// Functions by indentation: rustfmt puts the closing brace under the `fn`.
fn functions(code: &[&str]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in code.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        let Some(at) = words
            .find("fn ")
            .filter(|at| words[..*at].split(' ').all(is_qualifier))
        else {
            continue;
        };
        let name: String = words[at + 3..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let close = format!("{}}}", " ".repeat(indent));
        let semicolon = code[start..]
            .iter()
            .position(|l| l.trim_end().ends_with(';') && !l.contains('{'));
        let end = code[start..].iter().position(|l| **l == close);
        let one_line = line.trim_end().ends_with('}');
        match end {
            Some(end) if !one_line && semicolon.is_none_or(|s| s > 0 || !line.contains(';')) => {
                found.push((name, start + 1, end + 1));
            }
            _ => {}
        }
    }
    found
}

fn is_qualifier(word: &str) -> bool {
    matches!(word, "" | "pub" | "const" | "async" | "unsafe" | "extern") || word.starts_with("pub(")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_tidy() {
        std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap();
        let faults = run().err().unwrap_or_default();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn long_functions_are_seen() {
        let code: Vec<String> = std::iter::once("    pub(crate) async fn long() {".to_owned())
            .chain((0..80).map(|_| "        x();".to_owned()))
            .chain(["    }".to_owned()])
            .collect();
        let code: Vec<&str> = code.iter().map(String::as_str).collect();
        assert_eq!(functions(&code), [("long".to_owned(), 1, 82)]);
    }
}
