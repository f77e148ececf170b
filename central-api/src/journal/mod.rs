//! The journal: what was decided, in order, durably.
//!
//! `docs/journal.md` draws the files and says what a crash at each point leaves. Here is the shape:
//! [`Journal`] is what the one writer needs, [`JournalReader`] is what everybody else may do. The
//! writer's loop is the same for every engine:
//!
//! ```text
//! begin() → fold what others wrote → decide what is queued → commit(frame) → flush → publish
//! ```
//!
//! [`embedded`] keeps segment files and lets the flush run beside the next decisions; [`memory`] is
//! shared by several ledgers in one test and is durable as soon as it is committed, as a database
//! would be. `decide`, the fold, the feed and HTTP do not know which one runs.

pub mod embedded;
pub mod error;
pub mod frame;
pub mod memory;
pub mod record;
pub mod scan;

use std::fmt;
use std::sync::Arc;

pub use error::JournalError;
pub use frame::{First, Frame, Offsets, Stream};
pub use record::{Body, DecisionRecord, Generation, LogGen, Record};

/// What the writer needs of an engine.
pub trait Journal: Send + fmt::Debug {
    /// Takes the right to write and returns the frames that this process has not seen yet.
    ///
    /// # Errors
    /// The engine cannot be reached or read.
    fn begin(&mut self) -> Result<Vec<Frame>, JournalError>;

    /// Hands over one frame whose first record follows the last one known. The frame is durable
    /// once the returned [`Flush`] has run; flushes run in the order of their commits.
    ///
    /// # Errors
    /// The engine refuses the frame; nothing of it will become durable.
    fn commit(&mut self, frame: Frame) -> Result<Flush, JournalError>;

    /// Gives the right to write back without a frame: there was nothing to record.
    fn abandon(&mut self);

    /// What readers use.
    fn reader(&self) -> Arc<dyn JournalReader>;
}

/// What readers may do, from any thread; they see durable records only.
pub trait JournalReader: Send + Sync + fmt::Debug {
    /// Frames from the one that holds record `seq`, until `max_bytes` are reached (at least one, if
    /// there is one).
    ///
    /// # Errors
    /// Damage, an I/O error, or [`JournalError::Gone`] if `seq` was dropped by retention.
    fn frames_from_seq(&self, seq: u64, max_bytes: usize) -> Result<Vec<Frame>, JournalError>;

    /// Frames from the one that holds the event `offset` of `stream`, likewise.
    ///
    /// # Errors
    /// As [`JournalReader::frames_from_seq`].
    fn frames_from_offset(
        &self,
        stream: Stream,
        offset: u64,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, JournalError>;

    /// The oldest record there is, and the offsets of the first events in or after it.
    fn oldest(&self) -> First;

    /// Bytes and files that the log takes.
    fn size(&self) -> LogSize;

    /// Bytes that are left where the log grows.
    ///
    /// # Errors
    /// Nobody can say.
    fn free_bytes(&self) -> Result<u64, JournalError>;

    /// Bytes of the log from record `seq` on, without reading it: a little more where the frame of
    /// `seq` has no entry of its own in the tables. What retention drops before `seq` changes nothing.
    fn bytes_from(&self, seq: u64) -> u64;

    /// Calls `notify` after every frame that anybody committed, where several may.
    fn on_commit(&self, notify: Arc<dyn Fn() + Send + Sync>);

    /// Drops whole segments that hold nothing from record `seq` on.
    ///
    /// # Errors
    /// The disk failed; what was dropped stays dropped.
    fn drop_before(&self, seq: u64) -> Result<(), JournalError>;

    /// The records at which there are snapshots, newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn snapshots(&self) -> Result<Vec<u64>, JournalError>;

    /// Reads up to `len` bytes of the snapshot at `seq` from byte `from` on; none at its end.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read_snapshot(&self, seq: u64, from: u64, len: usize) -> Result<Vec<u8>, JournalError>;

    /// Writes a snapshot aside and puts it in place durably; keeps the one before it.
    ///
    /// # Errors
    /// The disk failed; the snapshots there were are still there.
    fn write_snapshot(
        &self,
        seq: u64,
        parts: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> Result<(), JournalError>;

    /// The runs of the order index with their bytes, in no order; for a process that has just started.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn runs(&self) -> Result<Vec<(RunName, u64)>, JournalError>;

    /// Reads up to `len` bytes of `run` from byte `from` on; none at its end.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read_run(&self, run: RunName, from: u64, len: usize) -> Result<Vec<u8>, JournalError>;

    /// Writes `run` aside and puts it in place durably.
    ///
    /// # Errors
    /// The first error of `parts`, or the disk failed; the runs there were are still there.
    fn write_run(
        &self,
        run: RunName,
        parts: &mut dyn Iterator<Item = Result<Vec<u8>, JournalError>>,
    ) -> Result<(), JournalError>;

    /// Removes `runs`.
    ///
    /// # Errors
    /// The disk failed; some may be there still.
    fn remove_runs(&self, runs: &[RunName]) -> Result<(), JournalError>;
}

/// Names a run of the order index: the first and the last of the records that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunName {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "orders-{from:020}-{to:020}.run")
    }
}

/// How much room the log takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSize {
    /// Bytes in all segments.
    pub bytes: u64,
    /// Segments.
    pub segments: usize,
}

/// The rest of a commit: run it, and the frame is durable.
pub struct Flush(Box<dyn FnOnce() -> Result<(), JournalError> + Send>);

impl Flush {
    /// A flush that does `work`.
    pub fn new(work: impl FnOnce() -> Result<(), JournalError> + Send + 'static) -> Self {
        Self(Box::new(work))
    }

    /// A flush of what is durable already.
    #[must_use]
    pub fn done() -> Self {
        Self::new(|| Ok(()))
    }

    /// Makes the frame durable.
    ///
    /// # Errors
    /// The disk failed. Whether the frame is durable is unknown; do not write again.
    pub fn run(self) -> Result<(), JournalError> {
        (self.0)()
    }
}

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flush")
    }
}
