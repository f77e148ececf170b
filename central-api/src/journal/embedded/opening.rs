//! What opening a journal reads: the segments from the snapshot on, frame by frame.
//!
//! A walk hands out one segment's frames at a time, so that a start folds while it reads and never
//! holds the log in memory; what it leaves is the table of [`Segment`]s. Of segments that the
//! snapshot covers, only the first header is read: it tells where their events begin.
//!
//! What must stay true: only the end of the last segment may be cut, and only where no whole frame
//! follows. Everything else that does not fit (a hole, a frame out of turn, a log that ends before
//! its snapshot) refuses the start, because folding on would serve a state that never was.

use std::path::Path;

use bytes::Bytes;
use shared::disk::Disk;

use super::segments::{Segment, segment_name};
use super::{EmbeddedOptions, Opened};
use crate::journal::JournalError;
use crate::journal::frame::{First, Frame, HEADER_BYTES, Header, Offsets};
use crate::journal::scan::{ScanEnd, scan};

/// The walk over the segments at start.
pub(super) struct Walk {
    /// First records of the segments, ascending.
    seqs: Vec<u64>,
    /// The next one to read.
    index: usize,
    seq: u64,
    /// `None` until the first frame of the first segment read has told it.
    offsets: Option<Offsets>,
    table: Vec<Segment>,
    cut_bytes: u64,
}

impl Walk {
    pub(super) fn start(
        disk: &dyn Disk,
        options: &EmbeddedOptions,
        from: First,
    ) -> Result<Self, JournalError> {
        let folder = options.dir.join("journal");
        let names = disk
            .list(&folder)
            .map_err(JournalError::io("list", "journal"))?;
        let mut seqs: Vec<u64> = names.iter().filter_map(|name| segment_seq(name)).collect();
        seqs.sort_unstable();
        if seqs.is_empty() {
            let first = Segment::empty(from);
            let path = folder.join(first.name());
            disk.create(&path)
                .map_err(JournalError::io("create", first.name()))?;
            disk.sync_dir(&folder)
                .map_err(JournalError::sync("journal"))?;
            seqs.push(first.seq);
        }
        // The segment that holds the first record after the snapshot, and all that follow.
        let index = seqs
            .partition_point(|seq| *seq <= from.seq)
            .saturating_sub(1);
        // Without the records between snapshot and log, what follows would be folded into nothing.
        if let Some(oldest) = seqs.get(index).copied().filter(|seq| *seq > from.seq) {
            return Err(JournalError::Gone {
                wanted: from.seq,
                oldest,
            });
        }
        let unread = seqs.iter().take(index);
        let table = unread
            .map(|seq| unread_segment(disk, &folder, *seq))
            .collect::<Result<Vec<_>, _>>()?;
        let seq = seqs.get(index).copied().unwrap_or(1);
        let offsets = (seq == 1)
            .then_some(Offsets::default())
            .or((seq == from.seq).then_some(from.offsets));
        Ok(Self {
            seqs,
            index,
            seq,
            offsets,
            table,
            cut_bytes: 0,
        })
    }

    /// Reads and checks the next segment.
    pub(super) fn next_segment(
        &mut self,
        disk: &dyn Disk,
        options: &EmbeddedOptions,
    ) -> Result<Option<Vec<Frame>>, JournalError> {
        let Some(seq) = self.seqs.get(self.index).copied() else {
            return Ok(None);
        };
        self.index += 1;
        let is_last = self.index == self.seqs.len();
        let name = segment_name(seq);
        let damaged = |position: u64, what: &str| JournalError::Damaged {
            file: format!("journal/{name}"),
            position,
            what: what.to_owned(),
        };
        if seq != self.seq {
            return Err(damaged(
                0,
                &format!("record {} was expected to begin it", self.seq),
            ));
        }
        let path = options.dir.join("journal").join(&name);
        let bytes = Bytes::from(disk.read(&path).map_err(JournalError::io("read", &name))?);
        let offsets = match self.offsets {
            Some(offsets) => offsets,
            None => Header::parse(&bytes)
                .map(|header| header.first.offsets)
                .unwrap_or_default(),
        };
        let found = scan(&bytes, First { seq, offsets });
        match found.end {
            ScanEnd::Clean => {}
            ScanEnd::Torn if is_last => {
                self.cut_bytes = bytes.len() as u64 - found.valid;
                disk.truncate(&path, found.valid)
                    .map_err(JournalError::io("cut", &name))?;
            }
            ScanEnd::Torn => return Err(damaged(found.valid, "not a frame")),
            ScanEnd::FramesAfter(next) => {
                let what = format!("not a frame, though one begins at byte {next}");
                return Err(damaged(found.valid, &what));
            }
            ScanEnd::OutOfSequence => {
                return Err(damaged(
                    found.valid,
                    "a frame that does not follow the one before it",
                ));
            }
        }
        let mut segment = Segment::empty(First { seq, offsets });
        for frame in &found.frames {
            segment.note(&frame.header);
        }
        if let Some(frame) = found.frames.last() {
            self.seq = frame.header.next_seq();
            self.offsets = Some(frame.header.next_offsets());
        }
        self.table.push(segment);
        Ok(Some(found.frames))
    }

    pub(super) fn finish(mut self, from: First) -> Result<(Vec<Segment>, Opened), JournalError> {
        if self.seq < from.seq {
            let snapshot = from.seq - 1;
            return Err(JournalError::TailLost {
                file: format!("snapshot-{snapshot:020}.ndjson"),
                snapshot,
                last: self.seq - 1,
            });
        }
        // Readers bisect the table, so it must ascend. Whoever looks for an event of a segment whose
        // header lies begins in the one before, and comes upon the damage.
        let mut behind = self.offsets.unwrap_or(from.offsets);
        for segment in self.table.iter_mut().rev() {
            if !segment.offsets.are_within(behind) {
                segment.offsets = behind;
            }
            behind = segment.offsets;
        }
        let next = First {
            seq: self.seq,
            offsets: self.offsets.unwrap_or(from.offsets),
        };
        let opened = Opened {
            next,
            cut_bytes: self.cut_bytes,
        };
        Ok((self.table, opened))
    }
}

/// Stands for the offsets of a segment whose first header is damaged, until those of the next are
/// known.
const UNREADABLE: Offsets = Offsets {
    inventory: u64::MAX,
    orders: u64::MAX,
};

/// A segment of which only the first header is read.
fn unread_segment(disk: &dyn Disk, folder: &Path, seq: u64) -> Result<Segment, JournalError> {
    let name = segment_name(seq);
    let path = folder.join(&name);
    let bytes = disk.len(&path).map_err(JournalError::io("read", &name))?;
    let head = disk.read_at(&path, 0, HEADER_BYTES);
    let head = head.map_err(JournalError::io("read", &name))?;
    let header = Header::parse(&head).filter(|header| header.first.seq == seq);
    Ok(Segment {
        seq,
        bytes,
        offsets: header.map_or(UNREADABLE, |header| header.first.offsets),
        places: None,
    })
}

/// The first record of the segment with this file name; `None` if it is not one of ours, which
/// number records from 1 and always write twenty digits.
pub(crate) fn segment_seq(name: &str) -> Option<u64> {
    let seq = name.strip_suffix(".ndjson")?.parse().ok()?;
    (seq > 0 && segment_name(seq) == name).then_some(seq)
}
