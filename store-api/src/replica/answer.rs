//! What an answer of the feed says, and whether it can be the continuation that was asked for.
//!
//! Facts only: offsets, batches, generation, head. What the events say about products is not needed
//! to judge an answer, and an answer that is judged bad is thrown away whole, whatever it holds.

use std::time::Duration;

use shared::wire::event::Batch;

use super::batch::BatchFold;
use super::position::Gen;

/// One question to the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Under which generation; `None` if any will do.
    pub r#gen: Option<Gen>,
    /// The first offset wanted.
    pub offset: u64,
    /// Most events wanted.
    pub limit: usize,
    /// How long the other side may wait for an event; zero for a plain question.
    pub wait: Duration,
    /// Makes the URL a new one; strictly growing.
    pub cursor: Option<u64>,
    /// When to give up on it.
    pub give_up_after: Duration,
}

/// An event's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its offset.
    pub offset: u64,
    /// Its place in an atomic decision.
    pub batch: Option<Batch>,
}

/// What a 200 says besides its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The generation in force.
    pub r#gen: Gen,
    /// Where its events stand.
    pub places: Vec<Place>,
    /// What it says the next offset is.
    pub next_offset: u64,
    /// How many events it says it has.
    pub count: u64,
    /// The next offset of the log itself.
    pub head: Option<u64>,
    /// Whether it says that this is all there is.
    pub up_to_date: bool,
    /// The digest of the catalogue at `next_offset`.
    pub digest: Option<u64>,
    /// The cursor to go on with.
    pub cursor: Option<u64>,
    /// How old it is, as caches and relays on the way say.
    pub age: Duration,
}

/// Why a 200 is not the continuation that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The first event is not the one that was asked for.
    #[error("it begins at another offset than asked for")]
    WrongStart,
    /// Two events in a row do not have offsets in a row.
    #[error("its offsets have a gap or a repetition")]
    NotDense,
    /// The count is not the number of events.
    #[error("its count is not the number of its events")]
    WrongCount,
    /// The next offset is not the last one + 1.
    #[error("its next offset does not follow from its events")]
    WrongNext,
    /// It begins or ends within an atomic batch.
    #[error("it holds a part of an atomic batch")]
    SplitBatch,
    /// The head lies before its own end.
    #[error("its head lies before its own end")]
    HeadBehind,
    /// It says that it is up to date, but its head lies ahead; or it is empty although more is
    /// there and nothing had to be waited for.
    #[error("it contradicts itself about being up to date")]
    WrongUpToDate,
    /// It comes from a log that was left behind: from a stale cache, or a retired central.
    #[error("it is of a generation that was left behind")]
    OldGeneration,
}

/// Checks that `page` is an answer to `poll`. `left_behind` are generations that must not come back.
///
/// # Errors
/// The first flaw; the page is worth nothing then.
pub fn check(poll: &Poll, page: &Page, left_behind: &[Gen]) -> Result<(), Flaw> {
    if Some(page.r#gen) != poll.r#gen && left_behind.contains(&page.r#gen) {
        return Err(Flaw::OldGeneration);
    }
    let mut expected = poll.offset;
    let mut fold = BatchFold::default();
    for (index, place) in page.places.iter().enumerate() {
        if place.offset != expected {
            return Err(if index == 0 {
                Flaw::WrongStart
            } else {
                Flaw::NotDense
            });
        }
        if !fold.take(place.offset, place.batch) {
            return Err(Flaw::SplitBatch);
        }
        expected = expected.checked_add(1).ok_or(Flaw::NotDense)?;
    }
    if !fold.is_closed() {
        return Err(Flaw::SplitBatch);
    }
    if page.count != page.places.len() as u64 {
        return Err(Flaw::WrongCount);
    }
    if page.next_offset != expected {
        return Err(Flaw::WrongNext);
    }
    if page.head.is_some_and(|head| head < page.next_offset) {
        return Err(Flaw::HeadBehind);
    }
    let short_of_head = page.head.is_some_and(|head| head > page.next_offset);
    if short_of_head && (page.up_to_date || page.places.is_empty()) {
        return Err(Flaw::WrongUpToDate);
    }
    Ok(())
}

impl Page {
    /// Whether it proves that its end was the head of the log.
    #[must_use]
    pub fn is_at_head(&self) -> bool {
        self.up_to_date || self.head == Some(self.next_offset)
    }
}
