//! Notifications from what happens to a receiver that takes them as strictly as Slack does, through deaths and
//! refusals.

mod support;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use support::{Checkout, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What a receiver got.
#[derive(Clone, Debug)]
struct Got {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// What it does with the next request, whatever that is. Afterwards it judges.
enum Whim {
    Answer(&'static str),
    /// Says nothing and keeps the connection.
    Silence,
}

/// Takes messages on loopback: at `/services/…` as Slack does, at `/v2/enqueue` as PagerDuty, elsewhere anything.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    whims: Arc<Mutex<VecDeque<Whim>>>,
    changed: Arc<Notify>,
}

impl Receiver {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let receiver = Self {
            port,
            got: Arc::default(),
            whims: Arc::default(),
            changed: Arc::default(),
        };
        let (got, whims, changed) = (
            Arc::clone(&receiver.got),
            Arc::clone(&receiver.whims),
            Arc::clone(&receiver.changed),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (got, whims, changed) = (Arc::clone(&got), Arc::clone(&whims), Arc::clone(&changed));
                tokio::spawn(async move { serve(stream, &got, &whims, &changed).await });
            }
        });
        receiver
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn whim(&self, whim: Whim) {
        self.whims.lock().expect("whims").push_back(whim);
    }

    /// The first `n` that it got, once there are so many.
    async fn wait_for(&self, n: usize) -> Vec<Got> {
        let all = async {
            loop {
                let changed = self.changed.notified();
                let got = self.got.lock().expect("what it got").clone();
                if got.len() >= n {
                    return got;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(20), all).await {
            Ok(got) => got,
            Err(_) => panic!(
                "{n} were waited for: {:#?}",
                self.got.lock().expect("what it got")
            ),
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    got: &Mutex<Vec<Got>>,
    whims: &Mutex<VecDeque<Whim>>,
    changed: &Notify,
) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let whim = whims.lock().expect("whims").pop_front();
    let (status, body) = judge(&request);
    got.lock().expect("what it got").push(request);
    let answer = match whim {
        Some(Whim::Answer(answer)) => answer.to_owned(),
        Some(Whim::Silence) => {
            changed.notify_one();
            let _ = stream.read(&mut [0]).await;
            return;
        }
        None => format!("{status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    };
    let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
    changed.notify_one();
}

async fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let (head, rest) = loop {
        let mut chunk = vec![0; 8192];
        let length = stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&chunk[..length]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break (
                String::from_utf8_lossy(&bytes[..end]).into_owned(),
                bytes[end + 4..].to_vec(),
            );
        }
    };
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut got = Got {
        path,
        headers,
        body: rest,
    };
    let length: usize = got.header("content-length").parse().ok()?;
    while got.body.len() < length {
        let mut chunk = vec![0; 8192];
        let read = stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        got.body.extend_from_slice(&chunk[..read]);
    }
    Some(got)
}

/// As Slack's incoming webhooks and PagerDuty's events say it.
fn judge(got: &Got) -> (&'static str, &'static str) {
    if got.path.starts_with("/services/") {
        return slack(got);
    }
    if got.path == "/v2/enqueue" {
        return pagerduty(got);
    }
    ("204 No Content", "")
}

fn slack(got: &Got) -> (&'static str, &'static str) {
    const BAD: &str = "400 Bad Request";
    if !got.path.starts_with("/services/T0/B0/") {
        return ("404 Not Found", "no_service");
    }
    let Ok(Json::Object(body)) = serde_json::from_slice(&got.body) else {
        return (BAD, "invalid_payload");
    };
    let is_json = got.header("content-type").starts_with("application/json");
    if !is_json || got.body.len() > 40_000 {
        return (BAD, "invalid_payload");
    }
    let known = [
        "text",
        "blocks",
        "mrkdwn",
        "unfurl_links",
        "unfurl_media",
        "attachments",
    ];
    if body.keys().any(|key| !known.contains(&key.as_str())) {
        return (BAD, "invalid_payload");
    }
    let text = body.get("text").and_then(Json::as_str).unwrap_or_default();
    let blocks = body
        .get("blocks")
        .and_then(Json::as_array)
        .cloned()
        .unwrap_or_default();
    if text.is_empty() && blocks.is_empty() {
        return (BAD, "no_text");
    }
    let text_is_sound = |text: &Json| {
        let length = text["text"].as_str().map_or(0, |text| text.chars().count());
        let kind_is_sound = match text["type"].as_str() {
            Some("plain_text") => text.get("verbatim").is_none(),
            Some("mrkdwn") => text.get("emoji").is_none(),
            _ => false,
        };
        kind_is_sound && (1..=3000).contains(&length)
    };
    let is_sound = |block: &Json| match block["type"].as_str() {
        Some("section") => text_is_sound(&block["text"]),
        Some("context") => block["elements"]
            .as_array()
            .is_some_and(|all| (1..=10).contains(&all.len()) && all.iter().all(text_is_sound)),
        _ => false,
    };
    if blocks.len() > 50 || !blocks.iter().all(is_sound) {
        return (BAD, "invalid_blocks");
    }
    ("200 OK", "ok")
}

fn pagerduty(got: &Got) -> (&'static str, &'static str) {
    let Ok(body) = serde_json::from_slice::<Json>(&got.body) else {
        return ("400 Bad Request", "{\"status\":\"invalid event\"}");
    };
    let text = |value: &Json, most: usize| value.as_str().is_some_and(|t| (1..=most).contains(&t.len()));
    let payload = &body["payload"];
    let sound = body["routing_key"] == "R0UT1NG"
        && matches!(
            body["event_action"].as_str(),
            Some("trigger" | "acknowledge" | "resolve")
        )
        && text(&body["dedup_key"], 255)
        && text(&payload["summary"], 1024)
        && text(&payload["source"], 1024)
        && matches!(
            payload["severity"].as_str(),
            Some("critical" | "error" | "warning" | "info")
        );
    if sound {
        (
            "202 Accepted",
            "{\"status\":\"success\",\"message\":\"Event processed\",\"dedup_key\":\"x\"}",
        )
    } else {
        ("400 Bad Request", "{\"status\":\"invalid event\"}")
    }
}

/// A world with one project, whose deployments wait for bo, and whose release cannot start.
struct Stage {
    world: World,
    checkout: Checkout,
    receiver: Receiver,
}

impl Stage {
    async fn new(notify: &str) -> Self {
        let receiver = Receiver::new().await;
        let pagerduty = receiver.url("/v2/enqueue");
        let world = World::configured(move |config| {
            config.outgoing.allow = pilotage_server::Allowed::parse("127.0.0.1/32")
                .into_iter()
                .collect();
            config.outgoing.pagerduty.clone_from(&pagerduty);
        })
        .await;
        let checkout = world.project().await;
        let plan = format!(
            "services: {{web: {{run: 'true'}}}}\nenvironments: {{production: {{url: 'http://localhost:1'}}}}\nnotify:\n{notify}"
        );
        checkout.write("pilotage.yml", &plan.replace("RECEIVER", &receiver.url("")));
        let stage = Self {
            world,
            checkout,
            receiver,
        };
        stage
            .secret("HOOK", &stage.receiver.url("/services/T0/B0/S3CRET"))
            .await;
        let rules = json!({"reviewers": ["bo"], "approvals": 1});
        stage
            .world
            .send(Method::PUT, "projects/o/p/environments/production/rules", rules)
            .await;
        stage
    }

    async fn secret(&self, name: &str, value: &str) {
        let path = format!("projects/o/p/secrets/{name}");
        self.world.send(Method::PUT, &path, json!({"value": value})).await;
    }

    /// Asks for a deployment, which then waits.
    async fn deploy(&self, message: &str) -> i64 {
        self.checkout.commit(message);
        self.checkout.push(&["main"]);
        let asked = json!({"environment": "production"});
        let answer = self
            .world
            .send(Method::POST, "projects/o/p/deployments", asked)
            .await;
        answer["id"].as_i64().expect("a number")
    }

    async fn abort(&self, id: i64) {
        let path = format!("deployments/{id}/abort");
        self.world
            .send(Method::POST, &path, json!({"reason": "not today"}))
            .await;
    }

    /// What was told of a deployment, once its last is as said.
    async fn told(&self, id: i64, so: impl Fn(&Json) -> bool) -> Vec<Json> {
        let path = format!("deployments/{id}");
        let last_is_so = |detail: &Json| {
            detail["notifications"]
                .as_array()
                .and_then(|all| all.last())
                .is_some_and(&so)
        };
        let detail = self.world.until(&path, last_is_so).await;
        detail["notifications"].as_array().cloned().unwrap_or_default()
    }

    /// Makes it later; what is due is seen with the next change of anything.
    async fn later(&self, seconds: i64) {
        self.world.clock.advance(seconds * 1000);
        self.world
            .send(Method::PUT, "projects/o/p/variables/TICK", json!({"value": "x"}))
            .await;
    }
}

fn is_told(notification: &Json) -> bool {
    notification["state"] == "told"
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_is_told_what_a_deployment_comes_to() {
    let stage = Stage::new("  - {slack: '${{ secrets.HOOK }}', on: [waiting, aborted]}\n").await;
    let id = stage.deploy("Retry <!channel> & more").await;
    let got = stage.receiver.wait_for(1).await;
    assert_eq!(got[0].path, "/services/T0/B0/S3CRET");
    let waits = got[0].json();
    let text = waits["text"].as_str().unwrap();
    let expected = "⏸ waits  o/p production  ";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("\nwaits for the approval of bo\nRetry &lt;!channel&gt; &amp; more · main · asked for by admin: by hand"), "{text}");
    let link = waits["blocks"].as_array().unwrap().last().unwrap()["elements"][1]["text"].clone();
    assert_eq!(
        link,
        format!(
            "<{}/o/p/deployments/{id}|deployment {id}>",
            stage.world.server.as_ref().unwrap().url()
        )
    );
    stage.abort(id).await;
    let got = stage.receiver.wait_for(2).await;
    assert!(
        got[1].json()["text"]
            .as_str()
            .unwrap()
            .starts_with("⊘ aborted  o/p production  ")
    );
    let told = stage
        .told(id, |last| last["event"] == "aborted" && is_told(last))
        .await;
    assert_eq!(told.len(), 2);
    let shown = serde_json::to_string(&told).unwrap();
    assert!(
        shown.contains("\"host\":\"127.0.0.1\"") && !shown.contains("S3CRET"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_tried_again_when_its_time_has_come() {
    let stage = Stage::new("  - {slack: '${{ secrets.HOOK }}', on: [waiting]}\n").await;
    stage
        .secret("HOOK", &stage.receiver.url("/services/T9/B9/S3CRET"))
        .await;
    let id = stage.deploy("one").await;
    let told = stage.told(id, |last| last["error"] != "").await;
    assert_eq!(told[0]["error"], "refused: 404 no_service");
    assert_eq!(
        (&told[0]["state"], &told[0]["tries"]),
        (&json!("pending"), &json!(1))
    );
    let wait = told[0]["next_at"].as_i64().unwrap() - told[0]["at"].as_i64().unwrap();
    assert_eq!(wait, 10_000);
    // It asks for more time than we would have waited.
    stage.receiver.whim(Whim::Answer(
        "429 Too Many Requests\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n",
    ));
    stage.later(11).await;
    let told = stage.told(id, |last| last["tries"] == 2).await;
    assert_eq!(told[0]["error"], "refused: 429");
    let wait = told[0]["next_at"].as_i64().unwrap() - told[0]["at"].as_i64().unwrap();
    assert_eq!(wait, 90_000);
    // Somebody puts the address right.
    stage
        .secret("HOOK", &stage.receiver.url("/services/T0/B0/S3CRET"))
        .await;
    stage.later(91).await;
    let told = stage.told(id, is_told).await;
    assert_eq!((&told[0]["tries"], &told[0]["error"]), (&json!(3), &json!("")));
    assert_eq!(stage.receiver.wait_for(3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_day_it_is_given_up_and_said_so() {
    let stage = Stage::new(
        "  - {webhook: 'http://10.0.0.1/S3CRET', on: [waiting]}\n  - {slack: '${{ secrets.NONE }}'}\n",
    )
    .await;
    let id = stage.deploy("one").await;
    let all_failed = |detail: &Json| {
        let all = detail["notifications"].as_array().cloned().unwrap_or_default();
        all.len() == 2 && all.iter().all(|one| one["error"] != "")
    };
    let path = format!("deployments/{id}");
    let detail = stage.world.until(&path, all_failed).await;
    assert_eq!(
        detail["notifications"][0]["error"],
        "10.0.0.1 is an address of a private network, which the server does not call: `outgoing: {allow: [10.0.0.1]}` in server.yml allows it"
    );
    assert_eq!(
        detail["notifications"][1]["error"],
        "there is no secret NONE: set it with `pilotage secret set NONE`"
    );
    stage.later(24 * 3600 - 15).await;
    let told = stage.told(id, |last| last["state"] == "given-up").await;
    assert_eq!((&told[1]["tries"], told[1].get("next_at")), (&json!(2), None));
    let given_up = |page: &Json| {
        page.as_array().is_some_and(|all| {
            all.iter()
                .filter(|e| e["action"] == "notification.given-up")
                .count()
                == 2
        })
    };
    let audit = stage.world.until("audit?limit=1000", given_up).await;
    let shown = audit.to_string();
    assert!(
        shown.contains(&format!("o/p/production #{id}")) && !shown.contains("S3CRET"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_while_it_tells_tells_it_again_under_the_same_key() {
    let mut stage = Stage::new("  - {webhook: '${{ vars.TO }}/hook', secret: '${{ secrets.SIGN }}'}\n").await;
    let to = json!({"value": stage.receiver.url("")});
    stage
        .world
        .send(Method::PUT, "projects/o/p/variables/TO", to)
        .await;
    stage.secret("SIGN", "it is a secret").await;
    stage.receiver.whim(Whim::Silence);
    let id = stage.deploy("say it is a secret").await;
    stage.receiver.wait_for(1).await;
    stage.world.restart().await;
    let got = stage.receiver.wait_for(2).await;
    assert_ne!(got[0].header("idempotency-key"), "");
    assert_eq!(got[0].header("idempotency-key"), got[1].header("idempotency-key"));
    assert_eq!(got[1].json()["id"], got[1].header("idempotency-key"));
    assert_eq!(got[1].header("pilotage-event"), "waiting");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"it is a secret").unwrap();
    mac.update(&got[1].body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(got[1].header("pilotage-signature"), signature);
    // A secret that stands in a title does not go out.
    assert_eq!(got[1].json()["commit"]["title"], "say ***");
    let told = stage.told(id, is_told).await;
    assert_eq!((told.len(), &told[0]["tries"]), (1, &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_its_environment_is_told_of_once_for_each_run() {
    let stage = Stage::new("  - {slack: '${{ secrets.HOOK }}', on: [waiting]}\n").await;
    stage.checkout.write(
        ".github/workflows/ci.yml",
        "on: push\njobs:\n  ship:\n    runs-on: a\n    environment: production\n    strategy: {matrix: {n: [1, 2, 3]}}\n    steps: [{run: ship}]\n",
    );
    stage.checkout.commit("one");
    stage.checkout.push(&["main"]);
    let got = stage.receiver.wait_for(1).await;
    let text = got[0].json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("waits for the approval of bo\none · main · job ship (1) · asked for by admin"),
        "{text}"
    );
    stage.checkout.commit("two");
    stage.checkout.push(&["main"]);
    let got = stage.receiver.wait_for(2).await;
    assert!(got[1].json()["text"].as_str().unwrap().contains("\ntwo · "));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environments_secrets_are_not_for_messages() {
    let stage = Stage::new("  - {webhook: 'RECEIVER/?${{ secrets.PROD }}'}\n").await;
    let path = "projects/o/p/secrets/PROD";
    let secret = json!({"value": "hunter2", "environment": "production"});
    stage.world.send(Method::PUT, path, secret).await;
    let id = stage.deploy("one").await;
    let told = stage.told(id, |last| last["error"] != "").await;
    assert_eq!(
        told[0]["error"],
        "there is no secret PROD: set it with `pilotage secret set PROD`"
    );
    assert_eq!(stage.receiver.got.lock().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pagerduty_opens_an_incident() {
    let stage = Stage::new("  - {pagerduty: '${{ secrets.PAGER }}', on: [aborted]}\n").await;
    stage.secret("PAGER", "R0UT1NG").await;
    let id = stage.deploy("one").await;
    stage.abort(id).await;
    let told = stage.told(id, is_told).await;
    assert_eq!(told.len(), 1);
    let got = stage.receiver.wait_for(1).await;
    let body = got[0].json();
    assert_eq!(
        (&body["event_action"], &body["payload"]["severity"]),
        (&json!("trigger"), &json!("warning"))
    );
    assert_eq!(body["links"][0]["text"], format!("deployment {id}"));
}
