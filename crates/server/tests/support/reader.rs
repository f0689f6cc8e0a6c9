//! Somebody with a browser: a cookie, and the word that forms carry.

use super::World;
use reqwest::{Client, Method, Response, header, redirect};

pub const FORM: &str = "application/x-www-form-urlencoded";

pub fn form(fields: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(fields).expect("fields")
}

#[derive(Clone)]
pub struct Reader {
    pub client: Client,
    pub url: String,
    pub cookie: String,
    pub csrf: String,
}

pub struct Answer {
    pub status: u16,
    pub location: String,
    pub text: String,
}

impl Reader {
    /// Nobody yet.
    pub fn stranger(world: &World) -> Self {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .build()
            .expect("a client");
        Self {
            client,
            url: world.url.clone(),
            cookie: String::new(),
            csrf: String::new(),
        }
    }

    pub async fn new(world: &World, token: &str) -> Self {
        let mut reader = Self::stranger(world);
        let answer = reader
            .send(Method::POST, "/login", &[("token", token)], &[])
            .await;
        let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("a cookie");
        reader.cookie = cookie.split(';').next().expect("a pair").to_owned();
        let page = reader.get("/me").await.text;
        let rest = page
            .split("data-csrf=\"")
            .nth(1)
            .expect("the word of the session");
        reader.csrf = rest.split('"').next().expect("its end").to_owned();
        reader
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Response {
        let post = method == Method::POST;
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if !self.cookie.is_empty() {
            request = request.header(header::COOKIE, &self.cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if post {
            request = request.header(header::CONTENT_TYPE, FORM).body(form(fields));
        }
        request.send().await.expect("an answer")
    }

    pub async fn get(&self, path: &str) -> Answer {
        read(self.send(Method::GET, path, &[], &[]).await).await
    }

    /// Sends a form of this session.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("csrf", self.csrf.as_str())];
        all.extend_from_slice(fields);
        read(self.send(Method::POST, path, &all, &[]).await).await
    }
}

pub async fn read(answer: Response) -> Answer {
    let location = answer.headers().get(header::LOCATION);
    let location = location
        .map(|value| value.to_str().unwrap_or_default().to_owned())
        .unwrap_or_default();
    Answer {
        status: answer.status().as_u16(),
        location,
        text: answer.text().await.expect("a body"),
    }
}
