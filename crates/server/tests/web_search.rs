//! What can be found and done, over real HTTP: as a page and as the list of the palette.

mod support;

use reqwest::{Client, Method, StatusCode, header, redirect};
use serde_json::{Value, json};
use support::World;

const FORM: &str = "application/x-www-form-urlencoded";

fn form(fields: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(fields).expect("fields")
}

/// Somebody with a browser: a cookie, and the word that forms carry.
struct Reader {
    client: Client,
    url: String,
    cookie: String,
}

impl Reader {
    async fn new(world: &World, token: &str) -> Self {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .build()
            .expect("a client");
        let answer = client
            .post(format!("{}/login", world.url))
            .header(header::CONTENT_TYPE, FORM)
            .body(form(&[("token", token)]))
            .send()
            .await
            .expect("an answer");
        let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("a cookie");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        Self {
            client,
            url: world.url.clone(),
            cookie,
        }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = request.header(header::COOKIE, &self.cookie).send().await;
        let answer = answer.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    }
}

fn titles(list: &str) -> Vec<String> {
    let list: Vec<Value> = serde_json::from_str(list).expect("a list");
    let title = |entry: &Value| entry["title"].as_str().expect("a title").to_owned();
    list.iter().map(title).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reader_finds_what_they_may_see_and_do() {
    let world = World::new().await;
    let checkout = world.project().await;
    checkout.write(
        ".github/workflows/ci.yml",
        "on: push\njobs: {a: {runs-on: linux, steps: [{run: x}]}}\n",
    );
    checkout.commit("Fix <i>login</i>");
    checkout.push(&["main"]);
    world.until("runs/1", |run| run["run"]["id"] == 1).await;
    let other = json!({"owner": "o", "name": "q"});
    world.send(Method::POST, "projects", other).await;
    let body = json!({"name": "eve", "kind": "person", "project": "o/q", "scopes": ["read"]});
    let eve = world.send(Method::POST, "tokens", body).await;
    let eve = Reader::new(&world, eve["token"].as_str().expect("a token")).await;
    let admin = Reader::new(&world, &world.admin).await;

    let (status, list) = admin.get("/-/palette").await;
    assert_eq!(status, StatusCode::OK);
    let all = titles(&list);
    for title in [
        "o/p",
        "o/q",
        "Audit log",
        "Settings of o/p",
        "#1 Fix <i>login</i> of o/p",
    ] {
        assert!(all.iter().any(|found| found == title), "{title}: {all:?}");
    }
    let (_, list) = eve.get("/-/palette").await;
    let hers = titles(&list);
    assert!(hers.iter().any(|title| title == "o/q"), "{hers:?}");
    assert!(
        !hers
            .iter()
            .any(|title| title.contains("o/p") || title.contains("Audit") || title.starts_with("Settings")),
        "{hers:?}"
    );

    for (query, there, not) in [
        (
            "?q=LOGIN+fix",
            "Fix &lt;i&gt;login&lt;/i&gt; of o/p",
            "href=\"/o/q\"",
        ),
        ("?q=%22%3E%3Cscript%3E", "Nothing fits", "><script>"),
        ("", "href=\"/o/q\"", "Nothing fits"),
    ] {
        let (status, page) = admin.get(&format!("/search{query}")).await;
        assert_eq!(status, StatusCode::OK, "{query}");
        let main = &page[page.find("<main").expect("a page")..];
        assert!(main.contains(there) && !main.contains(not), "{query}: {main}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_not_sent_again_to_who_has_it() {
    let world = World::new().await;
    let admin = Reader::new(&world, &world.admin).await;
    let ask = |tag: &str| {
        let request = admin.client.get(format!("{}/-/palette", admin.url));
        let request = request.header(header::COOKIE, &admin.cookie);
        request.header(header::IF_NONE_MATCH, tag.to_owned()).send()
    };
    let first = ask("\"old\"").await.expect("an answer");
    assert_eq!(first.status(), StatusCode::OK);
    let tag = first.headers()[header::ETAG].to_str().expect("a tag").to_owned();
    assert_eq!(
        ask(&tag).await.expect("an answer").status(),
        StatusCode::NOT_MODIFIED
    );
    let _checkout = world.project().await;
    assert_eq!(ask(&tag).await.expect("an answer").status(), StatusCode::OK);
}
