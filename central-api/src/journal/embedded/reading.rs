//! How readers find records and events in the segments.
//!
//! The table says which segment holds a record or an offset; an entry of that segment leads near the
//! frame, the headers from there lead the rest of the way.
//!
//! What must stay true: nothing beyond the durable bytes of the table is read, so a reader can never
//! see a frame that is still in flight; and a frame is handed out only when its own checksum held and
//! it is the one that was asked for. No reader reads a file while it holds the table, which the writer
//! needs for every frame. Retention may remove a file at any time, so a reader names segments by
//! their first record, never by their place in the table; who asks for what is gone, or loses it
//! while reading, is told so.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::segments::{Place, Segment, Segments};
use super::snapshots::{snapshot_name, snapshots};
use crate::journal::frame::{First, Frame, Header, Offsets, Stream};
use crate::journal::{JournalError, JournalReader, LogSize, RunName};

/// Bytes that one read of a segment asks for at least.
const READ_BYTES: usize = 256 * 1024;

/// Where in the log to begin looking for a frame.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// First record of the segment.
    segment: u64,
    /// Byte in it.
    at: u64,
}

/// What a reader needs to know of a segment.
struct Stretch {
    name: String,
    /// Durable bytes.
    bytes: u64,
    /// First record of the segment after it.
    next: Option<u64>,
}

impl Segments {
    /// Finds frames that hold what is numbered `wanted`, by records or by the events of one feed;
    /// `number_of` tells that number of where a frame begins.
    fn frames_from(
        &self,
        wanted: u64,
        max_bytes: usize,
        number_of: impl Fn(&First) -> u64,
        is_wanted: impl Fn(&Header) -> bool,
    ) -> Result<Vec<Frame>, JournalError> {
        let is_gone = || {
            let oldest = number_of(&self.oldest());
            (wanted < oldest).then_some(JournalError::Gone { wanted, oldest })
        };
        if let Some(gone) = is_gone() {
            return Err(gone);
        }
        let frames = self
            .place(|first| number_of(first) <= wanted)
            .and_then(|start| self.read_frames(start, max_bytes, is_wanted))
            .and_then(|frames| begins_with(frames, wanted, |header| number_of(&header.first)));
        // What fails because retention has taken it meanwhile is not damaged.
        frames.map_err(|error| is_gone().unwrap_or(error))
    }

    /// Where to begin looking for the last frame that `before` accepts. Walks a segment that nobody
    /// has read yet.
    fn place(&self, before: impl Fn(&First) -> bool) -> Result<Start, JournalError> {
        let start = |segment: u64, places: &[Place]| {
            let entry = places.partition_point(|place| before(&place.first));
            let entry = entry.checked_sub(1).and_then(|entry| places.get(entry));
            let at = entry.map_or(0, |place| place.at);
            Start { segment, at }
        };
        let segment = {
            let table = self.table.lock();
            let behind = table.partition_point(|segment| before(&segment.first()));
            let Some(segment) = table.get(behind.saturating_sub(1)) else {
                return Ok(start(1, &[]));
            };
            match &segment.places {
                Some(places) => return Ok(start(segment.seq, places)),
                None => segment.clone(),
            }
        };
        let places = self.walk_headers(&segment)?;
        let found = start(segment.seq, &places);
        let mut table = self.table.lock();
        if let Ok(index) = table.binary_search_by_key(&segment.seq, |known| known.seq)
            && let Some(known) = table.get_mut(index)
        {
            known.places.get_or_insert(places);
        }
        Ok(found)
    }

    /// Makes the table of a sealed segment by hopping over its headers.
    fn walk_headers(&self, segment: &Segment) -> Result<Vec<Place>, JournalError> {
        let name = segment.name();
        let path = self.options.dir.join("journal").join(&name);
        let mut walked = Segment::empty(segment.first());
        while walked.bytes < segment.bytes {
            let chunk = self
                .disk
                .read_at(&path, walked.bytes, READ_BYTES)
                .map_err(JournalError::io("read", &name))?;
            let begun = walked.bytes;
            let mut used = 0_usize;
            while let Some(header) = chunk.get(used..).and_then(Header::parse) {
                walked.note(&header);
                used = usize::try_from(walked.bytes - begun).unwrap_or(usize::MAX);
            }
            if used == 0 {
                return Err(damaged(&name, begun));
            }
        }
        Ok(walked.places.unwrap_or_default())
    }

    /// What there is to read of the segment whose first record is `seq`.
    fn stretch(&self, seq: u64) -> Option<Stretch> {
        let table = self.table.lock();
        let index = table
            .binary_search_by_key(&seq, |segment| segment.seq)
            .ok()?;
        let segment = table.get(index)?;
        Some(Stretch {
            name: segment.name(),
            bytes: segment.bytes,
            next: table.get(index + 1).map(|next| next.seq),
        })
    }

    /// Frames from `start` on that `wanted` accepts, over segment borders.
    fn read_frames(
        &self,
        start: Start,
        max_bytes: usize,
        wanted: impl Fn(&Header) -> bool,
    ) -> Result<Vec<Frame>, JournalError> {
        let Start {
            mut segment,
            mut at,
        } = start;
        let mut frames = Vec::new();
        let mut total = 0_usize;
        loop {
            let Some(Stretch { name, bytes, next }) = self.stretch(segment) else {
                // As it would be said a moment later, when the file is removed too.
                let missing = io::Error::from(io::ErrorKind::NotFound);
                return Err(JournalError::io("read", "a segment")(missing));
            };
            if at >= bytes {
                let Some(next) = next else {
                    return Ok(frames);
                };
                (segment, at) = (next, 0);
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

pub(super) fn damaged(name: &str, position: u64) -> JournalError {
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
            what: format!(
                "a header before record {} leads astray",
                frame.header.first.seq
            ),
        }),
        Some(_) | None => Ok(frames),
    }
}

impl JournalReader for Segments {
    fn frames_from_seq(&self, seq: u64, max_bytes: usize) -> Result<Vec<Frame>, JournalError> {
        let is_wanted = |header: &Header| header.next_seq() > seq;
        self.frames_from(seq, max_bytes, |first| first.seq, is_wanted)
    }

    fn frames_from_offset(
        &self,
        stream: Stream,
        offset: u64,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, JournalError> {
        let is_wanted = |header: &Header| header.next_offsets().of(stream) > offset;
        let number_of = |first: &First| first.offsets.of(stream);
        self.frames_from(offset, max_bytes, number_of, is_wanted)
    }

    fn oldest(&self) -> First {
        let beginning = First {
            seq: 1,
            offsets: Offsets::default(),
        };
        self.table.lock().first().map_or(beginning, Segment::first)
    }

    fn free_bytes(&self) -> Result<u64, JournalError> {
        let free = self.disk.free(&self.options.dir);
        free.map_err(JournalError::io("look at", "journal"))
    }

    fn size(&self) -> LogSize {
        let table = self.table.lock();
        LogSize {
            bytes: table.iter().map(|segment| segment.bytes).sum(),
            segments: table.len(),
        }
    }

    fn bytes_from(&self, seq: u64) -> u64 {
        let table = self.table.lock();
        let within = table.partition_point(|segment| segment.seq <= seq);
        let from = table.get(within.saturating_sub(1)..).unwrap_or_default();
        let bytes: u64 = from.iter().map(|segment| segment.bytes).sum();
        bytes - from.first().map_or(0, |segment| segment.place_of(seq))
    }

    fn on_commit(&self, _notify: Arc<dyn Fn() + Send + Sync>) {}

    fn drop_before(&self, seq: u64) -> Result<(), JournalError> {
        self.drop_segments_before(seq)
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
        self.put_snapshot(seq, parts)
    }

    fn runs(&self) -> Result<Vec<(RunName, u64)>, JournalError> {
        self.list_runs()
    }

    fn read_run(&self, run: RunName, from: u64, len: usize) -> Result<Vec<u8>, JournalError> {
        self.read_part_of_run(run, from, len)
    }

    fn write_run(
        &self,
        run: RunName,
        parts: &mut dyn Iterator<Item = Result<Vec<u8>, JournalError>>,
    ) -> Result<(), JournalError> {
        self.put_run(run, parts)
    }

    fn remove_runs(&self, runs: &[RunName]) -> Result<(), JournalError> {
        self.drop_runs(runs)
    }
}
