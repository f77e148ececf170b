//! A long sorted sequence that can be changed in the middle and entered by rank.
//!
//! Rows lie in chunks of some hundreds: a search is two binary searches, a change moves part of one
//! chunk, and a rank is found by adding up chunk lengths (two thousand of them for a million rows,
//! a microsecond). A tree with counts in its nodes would do all of that in logarithmic time and
//! none of it faster at this size. What the rows are sorted by is the caller's business: it asks
//! with a predicate that is true for the rows before the place meant.

/// Rows after which a chunk is split.
const CHUNK_MOST: usize = 1024;
/// Rows of a chunk in a sequence that was built at once: half full, so that changes fit.
const CHUNK_FILL: usize = 512;
/// Rows below which a chunk joins its neighbour.
const CHUNK_LEAST: usize = 128;

/// A sorted sequence.
#[derive(Debug)]
pub(super) struct Sorted<T> {
    /// None is empty.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

/// A place between two rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chunk: usize,
    at: usize,
}

impl<T: Copy> Sorted<T> {
    /// Rows of the sequence.
    pub(super) fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    /// The sequence of `rows`, which are sorted.
    pub(super) fn of(rows: &[T]) -> Self {
        Self {
            chunks: rows.chunks(CHUNK_FILL).map(<[T]>::to_vec).collect(),
        }
    }

    /// The place behind the rows for which `before` is true; these must come first.
    pub(super) fn bound(&self, mut before: impl FnMut(T) -> bool) -> Place {
        let starts_before = |chunk: &Vec<T>| chunk.first().is_some_and(|row| before(*row));
        let chunk = self.chunks.partition_point(starts_before).saturating_sub(1);
        let rows = self.chunks.get(chunk).map_or(&[][..], Vec::as_slice);
        Place {
            chunk,
            at: rows.partition_point(|row| before(*row)),
        }
    }

    /// The place before the row with this rank, or the end.
    pub(super) fn seek(&self, rank: usize) -> Place {
        let mut at = rank;
        for (chunk, rows) in self.chunks.iter().enumerate() {
            match at.checked_sub(rows.len()) {
                None => return Place { chunk, at },
                Some(rest) => at = rest,
            }
        }
        self.end()
    }

    /// The place before every row.
    pub(super) const fn start() -> Place {
        Place { chunk: 0, at: 0 }
    }

    /// The place behind every row.
    pub(super) fn end(&self) -> Place {
        Place {
            chunk: self.chunks.len().saturating_sub(1),
            at: self.chunks.last().map_or(0, Vec::len),
        }
    }

    /// The rows behind `place`, in order.
    pub(super) fn after(&self, place: Place) -> impl Iterator<Item = T> + '_ {
        let mut chunks = self.chunks.iter().skip(place.chunk);
        let rest = chunks.next().and_then(|rows| rows.get(place.at..));
        let rest = rest.unwrap_or_default().iter();
        rest.chain(chunks.flatten()).copied()
    }

    /// The rows before `place`, last first.
    pub(super) fn before(&self, place: Place) -> impl Iterator<Item = T> + '_ {
        let rest = self.chunks.get(place.chunk);
        let rest = rest
            .and_then(|rows| rows.get(..place.at))
            .unwrap_or_default();
        let chunks = self.chunks.get(..place.chunk).unwrap_or_default();
        let chunks = chunks.iter().rev().flat_map(|rows| rows.iter().rev());
        rest.iter().rev().chain(chunks).copied()
    }

    /// Puts `row` in at `place`.
    pub(super) fn insert(&mut self, place: Place, row: T) {
        let Some(rows) = self.chunks.get_mut(place.chunk) else {
            self.chunks.push(vec![row]);
            return;
        };
        rows.insert(place.at.min(rows.len()), row);
        if rows.len() > CHUNK_MOST {
            let upper = rows.split_off(rows.len() / 2);
            rows.shrink_to(CHUNK_MOST);
            self.chunks.insert(place.chunk + 1, upper);
        }
    }

    /// Takes out the row behind `place`.
    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        let at_end = |rows: &Vec<T>| place.at >= rows.len();
        let place = if self.chunks.get(place.chunk).is_some_and(at_end) {
            Place {
                chunk: place.chunk + 1,
                at: 0,
            }
        } else {
            place
        };
        let rows = self.chunks.get_mut(place.chunk)?;
        let row = (place.at < rows.len()).then(|| rows.remove(place.at))?;
        if rows.is_empty() {
            self.chunks.remove(place.chunk);
        } else if rows.len() < CHUNK_LEAST {
            self.join(place.chunk);
        }
        Some(row)
    }

    /// Joins a small chunk with the next, unless that would make a large one.
    fn join(&mut self, chunk: usize) {
        let Some([rows, next]) = self
            .chunks
            .get_mut(chunk..)
            .and_then(<[_]>::first_chunk_mut)
        else {
            return;
        };
        if rows.len() + next.len() <= CHUNK_FILL {
            rows.append(next);
            self.chunks.remove(chunk + 1);
        }
    }

    /// Chunks of the sequence.
    pub(super) const fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The rows of the chunks from `first` to `last`.
    pub(super) fn in_chunks(&self, first: usize, last: usize) -> impl Iterator<Item = T> + '_ {
        let chunks = self.chunks.get(first..=last).unwrap_or_default();
        chunks.iter().flatten().copied()
    }

    /// The last row of the chunk before `chunk`.
    pub(super) fn last_before(&self, chunk: usize) -> Option<T> {
        self.chunks.get(chunk.checked_sub(1)?)?.last().copied()
    }

    /// The first row of the chunk after `chunk`.
    pub(super) fn first_after(&self, chunk: usize) -> Option<T> {
        self.chunks.get(chunk + 1)?.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Against a plain vector; thousands of rows, so that chunks split, join and vanish.
        #[test]
        fn a_sorted_sequence_is_a_sorted_vector(
            built in 0_u32..3_000,
            changes in prop::collection::vec((any::<u16>(), any::<bool>()), 0..3_000),
            keep in 0_usize..50,
        ) {
            let mut model: Vec<u32> = (0..built).map(|row| row * 20).collect();
            let mut sorted = Sorted::of(&model);
            for (value, insert) in changes {
                let value = u32::from(value);
                let at = model.partition_point(|row| *row < value);
                let place = sorted.bound(|row| row < value);
                prop_assert_eq!(sorted.after(place).next(), model.get(at).copied());
                prop_assert_eq!(sorted.before(place).next(), model[..at].last().copied());
                if insert {
                    model.insert(at, value);
                    sorted.insert(place, value);
                } else {
                    let removed = (at < model.len()).then(|| model.remove(at));
                    prop_assert_eq!(sorted.remove(place), removed);
                }
            }
            check(&sorted, &model);
            while model.len() > keep {
                let at = model.len() / 2;
                let place = sorted.seek(at);
                prop_assert_eq!(sorted.remove(place), Some(model.remove(at)));
            }
            check(&sorted, &model);
        }
    }

    fn check(sorted: &Sorted<u32>, model: &[u32]) {
        let whole: Vec<_> = sorted.after(Sorted::<u32>::start()).collect();
        assert_eq!(whole, model);
        assert!(
            sorted
                .chunks
                .iter()
                .all(|rows| (1..=CHUNK_MOST).contains(&rows.len()))
        );
        let mut back: Vec<_> = sorted.before(sorted.end()).collect();
        back.reverse();
        assert_eq!(back, model);
        for rank in (0..model.len() + 3).step_by(97) {
            let rest: Vec<_> = sorted.after(sorted.seek(rank)).take(3).collect();
            let expected: Vec<_> = model.iter().skip(rank).take(3).copied().collect();
            assert_eq!(rest, expected);
            assert_eq!(
                sorted.before(sorted.seek(rank)).count(),
                rank.min(model.len())
            );
        }
    }
}
