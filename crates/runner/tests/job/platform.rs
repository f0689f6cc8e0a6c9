//! The platform's services over HTTP, against a server of a few lines: what goes over the wire, and what refusals
//! become.

#![allow(clippy::unwrap_used, reason = "a server for tests")]

use pilotage_api::services::{ArtifactUpload, CacheQuery, DeployRequest};
use pilotage_runner::services::{Http, Packed, Services};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The digest of `hello`.
const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Answers every request by a table of `method path` → status and body, and keeps what was asked.
struct Platform {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Platform {
    /// Several answers for one request are given one after the other, the last one again and again.
    async fn start(answers: &'static [(&'static str, u16, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _gone = serve(stream, answers, &log).await;
            }
        });
        Self { url, asked }
    }

    fn services(&self) -> Services {
        Services::Http(Http::new(&self.url, "job-token").unwrap())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request of one connection.
async fn serve(
    stream: TcpStream,
    answers: &[(&str, u16, &str)],
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        head.iter()
            .find_map(|l| l.to_lowercase().strip_prefix(name).map(str::to_owned))
    };
    let length = header("content-length: ")
        .and_then(|l| l.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let request = head.first().cloned().unwrap_or_default().replace(" HTTP/1.1", "");
    let path = request.split('?').next().unwrap_or_default();
    let before = asked
        .lock()
        .unwrap()
        .iter()
        .filter(|a| a.starts_with(path))
        .count();
    let fitting: Vec<_> = answers.iter().filter(|(p, ..)| *p == path).collect();
    let (status, answer) = fitting
        .get(before)
        .or(fitting.last())
        .map_or((404, ""), |(_, s, b)| (*s, *b));
    let (token, digest) = (header("authorization: "), header("x-pilotage-digest: "));
    let text = String::from_utf8_lossy(&body);
    let (token, digest) = (token.unwrap_or_default(), digest.unwrap_or_default());
    asked
        .lock()
        .unwrap()
        .push(format!("{request} {token} {digest} {text}").trim_end().to_owned());
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn packed(directory: &tempfile::TempDir) -> Packed {
    let path = directory.path().join("packed");
    std::fs::write(&path, "hello").unwrap();
    Packed {
        path,
        size_bytes: 5,
        digest: DIGEST.to_owned(),
    }
}

#[tokio::test]
async fn an_artifact_is_streamed_with_its_digest_and_sent_again_when_the_platform_is_busy() {
    let created = r#"{"id":7,"name":"web","size_bytes":5,"digest":"sha256:2c"}"#;
    let answers = Box::leak(Box::new([
        ("PUT /api/runner/v1/artifacts", 503, ""),
        ("PUT /api/runner/v1/artifacts", 201, created),
        ("PUT /api/runner/v1/artifacts", 409, ""),
    ]));
    let platform = Platform::start(answers).await;
    let directory = tempfile::tempdir().unwrap();
    let upload = ArtifactUpload {
        name: "web".into(),
        retention_days: Some(3),
        overwrite: false,
    };
    let info = platform
        .services()
        .upload_artifact(&upload, &packed(&directory))
        .await
        .unwrap();
    assert_eq!(info.id, 7);
    let expected = format!(
        "PUT /api/runner/v1/artifacts?name=web&overwrite=false&retention_days=3 bearer job-token {DIGEST} hello"
    );
    assert_eq!(platform.asked(), [expected.clone(), expected]);
    let again = platform
        .services()
        .upload_artifact(&upload, &packed(&directory))
        .await
        .unwrap_err();
    assert!(again.to_string().contains("`web` is there already"), "{again}");
}

#[tokio::test]
async fn a_download_with_another_digest_is_refused() {
    let answers = &[
        (
            "GET /api/runner/v1/caches",
            200,
            r#"{"id":3,"key":"k-1","size_bytes":5,"digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}"#,
        ),
        ("GET /api/runner/v1/caches/3/content", 200, "hello"),
        ("GET /api/runner/v1/caches/3/content", 200, "hallo"),
    ];
    let platform = Platform::start(answers).await;
    let services = platform.services();
    let query = CacheQuery {
        key: "k-2".into(),
        restore_keys: vec!["k-".into(), "x y".into()],
        version: "v".into(),
    };
    let found = services.find_cache(&query).await.unwrap().unwrap();
    assert_eq!(found.key, "k-1");
    let asked = "GET /api/runner/v1/caches?key=k-2&version=v&restore_key=k-&restore_key=x+y bearer job-token";
    assert_eq!(platform.asked(), [asked]);
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("1"), directory.path().join("2"));
    services.download_cache(&found, &first).await.unwrap();
    assert_eq!(std::fs::read_to_string(first).unwrap(), "hello");
    let error = services.download_cache(&found, &second).await.unwrap_err();
    assert!(error.to_string().contains("has the digest"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_said_in_the_platforms_words() {
    let answers = &[
        ("GET /api/runner/v1/caches", 204, ""),
        (
            "POST /api/runner/v1/deployments",
            403,
            r#"{"message":"production takes only main","help":"push to main"}"#,
        ),
    ];
    let platform = Platform::start(answers).await;
    let query = CacheQuery {
        key: "k".into(),
        restore_keys: Vec::new(),
        version: "v".into(),
    };
    assert_eq!(platform.services().find_cache(&query).await.unwrap(), None);
    let request = DeployRequest {
        environment: Some("production".into()),
        ..DeployRequest::default()
    };
    let refused = platform.services().deploy(&request).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the platform refuses it: production takes only main (push to main)"
    );
}
