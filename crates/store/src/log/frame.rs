//! The form of a log file: frames, each a head of fixed size and its text.

use crate::log::LogPiece;

pub(super) const HEAD_BYTES: usize = 36;
/// Pieces are cut into frames of about this size, so that a reader never has to take much to find a line.
pub(super) const TEXT_BYTES: usize = 64 * 1024;
const MAGIC: u32 = 0x4c50_0001;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) step: u32,
    pub(super) first_line: u64,
    pub(super) lines: u32,
    pub(super) bytes: u32,
    pub(super) at_ms: i64,
    pub(super) checksum: u32,
}

impl Head {
    pub(super) fn end_line(&self) -> u64 {
        self.first_line + u64::from(self.lines)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&self.step.to_le_bytes());
        out.extend_from_slice(&self.first_line.to_le_bytes());
        out.extend_from_slice(&self.lines.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.at_ms.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }

    /// None where these bytes are no head.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(..HEAD_BYTES)?;
        if u32::from_le_bytes(take(&mut rest)?) != MAGIC {
            return None;
        }
        Some(Self {
            step: u32::from_le_bytes(take(&mut rest)?),
            first_line: u64::from_le_bytes(take(&mut rest)?),
            lines: u32::from_le_bytes(take(&mut rest)?),
            bytes: u32::from_le_bytes(take(&mut rest)?),
            at_ms: i64::from_le_bytes(take(&mut rest)?),
            checksum: u32::from_le_bytes(take(&mut rest)?),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*first)
}

pub(super) fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// Cuts a piece into frames and writes them out; gives their heads.
pub(super) fn write_frames(
    step: u32,
    mut first_line: u64,
    at_ms: i64,
    mut text: &[u8],
    out: &mut Vec<u8>,
) -> Vec<Head> {
    let mut heads = Vec::new();
    while !text.is_empty() {
        // Whole lines, of about the wanted size; one line may be longer.
        let wanted = TEXT_BYTES.min(text.len());
        let end = match memchr::memrchr(b'\n', &text[..wanted]) {
            Some(at) => at + 1,
            None => memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1),
        };
        let (part, behind) = text.split_at(end);
        let lines = u32::try_from(count_lines(part)).unwrap_or(u32::MAX);
        let bytes = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let head = Head {
            step,
            first_line,
            lines,
            bytes,
            at_ms,
            checksum: crc32fast::hash(part),
        };
        head.write(out);
        out.extend_from_slice(part);
        heads.push(head);
        first_line += u64::from(lines);
        text = behind;
    }
    heads
}

/// What stands before line `lines` of a text, and what follows.
pub(super) fn split_lines(text: &[u8], lines: u64) -> (&[u8], &[u8]) {
    let Some(nth) = lines.checked_sub(1) else {
        return (&[], text);
    };
    let nth = usize::try_from(nth).unwrap_or(usize::MAX);
    let end = memchr::memchr_iter(b'\n', text)
        .nth(nth)
        .map_or(text.len(), |at| at + 1);
    text.split_at(end)
}

/// What a reader takes from frames, in order.
pub(super) struct Reading {
    step: Option<u32>,
    from: u64,
    pub(super) pieces: Vec<LogPiece>,
    bytes: usize,
    next: u64,
}

impl Reading {
    pub(super) fn new(step: Option<u32>, from: u64) -> Self {
        Self {
            step,
            from,
            pieces: Vec::new(),
            bytes: 0,
            next: from,
        }
    }

    /// Whether a frame is to be read, or only passed over.
    pub(super) fn wants(&mut self, head: &Head) -> bool {
        let wanted = head.end_line() > self.from && self.step.is_none_or(|step| step == head.step);
        if !wanted {
            self.next = self.next.max(head.end_line());
        }
        wanted
    }

    pub(super) fn take(&mut self, head: &Head, text: &[u8]) {
        let (_, text) = split_lines(text, self.from.saturating_sub(head.first_line));
        let first_line = head.first_line.max(self.from);
        self.bytes += text.len();
        self.next = head.end_line();
        self.pieces.push(LogPiece {
            step: head.step,
            first_line,
            at_ms: head.at_ms,
            text: String::from_utf8_lossy(text).into_owned(),
        });
    }

    /// Passes over all lines before `line`.
    pub(super) fn pass(&mut self, line: u64) {
        self.next = self.next.max(line);
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= super::READ_BYTES_MAX
    }

    pub(super) fn end(self) -> (Vec<LogPiece>, u64) {
        (self.pieces, self.next)
    }
}
