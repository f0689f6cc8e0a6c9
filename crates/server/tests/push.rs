//! From `git push` to a run that is over, with a real git client.

mod support;

use pilotage_api::runner::Conclusion;
use support::World;

const CI: &str =
    "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hello\n";

#[tokio::test]
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
    assert_eq!(lease.spec.contexts["github"]["token"], lease.token);
    assert_eq!(lease.git_path, "/o/p.git");
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
}
