//! A client's connection whose first bytes were read to know its protocol.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(crate) struct Socket {
    stream: TcpStream,
    first: Vec<u8>,
    given: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What an HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Socket {
    /// Reads until the protocol is known; none when the client ends before.
    pub(crate) async fn open(mut stream: TcpStream) -> io::Result<Option<(Self, Protocol)>> {
        let mut first = Vec::with_capacity(2048);
        loop {
            if stream.read_buf(&mut first).await? == 0 {
                return Ok(None);
            }
            let seen = first.len().min(PREFACE.len());
            let protocol = match first.get(..seen) == PREFACE.get(..seen) {
                false => Protocol::Http1,
                true if seen == PREFACE.len() => Protocol::Http2,
                true => continue,
            };
            return Ok(Some((
                Self {
                    stream,
                    first,
                    given: 0,
                },
                protocol,
            )));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(rest) = this.first.get(this.given..).filter(|rest| !rest.is_empty()) {
            let (now, _) = rest.split_at(rest.len().min(buf.remaining()));
            buf.put_slice(now);
            this.given += now.len();
            if this.given == this.first.len() {
                this.first = Vec::new();
                this.given = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
