//! The journal as segment files in a folder: append, sync, scan, rotate, unlink, and nothing else.
//!
//! One [`Embedded`] writes; any number of readers hold an `Arc` of the same [`Segments`]. The flush
//! of a frame may run on another thread while the next frame is decided, but flushes follow each
//! other, so that at most one frame is ever in flight and a torn one can only be the last.
//!
//! Here is the writer's side and what opening makes of the parts: `opening` reads what is there,
//! `segments` lets it grow and drops its oldest end, `reading` finds records in it, `snapshots`
//! and `runs` keep the files beside it. What a record says is nobody's business in here; frames are.

mod opening;
mod reading;
mod runs;
mod segments;
mod snapshots;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use shared::disk::Disk;

pub(crate) use self::opening::segment_seq;
pub use self::segments::Segments;
pub use self::snapshots::{read_snapshot, snapshots};

use self::opening::Walk;
use self::segments::Tail;
use super::frame::{First, Frame};
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
    next: First,
}

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What the next record and the next events get.
    pub next: First,
    /// Bytes of a torn last frame that were cut.
    pub cut_bytes: u64,
}

impl Embedded {
    /// Opens the journal in `options.dir`, creating it if there is none, and hands every frame that
    /// holds records from `from` on to `fold`, in order. `from` is where the snapshot ends.
    ///
    /// # Errors
    /// An I/O error, damage, or a journal that ends before `from`.
    pub fn open<E: From<JournalError>>(
        disk: Arc<dyn Disk>,
        options: EmbeddedOptions,
        from: First,
        mut fold: impl FnMut(&Frame) -> Result<(), E>,
    ) -> Result<(Self, Opened), E> {
        for folder in ["journal", "snapshots"] {
            disk.create_dir(&options.dir.join(folder))
                .map_err(JournalError::io("create", folder))?;
        }
        for folder in ["journal", "snapshots"] {
            snapshots::remove_leftovers(&*disk, &options.dir.join(folder))?;
        }
        let mut walk = Walk::start(&*disk, &options, from)?;
        while let Some(frames) = walk.next_segment(&*disk, &options)? {
            for frame in &frames {
                if frame.header.next_seq() > from.seq {
                    fold(frame)?;
                }
            }
        }
        let (table, opened) = walk.finish(from)?;
        let last = table.last().map(|segment| (segment.name(), segment.bytes));
        let (name, bytes) = last.unwrap_or_default();
        let folder = options.dir.join("journal");
        if opened.next.seq > from.seq {
            write_anew(&*disk, &folder, &name)?;
        }
        let mut file = disk
            .append(&folder.join(&name))
            .map_err(JournalError::io("open", &name))?;
        file.sync().map_err(JournalError::sync(&name))?;
        disk.sync_dir(&folder)
            .map_err(JournalError::sync("journal"))?;
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
            next: opened.next,
        };
        Ok((writer, opened))
    }
}

/// Makes what was found in the last segment durable, because from here on it counts.
///
/// What a killed process wrote may be in the kernel's memory only, and after a sync that failed it
/// stays there for all to read, while later syncs report success for it. So it is not synced but
/// written anew, to a file of its own that takes the place of the old one. The last frame alone is
/// in doubt, and only if no snapshot has it: snapshots are made of what was durable.
fn write_anew(disk: &dyn Disk, folder: &Path, name: &str) -> Result<(), JournalError> {
    let bytes = disk.read(&folder.join(name));
    let bytes = bytes.map_err(JournalError::io("read", name))?;
    snapshots::write_aside(disk, folder, name, &mut std::iter::once(Ok(bytes)), 0)
}

impl Journal for Embedded {
    fn begin(&mut self) -> Result<Vec<Frame>, JournalError> {
        // One process writes these files, so there is nothing it has not seen.
        Ok(Vec::new())
    }

    fn commit(&mut self, frame: Frame) -> Result<Flush, JournalError> {
        assert_eq!(
            frame.header.first, self.next,
            "records and offsets follow each other"
        );
        self.next = frame.header.next();
        let segments = Arc::clone(&self.segments);
        Ok(Flush::new(move || segments.append(&frame)))
    }

    fn abandon(&mut self) {}

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::clone(&self.segments) as Arc<dyn JournalReader>
    }
}
