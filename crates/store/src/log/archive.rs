//! A log that is over: blocks of frames, each compressed, and behind them a table of the blocks.
//!
//! File: blocks, table (one [`Block`] each), foot. A block holds about a quarter of a megabyte of text.

use super::LogPiece;
use super::active::ActiveLog;
use super::frame::{HEAD_BYTES, Head, Reading};
use crate::error::{Result, StoreError};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK_BYTES: usize = 256 * 1024;
const BLOCK_ENTRY_BYTES: usize = 40;
const FOOT_BYTES: usize = 32;
const MAGIC: u64 = 0x0001_474f_4c50_0001;
const LEVEL: i32 = 3;
/// More than any block of ours: one line may be long, but not longer than a frame can say.
const BLOCK_PLAIN_MAX: usize = 1 << 31;

#[derive(Clone, Copy, Default)]
struct Block {
    first_line: u64,
    end_line: u64,
    place: u64,
    compressed: u32,
    plain: u32,
    step_min: u32,
    step_max: u32,
}

pub(super) struct Archive {
    path: PathBuf,
    file: File,
    blocks: Vec<Block>,
    bytes: u64,
}

/// Compresses a log that has ended. The file appears whole, on disk.
pub(super) fn write(log: &ActiveLog, path: &Path) -> Result<()> {
    let temporary = path.with_extension("new");
    let file = File::create(&temporary).map_err(StoreError::file("create", &temporary))?;
    let mut writer = Writer {
        out: BufWriter::new(file),
        place: 0,
        blocks: Vec::new(),
        plain: Vec::new(),
        open: None,
    };
    let fault = StoreError::file("write", &temporary);
    let mut io = Ok(());
    log.walk(0, |head, place| {
        let text = log.text(head, place)?;
        io = writer.frame(head, &text);
        Ok(io.is_ok())
    })?;
    if let Err(error) = io.and_then(|()| writer.finish(log.state().bytes)) {
        // On a full disk, half an archive would only take more of it.
        let _ = std::fs::remove_file(&temporary);
        return Err(fault(error));
    }
    std::fs::rename(&temporary, path).map_err(StoreError::file("rename to", path))?;
    let folder = path.parent().unwrap_or(path);
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(StoreError::file("sync", folder))
}

struct Writer {
    out: BufWriter<File>,
    place: u64,
    blocks: Vec<Block>,
    plain: Vec<u8>,
    open: Option<Block>,
}

impl Writer {
    fn frame(&mut self, head: &Head, text: &[u8]) -> std::io::Result<()> {
        let block = self.open.get_or_insert(Block {
            first_line: head.first_line,
            step_min: head.step,
            step_max: head.step,
            ..Block::default()
        });
        block.end_line = head.end_line();
        block.step_min = block.step_min.min(head.step);
        block.step_max = block.step_max.max(head.step);
        head.write(&mut self.plain);
        self.plain.extend_from_slice(text);
        if self.plain.len() >= BLOCK_BYTES {
            self.close()
        } else {
            Ok(())
        }
    }

    fn close(&mut self) -> std::io::Result<()> {
        let Some(mut block) = self.open.take() else {
            return Ok(());
        };
        let compressed = zstd::bulk::compress(&self.plain, LEVEL)?;
        let too_large = |_| std::io::Error::other("a block of a log is too large");
        block.place = self.place;
        block.compressed = u32::try_from(compressed.len()).map_err(too_large)?;
        block.plain = u32::try_from(self.plain.len()).map_err(too_large)?;
        self.out.write_all(&compressed)?;
        self.place += compressed.len() as u64;
        self.blocks.push(block);
        self.plain.clear();
        Ok(())
    }

    fn finish(mut self, bytes: u64) -> std::io::Result<()> {
        self.close()?;
        for block in &self.blocks {
            self.out.write_all(&block.first_line.to_le_bytes())?;
            self.out.write_all(&block.end_line.to_le_bytes())?;
            self.out.write_all(&block.place.to_le_bytes())?;
            for number in [block.compressed, block.plain, block.step_min, block.step_max] {
                self.out.write_all(&number.to_le_bytes())?;
            }
        }
        for number in [self.place, self.blocks.len() as u64, bytes, MAGIC] {
            self.out.write_all(&number.to_le_bytes())?;
        }
        self.out.flush()?;
        self.out.get_ref().sync_all()
    }
}

impl Archive {
    /// None where there is no such file.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::file("open", path)(error)),
        };
        let damaged = || StoreError::Damaged {
            what: path.display().to_string(),
        };
        let length = file.metadata().map_err(StoreError::file("read", path))?.len();
        let mut foot = [0; FOOT_BYTES];
        let foot_at = length.checked_sub(FOOT_BYTES as u64).ok_or_else(damaged)?;
        file.read_exact_at(&mut foot, foot_at)
            .map_err(StoreError::file("read", path))?;
        let table_at = number(&foot, 0);
        if number(&foot, 24) != MAGIC
            || table_at > foot_at
            || !(foot_at - table_at).is_multiple_of(BLOCK_ENTRY_BYTES as u64)
        {
            return Err(damaged());
        }
        let mut table = vec![0; usize::try_from(foot_at - table_at).map_err(|_| damaged())?];
        file.read_exact_at(&mut table, table_at)
            .map_err(StoreError::file("read", path))?;
        let blocks = table.chunks_exact(BLOCK_ENTRY_BYTES).map(read_block).collect();
        Ok(Some(Self {
            path: path.to_owned(),
            file,
            blocks,
            bytes: number(&foot, 16),
        }))
    }

    pub(super) fn lines(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.end_line)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn read(&mut self, step: Option<u32>, from: u64) -> Result<(Vec<LogPiece>, u64)> {
        let mut reading = Reading::new(step, from);
        let first = self.blocks.partition_point(|block| block.end_line <= from);
        for block in self.blocks.iter().skip(first) {
            let wanted = step.is_none_or(|step| (block.step_min..=block.step_max).contains(&step));
            if !wanted {
                reading.pass(block.end_line);
                continue;
            }
            let plain = self.block(block)?;
            let mut rest = plain.as_slice();
            while !rest.is_empty() && !reading.is_full() {
                let head = Head::read(rest).ok_or_else(|| self.damaged())?;
                let end = HEAD_BYTES + head.bytes as usize;
                let text = rest.get(HEAD_BYTES..end).ok_or_else(|| self.damaged())?;
                if reading.wants(&head) {
                    reading.take(&head, text);
                }
                rest = rest.get(end..).unwrap_or_default();
            }
            if reading.is_full() {
                break;
            }
        }
        Ok(reading.end())
    }

    fn block(&self, block: &Block) -> Result<Vec<u8>> {
        let plain = (block.plain as usize).min(BLOCK_PLAIN_MAX);
        let mut compressed = vec![0; block.compressed as usize];
        self.file
            .read_exact_at(&mut compressed, block.place)
            .map_err(StoreError::file("read", &self.path))?;
        zstd::bulk::decompress(&compressed, plain).map_err(|_| self.damaged())
    }

    fn damaged(&self) -> StoreError {
        StoreError::Damaged {
            what: self.path.display().to_string(),
        }
    }
}

fn read_block(entry: &[u8]) -> Block {
    let half = |at| u32::try_from(number(entry, at) & u64::from(u32::MAX)).unwrap_or_default();
    let high = |at| u32::try_from(number(entry, at) >> 32).unwrap_or_default();
    Block {
        first_line: number(entry, 0),
        end_line: number(entry, 8),
        place: number(entry, 16),
        compressed: half(24),
        plain: high(24),
        step_min: half(32),
        step_max: high(32),
    }
}

/// A number of eight bytes at a place; 0 where there is none.
fn number(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|b| b.first_chunk::<8>())
        .map_or(0, |b| u64::from_le_bytes(*b))
}
