use super::*;
use std::fs;

struct Fixture {
    _temp: tempfile::TempDir,
    files: CommandFiles,
}

fn fixture() -> Fixture {
    let temp = tempfile::tempdir().unwrap();
    let files = CommandFiles::create(temp.path(), None).unwrap();
    Fixture { _temp: temp, files }
}

fn path(step: &StepFiles<'_>, variable: &str) -> PathBuf {
    step.env()
        .into_iter()
        .find(|(k, _)| k == variable)
        .map(|(_, v)| v.into())
        .unwrap()
}

#[test]
fn what_a_step_writes_is_read_and_removed() {
    let fixture = fixture();
    let step = fixture.files.step("1").unwrap();
    fs::write(
        path(&step, "GITHUB_ENV"),
        "A=1\nnode_options=--require evil\nB<<E\nx\ny\nE\n",
    )
    .unwrap();
    fs::write(path(&step, "GITHUB_OUTPUT"), "\u{feff}o=ü\nbad\n").unwrap();
    fs::write(path(&step, "GITHUB_STATE"), "s=\n").unwrap();
    fs::write(path(&step, "GITHUB_PATH"), "/a\r\n\n/b\n").unwrap();
    fs::write(path(&step, "GITHUB_STEP_SUMMARY"), "# Done\n").unwrap();
    let env = path(&step, "GITHUB_ENV");
    let effects = step.read();
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    assert_eq!(effects.env, [pair("A", "1"), pair("B", "x\ny")]);
    assert_eq!(effects.outputs, [pair("o", "ü")]);
    assert_eq!(effects.state, [pair("s", "")]);
    assert_eq!(effects.paths, ["/a", "/b"]);
    assert_eq!(effects.summary.as_deref(), Some("# Done\n"));
    let faults: Vec<String> = effects
        .faults
        .iter()
        .map(|f| format!("{f} ({})", f.fails))
        .collect();
    assert_eq!(
        faults,
        [
            "GITHUB_ENV: `NODE_OPTIONS` cannot be set by this file (false)",
            "GITHUB_OUTPUT line 2: `bad` is neither `name=value` nor `name<<DELIMITER` (true)",
        ]
    );
    assert!(!env.exists());
    assert_eq!(fixture.files.step("2").unwrap().read(), FileEffects::default());
}

/// What a step may put in the place of its file, and what is said of it.
#[test]
fn a_step_cannot_make_us_read_something_else() {
    let fixture = fixture();
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "stolen=1\n").unwrap();
    type Replace = fn(&Path, &Path);
    let replace: [(&str, &str, Replace); 5] = [
        ("symbolic link", "symbolic link", |p, s| {
            std::os::unix::fs::symlink(s, p).unwrap();
        }),
        ("hard link", "something else", |p, s| fs::hard_link(s, p).unwrap()),
        ("directory", "something else", |p, _| fs::create_dir(p).unwrap()),
        ("pipe", "something else", |p, _| {
            nix::unistd::mkfifo(p, Mode::S_IRWXU).unwrap();
        }),
        ("too much", "more than the 16 MiB", |p, _| {
            File::create(p).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        }),
    ];
    for (what, message, make) in replace {
        let step = fixture.files.step(what).unwrap();
        let path = path(&step, "GITHUB_OUTPUT");
        fs::remove_file(&path).unwrap();
        make(&path, secret.path());
        let effects = step.read();
        assert!(effects.outputs.is_empty(), "{what}");
        assert!(
            effects
                .faults
                .iter()
                .any(|f| f.message.contains(message) && f.fails),
            "{what}: {:?}",
            effects.faults
        );
    }
}

#[test]
fn a_summary_that_is_too_large_is_left_out_and_fails_nothing() {
    let fixture = fixture();
    let step = fixture.files.step("1").unwrap();
    fs::write(path(&step, "GITHUB_STEP_SUMMARY"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    let effects = step.read();
    assert_eq!(effects.summary, None);
    assert!(
        effects
            .faults
            .iter()
            .all(|f| !f.fails && f.variable == "GITHUB_STEP_SUMMARY"),
        "{:?}",
        effects.faults
    );
    assert_eq!(effects.faults.len(), 1);
}
