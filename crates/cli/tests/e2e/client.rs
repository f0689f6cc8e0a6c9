//! The commands of a client against a real server: what they print, and their exit codes.

use crate::world::World;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const RED: &str = "
on: push
jobs:
  good:
    runs-on: ubuntu-latest
    steps:
      - run: echo fine > note.txt
      - uses: actions/upload-artifact@v4
        with: {name: note, path: note.txt}
  bad:
    runs-on: ubuntu-latest
    steps:
      - name: Hello
        run: printf '\\033]0;title\\007hello\\n'
      - name: Break
        run: |
          echo the reason
          exit 3
";

#[test]
fn a_red_run_is_looked_at_downloaded_and_run_again() {
    let world = World::start();
    let project = world.project("ana/red", &[(".github/workflows/ci.yml", RED)]);
    project.push("main");
    let ask = |arguments: &[&str]| world.pilotage(&[arguments, &["--project", "ana/red"]].concat());

    let (watched, status) = ask(&["run", "watch", "1"]);
    assert_eq!(status, 1, "{watched}");
    let end = &watched[watched.find("✕ failed after").expect("its end")..];
    assert!(end.contains("1 ✓  1 ✕") && end.contains("step 2, Break"), "{end}");
    assert!(
        end.contains("the reason") && end.contains("pilotage run rerun 1 --failed"),
        "{end}"
    );

    let (log, _) = ask(&["run", "view", "1", "--log-failed"]);
    assert!(
        log.contains("bad\tBreak\tthe reason") && !log.contains("hello"),
        "{log}"
    );
    let (log, _) = ask(&["run", "view", "1", "--log", "--job", "bad"]);
    assert!(
        log.contains("Hello\t\u{FFFD}]0;title\u{FFFD}hello"),
        "escapes are harmless: {log}"
    );
    let (log, _) = ask(&["run", "view", "1", "--log", "--job", "bad", "--raw"]);
    assert!(log.contains("\u{1b}]0;title\u{7}hello"), "{log}");

    let (said, status) = ask(&["run", "download", "1", "--dir", "got"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(world.read("got/note/note.txt"), "fine\n");

    let (said, status) = ask(&["run", "rerun", "1", "--failed", "--watch"]);
    assert_eq!(status, 1, "{said}");
    let (shown, _) = ask(&["run", "view", "1"]);
    assert!(shown.contains("attempt 2"), "{shown}");
    let (listed, _) = ask(&["run", "list", "--status", "failure"]);
    assert!(
        listed.starts_with("✕ failed  1  ci.yml  push  main  first"),
        "{listed}"
    );
}

#[test]
fn values_are_set_from_the_standard_input_and_secrets_never_shown() {
    let world = World::start();
    world.project("ana/values", &[("a", "")]);
    let project = ["--project", "ana/values"];
    let ask = |arguments: &[&str], input: Option<&str>| {
        let (said, status) = world.pilotage_with(&[arguments, &project].concat(), input);
        assert_eq!(status, 0, "{arguments:?}: {said}");
        said
    };
    ask(&["secret", "set", "KEY"], Some("s3cret-value\n"));
    ask(&["secret", "set", "KEY", "-e", "staging"], Some("other-value\n"));
    ask(&["variable", "set", "LEVEL", "high"], None);
    let listed = [
        ask(&["secret", "list"], None),
        ask(&["secret", "list", "--json"], None),
    ]
    .concat();
    assert!(listed.contains("KEY") && !listed.contains("value"), "{listed}");
    assert!(ask(&["variable", "list"], None).starts_with("LEVEL  high"));
    ask(&["secret", "delete", "KEY"], None);
    assert!(!ask(&["secret", "list"], None).starts_with("KEY  "));
}

#[test]
fn exit_codes_say_whose_fault_it_is() {
    let world = World::start();
    world.project("ana/codes", &[("a", "")]);
    let check = |arguments: &[&str], variables: &[(&str, &str)], code: i32, text: &str| {
        let mut command = world.command(arguments);
        let output = command.envs(variables.iter().copied()).output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
    };
    check(&["run", "view", "99"], &[], 2, "✕ not found: ");
    check(&["run", "view"], &[], 2, "Usage:");
    check(&["project", "view", "me"], &[], 2, "hint: write OWNER/NAME");
    check(&["project", "create", "ana/codes"], &[], 1, "✕ refused: ");
    check(&["secret", "list"], &[], 3, "hint: give --project OWNER/NAME");
    check(&["run", "list"], &[("PILOTAGE_TOKEN", "wrong")], 3, "✕ refused: ");
    check(
        &["run", "list"],
        &[("PILOTAGE_TOKEN", "")],
        3,
        "error: there is no token for ",
    );
    check(
        &["run", "list"],
        &[("PILOTAGE_URL", "http://127.0.0.1:1")],
        3,
        "error: cannot reach ",
    );
    check(
        &["run", "list"],
        &[("PILOTAGE_URL", "ftp://x")],
        2,
        "is no address of a server",
    );
    check(
        &["deploy", "staging", "--project", "ana/codes"],
        &[],
        2,
        "✕ not found: ",
    );
    check(&["audit", "verify"], &[], 0, "✓ holds");
}

const TALKS: &str = "
on: push
jobs:
  talk:
    runs-on: ubuntu-latest
    steps:
      - run: for i in $(seq 1 30); do echo \"line $i\"; sleep 0.05; done
";

#[test]
fn a_watcher_sees_each_line_once_though_the_server_dies() {
    let mut world = World::start();
    let project = world.project("ana/talks", &[(".github/workflows/ci.yml", TALKS)]);
    project.push("main");
    let mut watcher = world
        .command(&["run", "watch", "1", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut seen = Vec::new();
    for line in BufReader::new(watcher.stdout.take().expect("a pipe")).lines() {
        let event: serde_json::Value = serde_json::from_str(&line.expect("text")).expect("one object a line");
        let text = event["text"].as_str().unwrap_or_default().to_owned();
        if event["type"] == "log" && text.starts_with("line ") {
            seen.push(text);
            if seen.len() == 5 {
                world.kill_server();
                world.start_server();
            }
        }
    }
    let expected: Vec<String> = (1..=30).map(|i| format!("line {i}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(watcher.wait().expect("it ends").code(), Some(0));
}
