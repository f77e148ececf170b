//! The journal as segment files in a folder: append, sync, scan, rotate, unlink, and nothing else.
//!
//! One [`Embedded`] writes; any number of readers hold an `Arc` of the same [`Segments`]. The flush
//! of a frame may run on another thread while the next frame is decided, but flushes follow each
//! other, so that at most one frame is ever in flight and a torn one can only be the last.
//!
//! Here is the writer's side and what opening makes of the parts: `opening` reads what is there,
//! `segments` lets it grow and drops its oldest end, `reading` finds records in it, `snapshots` keeps
//! the files beside it. What a record says is nobody's business in here; frames are.

mod opening;
mod reading;
mod segments;
mod snapshots;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use shared::disk::Disk;

pub(crate) use self::opening::segment_seq;
pub use self::segments::Segments;
pub use self::snapshots::{read_snapshot, snapshots};

use self::opening::Walk;
use self::segments::Tail;
use super::frame::Frame;
use super::{Flush, Journal, JournalError, JournalReader};

/// Where the files are and how large they grow.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The data folder.
    pub dir: PathBuf,
    /// Bytes after which a segment is sealed.
    pub segment_bytes: u64,
}

/// The writer's side.
#[derive(Debug)]
pub struct Embedded {
    segments: Arc<Segments>,
    next_seq: u64,
    next_offset: u64,
}

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Seq that the next record gets.
    pub next_seq: u64,
    /// Offset that the next event gets.
    pub next_offset: u64,
    /// Bytes of a torn last frame that were cut.
    pub cut_bytes: u64,
}

impl Embedded {
    /// Opens the journal in `options.dir`, creating it if there is none, and hands every frame that
    /// holds records after `after` to `fold`, in order. `after` is the snapshot's `(seq, offset)`:
    /// its last record and the next offset.
    ///
    /// # Errors
    /// An I/O error, damage, or a journal that ends before `after`.
    pub fn open<E: From<JournalError>>(
        disk: Arc<dyn Disk>,
        options: EmbeddedOptions,
        after: (u64, u64),
        mut fold: impl FnMut(&Frame) -> Result<(), E>,
    ) -> Result<(Self, Opened), E> {
        for folder in ["journal", "snapshots"] {
            disk.create_dir(&options.dir.join(folder))
                .map_err(JournalError::io("create", folder))?;
        }
        snapshots::remove_leftovers(&*disk, &options)?;
        let mut walk = Walk::start(&*disk, &options, after)?;
        while let Some(frames) = walk.next_segment(&*disk, &options)? {
            for frame in &frames {
                if frame.header.next_seq() > after.0 + 1 {
                    fold(frame)?;
                }
            }
        }
        let (table, opened) = walk.finish(after)?;
        let last = table.last().map(|segment| (segment.name(), segment.bytes));
        let (name, bytes) = last.unwrap_or_default();
        let path = options.dir.join("journal").join(&name);
        let mut file = disk
            .append(&path)
            .map_err(JournalError::io("open", &name))?;
        // What a killed process wrote may be in the kernel's memory only. From here on it counts, so
        // bytes and names are made durable before anything is built upon them.
        file.sync().map_err(JournalError::io("sync", &name))?;
        let folder = options.dir.join("journal");
        disk.sync_dir(&folder)
            .map_err(JournalError::io("sync", "journal"))?;
        let tail = Mutex::new(Tail {
            file,
            bytes,
            poisoned: false,
        });
        let segments = Arc::new(Segments {
            disk,
            options,
            table: Mutex::new(table),
            tail,
        });
        let writer = Self {
            segments,
            next_seq: opened.next_seq,
            next_offset: opened.next_offset,
        };
        Ok((writer, opened))
    }
}

impl Journal for Embedded {
    fn begin(&mut self) -> Result<Vec<Frame>, JournalError> {
        // One process writes these files, so there is nothing it has not seen.
        Ok(Vec::new())
    }

    fn commit(&mut self, frame: Frame) -> Result<Flush, JournalError> {
        assert_eq!(frame.header.seq, self.next_seq, "records follow each other");
        assert_eq!(
            frame.header.offset, self.next_offset,
            "offsets follow each other"
        );
        self.next_seq = frame.header.next_seq();
        self.next_offset = frame.header.next_offset();
        let segments = Arc::clone(&self.segments);
        Ok(Flush::new(move || segments.append(&frame)))
    }

    fn abandon(&mut self) {}

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::clone(&self.segments) as Arc<dyn JournalReader>
    }
}
