use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

fn sh(directory: &Path, script: &str) {
    let status = Command::new("bash")
        .args(["-euc", script])
        .current_dir(directory)
        .status()
        .unwrap();
    assert!(status.success(), "{script}");
}

fn gone(workspace: Workspace) {
    workspace
        .leave()
        .unwrap()
        .expect("its directories")
        .remove()
        .unwrap();
}

#[test]
fn a_workspace_is_fresh_and_gone_afterwards() {
    let work = tempfile::tempdir().unwrap();
    let outside = work.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "x").unwrap();
    let first = Workspace::create(work.path(), 3, "platform", None).unwrap();
    assert!(first.workspace.ends_with("slot-3/platform/platform"));
    sh(
        &first.workspace,
        "mkdir -p a/b 'odd
name' $'\\xff' .hidden; touch a/b/c -- -rf; ln -s / a/root; ln -s ../../../../outside a/out
         mkfifo pipe; chmod 0 a/b; chmod 500 a; chmod 0 'odd
name'; echo x > ../../_home/.bashrc; ln -s loop loop",
    );
    symlink(&outside, first.temp.join("out")).unwrap();
    let second = Workspace::create(work.path(), 3, "platform", None).unwrap();
    assert_eq!(first, second);
    assert_eq!(fs::read_dir(&second.workspace).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&second.home).unwrap().count(), 0);
    gone(second);
    let left: Vec<_> = fs::read_dir(work.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["outside"]);
    assert!(outside.join("kept").exists());
}

#[test]
fn a_very_deep_tree_is_removed() {
    let work = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(work.path(), 0, "p", None).unwrap();
    // Deeper than a path can say, than files can be open, and than a stack would bear.
    let script = "import os\nfor i in range(1500):\n  os.mkdir('deep'); os.chdir('deep')";
    let made = Command::new("python3")
        .args(["-c", script])
        .current_dir(&workspace.workspace)
        .status()
        .unwrap();
    assert!(made.success());
    gone(workspace);
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
}

#[test]
fn a_slot_that_is_a_link_or_a_file_is_only_unlinked() {
    let work = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("kept"), "x").unwrap();
    symlink(outside.path(), work.path().join("slot-0")).unwrap();
    let workspace = Workspace::create(work.path(), 0, "p", None).unwrap();
    assert!(!workspace.root.is_symlink() && outside.path().join("kept").exists());
    wipe(&work.path().join("no-such")).unwrap();
}

#[test]
fn names_of_projects_stay_in_their_place() {
    for (name, directory) in [
        ("web", "web"),
        ("..", "project.."),
        ("a/b", "a-b"),
        ("", "project"),
        ("_temp", "project_temp"),
        (".git", "project.git"),
    ] {
        assert_eq!(directory_name(name), directory);
    }
}

#[test]
fn directories_belong_to_the_jobs_user() {
    let work = tempfile::tempdir().unwrap();
    let own = User {
        uid: nix::unistd::getuid().as_raw(),
        gid: nix::unistd::getgid().as_raw(),
    };
    let user = if own.uid == 0 {
        User {
            uid: 61_999,
            gid: 61_999,
        }
    } else {
        own
    };
    let workspace = Workspace::create(work.path(), 0, "p", Some(user)).unwrap();
    use std::os::unix::fs::MetadataExt;
    for path in [
        &workspace.workspace,
        &workspace.project,
        &workspace.temp,
        &workspace.home,
        &workspace.tmp,
    ] {
        assert_eq!(path.metadata().unwrap().uid(), user.uid, "{}", path.display());
    }
    assert_eq!(workspace.root.metadata().unwrap().uid(), own.uid);
    assert_eq!(
        workspace.root.metadata().unwrap().permissions().mode() & 0o777,
        0o711
    );
    gone(workspace);
}
