//! A server of the real binary in a folder of its own, and what people use beside it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) struct World {
    folder: PathBuf,
    pub(crate) data: PathBuf,
    server: Child,
    pub(crate) url: String,
    listen: String,
    leash: Child,
}

pub(crate) struct Project {
    folder: PathBuf,
    remote: String,
}

impl World {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("pilotage-e2e-")
            .tempdir()
            .unwrap()
            .keep();
        let leash = leash(&folder);
        let data = folder.join("data");
        let (server, url) = serve(&data, "127.0.0.1:0");
        let listen = url.rsplit('/').next().unwrap().replace("localhost", "127.0.0.1");
        Self {
            folder,
            data,
            server,
            url,
            listen,
            leash,
        }
    }

    pub(crate) fn kill_server(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    pub(crate) fn start_server(&mut self) {
        (self.server, self.url) = serve(&self.data, &self.listen);
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.data.join("admin-token"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// What it printed on both outputs, and its exit code.
    pub(crate) fn pilotage(&self, arguments: &[&str]) -> (String, i32) {
        self.pilotage_with(arguments, None)
    }

    /// The client, as this server's administrator.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pilotage"));
        command
            .args(arguments)
            .env("PILOTAGE_URL", &self.url)
            .env("PILOTAGE_TOKEN", self.token())
            .current_dir(&self.folder);
        command
    }

    pub(crate) fn pilotage_with(&self, arguments: &[&str], input: Option<&str>) -> (String, i32) {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.unwrap_or_default().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            String::from_utf8_lossy(&said).into_owned(),
            output.status.code().unwrap_or(-1),
        )
    }

    /// A file beside the checkouts.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder.join(path)).unwrap()
    }

    /// A project on the server, and a checkout with these files committed.
    pub(crate) fn project(&self, name: &str, files: &[(&str, impl AsRef<str>)]) -> Project {
        let (said, status) = self.pilotage(&["project", "create", name]);
        assert_eq!(status, 0, "{said}");
        let folder = self.folder.join(name.replace('/', "-"));
        std::fs::create_dir_all(&folder).unwrap();
        let remote = format!("http://me:{}@{}/{name}.git", self.token(), self.listen);
        let project = Project { folder, remote };
        project.git(&["init", "--quiet", "--initial-branch", "main"]);
        project.commit("Ana", "first", files);
        project
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        drop(self.leash.stdin.take());
        let _ = self.leash.wait();
    }
}

/// Waits until this process lets go of its input, even by being killed, and then ends all that belongs to the folder:
/// what names it on its command line, what works in it, and the folder itself.
fn leash(folder: &Path) -> Child {
    let script = r#"
        cat
        for process in /proc/[0-9]*; do
            pid=${process#/proc/}
            [ "$pid" != $$ ] || continue
            case "$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) $(readlink "$process/cwd")" in
                *"$1"*) kill -9 "$pid" 2>/dev/null ;;
            esac
        done
        rm -rf -- "$1" || { sleep 0.2; rm -rf -- "$1"; }"#;
    Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Project {
    /// These files as they are now, by this author.
    pub(crate) fn commit(&self, author: &str, message: &str, files: &[(&str, impl AsRef<str>)]) {
        for (path, text) in files {
            let path = self.folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.as_ref()).unwrap();
        }
        self.git(&["add", "."]);
        let who = [&format!("user.name={author}"), "user.email=ana@localhost"];
        self.git(&[
            "-c",
            who[0],
            "-c",
            who[1],
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            message,
        ]);
    }

    /// What the push said.
    pub(crate) fn push(&self, branch: &str) -> String {
        self.git(&["push", &self.remote, &format!("HEAD:refs/heads/{branch}")])
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(&self.folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {said}");
        said
    }
}

/// The lines of a log that end in `line N`, whatever stands before them.
pub(crate) fn lines_of(log: &str) -> Vec<String> {
    let number = |line: &str| {
        let (rest, number) = line.trim_end().rsplit_once(' ')?;
        (rest.ends_with("line") && number.parse::<u32>().is_ok()).then(|| format!("line {number}"))
    };
    log.lines().filter_map(number).collect()
}

fn serve(data: &Path, listen: &str) -> (Child, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_pilotage"))
        .args(["serve", "--listen", listen, "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let url = line
        .trim()
        .strip_prefix("ready ")
        .unwrap_or_else(|| panic!("the server did not start: {line}"));
    (server, url.to_owned())
}
