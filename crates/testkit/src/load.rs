//! Open-loop load over HTTP/1.1, on threads of its own and nothing but the standard library.
//!
//! A request is due at its own instant and its time counts from then, so that a stalled server cannot hide behind a
//! client that waits for it. A connection is kept alive until it ends. Nothing is ever sent twice.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Debug)]
pub struct Load {
    pub address: SocketAddr,
    pub path: String,
    /// Lines of the head beside our own: `Authorization: Bearer …`.
    pub headers: Vec<String>,
    /// Requests a second.
    pub rate: f64,
    /// One in so many is a POST with a body; 0 for none.
    pub post_every: u64,
    /// Connections at the same time.
    pub connections: usize,
    pub timeout: Duration,
}

/// How one request ended.
#[derive(Clone, Debug)]
pub struct Sample {
    pub id: String,
    /// When it was due, in microseconds since 1970.
    pub due_us: u64,
    /// From then to the whole answer, or to the failure.
    pub took_us: u64,
    pub outcome: Outcome,
    /// The `X-Revision` of the answer; empty where there is none.
    pub revision: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    /// No answer, or not all of it: `refused`, `reset`, `timeout`, `truncated`, `wrong`.
    Lost(&'static str),
}

impl Load {
    /// Sends until `stop` is set, and gives each sample to the channel as it ends.
    pub fn run(self, stop: Arc<AtomicBool>, samples: mpsc::Sender<Sample>) {
        let load = Arc::new(self);
        let next = Arc::new(AtomicU64::new(0));
        let (start, started_us) = (Instant::now(), now_us());
        let run = format!("{started_us:x}");
        std::thread::scope(|scope| {
            for _ in 0..load.connections {
                let (load, next, stop, samples, run) = (&load, &next, &stop, samples.clone(), &run);
                scope.spawn(move || {
                    let mut connection = None;
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let due = offset(number, load.rate);
                        std::thread::sleep(due.saturating_sub(start.elapsed()));
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let id = format!("{run}-{number}");
                        let (outcome, revision) = load.one(&mut connection, number, &id);
                        let took = start.elapsed().saturating_sub(due);
                        let due_us = started_us + micros(due);
                        let sample = Sample {
                            id,
                            due_us,
                            took_us: micros(took),
                            outcome,
                            revision,
                        };
                        if samples.send(sample).is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }

    fn one(&self, kept: &mut Option<BufReader<TcpStream>>, number: u64, id: &str) -> (Outcome, String) {
        // A connection that ended while it was idle had no request in it: a new one is opened, nothing is sent again.
        let mut connection = match kept.take().filter(is_open) {
            Some(connection) => connection,
            None => match connect(self.address, self.timeout) {
                Ok(connection) => connection,
                Err(error) => return (Outcome::Lost(class(&error)), String::new()),
            },
        };
        let post = self.post_every > 0 && number.is_multiple_of(self.post_every);
        let (method, body) = if post { ("POST", "0123456789") } else { ("GET", "") };
        let more: String = self.headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\nX-Request-Id: {id}\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.path,
            self.address,
            body.len()
        );
        let sent = connection.get_mut().write_all(request.as_bytes());
        let answer = sent.and_then(|()| read_answer(&mut connection));
        match answer {
            Ok(answer) => {
                if answer.keep_alive {
                    *kept = Some(connection);
                }
                (Outcome::Status(answer.status), answer.revision)
            }
            Err(error) => (Outcome::Lost(class(&error)), String::new()),
        }
    }
}

struct Answer {
    status: u16,
    revision: String,
    keep_alive: bool,
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Whether the other side has neither closed nor written: then a request can be sent.
fn is_open(connection: &BufReader<TcpStream>) -> bool {
    let stream = connection.get_ref();
    let quiet = |stream: &TcpStream| {
        stream.set_nonblocking(true)?;
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        seen
    };
    quiet(stream).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let line = read_line(connection)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut answer = Answer {
        status,
        revision: String::new(),
        keep_alive: true,
    };
    let mut length = None;
    loop {
        let line = read_line(connection)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<usize>().ok(),
            "connection" => answer.keep_alive = !value.eq_ignore_ascii_case("close"),
            "x-revision" => value.clone_into(&mut answer.revision),
            _ => {}
        }
    }
    let length = length
        .filter(|length| *length < 1 << 24)
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok(answer)
}

fn read_line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    connection.take(16 * 1024).read_until(b'\n', &mut line)?;
    match line.as_slice() {
        [text @ .., b'\r', b'\n'] => Ok(String::from_utf8_lossy(text).into_owned()),
        [] => Err(io::ErrorKind::ConnectionReset.into()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn class(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "timeout",
        io::ErrorKind::UnexpectedEof => "truncated",
        io::ErrorKind::InvalidData => "wrong",
        _ => "reset",
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of requests stay small")]
fn offset(number: u64, rate: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn now_us() -> u64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers with each of these texts in turn, a connection each, and gives what the client made of them.
    fn against(answers: &'static [&'static str]) -> Vec<Outcome> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while read_line(&mut reader).is_ok_and(|line| !line.is_empty()) {}
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let load = Load {
            address,
            path: "/".into(),
            headers: Vec::new(),
            rate: 1_000.0,
            post_every: 0,
            connections: 1,
            timeout: Duration::from_secs(5),
        };
        let mut kept = None;
        (0..answers.len())
            .map(|_| load.one(&mut kept, 1, "id").0)
            .collect()
    }

    #[test]
    fn every_way_to_lose_an_answer_is_seen() {
        let outcomes = against(&[
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
            "",
            "nonsense\r\n\r\n",
        ]);
        assert_eq!(
            outcomes,
            [
                Outcome::Status(200),
                Outcome::Status(503),
                Outcome::Lost("truncated"),
                Outcome::Lost("reset"),
                Outcome::Lost("wrong"),
            ]
        );
    }

    #[test]
    fn a_connection_that_ended_while_idle_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = connect(listener.local_addr().unwrap(), Duration::from_secs(5)).unwrap();
        let (stream, _) = listener.accept().unwrap();
        assert!(is_open(&connection));
        drop(stream);
        // The end arrives: reading blocks until it does.
        assert_eq!(connection.get_ref().peek(&mut [0]).unwrap(), 0);
        assert!(!is_open(&connection));
    }

    #[test]
    fn a_refused_connection_is_lost_and_not_tried_again() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let load = Load {
            address,
            path: "/".into(),
            headers: Vec::new(),
            rate: 1.0,
            post_every: 0,
            connections: 1,
            timeout: Duration::from_secs(1),
        };
        assert_eq!(load.one(&mut None, 1, "id").0, Outcome::Lost("refused"));
    }
}
