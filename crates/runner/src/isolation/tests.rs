use super::*;
use crate::process::{Captured, JobProcesses, Ladder, Program, Stop};
use std::sync::Arc;

/// A platform with secrets beside a slot's own directory.
struct Platform {
    root: tempfile::TempDir,
}

impl Platform {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("data/master.key", "CANARY"),
            ("data/db/state.sqlite", "CANARY"),
            ("data/work/slot-1/p/secret", "CANARY"),
            ("data/work/slot-0/p/own", "own file"),
            ("beside/file", "beside"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        // A way around: a link beside the data that leads into it.
        std::os::unix::fs::symlink(root.path().join("data"), root.path().join("link")).unwrap();
        for open in [
            "",
            "data",
            "data/work",
            "data/work/slot-0",
            "data/work/slot-0/p",
            "beside",
        ] {
            fs::set_permissions(root.path().join(open), fs::Permissions::from_mode(0o777)).unwrap();
        }
        Self { root }
    }

    fn settings(&self, first_user: Option<u32>) -> Settings {
        let data = self.root.path().join("data");
        Settings {
            work: data.join("work"),
            protected: vec![data],
            first_user,
        }
    }

    /// What a script prints that runs in slot 0.
    async fn run(&self, isolation: &Isolation, script: &str) -> String {
        let own = self.root.path().join("data/work/slot-0");
        let rules = isolation.rules(0, &[&own]).unwrap();
        let job = JobProcesses::new(format!("isolation_{}", std::process::id()), Arc::new(rules));
        let env = [
            ("PATH", crate::shell::DEFAULT_PATH.to_owned()),
            ("R", self.root.path().display().to_string()),
        ];
        let program = Program {
            path: "/bin/bash".into(),
            args: vec!["-c".into(), script.into()],
            env: env.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            cwd: own,
            timeout: None,
            ladder: Ladder::default(),
        };
        let mut output = Captured::new(1024 * 1024);
        job.run(&program, &Stop::default(), &mut output).await.unwrap();
        job.end().await;
        String::from_utf8_lossy(&output.bytes).into_owned()
    }
}

/// Looks for canaries in every way that a script has, by the platform's own process too; `$1` is its pid.
const HUNT: &str = r#"
    exec 2>/dev/null
    cat $R/data/master.key $R/data/db/* $R/data/work/slot-1/p/* $R/link/master.key
    cat $R/data/work/slot-0/../../master.key /proc/self/root$R/data/master.key
    cat /proc/$PPID/environ /proc/$PPID/root$R/data/master.key /proc/$PPID/cwd/$R/data/master.key
    ln $R/data/master.key own-link; cat own-link; mv $R/data/master.key .; cat master.key
    cp -r $R/data .; grep -r CANARY . $R
    head -c 10 /proc/$PPID/mem && echo CANARY memory
    echo x > $R/data/planted && echo CANARY written
    echo x > $R/data/work/slot-1/planted && echo CANARY written
    for disk in $(ls /dev | grep '^[svh]d[a-z]*$\|^nvme'); do [ -b /dev/$disk ] && head -c 1 /dev/$disk | sed 's/.*/CANARY disk/'; done
    for fd in 3 4 5 6 7 8 9; do cat <&$fd; done
    ls /proc/self/fd | grep -v '^[0-3]$' | sed 's/^/CANARY fd /'
    true"#;

#[tokio::test]
async fn a_job_hunts_for_canaries_and_finds_none() {
    let platform = Platform::new();
    protect_this_process().unwrap();
    let mut isolation = Isolation::detect(&platform.settings(None));
    if isolation.landlock.is_some() {
        let found = platform.run(&isolation, HUNT).await;
        assert_eq!(found, "", "{}", isolation.describe());
    }
    // The hunt finds them where nothing protects: it is a hunt.
    isolation = Isolation::off();
    assert!(platform.run(&isolation, HUNT).await.contains("CANARY"));
}

#[tokio::test]
async fn a_job_can_work_in_its_own_place_and_beside_the_data() {
    let platform = Platform::new();
    let isolation = Isolation::detect(&platform.settings(None));
    let script = "cat p/own; echo; cat $R/beside/file; echo; echo x > p/new && mkdir -p p/d && mv p/new p/d/ && cat p/d/new
        echo y > $R/beside/new && cat $R/beside/new && ls $R >/dev/null && python3 -c 'print(1)'; cat < /dev/null
        echo err > /dev/stderr; t=$(mktemp -p $PWD/p) && rm $t && echo temp; (echo sub | cat) ";
    let text = platform.run(&isolation, script).await;
    assert_eq!(text, "own file\nbeside\nx\ny\n1\nerr\ntemp\nsub\n");
}

#[tokio::test]
async fn a_job_of_a_root_server_runs_as_its_own_user() {
    let platform = Platform::new();
    // The data itself is closed to other users, its directory can be passed through.
    fs::set_permissions(
        platform.root.path().join("data/master.key"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    fs::set_permissions(
        platform.root.path().join("data/db"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    fs::set_permissions(
        platform.root.path().join("data/work/slot-1"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    let isolation = Isolation::detect(&platform.settings(Some(FIRST_USER)));
    if !nix::unistd::geteuid().is_root() {
        assert_eq!(isolation.no_user_because.as_deref(), Some("it is not root"));
        return;
    }
    assert_eq!(
        isolation.user(2),
        Some(User {
            uid: FIRST_USER + 2,
            gid: FIRST_USER + 2
        })
    );
    let script =
        "id -u; id -g; id -G; cat /etc/shadow >/dev/null 2>&1 || echo no shadow; echo e > /dev/stderr
        kill -0 $PPID 2>/dev/null || echo no signal; echo x > p/mine && stat -c %u p/mine";
    let id = FIRST_USER.to_string();
    let text = platform.run(&isolation, script).await;
    assert_eq!(text, format!("{id}\n{id}\n{id}\nno shadow\ne\nno signal\n{id}\n"));
    // Where the kernel has no Landlock, the user alone has to hold.
    let without = Isolation {
        landlock: None,
        ..isolation
    };
    assert_eq!(
        platform
            .run(&without, &HUNT.replace("echo x > $R/data/planted", "false"))
            .await,
        ""
    );
}

#[test]
fn what_holds_is_said() {
    let with = |landlock, first_user, because: Option<&str>| Isolation {
        landlock,
        first_user,
        no_user_because: because.map(str::to_owned),
        ..Isolation::default()
    };
    for (isolation, said) in [
        (
            with(Some(7), Some(61_000), None),
            "users of their own from 61000 on, shut off from the data directory by Landlock 7",
        ),
        (
            with(Some(7), None, Some("it is not root")),
            "run as the user of this process (it is not root)",
        ),
        (with(None, Some(61_000), None), "this kernel has no Landlock"),
        (Isolation::off(), "every job is trusted"),
    ] {
        assert!(isolation.describe().contains(said), "{}", isolation.describe());
    }
}

#[test]
fn a_work_directory_that_others_cannot_enter_is_named() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let settings = Settings {
        work: closed.path().to_owned(),
        protected: vec![],
        first_user: Some(FIRST_USER),
    };
    let isolation = Isolation::detect(&settings);
    assert_eq!(isolation.user(0), None);
    assert!(
        isolation.describe().contains("cannot be entered by other users"),
        "{}",
        isolation.describe()
    );
}

#[test]
fn a_path_keeps_what_others_can_enter() {
    let closed = tempfile::tempdir().unwrap();
    fs::create_dir(closed.path().join("bin")).unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}/bin:/usr/bin:/no/such:/bin", closed.path().display());
    assert_eq!(path_for_others(&path), "/usr/bin:/bin");
}
