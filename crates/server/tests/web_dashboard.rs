//! The overview: what it says of real runs, and that it shows nothing to those who may not see it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use pilotage_api::runner::Conclusion;
use reqwest::redirect::Policy;
use support::World;
use support::reader::Reader;

const FILE: &str = "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: ./test\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_default_branch_and_a_run_that_goes_on_are_on_the_overview() {
    let world = World::new().await;
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .build()
        .unwrap();
    let body = format!("token={}", world.admin);
    let signed = client
        .post(format!("{}/login", world.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    let cookie = signed.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let page = || async {
        let request = client.get(&world.url).header("cookie", &cookie);
        request.send().await.unwrap().text().await.unwrap()
    };
    assert!(page().await.contains("Push a project to begin"));

    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", FILE);
    checkout.commit("first");
    checkout.push(&["main"]);
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    let lease = runner.lease().await;
    runner.ack(&lease).await.unwrap();
    assert!(
        page().await.contains("1 run · 0 jobs queued · 1 of 4 slots busy"),
        "it runs now"
    );
    runner.finish(&lease, Conclusion::Failure, 0).await.unwrap();
    world
        .until("runs/1", |run| run["run"]["status"] == "completed")
        .await;
    let html = page().await;
    assert!(
        html.contains("is broken")
            && html.contains("action=\"/o/p/runs/1/rerun\"")
            && html.contains("href=\"/o/p/runs/1\"")
            && html.contains("last 1 runs: 0 passed, 1 failed"),
        "{html}"
    );

    let outside = client.get(&world.url).send().await.unwrap();
    assert_eq!(outside.status(), 303);
    assert!(!outside.text().await.unwrap().contains("is broken"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_on_the_overview_of_those_who_may_give_it() {
    let world = World::new().await;
    let checkout = world.project().await;
    let rules = serde_json::json!({"reviewers": ["bo"]});
    let path = "projects/o/p/environments/production/rules";
    world.send(reqwest::Method::PUT, path, rules).await;
    let file = FILE.replace("    steps", "    environment: production\n    steps");
    checkout.write(".github/workflows/ci.yml", &file);
    checkout.commit("first");
    checkout.push(&["main"]);
    world
        .until("projects/o/p/environments", |all| {
            all[0]["waiting"]
                .as_array()
                .is_some_and(|waiting| !waiting.is_empty())
        })
        .await;
    let bo = Reader::new(&world, &world.token("bo", "person", &["read", "deploy"]).await).await;
    let kim = Reader::new(&world, &world.token("kim", "person", &["read", "deploy"]).await).await;
    let page = bo.get("/").await.text;
    assert!(
        page.contains("waits for your approval") && page.contains("href=\"/o/p/runs/1\">Review"),
        "{page}"
    );
    assert!(!kim.get("/").await.text.contains("waits for your approval"));
    // The filter stays in the address, and reads names and states.
    for (filter, found) in [("O/P", true), ("status:failed", false), ("other", false)] {
        let page = bo.get(&format!("/?q={filter}")).await.text;
        assert_eq!(page.contains("<b>p</b>"), found, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_away_stays_away_for_one_person_and_can_be_brought_back() {
    let world = World::new().await;
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", FILE);
    checkout.commit("first");
    checkout.push(&["main"]);
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    let lease = runner.lease().await;
    runner.ack(&lease).await.unwrap();
    runner.finish(&lease, Conclusion::Failure, 0).await.unwrap();
    world
        .until("runs/1", |run| run["run"]["status"] == "completed")
        .await;
    let admin = Reader::new(&world, &world.admin).await;
    let bo = Reader::new(&world, &world.token("bo", "person", &["read"]).await).await;
    let needs = |text: &str| {
        let section = text
            .split("id=\"needs\"")
            .nth(1)
            .unwrap()
            .split("</section>")
            .next()
            .unwrap()
            .to_owned();
        let (needs, away) = section.split_once("id=\"away\"").unwrap_or((&section, ""));
        (needs.contains("is broken"), away.contains("is broken"))
    };
    assert_eq!(needs(&admin.get("/").await.text), (true, false));
    let key = [("key", "run 1 1")];
    let answer = admin.post("/needs/away", &key).await;
    assert_eq!((answer.status, answer.location.as_str()), (303, "/"));
    assert_eq!(needs(&admin.get("/").await.text), (false, true));
    assert_eq!(
        needs(&bo.get("/").await.text),
        (true, false),
        "bo has put nothing away"
    );
    admin.post("/needs/back", &key).await;
    assert_eq!(needs(&admin.get("/").await.text), (true, false));

    // A script is told where a form leads, and why it is refused.
    let scripted = |fields: Vec<(&'static str, String)>| {
        let request = admin.client.post(format!("{}/needs/away", admin.url));
        let body = serde_urlencoded::to_string(fields).unwrap();
        request
            .header("cookie", &admin.cookie)
            .header("content-type", support::reader::FORM)
            .header("x-form", "1")
            .body(body)
            .send()
    };
    let csrf = || ("csrf", admin.csrf.clone());
    let answer = scripted(vec![csrf(), ("key", "run 1 1".to_owned())])
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-location"]),
        (204, &"/".parse().unwrap())
    );
    for (fields, status, why) in [
        (vec![csrf(), ("key", "x".repeat(500))], 400, "can be put away"),
        (
            vec![("key", "run 1 1".to_owned())],
            403,
            "not of your present session",
        ),
    ] {
        let answer = scripted(fields).await.unwrap();
        assert_eq!(answer.status(), status);
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(kind, "application/json");
        let text = answer.text().await.unwrap();
        assert!(text.contains(why) && !text.contains('<'), "{text}");
    }
}
