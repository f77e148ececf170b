//! Walking over the frames of a segment, and telling a torn write from damage.

use bytes::Bytes;

use super::frame::{First, Frame, HEADER_BYTES, Header, MAGIC};

/// What a segment's bytes hold.
#[derive(Debug)]
pub struct Scan {
    /// The frames that follow each other from the start.
    pub frames: Vec<Frame>,
    /// Bytes that they take.
    pub valid: u64,
    /// Why the walk ended.
    pub end: ScanEnd,
}

/// Why the walk over a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// All bytes are frames.
    Clean,
    /// What follows is not a frame, and no frame comes after it: a torn write.
    Torn,
    /// What follows is not a frame, but at this byte one begins: damage.
    FramesAfter(u64),
    /// A valid frame that does not follow the one before it.
    OutOfSequence,
}

/// Walks over `bytes`, whose contents must begin at `first`.
#[must_use]
pub fn scan(bytes: &Bytes, mut first: First) -> Scan {
    let mut frames = Vec::new();
    let mut at = 0_usize;
    loop {
        let rest = bytes.slice(at.min(bytes.len())..);
        if rest.is_empty() {
            return Scan {
                frames,
                valid: at as u64,
                end: ScanEnd::Clean,
            };
        }
        let Some(frame) = Frame::parse(&rest) else {
            let end = match next_frame(bytes, at + 1) {
                Some(found) => ScanEnd::FramesAfter(found as u64),
                None => ScanEnd::Torn,
            };
            return Scan {
                frames,
                valid: at as u64,
                end,
            };
        };
        if frame.header.first != first {
            return Scan {
                frames,
                valid: at as u64,
                end: ScanEnd::OutOfSequence,
            };
        }
        at += frame.bytes.len();
        first = frame.header.next();
        frames.push(frame);
    }
}

/// The next byte from `from` on at which a whole, valid frame begins.
fn next_frame(bytes: &Bytes, from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER_BYTES) {
        let found = at
            + rest
                .windows(MAGIC.len())
                .position(|window| window == MAGIC)?;
        if Frame::parse(&bytes.slice(found..)).is_some() {
            return Some(found);
        }
        at = found + 1;
    }
    None
}

/// The header of the frame at `bytes`, without checking the records.
#[must_use]
pub fn peek(bytes: &[u8]) -> Option<Header> {
    Header::parse(bytes)
}
