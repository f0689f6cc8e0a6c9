//! `pilotage init`: a first `pilotage.yml` and a first workflow. Never writes over a file.

use crate::error::{CommandError, CommandResult};
use crate::render::page::{advice, result};
use crate::workflows;
use clap::Args;
use pilotage_workflow::delivery;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a first pilotage.yml, and a first workflow where there is none. Files that are there stay as they are.
#[derive(Args)]
pub(crate) struct Init {
    /// The project's folder.
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

const WORKFLOW: &str = ".github/workflows/ci-cd.yml";
const WORKFLOW_TEXT: &str = "\
name: CI/CD
on:
  push:
  workflow_dispatch:

jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      # Your tests go here.
      - run: echo \"no tests yet\"

  deploy:
    needs: test
    if: github.ref_name == 'main'
    runs-on: ubuntu-latest
    environment: production
    steps:
      - uses: actions/checkout@v4
      - uses: pilotage/deploy@v1
";

impl Init {
    pub(crate) fn run(self) -> CommandResult {
        let root = &self.directory;
        let names = std::fs::read_dir(root).map_err(|e| {
            CommandError::invalid(format!("cannot read the folder {}", root.display())).because(&e)
        })?;
        let mut names: Vec<String> = names
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        write_new(
            root,
            "pilotage.yml",
            &delivery::init(&names.iter().map(String::as_str).collect::<Vec<_>>()),
        )?;
        if workflows::find(root).is_empty() {
            write_new(root, WORKFLOW, WORKFLOW_TEXT)?;
        }
        advice("look them over, then: pilotage lint\n");
        Ok(ExitCode::SUCCESS)
    }
}

fn write_new(root: &Path, name: &str, text: &str) -> CommandResult<()> {
    let path = root.join(name);
    let failed = |e: &std::io::Error| CommandError::failed(format!("cannot write {name}")).because(e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| failed(&e))?;
    }
    match std::fs::File::create_new(&path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(|e| failed(&e))?;
            result(&format!("{name}\n"));
            Ok(())
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            advice(&format!("{name} is there already, and stays as it is\n"));
            Ok(())
        }
        Err(e) => Err(failed(&e)),
    }
}
