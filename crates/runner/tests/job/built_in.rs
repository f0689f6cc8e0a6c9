//! Built-in actions, in whole jobs.

use crate::world::{Ran, World};
use pilotage_api::runner::Conclusion;
use std::path::Path;
use std::process::Command;

fn git(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .args(["-c", "user.name=t", "-c", "user.email=t@t"])
        .args(arguments);
    let output = command.output().expect("git runs");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn steps(steps: &str) -> World {
    let steps = steps
        .trim_matches('\n')
        .lines()
        .map(|l| format!("      {l}\n"))
        .collect::<String>();
    World::new(&format!(
        "jobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
    ))
}

fn error(ran: &Ran) -> &str {
    ran.result.error.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn checkout_takes_the_working_directory_as_it_lies_there() {
    let world = steps(
        r#"
- id: checkout
  uses: actions/checkout@v4
- run: |
    cat a.txt new.txt; test ! -e ignored.txt; test ! -e gone.txt
    git log --format=%s; git status --short
    test "$(git rev-parse HEAD)" = "${{ steps.checkout.outputs.commit }}"
    ! grep -ri job-token .git
"#,
    );
    let project = world.directory.path().join("project");
    world.file("project/a.txt", "old\n");
    world.file("project/gone.txt", "");
    world.file("project/.gitignore", "ignored.txt\n");
    git(&project, &["init", "-q", "-b", "main"]);
    git(&project, &["add", "."]);
    git(&project, &["commit", "-qm", "first"]);
    world.file("project/a.txt", "changed\n");
    world.file("project/new.txt", "new\n");
    world.file("project/ignored.txt", "x\n");
    std::fs::remove_file(project.join("gone.txt")).unwrap();
    let ran = world.run().await;
    assert_eq!(ran.result.conclusion, Conclusion::Success, "{:#?}", ran.log());
    let output = ran.output();
    let after: Vec<_> = output
        .iter()
        .skip_while(|l| *l != "changed")
        .map(String::as_str)
        .collect();
    assert_eq!(
        after,
        ["changed", "new", "first", " M a.txt", " D gone.txt", "?? new.txt"]
    );
    assert!(
        output
            .iter()
            .any(|l| l.contains("with changes that are not committed")),
        "{output:?}"
    );
    assert!(
        ran.log()
            .iter()
            .any(|(_, l)| l == "built-in for actions/checkout@v4")
    );
}

#[tokio::test]
async fn checkout_fetches_from_the_remote() {
    let mut world = steps(
        r#"
- {uses: actions/checkout@v4, with: {path: main}}
- {uses: actions/checkout@v4, with: {path: dev, ref: dev, fetch-depth: 0}}
- {uses: actions/checkout@v4, with: {path: tag, ref: refs/tags/v1}}
- run: |
    cat main/a dev/a tag/a
    git -C main symbolic-ref --short HEAD; git -C dev symbolic-ref --short HEAD
    git -C main log --format=%s; git -C dev log --format=%s | wc -l
    ! grep -r job-token main/.git
"#,
    );
    let origin = world.directory.path().join("git/octo/hello.git");
    std::fs::create_dir_all(&origin).unwrap();
    git(&origin, &["init", "-q", "-b", "main"]);
    for (branch, text) in [("main", "old"), ("main", "main"), ("dev", "dev")] {
        git(&origin, &["checkout", "-q", "-B", branch]);
        world.file("git/octo/hello.git/a", &format!("{text}\n"));
        git(&origin, &["add", "."]);
        git(&origin, &["commit", "-qm", text]);
    }
    git(&origin, &["tag", "v1", "main~1"]);
    let sha = Command::new("git")
        .current_dir(&origin)
        .args(["rev-parse", "main"])
        .output()
        .unwrap();
    world.sha = String::from_utf8(sha.stdout).unwrap().trim().to_owned();
    world.remote = Some(format!("file://{}/git", world.directory.path().display()));
    let ran = world.run().await;
    assert_eq!(ran.result.conclusion, Conclusion::Success, "{:#?}", ran.log());
    let output = ran.output();
    let after: Vec<_> = output.iter().rev().take(7).rev().collect();
    assert_eq!(
        after,
        ["main", "dev", "old", "main", "dev", "main", "3"],
        "{output:?}"
    );
}

#[tokio::test]
async fn inputs_that_are_not_implemented_are_refused_by_name() {
    let ran = steps("- uses: actions/checkout@v4\n  with: {submodules: recursive}")
        .run()
        .await;
    assert!(error(&ran).contains("`submodules`"), "{}", error(&ran));
    let ran = steps("- uses: actions/checkout@v4\n  with: {fetch-dept: 0}")
        .run()
        .await;
    assert!(
        error(&ran).contains("did you mean `fetch-depth`?"),
        "{}",
        error(&ran)
    );
    let ran = steps("- uses: actions/checkout@v4\n  with: {path: ../x}")
        .run()
        .await;
    assert!(error(&ran).contains("must lie in"), "{}", error(&ran));
}

#[tokio::test]
async fn artifacts_go_up_and_come_down() {
    let world = steps(
        r#"
- run: mkdir -p dist/sub && echo one > dist/a && echo two > dist/sub/b && chmod +x dist/a && echo x > dist/.hidden
- id: up
  uses: actions/upload-artifact@v4
  with: {name: web, path: dist}
- uses: actions/upload-artifact@v4
  with: {name: docs, path: "dist/**/b\n!dist/nothing"}
- {id: again, continue-on-error: true, uses: actions/upload-artifact@v4, with: {name: web, path: dist}}
- {uses: actions/upload-artifact@v4, with: {name: none, path: nowhere}}
- {uses: actions/download-artifact@v4, with: {name: web, path: one}}
- {id: all, uses: actions/download-artifact@v4, with: {path: all}}
- run: |
    cat one/a one/sub/b all/docs/sub/b; test -x one/a; test ! -e one/.hidden
    test "${{ steps.up.outputs.artifact-id }}" = 1
    echo -n "${{ steps.up.outputs.artifact-digest }}" | wc -c
    echo "${{ steps.again.outcome }}"
    test "${{ steps.all.outputs.download-path }}" = "$PWD/all"
"#,
    );
    let ran = world.run().await;
    assert_eq!(ran.result.conclusion, Conclusion::Success, "{:#?}", ran.log());
    let output = ran.output();
    assert_eq!(
        output.iter().rev().take(5).rev().collect::<Vec<_>>(),
        ["one", "two", "two", "64", "failure"]
    );
    assert!(
        output
            .iter()
            .any(|l| l.starts_with("##[warning]No files were found")),
        "{output:?}"
    );
}

#[tokio::test]
async fn an_artifact_cannot_be_taken_from_where_links_lead() {
    let mut world = steps("- {uses: actions/upload-artifact@v4, with: {path: link}}");
    world.file("private/master.key", "secret");
    let private = world.directory.path().join("private");
    std::os::unix::fs::symlink(&private, world.directory.path().join("workspace/link")).unwrap();
    world.private = vec![private];
    let ran = world.run().await;
    assert!(
        error(&ran).contains("is not open to jobs"),
        "{} {:?}",
        error(&ran),
        ran.log()
    );
}

#[tokio::test]
async fn a_cache_is_saved_on_a_miss_and_found_the_next_time() {
    let text = r#"
- id: cache
  uses: actions/cache@v4
  with: {path: "modules\n~/.tool", key: "k-${{ hashFiles('lock') }}", restore-keys: k-}
- run: echo "hit=${{ steps.cache.outputs.cache-hit }} $(cat modules/x ~/.tool/y 2>/dev/null | tr '\n' ' ')"
- run: mkdir -p modules ~/.tool; echo m > modules/x; echo t > ~/.tool/y
"#;
    let world = steps(text);
    world.file("workspace/lock", "1");
    let first = world.run().await;
    assert_eq!(first.result.conclusion, Conclusion::Success, "{:#?}", first.log());
    assert!(
        first.output().contains(&"hit= ".to_owned()),
        "{:?}",
        first.output()
    );
    assert!(
        first
            .output()
            .iter()
            .any(|l| l.starts_with("Saved the cache `k-")),
        "{:?}",
        first.output()
    );
    let caches = first.directory.path().join("caches");
    let again = |lock: &str| {
        let world = steps(text);
        world.file("workspace/lock", lock);
        std::fs::rename(&caches, world.directory.path().join("caches")).unwrap();
        world
    };
    let second = again("1").run().await;
    assert!(
        second.output().contains(&"hit=true m t ".to_owned()),
        "{:?}",
        second.output()
    );
    std::fs::rename(second.directory.path().join("caches"), &caches).unwrap();
    let third = again("2").run().await;
    assert!(
        third.output().contains(&"hit=false m t ".to_owned()),
        "{:?}",
        third.output()
    );
}

#[tokio::test]
async fn a_failed_job_saves_no_cache() {
    let ran = steps("- {uses: actions/cache@v4, with: {path: x, key: k}}\n- run: mkdir x; exit 1")
        .run()
        .await;
    let steps = ran.steps();
    assert!(
        steps[2].contains("Post Run actions/cache@v4 skipped/skipped"),
        "{steps:?}"
    );
    assert!(!ran.directory.path().join("caches").exists());
}

#[tokio::test]
async fn node_and_python_of_the_machine_are_taken_where_they_fit() {
    let ran = steps(
        r#"
- {id: node, uses: actions/setup-node@v4, with: {node-version: ">=18"}}
- {id: python, uses: actions/setup-python@v5, with: {python-version: 3.x}}
- run: |
    test "$(node --version)" = "${{ steps.node.outputs.node-version }}"
    test "Python ${{ steps.python.outputs.python-version }}" = "$(python --version)"
    # Where the Python of a virtual environment is, is no place of this job: it may be cached.
    case $(python -c 'import sys; print(sys.executable)') in "$RUNNER_TEMP"*) exit 1;; esac
- {uses: actions/setup-python@v5, with: {python-version: "3.99"}}
"#,
    )
    .run()
    .await;
    let steps = ran.steps();
    assert!(
        steps[2].ends_with("success/success"),
        "{steps:#?} {:#?}",
        ran.log()
    );
    assert!(
        error(&ran).starts_with("there is no Python 3.99 on this machine, only 3."),
        "{}",
        error(&ran)
    );
}

#[tokio::test]
async fn a_deployment_needs_a_server() {
    let ran = steps("- uses: pilotage/deploy@v1").run().await;
    assert!(error(&ran).contains("needs a Pilotage server"), "{}", error(&ran));
}
