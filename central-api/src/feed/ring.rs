//! Recent events, encoded once, in a bounded ring of chunks.
//!
//! A chunk is a durable frame and the places of its events in it. An answer is put together from
//! slices of chunks; nothing is serialised again. The ring is bounded by bytes: the oldest chunks go
//! when it is full, and who asks for them reads them from the journal.
//!
//! It also remembers the digest at the end of each chunk for a while, so that a follower that says
//! "I am at offset N with digest D" can be checked even when the log has moved on.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use shared::limits;

use crate::journal::record::EventSpan;
use crate::journal::{Frame, Stream};

/// Some consecutive events.
#[derive(Debug)]
pub struct Chunk {
    first_offset: u64,
    bytes: Bytes,
    spans: Vec<EventSpan>,
}

impl Chunk {
    /// The events of `frame` for one feed, which stand at `spans`.
    #[must_use]
    pub fn new(frame: &Frame, stream: Stream, spans: Vec<EventSpan>) -> Self {
        Self {
            first_offset: frame.header.first.offsets.of(stream),
            bytes: frame.bytes.clone(),
            spans,
        }
    }

    /// Offset after the last event.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.first_offset + self.spans.len() as u64
    }

    /// Offset of the first event.
    #[must_use]
    pub const fn first_offset(&self) -> u64 {
        self.first_offset
    }

    /// The text of each event from `offset` on.
    pub fn events_from(&self, offset: u64) -> impl Iterator<Item = (&[u8], bool)> {
        let skip = usize::try_from(offset.saturating_sub(self.first_offset)).unwrap_or(usize::MAX);
        self.spans.iter().skip(skip).map(|span| {
            let range = span.start as usize..span.end as usize;
            (self.bytes.get(range).unwrap_or_default(), span.last)
        })
    }

    /// Appends events from `offset` on, separated by commas, until `limit` are reached at the end of
    /// an atomic batch. Returns how many, and whether the limit was reached.
    pub fn append_events(
        &self,
        offset: u64,
        limit: usize,
        already: usize,
        out: &mut Vec<u8>,
    ) -> (usize, bool) {
        let mut count = 0;
        for (text, last) in self.events_from(offset) {
            if already + count > 0 {
                out.push(b',');
            }
            out.extend_from_slice(text);
            count += 1;
            if last && already + count >= limit {
                return (count, true);
            }
        }
        (count, false)
    }
}

/// The ring.
#[derive(Debug)]
pub struct Ring {
    inner: RwLock<Inner>,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
    digests: VecDeque<(u64, u64)>,
}

impl Ring {
    /// A ring of at most about `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            inner: RwLock::default(),
            max_bytes,
        }
    }

    /// Adds the events of a durable frame, after which the feed stands at an offset with a digest.
    pub fn push(&self, chunk: Chunk, end: (u64, u64)) {
        let mut inner = self.inner.write();
        inner.digests.push_back(end);
        if inner.digests.len() > limits::DIGESTS_KEPT {
            inner.digests.pop_front();
        }
        if chunk.spans.is_empty() {
            return;
        }
        inner.bytes += chunk.bytes.len();
        inner.chunks.push_back(Arc::new(chunk));
        while inner.bytes > self.max_bytes && inner.chunks.len() > 1 {
            if let Some(oldest) = inner.chunks.pop_front() {
                inner.bytes -= oldest.bytes.len();
            }
        }
    }

    /// The chunks that hold `limit` events from `offset` on, or `None` if the ring does not go back
    /// that far.
    #[must_use]
    pub fn chunks_from(&self, offset: u64, limit: usize) -> Option<Vec<Arc<Chunk>>> {
        let inner = self.inner.read();
        if inner.chunks.front()?.first_offset > offset {
            return None;
        }
        let start = inner
            .chunks
            .partition_point(|chunk| chunk.next_offset() <= offset);
        let mut found = Vec::new();
        let mut events = 0;
        for chunk in inner.chunks.range(start..) {
            found.push(Arc::clone(chunk));
            events += chunk.spans.len();
            if events >= limit {
                break;
            }
        }
        Some(found)
    }

    /// The digest of the catalogue when the next offset was `offset`, if that was the end of a
    /// recent frame.
    #[must_use]
    pub fn digest_at(&self, offset: u64) -> Option<u64> {
        let inner = self.inner.read();
        let after = inner.digests.partition_point(|(end, _)| *end <= offset);
        let (end, digest) = inner.digests.get(after.checked_sub(1)?)?;
        (*end == offset).then_some(*digest)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.inner.read().bytes
    }
}
