//! The segment files and how they grow: one frame at a time at the end, whole files off the front.
//!
//! To find a record without an index file, each segment keeps in memory where its contents begin and
//! a sparse table of frame positions. That table comes from reading the segments at start; that of an
//! older segment is made on first use by hopping over its headers.
//!
//! What must stay true: the table names durable bytes only, so it is touched after the sync and never
//! before; after a failed write or sync the tail takes nothing more. Two locks: the tail's is held
//! for as long as a sync takes; the table's, which readers take, never across a read, a write or a sync.
//! How they read stands in `reading`.

use std::sync::Arc;

use parking_lot::Mutex;
use shared::disk::{Disk, DiskFile};

use super::EmbeddedOptions;
use crate::journal::JournalError;
use crate::journal::frame::{First, Frame, Header, Offsets};

/// Bytes between two entries of a segment's table.
const TABLE_STRIDE: u64 = 64 * 1024;

/// The files, as readers see them.
#[derive(Debug)]
pub struct Segments {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: EmbeddedOptions,
    /// What is durable, oldest first; never empty.
    pub(super) table: Mutex<Vec<Segment>>,
    /// The file that grows.
    pub(super) tail: Mutex<Tail>,
}

#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) bytes: u64,
    pub(super) poisoned: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Seq of its first record, which names the file.
    pub(super) seq: u64,
    /// Durable bytes.
    pub(super) bytes: u64,
    /// Offsets of the first events in or after it.
    pub(super) offsets: Offsets,
    /// Frame positions in ascending order; `None` until the segment was walked.
    pub(super) places: Option<Vec<Place>>,
}

/// Where a frame begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) first: First,
    pub(super) at: u64,
}

impl Segment {
    pub(super) fn empty(first: First) -> Self {
        Self {
            seq: first.seq,
            bytes: 0,
            offsets: first.offsets,
            places: Some(Vec::new()),
        }
    }

    pub(super) fn name(&self) -> String {
        segment_name(self.seq)
    }

    /// Where its contents begin.
    pub(super) const fn first(&self) -> First {
        First {
            seq: self.seq,
            offsets: self.offsets,
        }
    }

    /// Where the last known frame begins that is not behind record `seq`.
    pub(super) fn place_of(&self, seq: u64) -> u64 {
        let places = self.places.as_deref().unwrap_or_default();
        let behind = places.partition_point(|place| place.first.seq <= seq);
        let last = behind.checked_sub(1).and_then(|at| places.get(at));
        last.map_or(0, |place| place.at)
    }

    /// Notes a frame at the end, if the table has none near it.
    pub(super) fn note(&mut self, header: &Header) {
        let at = self.bytes;
        if let Some(places) = &mut self.places {
            let due = places
                .last()
                .is_none_or(|last| at >= last.at + TABLE_STRIDE);
            if due {
                places.push(Place {
                    first: header.first,
                    at,
                });
            }
        }
        self.bytes += header.frame_bytes();
    }
}

/// The file of the segment whose first record is `seq`.
pub(super) fn segment_name(seq: u64) -> String {
    format!("{seq:020}.ndjson")
}

impl Segments {
    /// Writes one frame and makes it durable.
    pub(super) fn append(&self, frame: &Frame) -> Result<(), JournalError> {
        let mut tail = self.tail.lock();
        if tail.poisoned {
            return Err(JournalError::Poisoned);
        }
        // Cleared only when everything has gone well: a failed write or sync is never built upon.
        tail.poisoned = true;
        let length = frame.header.frame_bytes();
        if tail.bytes > 0 && tail.bytes + length > self.options.segment_bytes {
            self.rotate(&mut tail, frame.header.first)?;
        }
        if let Err(error) = write_durably(&mut *tail.file, frame) {
            self.take_back(tail.bytes);
            return Err(error);
        }
        tail.bytes += length;
        if let Some(segment) = self.table.lock().last_mut() {
            segment.note(&frame.header);
        }
        tail.poisoned = false;
        Ok(())
    }

    /// Cuts a frame that failed off the last segment, as well as can be done.
    ///
    /// After a failed sync the kernel may hold bytes that never reach the disk and report success
    /// for them later. The next process would read them from its cache and build upon them.
    fn take_back(&self, bytes: u64) {
        let name = self.table.lock().last().map(Segment::name);
        if let Some(name) = name {
            let path = self.options.dir.join("journal").join(name);
            // The process ends either way.
            drop(self.disk.truncate(&path, bytes));
        }
    }

    /// Seals the last segment and begins the one whose contents begin at `first`. The old one is
    /// durable, since each of its frames was synced; a crash in here leaves at most an empty file.
    fn rotate(&self, tail: &mut Tail, first: First) -> Result<(), JournalError> {
        let segment = Segment::empty(first);
        let name = segment.name();
        let folder = self.options.dir.join("journal");
        let file = self.disk.create(&folder.join(&name));
        tail.file = file.map_err(JournalError::io("create", name))?;
        self.disk
            .sync_dir(&folder)
            .map_err(JournalError::sync("journal"))?;
        tail.bytes = 0;
        self.table.lock().push(segment);
        Ok(())
    }

    /// Removes whole files that hold nothing from record `seq` on; never the last one.
    pub(super) fn drop_segments_before(&self, seq: u64) -> Result<(), JournalError> {
        let folder = self.options.dir.join("journal");
        loop {
            let mut table = self.table.lock();
            let droppable = match table.as_slice() {
                [_, next, ..] => next.seq <= seq,
                _ => false,
            };
            if !droppable {
                return Ok(());
            }
            let name = table.remove(0).name();
            drop(table);
            self.disk
                .remove(&folder.join(&name))
                .map_err(JournalError::io("remove", name))?;
            self.disk
                .sync_dir(&folder)
                .map_err(JournalError::sync("journal"))?;
        }
    }
}

fn write_durably(file: &mut dyn DiskFile, frame: &Frame) -> Result<(), JournalError> {
    file.write_all(&frame.bytes)
        .map_err(JournalError::io("append to", "journal"))?;
    file.sync().map_err(JournalError::sync("journal"))
}
