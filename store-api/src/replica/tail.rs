//! The newest events in memory, as the bytes in which they came; for relays and live pages.
//!
//! Bounded by bytes, oldest out first. Whoever asks for older ones reads the journals
//! ([`files::Index`](super::files::Index)).

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::RwLock;
use shared::limits;

/// The newest events.
#[derive(Debug, Default)]
pub struct Tail {
    events: RwLock<Events>,
}

#[derive(Debug, Default)]
struct Events {
    /// Offset of the first.
    start: u64,
    list: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    ends_batch: bool,
}

/// One event for the tail.
#[derive(Clone, Debug)]
pub struct TailEvent {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether no other event of its batch follows.
    pub ends_batch: bool,
}

impl Tail {
    /// Forgets everything; the next event has the offset `start`.
    pub fn restart(&self, start: u64) {
        *self.events.write() = Events {
            start,
            ..Events::default()
        };
    }

    /// Takes the next events.
    pub fn push(&self, events: impl IntoIterator<Item = TailEvent>) {
        let mut kept = self.events.write();
        for TailEvent { bytes, ends_batch } in events {
            kept.bytes += bytes.len();
            kept.list.push_back(Kept { bytes, ends_batch });
        }
        while kept.bytes > limits::RELAY_TAIL_BYTES
            && let Some(oldest) = kept.list.pop_front()
        {
            kept.bytes -= oldest.bytes.len();
            kept.start += 1;
        }
    }

    /// Events from `from` on: at most `limit`, but never a part of a batch. `None` if `from` is
    /// older than the oldest or beyond the newest.
    #[must_use]
    pub fn read(&self, from: u64, limit: usize) -> Option<Vec<Bytes>> {
        let kept = self.events.read();
        let skip = usize::try_from(from.checked_sub(kept.start)?).ok()?;
        if skip >= kept.list.len() {
            return None;
        }
        let mut found = Vec::new();
        for event in kept.list.iter().skip(skip) {
            found.push(event.bytes.clone());
            if found.len() >= limit && event.ends_batch {
                break;
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &'static str, ends_batch: bool) -> TailEvent {
        TailEvent {
            bytes: Bytes::from_static(text.as_bytes()),
            ends_batch,
        }
    }

    #[test]
    fn a_read_is_dense_and_never_splits_a_batch() {
        let tail = Tail::default();
        tail.restart(5);
        tail.push([
            event("5", true),
            event("6", false),
            event("7", true),
            event("8", true),
        ]);
        let read = |from, limit| {
            tail.read(from, limit).map(|events| {
                let texts = events
                    .iter()
                    .map(|event| String::from_utf8_lossy(event).into_owned());
                texts.collect::<Vec<_>>().join(" ")
            })
        };
        for (from, limit, expected) in [
            (4, 9, None),
            (5, 1, Some("5")),
            (5, 2, Some("5 6 7")),
            (6, 1, Some("6 7")),
            (8, 9, Some("8")),
            (9, 9, None),
        ] {
            assert_eq!(read(from, limit).as_deref(), expected, "{from} {limit}");
        }
    }

    #[test]
    fn the_oldest_go_first_when_it_is_full() {
        let tail = Tail::default();
        tail.restart(0);
        let big = Bytes::from(vec![b'x'; limits::RELAY_TAIL_BYTES / 4]);
        for _ in 0..6 {
            let bytes = big.clone();
            tail.push([TailEvent {
                bytes,
                ends_batch: true,
            }]);
        }
        assert!(tail.read(1, 1).is_none());
        assert_eq!(tail.read(2, 9).map(|events| events.len()), Some(4));
    }
}
