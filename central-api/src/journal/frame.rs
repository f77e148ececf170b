//! A frame: what one fsync makes durable.
//!
//! ```text
//! {"frame":{"bytes":"…8","crc32c":"…8","seq":"…16","offset":"…16","records":"…8","events":"…8",
//!           "orderOffset":"…16","orderEvents":"…8"}}⏎
//! record⏎
//! record⏎
//! ```
//!
//! The header is JSON of fixed width with figures in hexadecimal, so that the whole segment is
//! newline-delimited JSON and yet the header is found and checked without a parser. Inside a JSON
//! string a newline is escaped, so a line that starts like a header is a header.

use bytes::Bytes;

use super::JournalError;

/// Bytes of a header line, newline included.
pub const HEADER_BYTES: usize = TEMPLATE.len() + 1;

const TEMPLATE: &[u8] = b"{\"frame\":{\"bytes\":\"--------\",\"crc32c\":\"--------\",\"seq\":\"----------------\",\"offset\":\"----------------\",\"records\":\"--------\",\"events\":\"--------\",\"orderOffset\":\"----------------\",\"orderEvents\":\"--------\"}}";
/// How every header begins, for finding one in the midst of garbage.
pub const MAGIC: &[u8] = b"{\"frame\":{\"bytes\":\"";

/// Where each figure stands in the header.
const BYTES: std::ops::Range<usize> = 19..27;
const CRC: std::ops::Range<usize> = 39..47;
const SEQ: std::ops::Range<usize> = 56..72;
const OFFSET: std::ops::Range<usize> = 84..100;
const RECORDS: std::ops::Range<usize> = 113..121;
const EVENTS: std::ops::Range<usize> = 133..141;
const ORDER_OFFSET: std::ops::Range<usize> = 158..174;
const ORDER_EVENTS: std::ops::Range<usize> = 191..199;

/// The two feeds whose events a frame holds. Each has dense offsets of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// What happened to products.
    Inventory,
    /// What happened to orders.
    Orders,
}

impl Stream {
    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Orders => "orders",
        }
    }
}

/// One offset of each feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Of the inventory feed.
    pub inventory: u64,
    /// Of the order feed.
    pub orders: u64,
}

impl Offsets {
    /// The offset of `stream`.
    #[must_use]
    pub const fn of(self, stream: Stream) -> u64 {
        match stream {
            Stream::Inventory => self.inventory,
            Stream::Orders => self.orders,
        }
    }

    /// Whether neither feed is further on than in `other`.
    #[must_use]
    pub const fn are_within(self, other: Self) -> bool {
        self.inventory <= other.inventory && self.orders <= other.orders
    }
}

/// Where the contents of a frame begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Seq of the first record.
    pub seq: u64,
    /// Offsets of the first events in or after it.
    pub offsets: Offsets,
}

/// How much a frame holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records.
    pub records: u32,
    /// Events of products.
    pub events: u32,
    /// Events of orders.
    pub order_events: u32,
}

/// The figures of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the records.
    pub bytes: u32,
    /// CRC-32C over the other figures and the records.
    pub crc32c: u32,
    /// Where its contents begin.
    pub first: First,
    /// How much it holds.
    pub counts: Counts,
}

impl Header {
    /// Parses the header at the start of `bytes`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let line = bytes.get(..HEADER_BYTES)?;
        if line.last() != Some(&b'\n') {
            return None;
        }
        let figures = [
            BYTES,
            CRC,
            SEQ,
            OFFSET,
            RECORDS,
            EVENTS,
            ORDER_OFFSET,
            ORDER_EVENTS,
        ];
        let fixed = TEMPLATE.iter().zip(line).enumerate();
        let fits = fixed
            .filter(|(at, _)| !figures.iter().any(|range| range.contains(at)))
            .all(|(_, (expected, found))| expected == found);
        if !fits {
            return None;
        }
        Some(Self {
            bytes: narrow(line.get(BYTES)?)?,
            crc32c: narrow(line.get(CRC)?)?,
            first: First {
                seq: hex(line.get(SEQ)?)?,
                offsets: Offsets {
                    inventory: hex(line.get(OFFSET)?)?,
                    orders: hex(line.get(ORDER_OFFSET)?)?,
                },
            },
            counts: Counts {
                records: narrow(line.get(RECORDS)?)?,
                events: narrow(line.get(EVENTS)?)?,
                order_events: narrow(line.get(ORDER_EVENTS)?)?,
            },
        })
    }

    /// The header line.
    #[must_use]
    pub fn line(&self) -> [u8; HEADER_BYTES] {
        let mut line = [b'\n'; HEADER_BYTES];
        if let Some(text) = line.get_mut(..TEMPLATE.len()) {
            text.copy_from_slice(TEMPLATE);
        }
        put(&mut line, BYTES, u64::from(self.bytes));
        put(&mut line, CRC, u64::from(self.crc32c));
        let First { seq, offsets } = self.first;
        put(&mut line, SEQ, seq);
        put(&mut line, OFFSET, offsets.inventory);
        put(&mut line, ORDER_OFFSET, offsets.orders);
        let Counts {
            records,
            events,
            order_events,
        } = self.counts;
        put(&mut line, RECORDS, u64::from(records));
        put(&mut line, EVENTS, u64::from(events));
        put(&mut line, ORDER_EVENTS, u64::from(order_events));
        line
    }

    /// The checksum that this header and `payload` should have.
    #[must_use]
    pub fn checksum(&self, payload: &[u8]) -> u32 {
        let mut figures = [0_u8; 40];
        let parts: [&[u8]; 7] = [
            &self.bytes.to_le_bytes(),
            &self.first.seq.to_le_bytes(),
            &self.first.offsets.inventory.to_le_bytes(),
            &self.first.offsets.orders.to_le_bytes(),
            &self.counts.records.to_le_bytes(),
            &self.counts.events.to_le_bytes(),
            &self.counts.order_events.to_le_bytes(),
        ];
        let source = parts.into_iter().flatten();
        for (target, byte) in figures.iter_mut().zip(source) {
            *target = *byte;
        }
        crc32c::crc32c_append(crc32c::crc32c(&figures), payload)
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub const fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.bytes as u64
    }

    /// Seq of the record after this frame.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.first.seq + self.counts.records as u64
    }

    /// Offsets of the events after this frame.
    #[must_use]
    pub const fn next_offsets(&self) -> Offsets {
        Offsets {
            inventory: self.first.offsets.inventory + self.counts.events as u64,
            orders: self.first.offsets.orders + self.counts.order_events as u64,
        }
    }

    /// Where the frame after this one begins.
    #[must_use]
    pub const fn next(&self) -> First {
        First {
            seq: self.next_seq(),
            offsets: self.next_offsets(),
        }
    }
}

/// Writes `value` as lower-case hexadecimal that fills `range`.
fn put(line: &mut [u8; HEADER_BYTES], range: std::ops::Range<usize>, value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = value;
    for digit in line.get_mut(range).into_iter().flatten().rev() {
        *digit = DIGITS.get((rest & 0xf) as usize).copied().unwrap_or(b'0');
        rest >>= 4;
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

fn narrow(digits: &[u8]) -> Option<u32> {
    u32::try_from(hex(digits)?).ok()
}

/// A whole frame, checked.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its figures.
    pub header: Header,
    /// Header line and record lines, as they stand in the segment.
    pub bytes: Bytes,
}

impl Frame {
    /// Completes a frame: `bytes` are [`HEADER_BYTES`] bytes of room and then the record lines.
    #[must_use]
    pub fn seal(mut bytes: Vec<u8>, first: First, counts: Counts) -> Self {
        let payload = bytes.get(HEADER_BYTES..).unwrap_or_default();
        let length = u32::try_from(payload.len()).expect("a frame is bounded far below 4 GiB");
        let mut header = Header {
            bytes: length,
            crc32c: 0,
            first,
            counts,
        };
        header.crc32c = header.checksum(payload);
        if let Some(room) = bytes.get_mut(..HEADER_BYTES) {
            room.copy_from_slice(&header.line());
        }
        Self {
            header,
            bytes: Bytes::from(bytes),
        }
    }

    /// Parses and checks the frame at the start of `bytes`.
    #[must_use]
    pub fn parse(bytes: &Bytes) -> Option<Self> {
        let header = Header::parse(bytes)?;
        let end = usize::try_from(header.frame_bytes()).ok()?;
        let payload = bytes.get(HEADER_BYTES..end)?;
        let whole = header.checksum(payload) == header.crc32c;
        whole.then(|| Self {
            header,
            bytes: bytes.slice(..end),
        })
    }

    /// The lines of the records.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let payload = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        payload
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| line.trim_ascii_end())
    }

    /// The line of record `seq`, if it is in this frame.
    #[must_use]
    pub fn line_of(&self, seq: u64) -> Option<&[u8]> {
        let index = usize::try_from(seq.checked_sub(self.header.first.seq)?).ok()?;
        self.lines().nth(index)
    }

    /// The error that says this frame's content is not what its checksum promised.
    #[must_use]
    pub fn damaged(&self, what: impl Into<String>) -> JournalError {
        JournalError::Damaged {
            file: format!("the frame of record {}", self.header.first.seq),
            position: 0,
            what: what.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(lines: &str) -> Frame {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes.extend_from_slice(lines.as_bytes());
        let offsets = Offsets {
            inventory: 15,
            orders: 4,
        };
        let counts = Counts {
            records: 2,
            events: 3,
            order_events: 1,
        };
        Frame::seal(bytes, First { seq: 17, offsets }, counts)
    }

    #[test]
    fn figures_stand_where_the_ranges_say() {
        for (range, name) in [
            (BYTES, "\"bytes\":\""),
            (CRC, "\"crc32c\":\""),
            (SEQ, "\"seq\":\""),
            (OFFSET, "\"offset\":\""),
            (RECORDS, "\"records\":\""),
            (EVENTS, "\"events\":\""),
            (ORDER_OFFSET, "\"orderOffset\":\""),
            (ORDER_EVENTS, "\"orderEvents\":\""),
        ] {
            assert!(TEMPLATE[..range.start].ends_with(name.as_bytes()), "{name}");
            assert!(
                TEMPLATE[range.clone()].iter().all(|byte| *byte == b'-'),
                "{name}"
            );
            assert_eq!(TEMPLATE[range.end], b'"', "{name}");
        }
    }

    #[test]
    fn a_frame_is_json_lines_and_survives() {
        let frame = frame("{\"a\":1}\n{\"b\":2}\n");
        for line in frame
            .bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            serde_json::from_slice::<serde_json::Value>(line).unwrap();
        }
        let parsed = Frame::parse(&frame.bytes).unwrap();
        assert_eq!(parsed.header, frame.header);
        assert_eq!(parsed.line_of(18).unwrap(), b"{\"b\":2}");
        assert_eq!(parsed.line_of(19), None);
        assert_eq!(parsed.line_of(16), None);
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_noticed() {
        let whole = frame("{\"a\":1}\n{\"b\":2}\n").bytes;
        for end in 0..whole.len() {
            assert!(Frame::parse(&whole.slice(..end)).is_none(), "cut at {end}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.to_vec();
                bytes[at] ^= 1 << bit;
                assert!(
                    Frame::parse(&Bytes::from(bytes)).is_none(),
                    "byte {at} bit {bit}"
                );
            }
        }
    }
}
