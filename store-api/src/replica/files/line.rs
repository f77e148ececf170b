//! One line of the store's journal.
//!
//! ```text
//! {"crc":"9be01d44","event":{"offset":1200,...}}
//! {"crc":"0c11a7b3","mark":{"gen":"a90e11cc5b7d2f08","offset":1201}}
//! ```
//!
//! The frame has a fixed shape, so it is read by cutting, not by parsing, and the event inside keeps
//! central's bytes. The checksum is CRC-32C over exactly those bytes: it finds a torn or scribbled
//! line; a line that is whole but of another log is found by the chain of marks and offsets.

use crate::replica::position::Position;

const CRC: &[u8] = b"{\"crc\":\"";
const EVENT: &[u8] = b"\",\"event\":";
const MARK: &[u8] = b"\",\"mark\":";

/// Bytes of a line before its event.
pub(super) const BEFORE_EVENT: usize = CRC.len() + 8 + EVENT.len();

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The bytes of an event as central sent them.
    Event(&'a [u8]),
    /// The copy stands here: at the top of a journal what it continues, later a change of `gen`.
    Mark(Position),
}

/// The line is torn, scribbled, or not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadLine;

/// Appends the line of an event.
pub(super) fn push_event(out: &mut Vec<u8>, event: &[u8]) {
    push(out, EVENT, event);
}

/// Appends the line of a mark.
pub(super) fn push_mark(out: &mut Vec<u8>, position: Position) {
    let mark = serde_json::to_vec(&position).expect("two plain fields are always JSON");
    push(out, MARK, &mark);
}

fn push(out: &mut Vec<u8>, name: &[u8], payload: &[u8]) {
    out.extend_from_slice(CRC);
    out.extend_from_slice(&hex8(crc32c::crc32c(payload)));
    out.extend_from_slice(name);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"}\n");
}

/// Reads one line, without its newline.
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, BadLine> {
    let rest = line.strip_prefix(CRC).ok_or(BadLine)?;
    let (digits, rest) = rest.split_at_checked(8).ok_or(BadLine)?;
    let rest = rest.strip_suffix(b"}").ok_or(BadLine)?;
    let intact = |payload: &[u8]| hex8(crc32c::crc32c(payload)) == digits;
    if let Some(event) = rest.strip_prefix(EVENT) {
        return intact(event).then_some(Line::Event(event)).ok_or(BadLine);
    }
    let mark = rest.strip_prefix(MARK).ok_or(BadLine)?;
    if !intact(mark) {
        return Err(BadLine);
    }
    serde_json::from_slice(mark)
        .map(Line::Mark)
        .map_err(|_| BadLine)
}

/// Eight lower-case hex digits.
pub(super) fn hex8(value: u32) -> [u8; 8] {
    let mut digits = [b'0'; 8];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        let nibble = u8::try_from(rest & 0xf).expect("four bits fit in a byte");
        *digit = if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' + (nibble - 10)
        };
        rest >>= 4;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::position::Gen;

    #[test]
    fn a_line_survives_and_a_changed_bit_is_noticed() {
        let position = Position {
            r#gen: Gen(0x8a7f_d1e2_00aa_31c4),
            offset: 1200,
        };
        let mut mark = Vec::new();
        push_mark(&mut mark, position);
        let mut event = Vec::new();
        push_event(&mut event, br#"{"offset":1200,"x":"}"}"#);
        for line in [&mark, &event] {
            let text = line.strip_suffix(b"\n").unwrap();
            assert!(parse(text).is_ok());
            for byte in 0..text.len() {
                for bit in 0..8 {
                    let mut damaged = text.to_vec();
                    damaged[byte] ^= 1 << bit;
                    assert_eq!(parse(&damaged), Err(BadLine), "byte {byte} bit {bit}");
                }
                assert_eq!(parse(&text[..byte]), Err(BadLine), "cut at {byte}");
            }
        }
        assert_eq!(parse(mark.trim_ascii_end()), Ok(Line::Mark(position)));
        assert_eq!(
            parse(event.trim_ascii_end()),
            Ok(Line::Event(br#"{"offset":1200,"x":"}"}"#))
        );
    }

    #[test]
    fn checksums_are_eight_digits() {
        assert_eq!(&hex8(0), b"00000000");
        assert_eq!(&hex8(0x00ab_cdef), b"00abcdef");
        assert_eq!(&hex8(u32::MAX), b"ffffffff");
    }
}
