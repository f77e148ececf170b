//! Where the events are in the journals, so that a relay can serve old ones.
//!
//! Sparse: one point every [`SPACING`] bytes, kept by the one who appends, shared with readers. It
//! is made from the journals and never written. A reader holds no lock while it reads a file: the
//! bytes it was told of do not change, and if the file has gone meanwhile, so has the offset.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use parking_lot::RwLock;
use serde::Deserialize;
use shared::disk::Disk;
use shared::wire::event::Batch;

use super::line::{self, Line};
use crate::replica::position::Position;

/// Bytes between two points.
const SPACING: u64 = 64 * 1024;
/// Bytes read at once.
const BLOCK: usize = 256 * 1024;

/// The journals of one folder, oldest first.
#[derive(Debug, Default)]
pub struct Index {
    journals: RwLock<Vec<Indexed>>,
}

#[derive(Clone, Debug)]
struct Indexed {
    path: PathBuf,
    start: u64,
    end: u64,
    /// Bytes that hold whole appends.
    len: u64,
    /// Offset of an event and the place of its line.
    points: Vec<(u64, u64)>,
    /// Changes of generation, the header's first.
    marks: Vec<Position>,
}

impl Index {
    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.journals.write().clear();
    }

    /// Begins a journal; what follows is about it.
    pub(super) fn begin(&self, path: PathBuf, start: Position, len: u64) {
        self.journals.write().push(Indexed {
            path,
            start: start.offset,
            end: start.offset,
            len,
            points: Vec::new(),
            marks: vec![start],
        });
    }

    /// Notes a line of the event `offset` at byte `at` of the last journal.
    pub(super) fn event(&self, offset: u64, at: u64) {
        if let Some(journal) = self.journals.write().last_mut() {
            let due = journal
                .points
                .last()
                .is_none_or(|(_, last)| at.saturating_sub(*last) >= SPACING);
            if due {
                journal.points.push((offset, at));
            }
        }
    }

    /// Notes that the last journal now has `len` bytes that lead to `end`.
    pub(super) fn grow(&self, end: Position, len: u64) {
        if let Some(journal) = self.journals.write().last_mut() {
            journal.end = end.offset;
            journal.len = len;
            if journal.marks.last().map(|mark| mark.r#gen) != Some(end.r#gen) {
                journal.marks.push(end);
            }
        }
    }

    /// Notes a change of generation in the last journal.
    pub(super) fn mark(&self, mark: Position) {
        if let Some(journal) = self.journals.write().last_mut() {
            journal.marks.push(mark);
        }
    }

    /// Forgets the journals that begin below `offset`.
    pub(super) fn forget_below(&self, offset: u64) {
        self.journals
            .write()
            .retain(|journal| journal.start >= offset);
    }

    /// The oldest offset that can be read.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.journals.read().first().map(|journal| journal.start)
    }

    /// The generations that the copy went through, oldest first, each with the offset from which on
    /// it was the one in force here.
    #[must_use]
    pub fn generations(&self) -> Vec<Position> {
        let journals = self.journals.read();
        let marks = journals.iter().flat_map(|journal| journal.marks.iter());
        let mut generations: Vec<Position> = Vec::new();
        for mark in marks {
            if generations.last().map(|last| last.r#gen) != Some(mark.r#gen) {
                generations.push(*mark);
            }
        }
        generations
    }

    /// Reads events from `from` on: at most `limit`, but never a part of a batch. `None` if the
    /// journals do not hold `from`.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, disk: &dyn Disk, from: u64, limit: usize) -> io::Result<Option<Vec<Bytes>>> {
        let found = {
            let journals = self.journals.read();
            let holds = |journal: &&Indexed| journal.start <= from && from < journal.end;
            journals.iter().rev().find(holds).and_then(|journal| {
                let after = journal
                    .points
                    .partition_point(|(offset, _)| *offset <= from);
                let point = journal.points.get(after.checked_sub(1)?)?;
                Some((journal.path.clone(), journal.len, *point))
            })
        };
        let Some((path, len, (offset, at))) = found else {
            return Ok(None);
        };
        let mut reader = Reader {
            next: offset,
            from,
            limit,
            events: Vec::new(),
            done: false,
        };
        let (mut at, mut rest) = (at, Vec::new());
        while at < len && !reader.done {
            let want = usize::try_from(len - at).unwrap_or(BLOCK).min(BLOCK);
            let block = disk.read_at(&path, at, want)?;
            if block.is_empty() {
                break;
            }
            at += block.len() as u64;
            rest.extend_from_slice(&block);
            reader.take_lines(&mut rest);
        }
        Ok(Some(reader.events))
    }
}

struct Reader {
    next: u64,
    from: u64,
    limit: usize,
    events: Vec<Bytes>,
    done: bool,
}

#[derive(Deserialize)]
struct BatchText {
    #[serde(default)]
    batch: Option<Batch>,
}

impl Reader {
    /// Takes the whole lines at the front of `text`.
    fn take_lines(&mut self, text: &mut Vec<u8>) {
        let mut taken = 0;
        while !self.done {
            let rest = text.get(taken..).unwrap_or_default();
            let Some(len) = rest.iter().position(|byte| *byte == b'\n') else {
                break;
            };
            let line = rest.get(..len).unwrap_or_default();
            taken += len + 1;
            match line::parse(line) {
                Ok(Line::Mark(_)) => {}
                Ok(Line::Event(event)) => self.take(event),
                // A line that was good when it was indexed: the disk is failing. What was read
                // so far is good, and the next question finds nothing here.
                Err(_) => self.done = true,
            }
        }
        text.drain(..taken);
    }

    fn take(&mut self, event: &[u8]) {
        let offset = self.next;
        self.next += 1;
        if offset < self.from {
            return;
        }
        self.events.push(Bytes::copy_from_slice(event));
        if self.events.len() >= self.limit {
            let text: Option<BatchText> = serde_json::from_slice(event).ok();
            let batch = text.and_then(|text| text.batch);
            self.done = batch.is_none_or(|batch| batch.index.saturating_add(1) >= batch.size);
        }
    }
}
