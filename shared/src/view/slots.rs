//! A place for each product, found by number, and which places changed since somebody looked.
//!
//! Places are never moved or given to another product, so a number stays good for the life of the
//! catalogue and a reader needs no lock to follow it. They lie in segments of doubling size, which
//! lets the table grow without copying what readers are looking at.
//!
//! Changed places are bits: setting one is an atomic *or*, which coalesces changes of a hot product
//! and never waits. A summary has one bit per 64 of them, so that finding the changed places among
//! a million costs a few hundred loads.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use crate::domain::inventory::Product;

/// Places in the first segment; small, since tests hold many catalogues.
const FIRST_SEGMENT: u32 = 1 << FIRST_SEGMENT_BITS;
const FIRST_SEGMENT_BITS: u32 = 10;
/// With these every `u32` up to 2^32 - 1024 has a place.
const SEGMENTS: usize = 22;

/// One product as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The product; for a deleted one its last state.
    pub product: Product,
    /// Whether it is in the catalogue.
    pub live: bool,
}

impl Deref for Published {
    type Target = Product;

    fn deref(&self) -> &Product {
        &self.product
    }
}

/// A product's place.
#[derive(Debug)]
pub(super) struct Slot {
    /// The product as it stands; empty only until its first publication.
    pub(super) current: ArcSwapOption<Published>,
    /// Position of the last journal record about it. Beside the product rather than in it, because
    /// a refusal moves it without making a new version.
    pub(super) last_record: AtomicU64,
}

impl Slot {
    const fn new() -> Self {
        Self {
            current: ArcSwapOption::const_empty(),
            last_record: AtomicU64::new(0),
        }
    }
}

#[derive(Debug)]
struct Segment {
    slots: Box<[Slot]>,
    /// One bit per slot.
    changed: Box<[AtomicU64]>,
    /// One bit per word of `changed`.
    summary: Box<[AtomicU64]>,
}

impl Segment {
    fn new(slots: usize) -> Self {
        let zeroes = |words: usize| (0..words).map(|_| AtomicU64::new(0)).collect();
        Self {
            slots: (0..slots).map(|_| Slot::new()).collect(),
            changed: zeroes(slots.div_ceil(64)),
            summary: zeroes(slots.div_ceil(64 * 64)),
        }
    }

    fn mark(&self, offset: usize) {
        let (word, bit) = (offset / 64, offset % 64);
        let (Some(changed), Some(summary)) = (self.changed.get(word), self.summary.get(word / 64))
        else {
            return;
        };
        // If other bits were set, whoever set them has set, or is being answered for by, the
        // summary bit: a sweep clears the summary before the word, so it will still see this bit.
        if changed.fetch_or(1 << bit, Ordering::AcqRel) == 0 {
            summary.fetch_or(1 << (word % 64), Ordering::AcqRel);
        }
    }

    fn is_marked(&self) -> bool {
        let marked = |word: &AtomicU64| word.load(Ordering::Acquire) != 0;
        self.summary.iter().any(marked)
    }

    fn take_marked(&self, base: usize, found: &mut Vec<u32>, most: usize) {
        for (row, summary) in self.summary.iter().enumerate() {
            if summary.load(Ordering::Acquire) == 0 {
                continue;
            }
            if found.len() >= most {
                return;
            }
            let words = summary.swap(0, Ordering::AcqRel);
            for word in ones(words).map(|word| row * 64 + word) {
                let Some(changed) = self.changed.get(word) else {
                    continue;
                };
                for bit in ones(changed.swap(0, Ordering::AcqRel)) {
                    let number = base + word * 64 + bit;
                    found.push(u32::try_from(number).expect("numbers are given out as u32"));
                }
            }
        }
    }
}

/// Positions of the bits that are set.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        (bit < 64).then(|| {
            word &= word - 1;
            bit as usize
        })
    })
}

/// Every place.
#[derive(Debug)]
pub(super) struct Slots {
    segments: [OnceLock<Segment>; SEGMENTS],
    len: AtomicU32,
}

impl Slots {
    pub(super) const fn new() -> Self {
        Self {
            segments: [const { OnceLock::new() }; SEGMENTS],
            len: AtomicU32::new(0),
        }
    }

    /// Places in use; their numbers are `0..len`.
    pub(super) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// The place with this number, if it is in use.
    pub(super) fn get(&self, number: u32) -> Option<&Slot> {
        let (segment, offset) = locate(number);
        self.segments.get(segment)?.get()?.slots.get(offset)
    }

    /// The product at this number.
    pub(super) fn current(&self, number: u32) -> Option<Arc<Published>> {
        self.get(number)?.current.load_full()
    }

    /// Takes the next place for `published`. Only the publisher may call this.
    pub(super) fn push(&self, published: Arc<Published>, last_record: u64) -> u32 {
        let number = self.len();
        let (segment, offset) = locate(number);
        let slot = self
            .segments
            .get(segment)
            .map(|cell| cell.get_or_init(|| Segment::new((FIRST_SEGMENT as usize) << segment)))
            .and_then(|segment| segment.slots.get(offset))
            .expect("memory ends long before four thousand million products");
        slot.last_record.store(last_record, Ordering::Release);
        slot.current.store(Some(published));
        self.len.store(number + 1, Ordering::Release);
        number
    }

    /// Notes that the place with this number changed.
    pub(super) fn mark(&self, number: u32) {
        let (segment, offset) = locate(number);
        if let Some(segment) = self.segments.get(segment).and_then(OnceLock::get) {
            segment.mark(offset);
        }
    }

    /// Whether any place changed since the marks were taken.
    pub(super) fn is_marked(&self) -> bool {
        self.segments
            .iter()
            .map_while(OnceLock::get)
            .any(Segment::is_marked)
    }

    /// Takes marks away and appends their numbers to `found`: all of them, or somewhat more than
    /// `most` if there are more.
    pub(super) fn take_marked(&self, found: &mut Vec<u32>, most: usize) {
        let mut base = 0;
        for segment in self.segments.iter().map_while(OnceLock::get) {
            segment.take_marked(base, found, most);
            base += segment.slots.len();
        }
    }
}

/// Segment and offset of a number: segment `k` holds `1024 << k` of them.
fn locate(number: u32) -> (usize, usize) {
    let shifted = u64::from(number) + u64::from(FIRST_SEGMENT);
    let power = shifted.ilog2();
    let offset = shifted - (1 << power);
    (
        (power - FIRST_SEGMENT_BITS) as usize,
        usize::try_from(offset).expect("less than 2^32"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_the_segments_in_order() {
        let mut expected = (0, 0);
        for number in 0..10_000 {
            assert_eq!(locate(number), expected, "{number}");
            expected.1 += 1;
            if expected.1 == 1024 << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(locate(u32::MAX - FIRST_SEGMENT).0 < SEGMENTS);
    }

    #[test]
    fn every_mark_is_found_once() {
        let slots = Slots::new();
        let published = Arc::new(super::super::tests::published("A", 1));
        for _ in 0..20_000 {
            slots.push(Arc::clone(&published), 0);
        }
        assert!(!slots.is_marked());
        let numbers = [0, 1, 63, 64, 1023, 1024, 4095, 4096, 9_999, 19_999];
        for number in numbers {
            slots.mark(number);
            slots.mark(number);
        }
        assert!(slots.is_marked());
        let mut found = Vec::new();
        slots.take_marked(&mut found, usize::MAX);
        assert_eq!(found, numbers);
        assert!(!slots.is_marked());
        found.clear();
        slots.take_marked(&mut found, usize::MAX);
        assert!(found.is_empty());
    }
}
