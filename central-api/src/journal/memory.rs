//! A journal in memory that several ledgers share.
//!
//! It behaves as a database would: who begins holds the right to write until it commits or gives
//! up, sees first what the others committed, and its commit is durable at once. Two ledgers over one
//! of these in a test show that the writer's loop, the fold and the feed do not depend on there
//! being one process.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::frame::{First, Frame, Offsets, Stream};
use super::{Flush, Journal, JournalError, JournalReader, LogSize, RunName};

/// The shared log.
#[derive(Default)]
pub struct MemoryLog {
    /// Bytes of it that somebody else has taken.
    taken: AtomicU64,
    frames: Mutex<Vec<Frame>>,
    /// Whether somebody holds the right to write.
    held: Mutex<bool>,
    freed: Condvar,
    listeners: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
    runs: Mutex<HashMap<RunName, Vec<u8>>>,
}

impl std::fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryLog")
            .field("frames", &self.frames.lock().len())
            .finish()
    }
}

/// One ledger's side of a [`MemoryLog`].
#[derive(Debug)]
pub struct MemoryJournal {
    log: Arc<MemoryLog>,
    /// Frames that this side has folded.
    seen: usize,
    holds: bool,
}

impl MemoryJournal {
    /// A side that has seen nothing yet.
    #[must_use]
    pub fn new(log: Arc<MemoryLog>) -> Self {
        Self {
            log,
            seen: 0,
            holds: false,
        }
    }

    fn free(&mut self) {
        if std::mem::take(&mut self.holds) {
            *self.log.held.lock() = false;
            self.log.freed.notify_one();
        }
    }
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        self.free();
    }
}

impl Journal for MemoryJournal {
    fn begin(&mut self) -> Result<Vec<Frame>, JournalError> {
        let mut held = self.log.held.lock();
        while *held {
            self.log.freed.wait(&mut held);
        }
        *held = true;
        self.holds = true;
        drop(held);
        let frames = self.log.frames.lock();
        let unseen = frames.get(self.seen..).unwrap_or_default().to_vec();
        self.seen = frames.len();
        Ok(unseen)
    }

    fn commit(&mut self, frame: Frame) -> Result<Flush, JournalError> {
        assert!(self.holds, "only who has begun may commit");
        {
            let mut frames = self.log.frames.lock();
            let next = frames.last().map_or(1, |last| last.header.next_seq());
            assert_eq!(frame.header.first.seq, next, "records follow each other");
            frames.push(frame);
            self.seen = frames.len();
        }
        self.free();
        let listeners = self.log.listeners.lock().clone();
        for listener in listeners {
            listener();
        }
        Ok(Flush::done())
    }

    fn abandon(&mut self) {
        self.free();
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::clone(&self.log) as Arc<dyn JournalReader>
    }
}

impl MemoryLog {
    /// Leaves `free` bytes to grow by, as if others had taken the rest.
    pub fn leave_free(&self, free: u64) {
        self.taken.store(u64::MAX - free, Ordering::Relaxed);
    }

    fn frames_where(&self, max_bytes: usize, wanted: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut total = 0;
        let mut found = Vec::new();
        for frame in self.frames.lock().iter().filter(|frame| wanted(frame)) {
            found.push(frame.clone());
            total += frame.bytes.len();
            if total >= max_bytes {
                break;
            }
        }
        found
    }
}

impl JournalReader for MemoryLog {
    fn frames_from_seq(&self, seq: u64, max_bytes: usize) -> Result<Vec<Frame>, JournalError> {
        Ok(self.frames_where(max_bytes, |frame| frame.header.next_seq() > seq))
    }

    fn frames_from_offset(
        &self,
        stream: Stream,
        offset: u64,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, JournalError> {
        Ok(self.frames_where(max_bytes, |frame| {
            frame.header.next_offsets().of(stream) > offset
        }))
    }

    fn oldest(&self) -> First {
        First {
            seq: 1,
            offsets: Offsets::default(),
        }
    }

    fn free_bytes(&self) -> Result<u64, JournalError> {
        Ok(u64::MAX - self.taken.load(Ordering::Relaxed))
    }

    fn size(&self) -> LogSize {
        let bytes = self
            .frames
            .lock()
            .iter()
            .map(|frame| frame.bytes.len() as u64)
            .sum();
        LogSize { bytes, segments: 1 }
    }

    fn bytes_from(&self, seq: u64) -> u64 {
        let frames = self.frames.lock();
        let after = frames.iter().filter(|frame| frame.header.next_seq() > seq);
        after.map(|frame| frame.bytes.len() as u64).sum()
    }

    fn on_commit(&self, notify: Arc<dyn Fn() + Send + Sync>) {
        self.listeners.lock().push(notify);
    }

    fn drop_before(&self, _seq: u64) -> Result<(), JournalError> {
        Ok(())
    }

    fn snapshots(&self) -> Result<Vec<u64>, JournalError> {
        Ok(Vec::new())
    }

    fn read_snapshot(&self, seq: u64, _from: u64, _len: usize) -> Result<Vec<u8>, JournalError> {
        Err(JournalError::Gone {
            wanted: seq,
            oldest: 0,
        })
    }

    fn write_snapshot(
        &self,
        _seq: u64,
        parts: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> Result<(), JournalError> {
        parts.for_each(drop);
        Ok(())
    }

    fn runs(&self) -> Result<Vec<(RunName, u64)>, JournalError> {
        let runs = self.runs.lock();
        let runs = runs.iter().map(|(run, bytes)| (*run, bytes.len() as u64));
        Ok(runs.collect())
    }

    fn read_run(&self, run: RunName, from: u64, len: usize) -> Result<Vec<u8>, JournalError> {
        let runs = self.runs.lock();
        let bytes = runs.get(&run).map(Vec::as_slice).unwrap_or_default();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let rest = bytes.get(from..).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest).to_vec())
    }

    fn write_run(
        &self,
        run: RunName,
        parts: &mut dyn Iterator<Item = Result<Vec<u8>, JournalError>>,
    ) -> Result<(), JournalError> {
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        self.runs.lock().insert(run, parts.concat());
        Ok(())
    }

    fn remove_runs(&self, runs: &[RunName]) -> Result<(), JournalError> {
        self.runs.lock().retain(|run, _| !runs.contains(run));
        Ok(())
    }
}
