//! Whether a run of events begins and ends at the border of a batch.
//!
//! The events of one atomic decision belong together: `id` is the offset of the first, `index`
//! counts from 0, `size` is how many. A copy that stops in between would show half a decision.

use shared::wire::event::Batch;

/// Folds events in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchFold {
    open: Option<Batch>,
}

impl BatchFold {
    /// Takes the next event; `false` if it is not the next one of the batch that is open, or begins
    /// a batch in its middle.
    #[must_use]
    pub fn take(&mut self, offset: u64, batch: Option<Batch>) -> bool {
        let expected = match (self.open, batch) {
            (None, None) => return true,
            (None, Some(first)) => Batch {
                id: offset,
                size: first.size.max(1),
                index: 0,
            },
            (Some(_), None) => return false,
            (Some(last), Some(_)) => Batch {
                index: last.index.saturating_add(1),
                ..last
            },
        };
        if batch != Some(expected) {
            return false;
        }
        let more = expected.index.saturating_add(1) < expected.size;
        self.open = more.then_some(expected);
        true
    }

    /// Whether no batch is waiting for its rest.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.open.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event's offset, and the id, size and index of its batch.
    type Row = (u64, Option<(u64, u32, u32)>);

    fn fold(events: &[Row]) -> Option<bool> {
        let mut fold = BatchFold::default();
        for (offset, batch) in events {
            let batch = batch.map(|(id, size, index)| Batch { id, size, index });
            if !fold.take(*offset, batch) {
                return None;
            }
        }
        Some(fold.is_closed())
    }

    #[test]
    fn a_batch_is_whole_or_open_or_wrong() {
        let rows: [(&[Row], Option<bool>); 10] = [
            (&[], Some(true)),
            (&[(5, None), (6, None)], Some(true)),
            (&[(5, Some((5, 1, 0)))], Some(true)),
            (&[(5, Some((5, 2, 0)))], Some(false)),
            (&[(5, Some((5, 2, 0))), (6, Some((5, 2, 1)))], Some(true)),
            (&[(6, Some((5, 2, 1)))], None),
            (&[(5, Some((5, 2, 0))), (6, None)], None),
            (&[(5, Some((5, 2, 0))), (6, Some((6, 2, 0)))], None),
            (&[(5, Some((5, 3, 0))), (6, Some((5, 2, 1)))], None),
            (&[(5, Some((5, 0, 0)))], None),
        ];
        for (events, expected) in rows {
            assert_eq!(fold(events), expected, "{events:?}");
        }
    }
}
