//! What the documents say is so: their files lint as they state, their links and paths lead somewhere, and what is
//! printed from the code is printed anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use pilotage_runner::builtin;
use pilotage_workflow::source::Source;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Path from the root, and text, of every document.
fn documents() -> Vec<(String, String)> {
    let output = Command::new("git")
        .args(["ls-files", "*.md"])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let read = |path: &str| Some((path.to_owned(), std::fs::read_to_string(root().join(path)).ok()?));
    let documents: Vec<_> = listed.lines().filter_map(read).collect();
    assert!(documents.len() > 5, "{documents:?}");
    documents
}

/// The blocks of one language, each with the line at which it begins.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line.strip_prefix("```").is_some_and(|l| l == language) {
            let block: Vec<&str> = lines
                .by_ref()
                .map(|(_, l)| l)
                .take_while(|l| *l != "```")
                .collect();
            found.push((at + 2, block.join("\n") + "\n"));
        } else if line.starts_with("```") {
            let _ = lines.by_ref().find(|(_, l)| *l == "```");
        }
    }
    found
}

/// The codes that a block's comments state, with their lines.
fn stated(block: &str) -> BTreeSet<(u64, String)> {
    let mut stated = BTreeSet::new();
    for (line, text) in (1..).zip(block.lines()) {
        let comment = text.split_once('#').map_or("", |(_, comment)| comment);
        for word in comment.split_whitespace().filter(|word| is_code(word)) {
            stated.insert((line, word.to_owned()));
        }
    }
    stated
}

fn is_code(word: &str) -> bool {
    word.len() == 5 && word.starts_with(['W', 'P', 'S']) && word[1..].bytes().all(|b| b.is_ascii_digit())
}

/// What is said of a block: it is a workflow, a `pilotage.yml`, a `server.yml`, or none of these.
fn said(block: &str) -> Option<BTreeSet<(u64, String)>> {
    let has = |key: &str| block.lines().any(|line| line.starts_with(&format!("{key}:")));
    let name = match () {
        () if has("jobs") => ".github/workflows/example.yml",
        () if has("services") && has("environments") => "pilotage.yml",
        () if has("listen") => {
            let source = Source::new("server.yml", block);
            let faults = pilotage_server::Config::new("data".into()).apply(&source);
            let line = |at: u32| u64::from(source.position(at).line);
            return Some(
                faults
                    .iter()
                    .map(|f| (line(f.span.start), f.code.to_owned()))
                    .collect(),
            );
        }
        () => return None,
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, block).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pilotage"))
        .args(["lint", "--format", "json", name])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    let rows = answer["diagnostics"].as_array().unwrap();
    let row = |row: &Json| {
        (
            row["line"].as_u64().unwrap(),
            row["code"].as_str().unwrap().to_owned(),
        )
    };
    Some(rows.iter().map(row).collect())
}

#[test]
fn files_in_documents_lint_as_they_state() {
    let mut linted = 0;
    for (path, text) in documents() {
        for (at, block) in blocks(&text, "yaml") {
            if let Some(said) = said(&block) {
                assert_eq!(said, stated(&block), "{path}:{at}:\n{block}");
                linted += 1;
            }
        }
    }
    assert!(linted > 5, "{linted}");
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for (path, text) in documents() {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                dead.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// A path of a document, from the root or from `crates`.
fn find(path: &str) -> Option<PathBuf> {
    let places = [root().join(path), root().join("crates").join(path)];
    places.into_iter().find(|place| place.exists())
}

#[test]
fn files_and_functions_that_the_map_names_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (mut missing, mut functions) = (Vec::new(), 0);
    for line in text.lines() {
        let mut file = String::new();
        for word in line.split('`').skip(1).step_by(2) {
            let is_path =
                word.contains('/') && !word.contains([' ', ':', '{', '@']) && !word.starts_with("pilotage/");
            let is_function = word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if is_path {
                match find(word) {
                    Some(path) if path.is_file() => file = std::fs::read_to_string(path).unwrap(),
                    Some(_) => {}
                    None => missing.push(format!("{line}: {word}")),
                }
            } else if is_function && !file.is_empty() && line.starts_with('|') {
                functions += 1;
                if !["(", "<"]
                    .iter()
                    .any(|next| file.contains(&format!("fn {word}{next}")))
                {
                    missing.push(format!("{line}: {word}"));
                }
            }
        }
    }
    assert!(functions > 40, "{functions}");
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What stands in code type and looks like the name of a test, or of a function.
fn functions_named(text: &str) -> BTreeSet<String> {
    let is_name = |w: &&str| {
        w.matches('_').count() > 1
            && w.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn tests_that_documents_name_exist() {
    let output = Command::new("git")
        .args(["grep", "-hoE", "fn [a-z0-9_]+", "--", "*.rs"])
        .current_dir(root())
        .output()
        .unwrap();
    let sources = String::from_utf8(output.stdout).unwrap();
    let known: BTreeSet<&str> = sources
        .lines()
        .filter_map(|line| line.strip_prefix("fn "))
        .collect();
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let named = functions_named(&text);
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<&String> = named
        .iter()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// `UPDATE_DOCS=1 cargo test -p pilotage-cli --test documents` writes it anew.
#[test]
fn the_built_in_actions_are_those_of_the_table() {
    let path = root().join("docs/workflow-language.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- built-in actions -->\n").unwrap();
    let (there, after) = rest.split_once("<!-- end -->").unwrap();
    let table = actions();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(
            &path,
            format!("{before}<!-- built-in actions -->\n{table}<!-- end -->{after}"),
        )
        .unwrap();
    } else {
        assert_eq!(
            there, table,
            "stale: UPDATE_DOCS=1 cargo test -p pilotage-cli --test documents"
        );
    }
}

fn actions() -> String {
    let mut table = "| action | inputs | not implemented | outputs |\n|---|---|---|---|\n".to_owned();
    for action in builtin::supported() {
        let input = |input: &builtin::Input| match (input.required, input.default) {
            (true, _) => format!("**`{}`**", input.name),
            (_, "") => format!("`{}`", input.name),
            (_, default) => format!("`{}` ({default})", input.name),
        };
        let inputs = |implemented| {
            let chosen = action.inputs.iter().filter(|i| i.implemented == implemented);
            chosen.map(input).collect::<Vec<_>>().join(", ")
        };
        let majors = action
            .majors
            .iter()
            .map(|m| format!("v{m}"))
            .collect::<Vec<_>>()
            .join(", ");
        let outputs = action
            .outputs
            .iter()
            .map(|o| format!("`{o}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let name = action.name;
        let _ = writeln!(
            table,
            "| `{name}` {majors} | {} | {} | {outputs} |",
            inputs(true),
            inputs(false)
        );
    }
    table
}
