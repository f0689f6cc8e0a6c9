//! Server-sent events that survive a server that went away: a stream that broke is taken up again, and what was
//! seen before is not given a second time.

use super::{Client, ClientError};
use crate::rest::RunEvent;
use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::time::{Duration, Instant};

/// For so long a server may be away before a stream gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// A stream that says nothing for so long, not even that it is alive, is taken up again.
const SILENCE: Duration = Duration::from_secs(60);
/// One event may hold a line of a log.
const EVENT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What a stream gives.
#[derive(Debug)]
pub enum Streamed<T> {
    Event(T),
    /// The server is not there; it is asked again, for two minutes. Told once for each time that it went away.
    Lost(ClientError),
    /// It is there again; the stream begins again at its start.
    Back,
}

/// Events of one address. Each connection gives them from the start.
#[derive(Debug)]
pub struct EventStream<T> {
    client: Client,
    path: Vec<String>,
    query: Vec<(String, String)>,
    response: Option<Response>,
    parser: Parser,
    /// Nothing of this connection was given yet.
    fresh: bool,
    /// Since when the server is away.
    away: Option<Instant>,
    pause: Duration,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> EventStream<T> {
    pub(super) fn new(client: Client, path: &[&str], query: Vec<(String, String)>) -> Self {
        Self {
            client,
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            query,
            response: None,
            parser: Parser::default(),
            fresh: false,
            away: None,
            pause: Duration::from_millis(50),
            kind: PhantomData,
        }
    }

    /// The next one. A stream that was closed is opened again, because a server that goes away closes it too: it is
    /// for the caller to see by an event that nothing more will come.
    pub async fn next(&mut self) -> Result<Streamed<T>, ClientError> {
        loop {
            if let Some(data) = self.parser.events.pop_front() {
                let event = serde_json::from_str(&data).map_err(|error| ClientError::Answer {
                    what: self.path.join("/"),
                    why: error.to_string(),
                })?;
                return Ok(Streamed::Event(event));
            }
            let told = match self.read().await {
                Ok(told) => told,
                Err(error) => self.lost(error).await?,
            };
            if let Some(told) = told {
                return Ok(told);
            }
        }
    }

    /// Whether the event that was just given is the first of a connection.
    fn opened(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// Reads on; opens the stream where it is not open.
    async fn read(&mut self) -> Result<Option<Streamed<T>>, ClientError> {
        let Some(response) = &mut self.response else {
            let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
            let request = self.client.request(Method::GET, &path)?.query(&self.query);
            let request = request.header("accept", "text/event-stream");
            self.response = Some(self.client.send(request).await?);
            self.parser = Parser::default();
            self.fresh = true;
            return Ok(self.away.take().map(|_| Streamed::Back));
        };
        let Ok(chunk) = tokio::time::timeout(SILENCE, response.chunk()).await else {
            self.response = None;
            return Ok(None);
        };
        match chunk.map_err(|error| self.client.unreachable(error))? {
            Some(chunk) => {
                self.pause = Duration::from_millis(50);
                self.parser.take(&chunk)?;
            }
            None => {
                self.response = None;
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(Duration::from_secs(1));
            }
        }
        Ok(None)
    }

    /// Waits a little before the stream is opened again.
    async fn lost(&mut self, error: ClientError) -> Result<Option<Streamed<T>>, ClientError> {
        self.response = None;
        self.parser = Parser::default();
        let first = self.away.is_none();
        let since = *self.away.get_or_insert_with(Instant::now);
        if !error.is_passing() || since.elapsed() > PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Duration::from_secs(1));
        Ok(first.then_some(Streamed::Lost(error)))
    }
}

/// Events of a run, each once.
///
/// A job's events come in the same order on each connection, so those that were seen are counted for each job and
/// passed over when the stream begins again. `State` says where all stands and is always given.
#[derive(Debug)]
pub struct RunEvents {
    stream: EventStream<RunEvent>,
    /// How many events of a job were given, and how many came on this connection. 0 stands for the run.
    seen: HashMap<i64, (u64, u64)>,
    over: bool,
}

impl RunEvents {
    pub(super) fn new(stream: EventStream<RunEvent>) -> Self {
        Self {
            stream,
            seen: HashMap::new(),
            over: false,
        }
    }

    /// The next one; none after [`RunEvent::Run`].
    pub async fn next(&mut self) -> Result<Option<Streamed<RunEvent>>, ClientError> {
        while !self.over {
            let event = match self.stream.next().await? {
                Streamed::Event(event) => event,
                told => return Ok(Some(told)),
            };
            // A connection begins at the start of the attempt.
            if self.stream.opened() {
                self.seen.values_mut().for_each(|(_, here)| *here = 0);
            }
            if self.is_new(&event) {
                self.over = matches!(event, RunEvent::Run { .. });
                return Ok(Some(Streamed::Event(event)));
            }
        }
        Ok(None)
    }

    fn is_new(&mut self, event: &RunEvent) -> bool {
        let job = match event {
            RunEvent::State { .. } => return true,
            RunEvent::Run { .. } => 0,
            RunEvent::StepStarted { job_id, .. }
            | RunEvent::Log { job_id, .. }
            | RunEvent::Annotation { job_id, .. }
            | RunEvent::Summary { job_id, .. }
            | RunEvent::Step { job_id, .. }
            | RunEvent::Job { job_id, .. } => *job_id,
        };
        let (given, here) = self.seen.entry(job).or_default();
        *here += 1;
        let new = *here > *given;
        if new {
            *given = *here;
        }
        new
    }
}

/// The parser of `text/event-stream` (HTML standard, 9.2.6), for what this server sends: `data` and comments.
#[derive(Debug, Default)]
struct Parser {
    buffer: Vec<u8>,
    data: Option<String>,
    events: VecDeque<String>,
}

impl Parser {
    fn take(&mut self, chunk: &[u8]) -> Result<(), ClientError> {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.buffer.extend_from_slice(line);
            rest = after.get(1..).unwrap_or_default();
            let line = std::mem::take(&mut self.buffer);
            let line = String::from_utf8_lossy(&line);
            self.line(line.strip_suffix('\r').unwrap_or(&line));
        }
        self.buffer.extend_from_slice(rest);
        let held = self.buffer.len() + self.data.as_ref().map_or(0, String::len);
        if held > EVENT_BYTES_MAX {
            return Err(ClientError::Answer {
                what: "a stream of events".to_owned(),
                why: format!("an event is longer than {EVENT_BYTES_MAX} bytes"),
            });
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            self.events.extend(self.data.take());
        } else if let Some(text) = line.strip_prefix("data:") {
            let text = text.strip_prefix(' ').unwrap_or(text);
            match &mut self.data {
                Some(data) => data.extend(["\n", text]),
                None => self.data = Some(text.to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Conclusion;

    #[test]
    fn events_may_be_cut_anywhere() {
        let text = "data: {\"a\":1}\r\n\r\n: alive\n\nevent: x\ndata: b\ndata:ü\n\ndata: never ended\n";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            for chunk in text.as_bytes().chunks(size) {
                parser.take(chunk).unwrap();
            }
            assert_eq!(parser.events, ["{\"a\":1}", "b\nü"], "cut every {size}");
        }
    }

    #[test]
    fn what_was_seen_is_not_given_again_when_jobs_come_in_another_order() {
        let client = Client::new("http://127.0.0.1:1", None).unwrap();
        let mut events = RunEvents::new(EventStream::new(client, &["runs"], Vec::new()));
        let line = |job_id: i64, line: u64| RunEvent::Log {
            job: String::new(),
            job_id,
            step: 1,
            name: String::new(),
            text: String::new(),
            line,
        };
        let first = [line(1, 0), line(2, 0), line(1, 1)];
        assert!(first.iter().all(|event| events.is_new(event)));
        events.seen.values_mut().for_each(|(_, here)| *here = 0);
        let end = RunEvent::Run {
            conclusion: Conclusion::Success,
            duration_ms: 1,
        };
        let again = [line(2, 0), line(2, 1), line(1, 0), line(1, 1), line(1, 2), end];
        let new: Vec<bool> = again.iter().map(|event| events.is_new(event)).collect();
        assert_eq!(new, [false, true, false, false, true, true]);
    }
}
