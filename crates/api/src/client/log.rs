//! Logs as text, line by line, whole: an answer that ends early or breaks off is asked for again from the line that
//! comes next.

use super::{Client, ClientError};
use crate::rest::{LogQuery, NEXT_LINE};
use reqwest::{Method, Response};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

/// Lines of an answer as it comes.
#[derive(Debug)]
pub struct Lines {
    client: Client,
    response: Response,
    buffer: Vec<u8>,
    /// Up to here the buffer holds no end of a line.
    searched: usize,
    over: bool,
}

impl Lines {
    pub(super) fn new(client: Client, response: Response) -> Self {
        Self {
            client,
            response,
            buffer: Vec::new(),
            searched: 0,
            over: false,
        }
    }

    /// Some whole lines, each with its end; the last one of the answer may be without. None at the end.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        while !self.over {
            let chunk = self.response.chunk().await;
            let Some(chunk) = chunk.map_err(|error| self.client.unreachable(error))? else {
                self.over = true;
                let rest = std::mem::take(&mut self.buffer);
                return Ok((!rest.is_empty()).then(|| text(&rest)));
            };
            self.buffer.extend_from_slice(&chunk);
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().rposition(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + end + 1);
                let lines = std::mem::replace(&mut self.buffer, rest);
                self.searched = self.buffer.len();
                return Ok(Some(text(&lines)));
            }
            self.searched = self.buffer.len();
        }
        Ok(None)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The log of a job, from a line on; with `follow` until it has ended.
#[derive(Debug)]
pub struct JobLog {
    client: Client,
    job: i64,
    query: LogQuery,
    lines: Option<Lines>,
    /// Where the answer that is read says that the next one begins.
    next: Option<u64>,
    began: u64,
    away: Option<Instant>,
    over: bool,
}

impl JobLog {
    pub(super) fn new(client: Client, job: i64, query: LogQuery) -> Self {
        Self {
            client,
            job,
            began: query.from,
            query,
            lines: None,
            next: None,
            away: None,
            over: false,
        }
    }

    /// Some whole lines; none at the end.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        while !self.over {
            match self.read().await {
                Ok(Some(lines)) => {
                    self.away = None;
                    self.query.from += lines.bytes().filter(|byte| *byte == b'\n').count() as u64;
                    return Ok(Some(lines));
                }
                Ok(None) => {}
                // Lines of one step are not counted over the job, so it is not known where to go on.
                Err(error) if error.is_passing() && self.query.step.is_none() => {
                    self.lines = None;
                    let since = *self.away.get_or_insert_with(Instant::now);
                    if since.elapsed() > PATIENCE {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<Option<String>, ClientError> {
        let Some(lines) = &mut self.lines else {
            let job = self.job.to_string();
            let request = self.client.request(Method::GET, &["jobs", &job, "log"])?;
            let response = self.client.send(request.query(&self.query)).await?;
            let next = response.headers().get(NEXT_LINE);
            self.next = next.and_then(|line| line.to_str().ok()?.parse().ok());
            self.began = self.query.from;
            self.lines = Some(Lines::new(self.client.clone(), response));
            return Ok(None);
        };
        let text = lines.next().await?;
        if text.is_none() {
            self.lines = None;
            match self.next {
                Some(next) if !self.query.follow && next > self.began => self.query.from = next,
                _ => self.over = true,
            }
        }
        Ok(text)
    }
}
