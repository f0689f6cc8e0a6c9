//! Real keepers with real processes, killed at every point that matters.

#![allow(clippy::unwrap_used)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pilotage_keep::{ExitKind, Spec, State, Status, client, output};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXE: &str = env!("CARGO_BIN_EXE_keeper-for-tests");

/// A directory whose keeper and process end with the test, however it ends.
struct Kept {
    _root: tempfile::TempDir,
    dir: PathBuf,
}

impl Kept {
    fn new(script: &str, change: impl FnOnce(&mut Spec)) -> Self {
        let root = tempfile::tempdir().unwrap();
        // Deeper than a socket's path may be.
        let dir = root.path().join("deep".repeat(30)).join("replica");
        fs::create_dir_all(&dir).unwrap();
        let mut spec = Spec {
            argv: ["/bin/sh", "-c", script].map(String::from).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: dir.clone(),
            restart_min_ms: 10,
            ..Spec::default()
        };
        change(&mut spec);
        spec.write(&dir).unwrap();
        Kept { _root: root, dir }
    }

    fn up(script: &str) -> Self {
        let kept = Kept::new(script, |_| {});
        client::spawn(Path::new(EXE), &kept.dir).unwrap();
        kept
    }

    fn spawn(&self) {
        client::spawn(Path::new(EXE), &self.dir).unwrap();
    }

    fn status(&self) -> Status {
        client::status(&self.dir).unwrap()
    }

    fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match found() {
                Some(value) => return value,
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                None => panic!("{what}: {:?}, {:?}", self.status(), self.lines()),
            }
        }
    }

    fn child_pid(&self) -> i32 {
        self.until("a child", || self.status().child).pid
    }

    fn kill_keeper(&self) {
        let pid = self.status().keeper_pid;
        kill9(pid);
        self.until("the keeper's end", || {
            client::status(&self.dir).is_err().then_some(())
        });
    }

    fn lines(&self) -> Vec<String> {
        output::tail(&self.dir, 1000, 1 << 20).unwrap()
    }

    fn wait_for_line(&self, line: &str) {
        self.until(line, || self.lines().iter().any(|l| l == line).then_some(()));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let child = client::status(&self.dir).ok().and_then(|s| s.child);
        let _ = child.map(|c| kill(Pid::from_raw(-c.pid), Signal::SIGKILL));
        let _ = client::stop(&self.dir, Duration::from_secs(10)).and_then(|()| client::exit(&self.dir));
    }
}

fn kill9(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

fn alive(pid: i32) -> bool {
    // A zombie that nobody has waited for yet has ended, too.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn the_process_has_exactly_its_environment_and_no_descriptor_of_ours() {
    let kept = Kept::new(
        "grep -E 'Sig(Blk|Ign)' /proc/self/status; env; ls /proc/self/fd | wc -l; pwd; echo done; exec sleep 100",
        |spec| {
            spec.env.push(("SECRET".into(), "two\nlines".into()));
            spec.cwd = "/tmp".into();
        },
    );
    kept.spawn();
    kept.wait_for_line("done");
    let lines = kept.lines();
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|l| l.split_once('='))
        .map(|(name, _)| name)
        .collect();
    // The shell adds its own PWD.
    assert!(
        names
            .iter()
            .all(|n| ["PATH", "SECRET", "PWD", "OLDPWD", "SHLVL", "_"].contains(n)),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"lines".to_owned()) && lines.contains(&"/tmp".to_owned()),
        "{lines:?}"
    );
    // Signals 1 to 31; the two that are libc's own are not ours to change.
    let signals = lines
        .iter()
        .filter_map(|l| u64::from_str_radix(l.split_once(":\t")?.1, 16).ok());
    assert_eq!(
        signals.map(|bits| bits & 0x7fff_ffff).collect::<Vec<_>>(),
        [0, 0],
        "{lines:?}"
    );
    // stdin, stdout, stderr, and the directory that ls reads.
    assert!(lines.contains(&"4".to_owned()), "{lines:?}");
}

#[test]
fn a_killed_keeper_is_followed_by_one_that_adopts() {
    let kept = Kept::up("echo started; while read -r _ </dev/zero; do :; done; exec sleep 100");
    let pid = kept.child_pid();
    kept.kill_keeper();
    assert!(alive(pid));
    kept.spawn();
    assert_eq!(kept.child_pid(), pid);
    assert_eq!((kept.status().state, kept.status().restarts), (State::Running, 0));
    // The successor sees its end, although it is not its parent, and starts the next.
    kill9(pid);
    let status = kept.until("a restart", || {
        Some(kept.status()).filter(|s| s.restarts == 1 && s.child.is_some())
    });
    assert_eq!(
        status.last_exit.map(|e| (e.pid, e.kind)),
        Some((pid, ExitKind::Unknown))
    );
    assert_ne!(status.child.map(|c| c.pid), Some(pid));
}

#[test]
fn both_killed_is_started_again_once() {
    let kept = Kept::up("echo started; exec sleep 100");
    kept.wait_for_line("started");
    let pid = kept.child_pid();
    kept.kill_keeper();
    kill9(pid);
    kept.spawn();
    kept.until("the second start", || (kept.lines().len() == 2).then_some(()));
    assert_ne!(kept.child_pid(), pid);
    assert_eq!(kept.status().restarts, 1);
}

#[test]
fn keepers_killed_at_random_instants_never_leave_two_processes() {
    // Each process marks itself as the only one by a lock that a second could not take.
    let kept = Kept::new(
        "exec 9>only; flock -n 9 || { echo second; exit 1; }; exec sleep 100",
        |spec| {
            spec.restart_max_ms = 10;
        },
    );
    for round in 0..60_u64 {
        let mut keeper = std::process::Command::new(EXE)
            .arg("keep")
            .arg(&kept.dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // From before its first system call until long after the process has executed.
        std::thread::sleep(Duration::from_micros(round * 150));
        keeper.kill().unwrap();
        keeper.wait().unwrap();
        if round % 7 == 0
            && let Ok(text) = fs::read_to_string(kept.dir.join("child"))
        {
            let pid = text
                .split(['=', ' '])
                .nth(1)
                .and_then(|p| p.parse().ok())
                .unwrap();
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    kept.spawn();
    kept.child_pid();
    assert_eq!(kept.lines(), Vec::<String>::new());
}

#[test]
fn two_keepers_of_one_directory_are_one() {
    let kept = Kept::new("echo started; exec sleep 100", |_| {});
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| kept.spawn());
        }
    });
    kept.wait_for_line("started");
    assert_eq!(kept.lines(), ["started"]);
}

#[test]
fn a_crashing_process_waits_longer_each_time() {
    let kept = Kept::up("echo up; exit 3");
    kept.until("five starts", || (kept.status().restarts >= 4).then_some(()));
    assert_eq!(kept.status().last_exit.map(|e| e.kind), Some(ExitKind::Code(3)));
    let exits = fs::read_to_string(kept.dir.join("exits")).unwrap();
    let times: Vec<i64> = exits
        .lines()
        .map(|l| l.split(' ').next().unwrap().parse().unwrap())
        .collect();
    let waits: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    for (wait, least) in waits.iter().zip([10, 20, 40, 80]) {
        assert!(*wait >= least, "{waits:?}");
    }
}

#[test]
fn a_program_that_is_not_there_says_so_in_its_log() {
    let kept = Kept::new("", |spec| spec.argv = vec!["/no/such/program".into()]);
    kept.spawn();
    assert_eq!(
        kept.lines(),
        ["pilotage: cannot execute /no/such/program: No such file or directory (os error 2)"]
    );
    let status = kept.status();
    assert!(matches!(
        status.last_exit.map(|e| e.kind),
        Some(ExitKind::NotStarted(_))
    ));
    assert_eq!(status.state, State::BackingOff);
}

#[test]
fn stop_takes_the_whole_group_and_lasts() {
    let kept = Kept::new(
        "trap 'echo asked; exit 0' TERM; sleep 100 & echo $!; wait",
        |_| {},
    );
    kept.spawn();
    let grandchild: i32 = kept.until("its child", || kept.lines().first().and_then(|l| l.parse().ok()));
    let pid = kept.child_pid();
    client::stop(&kept.dir, Duration::from_secs(10)).unwrap();
    assert!(!alive(pid));
    kept.until("the group's end", || (!alive(grandchild)).then_some(()));
    assert!(kept.lines().contains(&"asked".to_owned()));
    // A new keeper does not start it again, until it is told to.
    kept.kill_keeper();
    kept.spawn();
    assert_eq!((kept.status().state, kept.status().child), (State::Stopped, None));
    client::start(&kept.dir).unwrap();
    kept.child_pid();
}

#[test]
fn a_process_that_does_not_stop_is_killed_after_its_grace() {
    let kept = Kept::new("trap '' TERM; echo deaf; while :; do sleep 1; done", |spec| {
        spec.grace_ms = 150;
    });
    kept.spawn();
    kept.wait_for_line("deaf");
    let begun = Instant::now();
    client::stop(&kept.dir, Duration::from_secs(10)).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(150));
    assert_eq!(kept.status().last_exit.map(|e| e.kind), Some(ExitKind::Signal(9)));
}

#[test]
fn a_keeper_killed_while_stopping_is_followed_by_one_that_stops() {
    let kept = Kept::new("trap '' TERM; echo deaf; while :; do sleep 1; done", |spec| {
        spec.grace_ms = 300;
    });
    kept.spawn();
    kept.wait_for_line("deaf");
    let pid = kept.child_pid();
    assert!(client::stop(&kept.dir, Duration::from_millis(20)).is_err());
    kept.kill_keeper();
    kept.spawn();
    client::stop(&kept.dir, Duration::from_secs(10)).unwrap();
    assert!(!alive(pid));
}

#[test]
fn what_left_the_group_is_ended_with_the_process_and_never_a_zombie() {
    let kept = Kept::new(
        "setsid sh -c 'sleep 0.01; exec sleep 100' & setsid sleep 100 & echo $!; sleep 0.05; exit 1",
        |spec| {
            spec.restart_min_ms = 60_000;
            spec.restart_max_ms = 60_000;
        },
    );
    kept.spawn();
    kept.until("its end", || {
        (kept.status().state == State::BackingOff).then_some(())
    });
    let daemon: i32 = kept.lines()[0].parse().unwrap();
    assert!(!alive(daemon));
    let keeper = kept.status().keeper_pid;
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    assert_eq!(children, "");
}

#[test]
fn orphans_are_waited_for_while_the_process_lives() {
    let kept = Kept::up("(sleep 0.05 & echo $!); exec sleep 100");
    let orphan: i32 = kept.until("its pid", || kept.lines().first().and_then(|l| l.parse().ok()));
    kept.until("its end", || {
        (!Path::new(&format!("/proc/{orphan}")).exists()).then_some(())
    });
    assert_eq!(kept.status().restarts, 0);
}

#[test]
fn a_keeper_with_nothing_to_keep_ends() {
    let kept = Kept::up("exec sleep 100");
    client::stop(&kept.dir, Duration::from_secs(10)).unwrap();
    let keeper = kept.status().keeper_pid;
    kept.until("its end", || (!alive(keeper)).then_some(()));
}

#[test]
fn end_works_from_everywhere() {
    let kept = Kept::up("exec sleep 100");
    let pid = kept.child_pid();
    kept.kill_keeper();
    for _ in 0..2 {
        client::end(Path::new(EXE), &kept.dir, Duration::from_secs(10)).unwrap();
        kept.until("the keeper's end", || {
            client::status(&kept.dir).is_err().then_some(())
        });
        assert!(!alive(pid) && client::is_stopped(&kept.dir));
    }
    assert_eq!(
        fs::read_to_string(kept.dir.join("exits"))
            .unwrap()
            .lines()
            .count(),
        1
    );
}

#[test]
fn the_digest_is_what_lay_beside_the_tree_at_the_start() {
    let kept = Kept::new("exec sleep 100", |spec| {
        spec.digest_file = Some(spec.cwd.join("digest"));
    });
    fs::write(kept.dir.join("digest"), "sha256:one\n").unwrap();
    kept.spawn();
    fs::write(kept.dir.join("digest"), "sha256:two\n").unwrap();
    let pid = kept.child_pid();
    kept.kill_keeper();
    kept.spawn();
    assert_eq!(kept.status().digest.as_deref(), Some("sha256:one"));
    kill9(pid);
    kept.until("a restart", || {
        (kept.status().digest.as_deref() == Some("sha256:two")).then_some(())
    });
}

/// Connects, lets the acceptor die before it accepts, and has a later acceptor serve the same connection.
#[test]
fn a_connection_waits_while_its_acceptor_is_gone() {
    let kept = Kept::up("exec sleep 100");
    let address = free_address();
    let first = TcpListener::from(client::listener(&kept.dir, address).unwrap());
    let mut waiting = TcpStream::connect(address).unwrap();
    waiting.write_all(b"hello").unwrap();
    drop(first);
    let second = TcpListener::from(client::listener(&kept.dir, address).unwrap());
    assert_eq!(kept.status().listeners, [address]);
    second.set_nonblocking(false).unwrap();
    let mut text = [0; 5];
    second.accept().unwrap().0.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello");
    client::unlisten(&kept.dir, address).unwrap();
    drop(second);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_new_keeper_takes_the_sockets_back_from_the_process() {
    let kept = Kept::new("", |spec| {
        let program = "import os, socket, sys, time\n\
            s = socket.socket(socket.AF_UNIX); s.connect('sock'); s.sendall(b'listen %s\\n' % sys.argv[1].encode())\n\
            _, fds, _, _ = socket.recv_fds(s, 100, 1); s.close(); print('listening', flush=True)\n\
            time.sleep(100)";
        spec.listen = vec![free_address()];
        spec.argv = ["python3", "-c", program, &spec.listen[0].to_string()]
            .map(String::from)
            .to_vec();
    });
    // The path of the socket is too long for python; the directory can be entered instead.
    kept.spawn();
    kept.wait_for_line("listening");
    let address = kept.status().listeners[0];
    kept.kill_keeper();
    let _waiting = TcpStream::connect(address).unwrap();
    kept.spawn();
    assert_eq!(kept.status().listeners, [address]);
    kill9(kept.child_pid());
    // Nobody but the new keeper has the socket for a moment, and the connection from before is in it.
    let listener = TcpListener::from(client::listener(&kept.dir, address).unwrap());
    listener.set_nonblocking(false).unwrap();
    listener.accept().unwrap();
}

#[test]
fn a_listener_can_be_given_to_a_keeper() {
    let kept = Kept::up("exec sleep 100");
    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ours.local_addr().unwrap();
    let refused = client::listener(&kept.dir, address).unwrap_err();
    assert!(
        refused.to_string().contains("Address already in use"),
        "{refused}"
    );
    client::hold(&kept.dir, &ours).unwrap();
    drop(ours);
    TcpStream::connect(address).unwrap();
}

#[test]
fn the_output_is_bounded_and_offsets_stay() {
    let script = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo \"$i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"; \
        done; exec sleep 100";
    let kept = Kept::new(script, |spec| spec.log_bytes = 64 << 10);
    kept.spawn();
    let path = kept.dir.join("out");
    use std::os::unix::fs::MetadataExt;
    kept.until("the bound", || {
        let metadata = fs::metadata(&path).ok()?;
        (metadata.len() > 600_000 && metadata.blocks() * 512 <= 100 << 10).then_some(())
    });
    kept.until("the last line", || {
        kept.lines().last().filter(|l| l.starts_with("4000 ")).cloned()
    });
    let lines = kept.lines();
    let first: usize = lines[0].split(' ').next().unwrap().parse().unwrap();
    assert_eq!(first + lines.len() - 1, 4000, "a gap in what is left");
    let part = output::read(&kept.dir, 0, 10).unwrap();
    assert!(part.offset > 500_000, "{}", part.offset);
}

#[test]
fn a_limit_of_memory_is_set() {
    let kept = Kept::new("ulimit -d; exec sleep 100", |spec| {
        spec.memory_bytes = Some(64 << 20);
    });
    kept.spawn();
    kept.wait_for_line("65536");
    assert_eq!(kept.status().memory, "rlimit-data");
}

#[test]
fn sigterm_ends_the_process_and_the_keeper_but_is_no_stop() {
    let kept = Kept::up("exec sleep 100");
    let (pid, keeper) = (kept.child_pid(), kept.status().keeper_pid);
    kill(Pid::from_raw(keeper), Signal::SIGTERM).unwrap();
    kept.until("its end", || {
        (!alive(pid) && client::status(&kept.dir).is_err()).then_some(())
    });
    kept.spawn();
    kept.child_pid();
}

#[test]
fn nonsense_on_the_socket_is_answered_and_hurts_nobody() {
    let kept = Kept::up("exec sleep 100");
    let check = |line: &[u8], expected: &str| {
        let mut stream = pilotage_keep::socket::connect(&kept.dir, "sock").unwrap();
        let _ = stream.write_all(line);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(answer, expected);
    };
    check(b"", "");
    check(b"reboot\n", "error unknown request `reboot`\n\n");
    check(b"listen here\n", "error `here` is no address\n\n");
    check(
        b"listen 127.0.0.1:0\n",
        "error a held socket needs a port of its own\n\n",
    );
    check(b"hold\n", "error no socket came with `hold`\n\n");
    check(b"exit\n", "error the process is not stopped\n\n");
    check(&[b'x'; 100_000], "");
    check(b"\xff\xfe\n", "error unknown request `\u{fffd}\u{fffd}`\n\n");
    kept.child_pid();
}

#[test]
fn a_directory_without_a_spec_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let refused = client::spawn(Path::new(EXE), dir.path()).unwrap_err().to_string();
    assert!(refused.contains("cannot read ./spec: No such file"), "{refused}");
    assert!(matches!(
        client::status(dir.path()),
        Err(pilotage_keep::KeepError::NotRunning { .. })
    ));
}

#[test]
fn a_keeper_is_small() {
    let kept = Kept::up("exec sleep 100");
    kept.child_pid();
    let status = fs::read_to_string(format!("/proc/{}/status", kept.status().keeper_pid)).unwrap();
    let resident = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap();
    let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 1024, "{kilobytes} kB");
}

/// Runs a test again in a process whose temporary folder is a small disk of its own; true inside of it. It needs root,
/// or a system where users may make namespaces.
fn on_a_small_disk(test: &str) -> bool {
    const INSIDE: &str = "PILOTAGE_TEST_SMALL_DISK";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let disk = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("unshare");
    command.arg("--mount");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let script =
        format!("mount -t tmpfs -o size=8m small \"$TMPDIR\" && exec \"$0\" --exact {test} --nocapture");
    command
        .args(["sh", "-c", &script])
        .arg(std::env::current_exe().unwrap());
    let ended = command
        .env(INSIDE, "yes")
        .env("TMPDIR", disk.path())
        .status()
        .unwrap();
    assert!(
        ended.success(),
        "{test} failed on a small disk, or there is none: it needs root, or user namespaces"
    );
    false
}

#[test]
fn a_full_disk_does_not_stop_a_process_that_writes() {
    if !on_a_small_disk("a_full_disk_does_not_stop_a_process_that_writes") {
        return;
    }
    // A line that cannot be written ends it.
    let script = "line=$(head -c 4000 /dev/zero | tr '\\0' x); while echo \"$line\"; do sleep 0.01; done";
    let kept = Kept::new(script, |spec| spec.log_bytes = 4 << 20);
    kept.spawn();
    let child = kept.child_pid();
    let written = || output::end(&kept.dir).unwrap();
    kept.until("some output", || (written() > 600_000).then_some(()));
    let full = || {
        let mut ballast = fs::File::options()
            .create(true)
            .append(true)
            .open(std::env::temp_dir().join("ballast"))?;
        while ballast.write_all(&[1; 4096]).is_ok() {}
        Ok::<_, std::io::Error>(())
    };
    full().unwrap();
    let before = written();
    kept.until("more output", || {
        // Nothing that becomes free is left to it.
        full().ok()?;
        (written() > before + 1_000_000).then_some(())
    });
    assert_eq!(kept.child_pid(), child, "it was started again");
    let part = output::read(&kept.dir, 0, 10).unwrap();
    assert!(part.offset > 0, "the oldest part made room");
}
