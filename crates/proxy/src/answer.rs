//! What goes back to the client: a replica's body as it comes, or a small page of our own.

use crate::exchange::Exchange;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Why the proxy answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NoRoute,
    NoRevision,
    NoShare,
    HeldTooLong,
    TooManyHeld,
    Connect,
    BadHost,
    Unreachable,
    Reset,
    Upgrade,
    TimedOut,
    /// Nobody reads this one.
    ClientClosed,
}

impl Fault {
    /// The status, the word for `pilotage-proxy-error`, and the sentence for people.
    pub(crate) fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoRoute => (
                StatusCode::NOT_FOUND,
                "no-route",
                "No service answers at this address.",
            ),
            Self::NoRevision => (
                StatusCode::NOT_FOUND,
                "no-revision",
                "The revision or replica asked for is not there.",
            ),
            Self::NoShare => (
                StatusCode::SERVICE_UNAVAILABLE,
                "no-share",
                "No revision of this service takes requests now.",
            ),
            Self::HeldTooLong => (
                StatusCode::SERVICE_UNAVAILABLE,
                "held-too-long",
                "No revision of this service took the request in time.",
            ),
            Self::TooManyHeld => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too-many-held",
                "Too many requests wait for this service.",
            ),
            Self::Connect => (
                StatusCode::NOT_IMPLEMENTED,
                "connect-refused",
                "CONNECT is not served here.",
            ),
            Self::BadHost => (
                StatusCode::BAD_REQUEST,
                "bad-host",
                "The request does not name one host.",
            ),
            Self::Unreachable => (
                StatusCode::BAD_GATEWAY,
                "unreachable",
                "No replica of this service took the connection.",
            ),
            Self::Reset => (
                StatusCode::BAD_GATEWAY,
                "reset",
                "The replica ended the connection before it answered.",
            ),
            Self::Upgrade => (
                StatusCode::BAD_GATEWAY,
                "upgrade",
                "The replica changed to a protocol that was not asked for.",
            ),
            Self::TimedOut => (
                StatusCode::GATEWAY_TIMEOUT,
                "timed-out",
                "The replica did not answer in time.",
            ),
            Self::ClientClosed => (
                StatusCode::BAD_REQUEST,
                "client-closed",
                "The request's body ended too soon.",
            ),
        }
    }

    /// The page, and its length.
    pub(crate) fn page(self) -> (Response<AnswerBody>, u64) {
        let (status, word, sentence) = self.parts();
        let text = format!(
            "{} {}\n{sentence}\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or("")
        );
        let length = text.len() as u64;
        let mut response = Response::new(AnswerBody::Own(Some(Bytes::from(text))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            HeaderName::from_static("pilotage-proxy-error"),
            HeaderValue::from_static(word),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        (response, length)
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the common one, and a box would be made for each answer"
)]
pub(crate) enum AnswerBody {
    Own(Option<Bytes>),
    Replica { body: Incoming, exchange: Exchange },
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Replica { body, exchange } => {
                let mut frame = Pin::new(&mut *body).poll_frame(cx);
                if frame.is_pending() {
                    exchange.drive(cx);
                    frame = Pin::new(&mut *body).poll_frame(cx);
                }
                let frame = ready!(frame);
                match &frame {
                    Some(Ok(frame)) => {
                        exchange.passed(frame.data_ref().map_or(0, Bytes::len));
                        // The next poll may never come, when the length is known.
                        if body.is_end_stream() {
                            exchange.complete();
                        }
                    }
                    // A stream of events that a drain has cut ends like any other: its client asks again.
                    Some(Err(_)) if exchange.is_cut_stream() => {
                        exchange.broken();
                        return Poll::Ready(None);
                    }
                    Some(Err(_)) => exchange.broken(),
                    None => exchange.complete(),
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Replica { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Replica { body, .. } => body.size_hint(),
        }
    }
}
