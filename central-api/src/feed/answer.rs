//! One answer of the feed: which events, in which bytes, and what may be cached.
//!
//! There are two feeds, of products and of orders, with dense offsets each; all of this is the same for
//! both. Only the inventory has a digest.
//!
//! The rules of continuity stand here, apart from HTTP: [`check`] decides whether a reader that
//! names a generation and an offset has followed this log, and [`read`] gives it what comes next.
//! An answer is assembled once for all who ask for the same events: ten thousand readers that wake
//! for one event share one buffer.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use shared::view::Head;
use shared::wire::product::integer;

use super::ring::Chunk;
use crate::journal::record::{event_spans, hex16};
use crate::journal::{Generation, JournalError, LogGen, Stream};
use crate::ledger::Published;
use crate::metrics::feed::Source;

/// Bytes of older events that one answer reads from the journal at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Assembled answers that are kept for others who ask the same.
const SHARED_ANSWERS: usize = 8;

/// Whether a reader may go on from where it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// It has followed this log.
    Follows,
    /// It has not: its generation is unknown, or it has seen events that this log does not have.
    Diverged,
}

/// Where one feed stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedHead {
    /// Which feed.
    pub stream: Stream,
    /// Offset of its next event.
    pub offset: u64,
    /// What a copy at this offset sums up to; the inventory's only.
    pub digest: Option<u64>,
}

impl FeedHead {
    /// Where `stream` stands when the log stands at `head`.
    #[must_use]
    pub const fn of(head: Head, stream: Stream) -> Self {
        let (offset, digest) = match stream {
            Stream::Inventory => (head.offset, Some(head.digest)),
            Stream::Orders => (head.orders, None),
        };
        Self {
            stream,
            offset,
            digest,
        }
    }
}

/// Checks a reader's generation and offset in `stream` against the lives of the log.
///
/// A generation ends where the following one starts, so a reader of it that is beyond that start has
/// seen events that were lost. A reader without a generation is taken at its word.
#[must_use]
pub fn check(
    generations: &[Generation],
    stream: Stream,
    named: Option<LogGen>,
    offset: u64,
) -> Continuity {
    let Some(named) = named else {
        return Continuity::Follows;
    };
    let mut lives = generations.iter().skip_while(|life| life.log_gen != named);
    if lives.next().is_none() {
        return Continuity::Diverged;
    }
    match lives.next() {
        Some(following) if offset > following.start.of(stream) => Continuity::Diverged,
        Some(_) | None => Continuity::Follows,
    }
}

/// Events and where they leave the reader.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Of which feed.
    pub stream: Stream,
    /// The events, separated by commas.
    pub events: Bytes,
    /// How many.
    pub count: usize,
    /// Offset of the first.
    pub offset: u64,
}

impl Slice {
    /// No events, at `offset`.
    #[must_use]
    pub const fn empty(stream: Stream, offset: u64) -> Self {
        Self {
            stream,
            events: Bytes::new(),
            count: 0,
            offset,
        }
    }

    /// Offset after the last event.
    #[must_use]
    pub const fn next_offset(&self) -> u64 {
        self.offset + self.count as u64
    }
}

/// Recently assembled answers.
#[derive(Debug, Default)]
pub struct SharedSlices(Mutex<Vec<(SliceKey, Slice)>>);

/// What makes two answers the same: feed, offset, limit, and where the feed stood.
type SliceKey = (Stream, u64, usize, u64);

impl SharedSlices {
    fn get(&self, key: SliceKey) -> Option<Slice> {
        let known = self.0.lock();
        known
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, slice)| slice.clone())
    }

    fn put(&self, key: SliceKey, slice: &Slice) {
        let mut known = self.0.lock();
        if known.len() >= SHARED_ANSWERS {
            known.remove(0);
        }
        known.push((key, slice.clone()));
    }
}

/// Reads about `limit` events from `offset` on, up to `head`.
///
/// # Errors
/// The journal cannot be read, no longer goes back that far, or too many read it.
pub async fn read(
    published: &Arc<Published>,
    offset: u64,
    limit: usize,
    head: FeedHead,
) -> Result<Slice, JournalError> {
    let key = (head.stream, offset, limit, head.offset);
    if let Some(slice) = published.slices.get(key) {
        published.feed_metrics.read(Source::Shared);
        return Ok(slice);
    }
    let (chunks, recent) = chunks(published, offset, limit, head).await?;
    let slice = assemble(&chunks, offset, limit, head);
    // Readers far behind each have their own place; only at the head do many want the same.
    if recent && slice.count > 0 {
        published.slices.put(key, &slice);
    }
    Ok(slice)
}

/// The chunks that hold `limit` events from `offset` on, and whether they are recent ones.
///
/// # Errors
/// The journal cannot be read, no longer goes back that far, or too many read it.
pub async fn chunks(
    published: &Arc<Published>,
    offset: u64,
    limit: usize,
    head: FeedHead,
) -> Result<(Vec<Arc<Chunk>>, bool), JournalError> {
    if offset >= head.offset {
        return Ok((Vec::new(), true));
    }
    if let Some(chunks) = published.ring_of(head.stream).chunks_from(offset, limit) {
        published.feed_metrics.read(Source::Ring);
        return Ok((chunks, true));
    }
    published.feed_metrics.read(Source::Journal);
    let read = move |published: &Published| read_older(published, offset, limit, head);
    // Apart from the parked poll, which is to stay small.
    let chunks = Box::pin(published.read_old(read)).await?;
    Ok((chunks, false))
}

/// The texts of events from `offset` on, about `limit` of them, each with its offset.
///
/// # Errors
/// The journal cannot be read, no longer goes back that far, or too many read it.
pub async fn texts(
    published: &Arc<Published>,
    offset: u64,
    limit: usize,
    head: FeedHead,
) -> Result<Vec<(u64, String)>, JournalError> {
    let (chunks, _) = chunks(published, offset, limit, head).await?;
    let mut found = Vec::new();
    let mut next = offset;
    for chunk in chunks {
        for (text, _) in chunk.events_from(next) {
            found.push((next, String::from_utf8_lossy(text).into_owned()));
            next += 1;
        }
    }
    Ok(found)
}

fn read_older(
    published: &Published,
    offset: u64,
    limit: usize,
    head: FeedHead,
) -> Result<Vec<Arc<Chunk>>, JournalError> {
    let mut chunks = Vec::new();
    let mut next = offset;
    let mut found = 0_usize;
    while found < limit && next < head.offset {
        let journal = &published.journal;
        let frames = journal.frames_from_offset(head.stream, next, READ_BYTES)?;
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            let spans = event_spans(&frame).map_err(|error| frame.damaged(error.to_string()))?;
            let chunk = Chunk::new(&frame, head.stream, spans.of(head.stream));
            found += usize::try_from(chunk.next_offset() - next).unwrap_or(0);
            next = chunk.next_offset();
            chunks.push(Arc::new(chunk));
            if found >= limit {
                break;
            }
        }
    }
    Ok(chunks)
}

fn assemble(chunks: &[Arc<Chunk>], offset: u64, limit: usize, head: FeedHead) -> Slice {
    let mut events = Vec::new();
    let mut count = 0;
    for chunk in chunks {
        let from = offset + count as u64;
        // A chunk that became durable after the head was read is left for the next answer, so that
        // what is said about the head is true of the answer.
        if from >= head.offset {
            break;
        }
        let (added, full) = chunk.append_events(from, limit, count, &mut events);
        count += added;
        if full {
            break;
        }
    }
    Slice {
        stream: head.stream,
        events: Bytes::from(events),
        count,
        offset,
    }
}

/// What surrounds the events of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// The present life of the log.
    pub log_gen: LogGen,
    /// Where the feed stood when the answer was made.
    pub head: FeedHead,
    /// The oldest event there is.
    pub oldest_offset: u64,
}

impl Envelope {
    /// What stands before the events of any answer.
    pub const BEGINNING: &'static [u8] = b"{\"events\":[";

    /// The whole body of an answer.
    #[must_use]
    pub fn body(&self, slice: &Slice) -> Vec<u8> {
        let mut body = Vec::with_capacity(slice.events.len() + 256);
        body.extend_from_slice(Self::BEGINNING);
        body.extend_from_slice(&slice.events);
        self.append_end(slice, &mut body);
        body
    }

    /// Appends what stands behind the events.
    pub fn append_end(&self, slice: &Slice, body: &mut Vec<u8>) {
        body.extend_from_slice(b"],\"nextOffset\":");
        integer(body, slice.next_offset());
        body.extend_from_slice(b",\"hasMore\":");
        let has_more = slice.next_offset() < self.head.offset;
        body.extend_from_slice(if has_more { b"true" } else { b"false" });
        body.extend_from_slice(b",\"count\":");
        integer(body, slice.count);
        body.extend_from_slice(b",\"gen\":\"");
        hex16(body, self.log_gen.0);
        body.extend_from_slice(b"\",\"headOffset\":");
        integer(body, self.head.offset);
        body.extend_from_slice(b",\"oldestOffset\":");
        integer(body, self.oldest_offset);
        if slice.next_offset() == self.head.offset {
            body.extend_from_slice(b",\"upToDate\":true");
            if let Some(digest) = self.head.digest {
                body.extend_from_slice(b",\"digest\":\"");
                hex16(body, digest);
                body.push(b'"');
            }
        }
        body.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Offsets;

    #[test]
    fn a_generation_ends_where_the_following_one_starts() {
        let life = |log_gen, start_offset| Generation {
            log_gen: LogGen(log_gen),
            start: Offsets {
                inventory: start_offset,
                orders: start_offset * 2,
            },
        };
        let lives = [life(1, 0), life(2, 10), life(3, 10), life(4, 25)];
        for (named, offset, expected) in [
            (None, 99, Continuity::Follows),
            (Some(9), 0, Continuity::Diverged),
            (Some(1), 10, Continuity::Follows),
            (Some(1), 11, Continuity::Diverged),
            (Some(2), 10, Continuity::Follows),
            (Some(2), 11, Continuity::Diverged),
            (Some(3), 25, Continuity::Follows),
            (Some(3), 26, Continuity::Diverged),
            // The present life has no end yet; being ahead of it is another matter.
            (Some(4), 99, Continuity::Follows),
        ] {
            let named = named.map(LogGen);
            for (stream, offset) in [
                (Stream::Inventory, offset),
                // Twice as many at each start: the one above the last is judged alike.
                (Stream::Orders, offset * 2),
            ] {
                assert_eq!(
                    check(&lives, stream, named, offset),
                    expected,
                    "{named:?} {stream:?} {offset}"
                );
            }
        }
    }
}
