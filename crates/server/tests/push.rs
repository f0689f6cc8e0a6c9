//! From `git push` to a run that is over, with a real git client.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use pilotage_api::runner::Conclusion;
use support::World;

const CI: &str =
    "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hello\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_starts_a_run_and_says_so() {
    let world = World::new().await;
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", CI);
    let sha = checkout.commit("Fix login redirect");
    let said = checkout.push(&["main"]);
    let (url, short) = (world.server.as_ref().unwrap().url(), &sha[..7]);
    assert_eq!(
        said,
        format!(
            "◐ ci.yml  push to main  {short} Fix login redirect   1 job\n  pilotage run watch 1\n  {url}/o/p/runs/1\n"
        )
    );
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    let lease = runner.lease().await;
    assert_eq!(
        (lease.job, lease.spec.run_id, lease.spec.job_key.as_str()),
        (1_000_000, 1, "test")
    );
    assert_eq!(lease.spec.contexts["github"]["sha"], sha);
    assert_eq!(
        lease.spec.contexts["github"]["event"]["head_commit"]["message"],
        "Fix login redirect"
    );
    assert_eq!(lease.spec.contexts["github"]["token"], lease.token);
    assert_eq!(lease.git_path, "/o/p.git");
    // A job's token clones its project, and nothing else.
    let clone = checkout.run(&["ls-remote", &world.remote("o/p", &lease.token)]);
    assert!(String::from_utf8_lossy(&clone.stdout).contains(&sha));
    let push = checkout.run(&["push", &world.remote("o/p", &lease.token), "main:refs/heads/evil"]);
    assert!(!push.status.success());
    runner.ack(&lease).await.unwrap();
    assert_eq!(runner.log(&lease, 1, 0, "hello\n").await, Ok(1));
    assert_eq!(
        runner
            .finish(&lease, Conclusion::Success, 1)
            .await
            .unwrap()
            .missing,
        None
    );
    assert_eq!(
        runner.ask_lease(0, 0).await.unwrap().lease.map(|lease| lease.job),
        None
    );
    let run = world.get("runs/1").await;
    assert_eq!(
        (&run["run"]["status"], &run["run"]["conclusion"]),
        (&"completed".into(), &"success".into()),
        "{run}"
    );
    let dead = checkout.run(&["ls-remote", &world.remote("o/p", &lease.token)]);
    assert!(!dead.status.success(), "a job's token dies with its lease");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_workflow_is_shown_underlined_and_the_commits_are_kept() {
    let world = World::new().await;
    let checkout = world.project().await;
    checkout.write(
        ".github/workflows/ci.yml",
        &CI.replace("    steps:", "    needs: [biuld]\n    steps:"),
    );
    let sha = checkout.commit("wrong");
    let said = checkout.push(&["main"]);
    assert!(
        said.starts_with("✕ .github/workflows/ci.yml starts nothing: 1 fault\n\nerror["),
        "{said}"
    );
    assert!(said.contains("--> .github/workflows/ci.yml:5:13"), "{said}");
    assert!(
        said.contains("    needs: [biuld]\n") && said.contains("^^^^^"),
        "{said}"
    );
    assert!(
        said.ends_with("Your commits are stored. `pilotage lint` finds this before a push.\n"),
        "{said}"
    );
    assert!(checkout.git(&["ls-remote", "origin"]).contains(&sha));
    assert_eq!(world.get("runs").await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_skips_are_respected_on_real_data() {
    let world = World::new().await;
    let checkout = world.project().await;
    let filtered = CI.replace(
        "on: push",
        "on:\n  push:\n    branches: [main, 'release/**']\n    paths: ['src/**']",
    );
    checkout.write(".github/workflows/ci.yml", &filtered);
    checkout.write(
        ".github/workflows/tag.yml",
        &CI.replace("on: push", "on: {push: {tags: ['v*']}}"),
    );
    checkout.write("src/a", "1");
    checkout.commit("first");
    let names = |said: &str| -> Vec<String> {
        let started = said.lines().filter_map(|line| line.strip_prefix("◐ "));
        started
            .map(|line| line.split("  ").take(2).collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(names(&checkout.push(&["main"])), ["ci.yml push to main"]);
    checkout.write("docs/b", "1");
    checkout.commit("docs only");
    let said = checkout.push(&["main"]);
    assert_eq!(names(&said), Vec::<String>::new());
    assert!(
        said.contains("⇢ .github/workflows/ci.yml starts nothing: paths: ['src/**'] takes none of"),
        "{said}"
    );
    checkout.write("src/a", "2");
    checkout.commit("src [skip ci]");
    assert_eq!(names(&checkout.push(&["main"])), Vec::<String>::new());
    checkout.write("src/a", "3");
    checkout.commit("src");
    assert_eq!(names(&checkout.push(&["main:feature"])), Vec::<String>::new());
    assert_eq!(
        names(&checkout.push(&["main", "main:release/a'\"$(x)`b"])),
        ["ci.yml push to main", "ci.yml push to release/a'\"$(x)`b"]
    );
    checkout.git(&["tag", "-a", "v1", "-m", "one"]);
    assert_eq!(names(&checkout.push(&["v1"])), ["tag.yml push to v1"]);
    assert_eq!(
        names(&checkout.push(&["--delete", "feature"])),
        Vec::<String>::new()
    );
    checkout.git(&["commit", "--quiet", "--amend", "-m", "forced"]);
    checkout.write("src/a", "4");
    checkout.git(&["commit", "--quiet", "-am", "and more"]);
    assert_eq!(
        names(&checkout.push(&["--force", "main"])),
        ["ci.yml push to main"]
    );
    let newest = &world.get("runs?limit=1&project=o/p&branch=main").await[0];
    assert_eq!(newest["title"], "and more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_refs_and_options_are_refused_in_gits_own_words() {
    let world = World::new().await;
    let checkout = world.project().await;
    checkout.write("a", "1");
    checkout.commit("first");
    let refused = checkout.run(&["push", "origin", "HEAD:refs/pilotage/x"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && text.contains("only refs/heads/… and refs/tags/… are taken"),
        "{text}"
    );
    let option = checkout.run(&["push", "-o", "a;b", "origin", "HEAD:refs/heads/main"]);
    assert!(!option.status.success());
    assert!(!checkout.git(&["ls-remote", "origin"]).contains("refs/"));
    let unknown = checkout.run(&[
        "push",
        &world.remote("o/other", &world.admin),
        "HEAD:refs/heads/main",
    ]);
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("not found"),
        "an unknown project is not made"
    );
    let nobody = checkout.run(&["ls-remote", &world.remote("o/p", "nonsense")]);
    assert!(!nobody.status.success());
    let reader = world.token("reader", "person", &["read"]).await;
    assert!(
        checkout
            .run(&["ls-remote", &world.remote("o/p", &reader)])
            .status
            .success()
    );
    assert!(
        !checkout
            .run(&["push", &world.remote("o/p", &reader), "HEAD:refs/heads/main"])
            .status
            .success()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_push_is_streamed_and_unpacked() {
    let world = World::new().await;
    let checkout = world.project().await;
    // Not compressible, larger than git's buffer for one post: it is sent in chunks.
    let mut bytes = vec![0_u8; 3_000_000];
    let mut state = 1_u64;
    bytes.iter_mut().for_each(|byte| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (state >> 33) as u8;
    });
    std::fs::write(checkout.path.join("large"), &bytes).unwrap();
    let sha = checkout.commit("large");
    checkout.git(&["-c", "http.postBuffer=65536", "push", "--quiet", "origin", "main"]);
    let clone = world.checkout("o/p-clone");
    clone.git(&[
        "fetch",
        "--quiet",
        "--depth=1",
        &world.remote("o/p", &world.admin),
        &sha,
    ]);
    clone.git(&["checkout", "--quiet", &sha]);
    assert_eq!(std::fs::read(clone.path.join("large")).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ref_that_moved_while_nobody_looked_becomes_one_event() {
    let mut world = World::new().await;
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", CI);
    checkout.commit("one");
    checkout.push(&["main"]);
    let bare = world.data().join("repositories/1.git");
    checkout.write("a", "2");
    let sha = checkout.commit("two");
    // As if the server had died between git's move and its own transaction.
    checkout.git(&["push", "--quiet", bare.to_str().unwrap(), "main"]);
    for _ in 0..2 {
        world.restart().await;
        let runs = world.get("runs").await;
        let seen: Vec<_> = runs
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["sha"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            (seen.len(), &seen[0]),
            (2, &sha),
            "one event, however often it is looked at"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_nobody_looked_at_before_the_server_died_starts_its_run_once() {
    let mut world = World::new().await;
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", CI);
    let sha = checkout.commit("one");
    checkout.push(&["main"]);
    drop(world.server.take());
    // As if it had died between the event and its runs.
    let store = pilotage_store::Store::open(&world.data()).await.unwrap();
    store.remove_run(1).await.unwrap();
    store
        .write(|c| Box::pin(async move { c.set_event_outcome(1, "").await }))
        .await
        .unwrap();
    drop(store);
    for _ in 0..2 {
        world.restart().await;
        let runs = world.get("runs").await;
        assert_eq!(
            (runs.as_array().unwrap().len(), &runs[0]["id"], &runs[0]["sha"]),
            (1, &2.into(), &sha.clone().into())
        );
    }
}

const IN_VAIN: &str = "on:\n  pull_request:\n    branches: [main]\n  push:\n    branches: [main]\n";
const BY_THE_CLOCK: &str = "on:\n  schedule:\n    - cron: '0 3 * * *'\n";

/// Nobody waits for a pull request or a night in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_that_never_start_anything_are_said() {
    let world = World::new().await;
    let checkout = world.project().await;
    let jobs = "jobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hello\n";
    checkout.write(".github/workflows/ci.yml", &format!("{IN_VAIN}{jobs}"));
    checkout.write(".github/workflows/nightly.yml", &format!("{BY_THE_CLOCK}{jobs}"));
    checkout.commit("Nightly");
    let said = checkout.push(&["main"]);
    let notices: Vec<&str> = said.lines().filter(|line| line.starts_with('⇢')).collect();
    assert_eq!(
        notices,
        [
            "⇢ ci.yml is not started by pull_request here: this server has no pull requests yet",
            "⇢ nightly.yml never starts here: it waits for schedule, and this server keeps no schedules yet",
        ],
        "{said}"
    );
    // The same where nothing starts, and then the filter that said no as well.
    checkout.git(&["checkout", "--quiet", "-b", "fix"]);
    checkout.commit("Fix");
    let said = checkout.push(&["fix"]);
    assert!(
        said.contains("⇢ .github/workflows/ci.yml starts nothing: branches:")
            && said.contains("⇢ nightly.yml never starts here"),
        "{said}"
    );
    assert!(!said.contains("does not name push"), "{said}");
}
