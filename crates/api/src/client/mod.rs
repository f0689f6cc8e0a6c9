//! The typed client of `/api/v1`: one method for each call of [`crate::rest`].
//!
//! Knows addresses, the token and how streams are taken up again. Never formats for people, and never shows the
//! token: not in errors, not in `Debug`.

mod calls;
mod deployments;
mod error;
mod events;
mod log;
mod name;

pub use error::ClientError;
pub use events::{EventStream, RunEvents, Streamed};
pub use log::{JobLog, Lines};
pub use name::ProjectName;

use crate::rest::{PREFIX, Problem};
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// For everything but streams.
const CALL: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
/// Answers that are not streams are read up to this size.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A server, and who asks it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `base` (`http://127.0.0.1:7070`); nothing is asked of it yet.
    pub fn new(base: &str, token: Option<String>) -> Result<Self, ClientError> {
        // Whoever was first is right: the provider is one for the whole process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |why: String| ClientError::Address {
            url: base.to_owned(),
            why,
        };
        let base_url = Url::parse(base).map_err(|error| wrong(error.to_string()))?;
        if !matches!(base_url.scheme(), "http" | "https") || base_url.host().is_none() {
            return Err(wrong("it is not http:// or https:// with a host".to_owned()));
        }
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .tcp_keepalive(Duration::from_secs(30))
            // A redirect would carry the token to where nobody pointed us.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("pilotage/", env!("CARGO_PKG_VERSION")));
        let builder = if is_loopback(&base_url) {
            builder.no_proxy()
        } else {
            builder
        };
        let http = builder.build().map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            http,
            base: base_url,
            token,
        })
    }

    /// The server's address, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether the server is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_loopback(&self.base)
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, ClientError> {
        let mut url = self.base.clone();
        if let Some(bad) = path.iter().find(|part| matches!(**part, "" | "." | "..")) {
            return Err(ClientError::Name((*bad).to_owned()));
        }
        url.path_segments_mut()
            .map_err(|()| ClientError::Name(self.base.to_string()))?
            .pop_if_empty()
            .extend(PREFIX.split('/').filter(|part| !part.is_empty()))
            .extend(path);
        let request = self.http.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Sends it; an answer that is no success becomes the error that it is.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.body(response).await.unwrap_or_default();
        let problem = serde_json::from_slice(&body).unwrap_or_else(|_| Problem {
            status: status.as_u16(),
            title: status
                .canonical_reason()
                .unwrap_or("an unknown status")
                .to_owned(),
            detail: format!(
                "the server answered {} {}",
                status.as_u16(),
                status.canonical_reason().unwrap_or_default()
            ),
            advice: None,
            diagnostics: Vec::new(),
        });
        Err(match status.as_u16() {
            401 | 403 => ClientError::Denied(Box::new(problem)),
            _ => ClientError::Refused(Box::new(problem)),
        })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(ClientError::Answer {
                    what: response.url().path().to_owned(),
                    why: format!("it is longer than {ANSWER_BYTES_MAX} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request.timeout(CALL)).await?;
        let what = response.url().path().to_owned();
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Answer {
            what,
            why: error.to_string(),
        })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &(impl Serialize + ?Sized),
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, path)?.query(query)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.json(self.request(method, path)?.json(body)).await
    }

    /// For calls that answer with nothing.
    async fn tell(&self, method: Method, path: &[&str], body: &impl Serialize) -> Result<(), ClientError> {
        self.send(self.request(method, path)?.json(body).timeout(CALL))
            .await?;
        Ok(())
    }

    async fn download(&self, path: &[&str]) -> Result<Download, ClientError> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        Ok(Download {
            client: self.clone(),
            response,
        })
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            url: self.url().to_owned(),
            // The address is said already, and its query is nobody's business.
            source: source.without_url(),
        }
    }
}

/// A body that is read piece by piece.
#[derive(Debug)]
pub struct Download {
    client: Client,
    response: Response,
}

impl Download {
    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let chunk = self.response.chunk().await;
        chunk.map_err(|error| self.client.unreachable(error))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
