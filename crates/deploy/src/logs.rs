//! What replicas write, read from the files that they write it to.

use crate::error::{DeployError, blocking};
use crate::local::Local;
use crate::replica::Environment;
use pilotage_keep::output;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const CHUNK_BYTES: usize = 256 << 10;
/// A line longer than this is given in pieces.
const LINE_BYTES_MAX: usize = 64 << 10;
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The replica's name.
    pub replica: String,
    /// Without its end; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// Which replicas' lines.
#[derive(Clone, Debug)]
pub struct Query {
    pub environment: Environment,
    pub service: String,
    /// All revisions where none is given.
    pub revision: Option<String>,
    /// How many bytes of each replica's past are read first.
    pub past_bytes: u64,
}

/// A reading position in the output of several replicas. Replicas that come later are found.
#[derive(Debug)]
pub struct Logs {
    local: Local,
    query: Query,
    positions: HashMap<String, Position>,
}

#[derive(Clone, Debug, Default)]
struct Position {
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
    /// The first line may have begun before us.
    skip_first: bool,
}

impl Local {
    /// Where nothing was read yet.
    #[must_use]
    pub fn logs(&self, query: Query) -> Logs {
        Logs {
            local: self.clone(),
            query,
            positions: HashMap::new(),
        }
    }
}

impl Logs {
    /// The lines that there are now and were not read yet, of one replica after the other; at most 256 KiB of each.
    /// Empty when there are none.
    ///
    /// # Errors
    /// When the replicas' folder cannot be read.
    pub async fn read(&mut self) -> Result<Vec<Line>, DeployError> {
        let (local, query) = (self.local.clone(), self.query.clone());
        let positions = std::mem::take(&mut self.positions);
        let (lines, positions) = blocking(move || read_all(&local, &query, positions)).await?;
        self.positions = positions;
        Ok(lines)
    }

    /// Like [`Logs::read`], but waits up to `within` for something to read.
    ///
    /// # Errors
    /// As [`Logs::read`].
    pub async fn follow(&mut self, within: Duration) -> Result<Vec<Line>, DeployError> {
        let deadline = Instant::now() + within;
        loop {
            let lines = self.read().await?;
            if !lines.is_empty() || Instant::now() >= deadline {
                return Ok(lines);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

type Positions = HashMap<String, Position>;

fn read_all(
    local: &Local,
    query: &Query,
    mut positions: Positions,
) -> Result<(Vec<Line>, Positions), DeployError> {
    let mut lines = Vec::new();
    for placed in local.placed()? {
        let id = &placed.id;
        let revision_fits = query
            .revision
            .as_ref()
            .is_none_or(|revision| *revision == id.revision);
        if id.environment != query.environment || id.service != query.service || !revision_fits {
            continue;
        }
        let replica = id.to_string();
        let dir = local.replica_dir(&replica)?;
        let position = positions
            .entry(replica.clone())
            .or_insert_with(|| first_position(&dir, query.past_bytes));
        read_one(&dir, &replica, position, &mut lines)
            .map_err(DeployError::path("read the output of", &dir))?;
    }
    Ok((lines, positions))
}

fn first_position(dir: &Path, past_bytes: u64) -> Position {
    let offset = output::end(dir).unwrap_or(0).saturating_sub(past_bytes);
    Position {
        offset,
        rest: Vec::new(),
        skip_first: offset > 0,
    }
}

fn read_one(
    dir: &Path,
    replica: &str,
    position: &mut Position,
    lines: &mut Vec<Line>,
) -> std::io::Result<()> {
    // A file that was cut (no holes on its file system) begins anew.
    if output::end(dir)? < position.offset {
        *position = Position::default();
    }
    let part = output::read(dir, position.offset, CHUNK_BYTES)?;
    if part.offset > position.offset {
        // The front is gone: what follows begins within a line.
        position.rest.clear();
        position.skip_first = true;
    }
    position.offset = part.offset + part.bytes.len() as u64;
    position.rest.extend(&part.bytes);
    let mut push = |bytes: &[u8]| {
        if !std::mem::take(&mut position.skip_first) {
            lines.push(Line {
                replica: replica.to_owned(),
                text: String::from_utf8_lossy(bytes).into_owned(),
            });
        }
    };
    let bytes = std::mem::take(&mut position.rest);
    let mut rest = bytes.as_slice();
    loop {
        let line_end = rest.iter().take(LINE_BYTES_MAX).position(|b| *b == b'\n');
        let (line, after) = match line_end.map(|end| (rest.split_at(end).0, rest.split_at(end + 1).1)) {
            Some(found) => found,
            None if rest.len() >= LINE_BYTES_MAX => rest.split_at(LINE_BYTES_MAX),
            None => break,
        };
        push(line);
        rest = after;
    }
    position.rest = rest.to_vec();
    Ok(())
}
