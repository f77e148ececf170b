//! A record: one decision, as one line of JSON.
//!
//! The line is written by hand, once (`encode`); the events in it are the bytes of the feed, found
//! again by their [`EventSpan`]s. Reading a line back (`parse`) gives everything that folding,
//! replaying an answer and history need.

mod encode;
mod parse;

use std::fmt;
use std::str::FromStr;

use shared::clock::Timestamp;
use shared::domain::Decision;
use shared::domain::ids::{IdempotencyKey, OrderId, Principal, ProductId};
use shared::domain::origin::Origin;

pub use self::encode::{RecordHead, encode_decision, encode_generation};
pub use self::parse::{RecordError, event_spans};

use super::frame::{HEADER_BYTES, Offsets, Stream};

/// Names one life of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogGen(pub u64);

impl fmt::Display for LogGen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The text is not 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 16 hexadecimal digits")]
pub struct NotAGen;

impl FromStr for LogGen {
    type Err = NotAGen;

    fn from_str(text: &str) -> Result<Self, NotAGen> {
        let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(digits) {
            return Err(NotAGen);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NotAGen)
    }
}

/// The beginning of a life of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its name.
    pub log_gen: LogGen,
    /// The first offsets that it can give out.
    pub start: Offsets,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1.
    pub seq: u64,
    /// When it was decided; never goes back.
    pub at: Timestamp,
    /// What it says.
    pub body: Body,
}

/// The part of a record that remembering its key needs, at a quarter of the price of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRecord {
    /// Its number.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// The life of the log that it begins, if it is no decision.
    pub generation: Option<Generation>,
    /// Who asked under which key, and the command's fingerprint.
    pub key: Option<(Principal, IdempotencyKey, u64)>,
}

/// The part of a record that the order index needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrdersOfRecord {
    /// Its number.
    pub seq: u64,
    /// The orders that it has events of, each as often as it has.
    pub orders: Vec<OrderId>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A new life of the log begins.
    Generation(Generation),
    /// A command was decided.
    Decision(Box<DecisionRecord>),
}

/// A decided command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// The kind of command.
    pub kind: Box<str>,
    /// Who asked.
    pub origin: Origin,
    /// Fingerprint of the command.
    pub fingerprint: u64,
    /// The records about the same things before this one.
    pub prev: Previous,
    /// Offsets of the first events, or of the next events if there are none.
    pub first: Offsets,
    /// What became of each item, and the events.
    pub decision: Decision,
}

/// For each thing that a record is about, the record about it before this one (0: none). They chain
/// the past of a product or an order together, so that it is found without an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Previous {
    /// Products.
    pub products: Vec<(ProductId, u64)>,
    /// Orders.
    pub orders: Vec<(OrderId, u64)>,
}

/// Where the events of each feed stand in a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Of products.
    pub inventory: Vec<EventSpan>,
    /// Of orders.
    pub orders: Vec<EventSpan>,
}

impl Spans {
    /// Those of one feed.
    #[must_use]
    pub fn of(self, stream: Stream) -> Vec<EventSpan> {
        match stream {
            Stream::Inventory => self.inventory,
            Stream::Orders => self.orders,
        }
    }
}

/// Where an event's bytes stand in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSpan {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
    /// Whether it is the last event of its record; answers are cut only here.
    pub last: bool,
}

/// Appends `value` as 16 lower-case hexadecimal digits.
pub fn hex16(out: &mut Vec<u8>, value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for shift in (0..64).step_by(4).rev() {
        let digit = (value >> shift & 0xf) as usize;
        out.push(DIGITS.get(digit).copied().unwrap_or(b'0'));
    }
}

/// Room for the header at the start of a frame under construction.
#[must_use]
pub fn frame_buffer(capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity + HEADER_BYTES);
    bytes.resize(HEADER_BYTES, 0);
    bytes
}
