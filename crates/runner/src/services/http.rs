//! The platform's side of artifacts, caches and deployments, over HTTP with the job's token.

use super::{Packed, ServiceError};
use crate::hash_files::hex;
use futures_util::StreamExt;
use pilotage_api::services::{
    ArtifactInfo, ArtifactList, ArtifactUpload, BASE, CacheInfo, CacheQuery, DIGEST_HEADER, Refusal,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// How often a request is sent when the platform cannot be reached or says that it is overloaded.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub struct Http {
    client: Client,
    /// The server's root, without a slash at its end.
    server: String,
    token: String,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Http {
    /// `server` is the platform's root, `token` the job's.
    pub fn new(server: &str, token: impl Into<String>) -> Result<Self, ServiceError> {
        let server = server.trim_end_matches('/').to_owned();
        // Installing fails where another part of this process did it before, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder().connect_timeout(Duration::from_secs(10));
        let builder = builder
            .read_timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none());
        let client = builder.build().map_err(|source| ServiceError::Unreachable {
            url: server.clone(),
            source,
        })?;
        Ok(Self {
            client,
            server,
            token: token.into(),
        })
    }

    pub(super) async fn upload_artifact(
        &self,
        upload: &ArtifactUpload,
        packed: &Packed,
    ) -> Result<ArtifactInfo, ServiceError> {
        let mut query = vec![
            ("name", upload.name.clone()),
            ("overwrite", upload.overwrite.to_string()),
        ];
        query.extend(
            upload
                .retention_days
                .map(|days| ("retention_days", days.to_string())),
        );
        let response = self.upload("artifacts", &query, packed).await?;
        if response.status() == StatusCode::CONFLICT {
            return Err(ServiceError::ArtifactExists(upload.name.clone()));
        }
        decode(response).await
    }

    pub(super) async fn artifacts(&self) -> Result<Vec<ArtifactInfo>, ServiceError> {
        Ok(self.get::<ArtifactList>("artifacts", &()).await?.artifacts)
    }

    pub(super) async fn find_cache(&self, query: &CacheQuery) -> Result<Option<CacheInfo>, ServiceError> {
        let mut pairs = vec![("key", query.key.as_str()), ("version", query.version.as_str())];
        pairs.extend(query.restore_keys.iter().map(|key| ("restore_key", key.as_str())));
        let response = self
            .send(|| self.request(Method::GET, "caches").query(&pairs))
            .await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        decode(response).await.map(Some)
    }

    pub(super) async fn save_cache(
        &self,
        key: &str,
        version: &str,
        packed: &Packed,
    ) -> Result<Option<CacheInfo>, ServiceError> {
        let query = [("key", key.to_owned()), ("version", version.to_owned())];
        let response = self.upload("caches", &query, packed).await?;
        if response.status() == StatusCode::CONFLICT {
            return Ok(None);
        }
        decode(response).await.map(Some)
    }

    /// Streams a body to a file and compares its digest.
    pub(super) async fn download(&self, path: &str, digest: &str, to: &Path) -> Result<(), ServiceError> {
        let response = accept(self.send(|| self.request(Method::GET, path)).await?).await?;
        let mut file = tokio::fs::File::create_new(to)
            .await
            .map_err(ServiceError::file(to))?;
        let mut actual = Sha256::new();
        let mut body = response.bytes_stream();
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|source| self.unreachable(source))?;
            actual.update(&bytes);
            file.write_all(&bytes).await.map_err(ServiceError::file(to))?;
        }
        file.flush().await.map_err(ServiceError::file(to))?;
        let actual = format!("sha256:{}", hex(&actual.finalize()));
        if actual == digest {
            Ok(())
        } else {
            Err(ServiceError::Digest {
                expected: digest.to_owned(),
                actual,
            })
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, ServiceError> {
        decode(self.send(|| self.request(Method::GET, path).query(query)).await?).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ServiceError> {
        decode(self.send(|| self.request(Method::POST, path).json(body)).await?).await
    }

    async fn upload(
        &self,
        path: &str,
        query: &[(&str, String)],
        packed: &Packed,
    ) -> Result<Response, ServiceError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let file = tokio::fs::File::open(&packed.path)
                .await
                .map_err(ServiceError::file(&packed.path))?;
            let body =
                reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::with_capacity(file, 256 * 1024));
            let request = self.request(Method::PUT, path).query(query).body(body);
            let request = request
                .header("content-length", packed.size_bytes)
                .header(DIGEST_HEADER, &packed.digest);
            match request.send().await {
                Ok(response) if !retryable(response.status()) => return Ok(response),
                Ok(response) if attempt == TRIES => return Ok(response),
                Err(source) if attempt == TRIES => return Err(self.unreachable(source)),
                Ok(_) | Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        Err(ServiceError::Answer("no answer".to_owned()))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{BASE}/{path}", self.server))
            .bearer_auth(&self.token)
    }

    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, ServiceError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match request().send().await {
                Ok(response) if !retryable(response.status()) => return Ok(response),
                Ok(_) | Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        request().send().await.map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: reqwest::Error) -> ServiceError {
        // The query may hold names from the workflow; the address alone says enough.
        ServiceError::Unreachable {
            url: self.server.clone(),
            source: source.without_url(),
        }
    }
}

fn retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

async fn accept(response: Response) -> Result<Response, ServiceError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let message = match serde_json::from_str::<Refusal>(&text) {
        Ok(Refusal {
            message,
            help: Some(help),
        }) => format!("{message} ({help})"),
        Ok(Refusal { message, help: None }) => message,
        Err(_) => format!("it answers {status}"),
    };
    Err(ServiceError::Refused(message))
}

async fn decode<T: DeserializeOwned>(response: Response) -> Result<T, ServiceError> {
    let response = accept(response).await?;
    response
        .json()
        .await
        .map_err(|e| ServiceError::Answer(e.without_url().to_string()))
}
