//! The journal as segment files in a folder: append, sync, scan, rotate, unlink, and nothing else.
//!
//! One [`Embedded`] writes; any number of readers hold an `Arc` of the same [`Segments`]. The flush
//! of a frame may run on another thread while the next frame is decided, but flushes follow each
//! other, so that at most one frame is ever in flight and a torn one can only be the last.
//!
//! To find a record without an index file, each segment keeps a sparse table of frame positions in
//! memory. That of the segments read at start comes from reading them; that of an older segment is
//! made on first use by hopping over its headers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use shared::disk::{Disk, DiskFile};

use super::frame::{Frame, HEADER_BYTES, Header};
use super::scan::{ScanEnd, scan};
use super::{Flush, Journal, JournalError, JournalReader, LogSize};

/// Bytes between two entries of a segment's table.
const TABLE_STRIDE: u64 = 64 * 1024;
/// Bytes that one read of a segment asks for at least.
const READ_BYTES: usize = 256 * 1024;
/// Snapshots that are kept: the newest, and the one before it for readers that are loading it.
const SNAPSHOTS_KEPT: usize = 2;

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

/// The files, as readers see them.
#[derive(Debug)]
pub struct Segments {
    disk: Arc<dyn Disk>,
    options: EmbeddedOptions,
    /// What is durable, oldest first; never empty.
    table: Mutex<Vec<Segment>>,
    /// The file that grows.
    tail: Mutex<Tail>,
}

#[derive(Debug)]
struct Tail {
    file: Box<dyn DiskFile>,
    bytes: u64,
    poisoned: bool,
}

#[derive(Clone, Debug)]
struct Segment {
    /// Seq of its first record, which names the file.
    seq: u64,
    /// Durable bytes.
    bytes: u64,
    /// Frame positions in ascending order; `None` until the segment was walked.
    places: Option<Vec<Place>>,
}

/// Where a frame begins.
#[derive(Clone, Copy, Debug)]
struct Place {
    seq: u64,
    offset: u64,
    at: u64,
}

impl Segment {
    fn empty(seq: u64) -> Self {
        Self {
            seq,
            bytes: 0,
            places: Some(Vec::new()),
        }
    }

    fn name(&self) -> String {
        format!("{:020}.ndjson", self.seq)
    }

    /// Notes a frame at the end, if the table has none near it.
    fn note(&mut self, header: &Header) {
        let at = self.bytes;
        if let Some(places) = &mut self.places {
            let due = places
                .last()
                .is_none_or(|last| at >= last.at + TABLE_STRIDE);
            if due {
                places.push(Place {
                    seq: header.seq,
                    offset: header.offset,
                    at,
                });
            }
        }
        self.bytes += header.frame_bytes();
    }
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
        remove_leftovers(&*disk, &options)?;
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

fn write_durably(file: &mut dyn DiskFile, frame: &Frame) -> Result<(), JournalError> {
    file.write_all(&frame.bytes)
        .map_err(JournalError::io("append to", "journal"))?;
    file.sync().map_err(JournalError::io("sync", "journal"))
}

/// Removes snapshots that were being written when the process ended.
fn remove_leftovers(disk: &dyn Disk, options: &EmbeddedOptions) -> Result<(), JournalError> {
    let folder = options.dir.join("snapshots");
    for name in disk
        .list(&folder)
        .map_err(JournalError::io("list", "snapshots"))?
    {
        if name.ends_with(".tmp") {
            disk.remove(&folder.join(&name))
                .map_err(JournalError::io("remove", name))?;
        }
    }
    Ok(())
}

/// The walk over the segments at start.
struct Walk {
    /// First records of the segments, ascending.
    seqs: Vec<u64>,
    /// The next one to read.
    index: usize,
    seq: u64,
    /// `None` until the first frame of the first segment read has told it.
    offset: Option<u64>,
    table: Vec<Segment>,
    cut_bytes: u64,
}

impl Walk {
    fn start(
        disk: &dyn Disk,
        options: &EmbeddedOptions,
        after: (u64, u64),
    ) -> Result<Self, JournalError> {
        let folder = options.dir.join("journal");
        let names = disk
            .list(&folder)
            .map_err(JournalError::io("list", "journal"))?;
        let mut seqs: Vec<u64> = names.iter().filter_map(|name| segment_seq(name)).collect();
        seqs.sort_unstable();
        if seqs.is_empty() {
            let first = Segment::empty(after.0 + 1);
            let path = folder.join(first.name());
            disk.create(&path)
                .map_err(JournalError::io("create", first.name()))?;
            disk.sync_dir(&folder)
                .map_err(JournalError::io("sync", "journal"))?;
            seqs.push(first.seq);
        }
        // The segment that holds the first record after the snapshot, and all that follow.
        let index = seqs
            .partition_point(|seq| *seq <= after.0 + 1)
            .saturating_sub(1);
        // Without the records between snapshot and log, what follows would be folded into nothing.
        if let Some(oldest) = seqs.get(index).copied().filter(|seq| *seq > after.0 + 1) {
            return Err(JournalError::Gone {
                wanted: after.0 + 1,
                oldest,
            });
        }
        let unread = seqs.iter().take(index).map(|seq| Segment {
            seq: *seq,
            bytes: 0,
            places: None,
        });
        let mut table: Vec<Segment> = unread.collect();
        for segment in &mut table {
            let name = segment.name();
            segment.bytes = disk
                .len(&folder.join(&name))
                .map_err(JournalError::io("read", name))?;
        }
        let seq = seqs.get(index).copied().unwrap_or(1);
        let offset = (seq == 1)
            .then_some(0)
            .or((seq == after.0 + 1).then_some(after.1));
        Ok(Self {
            seqs,
            index,
            seq,
            offset,
            table,
            cut_bytes: 0,
        })
    }

    /// Reads and checks the next segment.
    fn next_segment(
        &mut self,
        disk: &dyn Disk,
        options: &EmbeddedOptions,
    ) -> Result<Option<Vec<Frame>>, JournalError> {
        let Some(seq) = self.seqs.get(self.index).copied() else {
            return Ok(None);
        };
        self.index += 1;
        let is_last = self.index == self.seqs.len();
        let mut segment = Segment::empty(seq);
        let name = segment.name();
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
        let offset = match self.offset {
            Some(offset) => offset,
            None => Header::parse(&bytes).map_or(0, |header| header.offset),
        };
        let found = scan(&bytes, seq, offset);
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
        for frame in &found.frames {
            segment.note(&frame.header);
        }
        if let Some(frame) = found.frames.last() {
            self.seq = frame.header.next_seq();
            self.offset = Some(frame.header.next_offset());
        }
        self.table.push(segment);
        Ok(Some(found.frames))
    }

    fn finish(self, after: (u64, u64)) -> Result<(Vec<Segment>, Opened), JournalError> {
        if self.seq <= after.0 {
            return Err(JournalError::TailLost {
                file: format!("snapshot-{:020}.ndjson", after.0),
                snapshot: after.0,
                last: self.seq - 1,
            });
        }
        let opened = Opened {
            next_seq: self.seq,
            next_offset: self.offset.unwrap_or(after.1),
            cut_bytes: self.cut_bytes,
        };
        Ok((self.table, opened))
    }
}

/// The first record of the segment with this file name; `None` if it is not one of ours, which
/// number records from 1 and always write twenty digits.
pub(crate) fn segment_seq(name: &str) -> Option<u64> {
    let seq = name.strip_suffix(".ndjson")?.parse().ok()?;
    (seq > 0 && Segment::empty(seq).name() == name).then_some(seq)
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

impl Segments {
    /// Writes one frame and makes it durable.
    fn append(&self, frame: &Frame) -> Result<(), JournalError> {
        let mut tail = self.tail.lock();
        if tail.poisoned {
            return Err(JournalError::Poisoned);
        }
        // Cleared only when everything has gone well: a failed write or sync is never built upon.
        tail.poisoned = true;
        let length = frame.header.frame_bytes();
        if tail.bytes > 0 && tail.bytes + length > self.options.segment_bytes {
            self.rotate(&mut tail, frame.header.seq)?;
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

    /// Seals the last segment and begins the one of record `seq`. The old one is durable, since each
    /// of its frames was synced; a crash in here leaves at most an empty file.
    fn rotate(&self, tail: &mut Tail, seq: u64) -> Result<(), JournalError> {
        let segment = Segment::empty(seq);
        let name = segment.name();
        let folder = self.options.dir.join("journal");
        let file = self.disk.create(&folder.join(&name));
        tail.file = file.map_err(JournalError::io("create", name))?;
        self.disk
            .sync_dir(&folder)
            .map_err(JournalError::io("sync", "journal"))?;
        tail.bytes = 0;
        self.table.lock().push(segment);
        Ok(())
    }

    /// The segment that holds the frame for which `before` is the last to hold, and where in it to
    /// begin looking.
    fn place(
        &self,
        before: impl Fn(&Place) -> bool,
        segment_before: impl Fn(&Segment) -> bool,
    ) -> Result<Option<(usize, u64)>, JournalError> {
        let mut table = self.table.lock();
        let index = table
            .partition_point(|segment| segment_before(segment))
            .saturating_sub(1);
        let Some(segment) = table.get_mut(index) else {
            return Ok(None);
        };
        let places = match segment.places.take() {
            Some(places) => places,
            None => self.walk_headers(segment)?,
        };
        let at = match places.partition_point(before).checked_sub(1) {
            Some(found) => places.get(found).map_or(0, |place| place.at),
            None => 0,
        };
        segment.places = Some(places);
        Ok(Some((index, at)))
    }

    /// Makes the table of a sealed segment by hopping over its headers.
    fn walk_headers(&self, segment: &Segment) -> Result<Vec<Place>, JournalError> {
        let name = segment.name();
        let path = self.options.dir.join("journal").join(&name);
        let mut walked = Segment::empty(segment.seq);
        while walked.bytes < segment.bytes {
            let bytes = self
                .disk
                .read_at(&path, walked.bytes, HEADER_BYTES)
                .map_err(JournalError::io("read", &name))?;
            let header = Header::parse(&bytes).ok_or_else(|| JournalError::Damaged {
                file: format!("journal/{name}"),
                position: walked.bytes,
                what: "not a frame".to_owned(),
            })?;
            walked.note(&header);
        }
        Ok(walked.places.unwrap_or_default())
    }

    /// Frames from byte `at` of segment `index` on that `wanted` accepts, over segment borders.
    fn read_frames(
        &self,
        (mut index, mut at): (usize, u64),
        max_bytes: usize,
        wanted: impl Fn(&Header) -> bool,
    ) -> Result<Vec<Frame>, JournalError> {
        let mut frames = Vec::new();
        let mut total = 0_usize;
        loop {
            let segment = self
                .table
                .lock()
                .get(index)
                .map(|found| (found.name(), found.bytes));
            let Some((name, bytes)) = segment else {
                return Ok(frames);
            };
            if at >= bytes {
                index += 1;
                at = 0;
                continue;
            }
            let chunk = self.read_chunk(&name, at, bytes, READ_BYTES)?;
            let mut used = 0_usize;
            while let Some(header) = chunk.get(used..).and_then(Header::parse) {
                let end = used + usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX);
                if end > chunk.len() {
                    break;
                }
                if wanted(&header) {
                    let frame = Frame::parse(&chunk.slice(used..end));
                    let frame = frame.ok_or_else(|| damaged(&name, at + used as u64))?;
                    total += frame.bytes.len();
                    frames.push(frame);
                    if total >= max_bytes {
                        return Ok(frames);
                    }
                }
                used = end;
            }
            if used == 0 {
                return Err(damaged(&name, at));
            }
            at += used as u64;
        }
    }

    /// Reads from byte `at`, at least the whole frame that begins there.
    fn read_chunk(
        &self,
        name: &str,
        at: u64,
        segment_bytes: u64,
        want: usize,
    ) -> Result<Bytes, JournalError> {
        let path = self.options.dir.join("journal").join(name);
        let durable = usize::try_from(segment_bytes - at).unwrap_or(usize::MAX);
        let read = |len: usize| {
            let bytes = self.disk.read_at(&path, at, len.min(durable));
            bytes
                .map(Bytes::from)
                .map_err(JournalError::io("read", name))
        };
        let chunk = read(want)?;
        let whole = match Header::parse(&chunk) {
            Some(header) => usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX),
            None => return Err(damaged(name, at)),
        };
        if whole <= chunk.len() {
            Ok(chunk)
        } else {
            read(whole)
        }
    }
}

fn damaged(name: &str, position: u64) -> JournalError {
    JournalError::Damaged {
        file: format!("journal/{name}"),
        position,
        what: "not a frame".to_owned(),
    }
}

/// The way to a frame leads over headers whose checksums are not looked at, so the frame itself must
/// show that it is the right one: a reader never skips anything because a header was damaged.
fn begins_with(
    frames: Vec<Frame>,
    wanted: u64,
    first: impl Fn(&Header) -> u64,
) -> Result<Vec<Frame>, JournalError> {
    match frames.first() {
        Some(frame) if first(&frame.header) > wanted => Err(JournalError::Damaged {
            file: "journal".to_owned(),
            position: 0,
            what: format!("a header before record {} leads astray", frame.header.seq),
        }),
        Some(_) | None => Ok(frames),
    }
}

impl JournalReader for Segments {
    fn frames_from_seq(&self, seq: u64, max_bytes: usize) -> Result<Vec<Frame>, JournalError> {
        let oldest = self.oldest().0;
        if seq < oldest {
            return Err(JournalError::Gone {
                wanted: seq,
                oldest,
            });
        }
        match self.place(|place| place.seq <= seq, |segment| segment.seq <= seq)? {
            Some(place) => {
                let frames =
                    self.read_frames(place, max_bytes, |header| header.next_seq() > seq)?;
                begins_with(frames, seq, |header| header.seq)
            }
            None => Ok(Vec::new()),
        }
    }

    fn frames_from_offset(
        &self,
        offset: u64,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, JournalError> {
        let oldest = self.oldest().1;
        if offset < oldest {
            return Err(JournalError::Gone {
                wanted: offset,
                oldest,
            });
        }
        // Which segment holds an offset is known only from its frames, so find out by bisection.
        let count = self.table.lock().len();
        let (mut low, mut high) = (0_usize, count);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.first_offset(middle)? <= offset {
                low = middle;
            } else {
                high = middle;
            }
        }
        let seq = self.table.lock().get(low).map_or(1, |segment| segment.seq);
        match self.place(|place| place.offset <= offset, |segment| segment.seq <= seq)? {
            Some(place) => {
                let frames =
                    self.read_frames(place, max_bytes, |header| header.next_offset() > offset)?;
                begins_with(frames, offset, |header| header.offset)
            }
            None => Ok(Vec::new()),
        }
    }

    fn oldest(&self) -> (u64, u64) {
        let seq = self.table.lock().first().map_or(1, |segment| segment.seq);
        (seq, self.first_offset(0).unwrap_or(0))
    }

    fn size(&self) -> LogSize {
        let table = self.table.lock();
        LogSize {
            bytes: table.iter().map(|segment| segment.bytes).sum(),
            segments: table.len(),
        }
    }

    fn on_commit(&self, _notify: Arc<dyn Fn() + Send + Sync>) {}

    fn drop_before(&self, seq: u64) -> Result<(), JournalError> {
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
                .map_err(JournalError::io("sync", "journal"))?;
        }
    }

    fn snapshots(&self) -> Result<Vec<u64>, JournalError> {
        snapshots(&*self.disk, &self.options)
    }

    fn read_snapshot(&self, seq: u64, from: u64, len: usize) -> Result<Vec<u8>, JournalError> {
        let name = snapshot_name(seq);
        let path = self.options.dir.join("snapshots").join(&name);
        self.disk
            .read_at(&path, from, len)
            .map_err(JournalError::io("read", name))
    }

    fn write_snapshot(
        &self,
        seq: u64,
        parts: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> Result<(), JournalError> {
        let folder = self.options.dir.join("snapshots");
        let name = snapshot_name(seq);
        let aside = format!("{name}.tmp");
        if let Err(error) = self.write_aside(&folder.join(&aside), parts) {
            // The room is wanted, and so is the name when it is tried again.
            drop(self.disk.remove(&folder.join(&aside)));
            return Err(error);
        }
        self.disk
            .rename(&folder.join(&aside), &folder.join(&name))
            .map_err(JournalError::io("rename", &aside))?;
        self.disk
            .sync_dir(&folder)
            .map_err(JournalError::io("sync", "snapshots"))?;
        for old in self.snapshots()?.into_iter().skip(SNAPSHOTS_KEPT) {
            let name = snapshot_name(old);
            self.disk
                .remove(&folder.join(&name))
                .map_err(JournalError::io("remove", name))?;
        }
        Ok(())
    }
}

impl Segments {
    /// Writes a file under a name that nobody looks at. Content is durable before the name counts.
    fn write_aside(
        &self,
        path: &Path,
        parts: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> Result<(), JournalError> {
        let created = self.disk.create(path);
        let mut file = created.map_err(JournalError::io("create", "a snapshot"))?;
        for part in parts {
            file.write_all(&part)
                .map_err(JournalError::io("write", "a snapshot"))?;
        }
        file.sync().map_err(JournalError::io("sync", "a snapshot"))
    }

    /// Offset of the first event in or after segment `index`.
    fn first_offset(&self, index: usize) -> Result<u64, JournalError> {
        let (name, bytes) = {
            let table = self.table.lock();
            let Some(segment) = table.get(index) else {
                return Ok(0);
            };
            if let Some(first) = segment.places.as_ref().and_then(|places| places.first()) {
                return Ok(first.offset);
            }
            (segment.name(), segment.bytes)
        };
        if bytes == 0 {
            return Ok(if index == 0 { 0 } else { u64::MAX });
        }
        let path = self.options.dir.join("journal").join(&name);
        let head = self.disk.read_at(&path, 0, HEADER_BYTES);
        let head = head.map_err(JournalError::io("read", &name))?;
        Header::parse(&head)
            .map(|header| header.offset)
            .ok_or_else(|| damaged(&name, 0))
    }
}

fn snapshot_name(seq: u64) -> String {
    format!("snapshot-{seq:020}.ndjson")
}

/// The records at which there are snapshots, newest first.
///
/// # Errors
/// The folder cannot be read.
pub fn snapshots(disk: &dyn Disk, options: &EmbeddedOptions) -> Result<Vec<u64>, JournalError> {
    let folder = options.dir.join("snapshots");
    disk.create_dir(&folder)
        .map_err(JournalError::io("create", "snapshots"))?;
    let names = disk
        .list(&folder)
        .map_err(JournalError::io("list", "snapshots"))?;
    let mut seqs: Vec<u64> = names
        .iter()
        .filter_map(|name| {
            let seq = name.strip_prefix("snapshot-")?.strip_suffix(".ndjson")?;
            let seq = seq.parse().ok()?;
            (snapshot_name(seq) == *name).then_some(seq)
        })
        .collect();
    seqs.sort_unstable_by(|one, other| other.cmp(one));
    Ok(seqs)
}

/// Reads the snapshot at `seq`.
///
/// # Errors
/// The file cannot be read.
pub fn read_snapshot(
    disk: &dyn Disk,
    options: &EmbeddedOptions,
    seq: u64,
) -> Result<Vec<u8>, JournalError> {
    let name = snapshot_name(seq);
    let path = options.dir.join("snapshots").join(&name);
    disk.read(&path).map_err(JournalError::io("read", name))
}
