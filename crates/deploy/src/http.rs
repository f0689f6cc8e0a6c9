//! Plain HTTP/1.1 to this machine, for probes and checks: one request a connection, bounded in time and size.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Bodies are read up to here; what is longer is no answer for a probe.
const BODY_MAX: usize = 4 << 20;

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// A header's value, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Why there was no answer, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("nobody listens on {0}")]
    Refused(SocketAddr),
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("{0}")]
    Broken(String),
}

/// Sends a GET and reads the whole answer.
///
/// # Errors
/// When there is no whole answer in time. Any status is an answer.
pub async fn get(
    address: SocketAddr,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
    within: Duration,
) -> Result<Answer, HttpError> {
    let exchange = exchange(address, host, path, headers);
    tokio::time::timeout(within, exchange)
        .await
        .unwrap_or(Err(HttpError::TimedOut(within)))
}

async fn exchange(
    address: SocketAddr,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, HttpError> {
    let stream = TcpStream::connect(address).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::ConnectionRefused => HttpError::Refused(address),
        _ => broken(&e),
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| broken(&e))?;
    let mut request = Request::get(path)
        .header("host", host)
        .header("user-agent", "pilotage");
    request = request.header("connection", "close");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| broken(&e))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let (parts, mut body) = answer.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|e| broken(&e))?.into_data() {
                bytes.extend_from_slice(&data);
            }
            if bytes.len() > BODY_MAX {
                return Err(HttpError::Broken(format!(
                    "the answer is larger than {BODY_MAX} bytes"
                )));
            }
        }
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: bytes.freeze(),
        })
    };
    // The connection only moves while it is polled, and may end before the answer was read.
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

fn broken(error: &dyn std::error::Error) -> HttpError {
    // hyper says what failed; the system's word for why stands behind it.
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    HttpError::Broken(format!("{error}{cause}"))
}
