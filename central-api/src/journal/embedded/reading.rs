//! How readers find records and events in the segments.
//!
//! A table entry leads near a frame, the headers from there lead the rest of the way. Which segment
//! holds an offset is not in its name, so that is found by bisection over the first frames.
//!
//! What must stay true: nothing beyond the durable bytes of the table is read, so a reader can never
//! see a frame that is still in flight; and a frame is handed out only when its own checksum held and
//! it is the one that was asked for. Who asks for what retention has dropped is told so.

use std::sync::Arc;

use bytes::Bytes;

use super::segments::{Place, Segment, Segments};
use super::snapshots::{snapshot_name, snapshots};
use crate::journal::frame::{First, Frame, HEADER_BYTES, Header, Offsets, Stream};
use crate::journal::{JournalError, JournalReader, LogSize};

/// Bytes that one read of a segment asks for at least.
const READ_BYTES: usize = 256 * 1024;

impl Segments {
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

    /// Offsets of the first events in or after segment `index`.
    fn first_offsets(&self, index: usize) -> Result<Offsets, JournalError> {
        const BEHIND_EVERYTHING: Offsets = Offsets {
            inventory: u64::MAX,
            orders: u64::MAX,
        };
        let (name, bytes) = {
            let table = self.table.lock();
            let Some(segment) = table.get(index) else {
                return Ok(Offsets::default());
            };
            if let Some(place) = segment.places.as_ref().and_then(|places| places.first()) {
                return Ok(place.first.offsets);
            }
            (segment.name(), segment.bytes)
        };
        if bytes == 0 {
            return Ok(if index == 0 {
                Offsets::default()
            } else {
                BEHIND_EVERYTHING
            });
        }
        let path = self.options.dir.join("journal").join(&name);
        let head = self.disk.read_at(&path, 0, HEADER_BYTES);
        let head = head.map_err(JournalError::io("read", &name))?;
        Header::parse(&head)
            .map(|header| header.first.offsets)
            .ok_or_else(|| damaged(&name, 0))
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
        let oldest = self.oldest().seq;
        if seq < oldest {
            return Err(JournalError::Gone {
                wanted: seq,
                oldest,
            });
        }
        match self.place(|place| place.first.seq <= seq, |segment| segment.seq <= seq)? {
            Some(place) => {
                let frames =
                    self.read_frames(place, max_bytes, |header| header.next_seq() > seq)?;
                begins_with(frames, seq, |header| header.first.seq)
            }
            None => Ok(Vec::new()),
        }
    }

    fn frames_from_offset(
        &self,
        stream: Stream,
        offset: u64,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, JournalError> {
        let oldest = self.oldest().offsets.of(stream);
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
            if self.first_offsets(middle)?.of(stream) <= offset {
                low = middle;
            } else {
                high = middle;
            }
        }
        let seq = self.table.lock().get(low).map_or(1, |segment| segment.seq);
        let before = |place: &Place| place.first.offsets.of(stream) <= offset;
        match self.place(before, |segment| segment.seq <= seq)? {
            Some(place) => {
                let wanted = |header: &Header| header.next_offsets().of(stream) > offset;
                let frames = self.read_frames(place, max_bytes, wanted)?;
                begins_with(frames, offset, |header| header.first.offsets.of(stream))
            }
            None => Ok(Vec::new()),
        }
    }

    fn oldest(&self) -> First {
        let seq = self.table.lock().first().map_or(1, |segment| segment.seq);
        let offsets = self.first_offsets(0).unwrap_or_default();
        First { seq, offsets }
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
}
