//! Reading a journal: how far it can be believed, and what it holds until there.
//!
//! A journal is believed up to the first line that is torn, scribbled, out of order or without its
//! predecessor, and from there back to the end of the last whole batch. What comes after is cut off;
//! it is fetched again.

use std::ops::Range;

use serde::Deserialize;
use shared::wire::event::{Batch, FeedEvent};

use super::line::{self, Line};
use crate::replica::batch::BatchFold;
use crate::replica::position::Position;

/// How much of each event is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Offsets and batches, to index the file.
    Outline,
    /// The products too.
    Full,
}

/// One believed line.
#[derive(Debug)]
pub(super) enum Item {
    /// From here on under this generation.
    Mark(Position),
    /// An event, where its bytes are in the file, and, at [`Depth::Full`], what it says.
    Event {
        offset: u64,
        bytes: Range<usize>,
        event: Option<FeedEvent>,
    },
}

/// The believed part of a journal.
#[derive(Debug)]
pub(super) struct Scan {
    /// What the journal continues.
    pub(super) start: Position,
    /// Where it leads.
    pub(super) end: Position,
    /// Bytes that are believed.
    pub(super) len: usize,
    /// Its lines after the header.
    pub(super) items: Vec<Item>,
}

#[derive(Deserialize)]
struct OutlineText {
    offset: u64,
    #[serde(default)]
    batch: Option<Batch>,
}

/// Reads a journal; `None` if not even its header can be believed.
pub(super) fn scan(bytes: &[u8], depth: Depth) -> Option<Scan> {
    let mut lines = Lines { bytes, at: 0 };
    let (_, header) = lines.next()?;
    let Ok(Line::Mark(start)) = line::parse(header) else {
        return None;
    };
    let mut scan = Scan {
        start,
        end: start,
        len: lines.at,
        items: Vec::new(),
    };
    let mut position = start;
    let mut fold = BatchFold::default();
    let mut whole = 0;
    while let Some((at, text)) = lines.next() {
        let Some(item) = read(at, text, depth, &mut position, &mut fold) else {
            break;
        };
        scan.items.push(item);
        if fold.is_closed() {
            whole = scan.items.len();
            scan.end = position;
            scan.len = lines.at;
        }
    }
    scan.items.truncate(whole);
    Some(scan)
}

/// Reads one line and moves `position` over it; `None` if it does not follow.
fn read(
    at: usize,
    text: &[u8],
    depth: Depth,
    position: &mut Position,
    fold: &mut BatchFold,
) -> Option<Item> {
    match line::parse(text).ok()? {
        Line::Mark(mark) => {
            if mark.offset != position.offset || !fold.is_closed() {
                return None;
            }
            *position = mark;
            Some(Item::Mark(mark))
        }
        Line::Event(event) => {
            // The event ends one byte before its line does, at the closing brace of the frame.
            let end = at + text.len() - 1;
            let bytes = end - event.len()..end;
            let (offset, batch, event) = match depth {
                Depth::Outline => {
                    let outline: OutlineText = serde_json::from_slice(event).ok()?;
                    (outline.offset, outline.batch, None)
                }
                Depth::Full => {
                    let event = FeedEvent::parse(std::str::from_utf8(event).ok()?).ok()?;
                    (event.offset, event.batch, Some(event))
                }
            };
            if offset != position.offset || !fold.take(offset, batch) {
                return None;
            }
            position.offset = offset.checked_add(1)?;
            Some(Item::Event {
                offset,
                bytes,
                event,
            })
        }
    }
}

/// The complete lines of a file, each with where it begins and without its newline.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let len = rest.iter().position(|byte| *byte == b'\n')?;
        let begin = self.at;
        self.at += len + 1;
        Some((begin, rest.get(..len)?))
    }
}
