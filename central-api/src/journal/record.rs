//! A record: one decision, as one line of JSON.
//!
//! The line is written by hand, once; the events in it are the bytes of the feed, found again by
//! their [`EventSpan`]s. Reading a line back gives everything that folding, replaying an answer and
//! history need.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::clock::Timestamp;
use shared::domain::ids::{
    CorrelationId, IdempotencyKey, Principal, ProductId, RequestId, StoreId,
};
use shared::domain::inventory::{
    Decision, Event, EventKind, ItemResult, Movement, MovementKind, Product, Reason,
};
use shared::domain::origin::Origin;
use shared::wire::event::{Batch, Position};
use shared::wire::product::{Encoder, integer, optional_string, string};

use super::frame::{Frame, HEADER_BYTES};

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
    /// The first offset that it can give out.
    pub start_offset: u64,
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
    /// For each product concerned, the record about it before this one (0: none).
    pub prev: Vec<(ProductId, u64)>,
    /// Offset of the first event, or of the next event if there is none.
    pub first_offset: u64,
    /// What became of each item, and the events.
    pub decision: Decision,
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

/// The parts of a decision record that are not the decision itself.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead<'a> {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The kind of command.
    pub kind: &'a str,
    /// Who asked.
    pub origin: &'a Origin,
    /// Fingerprint of the command.
    pub fingerprint: u64,
    /// For each product concerned, the record about it before this one.
    pub prev: &'a [(ProductId, u64)],
    /// Offset of the first event.
    pub first_offset: u64,
}

/// Appends the line of a decision to a frame under construction, and its events to `spans`.
pub fn encode_decision(
    out: &mut Vec<u8>,
    encoder: &mut Encoder,
    head: RecordHead<'_>,
    decision: &Decision,
    spans: &mut Vec<EventSpan>,
) {
    let RecordHead {
        seq,
        at,
        kind,
        origin,
        fingerprint,
        prev,
        first_offset,
    } = head;
    open(out, encoder, seq, at, outcome(decision));
    out.extend_from_slice(b",\"kind\":");
    string(out, kind);
    out.extend_from_slice(b",\"principal\":");
    string(out, origin.principal.as_str());
    optional_string(
        out,
        b",\"storeId\":",
        origin.store.as_ref().map(StoreId::as_str),
    );
    optional_string(
        out,
        b",\"key\":",
        origin.key.as_ref().map(IdempotencyKey::as_str),
    );
    out.extend_from_slice(b",\"fingerprint\":\"");
    hex16(out, fingerprint);
    out.extend_from_slice(b"\",\"requestId\":");
    string(out, origin.request.as_str());
    let correlation = origin.correlation.as_ref().map(CorrelationId::as_str);
    optional_string(out, b",\"correlationId\":", correlation);
    out.extend_from_slice(b",\"prev\":{");
    for (index, (product, before)) in prev.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, product.as_str());
        out.push(b':');
        integer(out, *before);
    }
    out.push(b'}');
    if !decision.is_plain() {
        out.extend_from_slice(b",\"results\":");
        serde_json::to_writer(&mut *out, &decision.results)
            .expect("writing results to a Vec cannot fail");
    }
    out.extend_from_slice(b",\"offset\":");
    integer(out, first_offset);
    out.extend_from_slice(b",\"events\":[");
    encode_events(out, encoder, at, first_offset, origin, decision, spans);
    out.extend_from_slice(b"]}\n");
}

fn encode_events(
    out: &mut Vec<u8>,
    encoder: &mut Encoder,
    at: Timestamp,
    first_offset: u64,
    origin: &Origin,
    decision: &Decision,
    spans: &mut Vec<EventSpan>,
) {
    let size = u32::try_from(decision.events.len()).expect("a decision is bounded by its batch");
    for (index, event) in (0_u32..).zip(&decision.events) {
        if index > 0 {
            out.push(b',');
        }
        let start = position(out);
        let batch = (size > 1).then_some(Batch {
            id: first_offset,
            size,
            index,
        });
        let offset = first_offset + u64::from(index);
        encoder.event(out, Position { offset, at, batch }, event, origin);
        spans.push(EventSpan {
            start,
            end: position(out),
            last: index + 1 == size,
        });
    }
}

/// Appends the line that begins a life of the log.
pub fn encode_generation(
    out: &mut Vec<u8>,
    encoder: &mut Encoder,
    seq: u64,
    at: Timestamp,
    generation: Generation,
) {
    open(out, encoder, seq, at, "generation");
    out.extend_from_slice(b",\"gen\":\"");
    hex16(out, generation.log_gen.0);
    out.extend_from_slice(b"\",\"offset\":");
    integer(out, generation.start_offset);
    out.extend_from_slice(b",\"events\":[]}\n");
}

fn open(out: &mut Vec<u8>, encoder: &mut Encoder, seq: u64, at: Timestamp, outcome: &str) {
    out.extend_from_slice(b"{\"seq\":");
    integer(out, seq);
    out.extend_from_slice(b",\"at\":");
    encoder.timestamp(out, at);
    out.extend_from_slice(b",\"outcome\":\"");
    out.extend_from_slice(outcome.as_bytes());
    out.push(b'"');
}

fn outcome(decision: &Decision) -> &'static str {
    if !decision.events.is_empty() {
        "applied"
    } else if decision.has_refusal() {
        "refused"
    } else {
        "unchanged"
    }
}

/// Appends `value` as 16 lower-case hexadecimal digits.
pub fn hex16(out: &mut Vec<u8>, value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for shift in (0..64).step_by(4).rev() {
        let digit = (value >> shift & 0xf) as usize;
        out.push(DIGITS.get(digit).copied().unwrap_or(b'0'));
    }
}

/// Where the next byte goes; frames are bounded far below 4 GiB.
fn position(out: &[u8]) -> u32 {
    u32::try_from(out.len()).expect("a frame is bounded far below 4 GiB")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordText<'a> {
    seq: u64,
    at: Timestamp,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    principal: Option<Principal>,
    #[serde(default)]
    store_id: Option<StoreId>,
    #[serde(default)]
    key: Option<IdempotencyKey>,
    #[serde(borrow, default)]
    fingerprint: Option<Cow<'a, str>>,
    #[serde(default)]
    request_id: Option<RequestId>,
    #[serde(default)]
    correlation_id: Option<CorrelationId>,
    #[serde(default)]
    prev: Prev,
    #[serde(default)]
    results: Option<Vec<ItemResult>>,
    #[serde(borrow, default, rename = "gen")]
    log_gen: Option<Cow<'a, str>>,
    offset: u64,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// The `prev` object, in the order of the text.
#[derive(Default)]
struct Prev(Vec<(ProductId, u64)>);

impl<'de> Deserialize<'de> for Prev {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Prev;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of product id to seq")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Prev, A::Error> {
                let mut prev = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    prev.push(entry);
                }
                Ok(Prev(prev))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventText<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    data: Product,
    #[serde(borrow)]
    cause: CauseText<'a>,
}

#[derive(Deserialize)]
struct CauseText<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    delta: Option<i64>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    note: Option<Cow<'a, str>>,
}

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON of a record.
    #[error("the line is not a record")]
    Json(#[from] serde_json::Error),
    /// A word that this release does not know.
    #[error("the line has an unknown {what} {word:?}")]
    Unknown {
        /// Which member.
        what: &'static str,
        /// What it says.
        word: String,
    },
    /// A member that this kind of record needs.
    #[error("the line lacks {0}")]
    Missing(&'static str),
}

impl Record {
    /// Parses one line.
    ///
    /// # Errors
    /// [`RecordError`] if the line is not a record of this release or an older one.
    pub fn parse(line: &[u8]) -> Result<Self, RecordError> {
        let text: RecordText<'_> = serde_json::from_slice(line)?;
        let (seq, at) = (text.seq, text.at);
        let body = match &*text.outcome {
            "generation" => {
                let word = text.log_gen.ok_or(RecordError::Missing("gen"))?;
                let log_gen = word.parse().map_err(|_| unknown("gen", &word))?;
                Body::Generation(Generation {
                    log_gen,
                    start_offset: text.offset,
                })
            }
            "applied" | "refused" | "unchanged" => Body::Decision(Box::new(decision(text)?)),
            other => return Err(unknown("outcome", other)),
        };
        Ok(Self { seq, at, body })
    }
}

fn decision(text: RecordText<'_>) -> Result<DecisionRecord, RecordError> {
    let events = text
        .events
        .iter()
        .map(|raw| event(raw.get()))
        .collect::<Result<Vec<_>, _>>()?;
    let results = match text.results {
        Some(results) => results,
        None => (0..events.len()).map(ItemResult::Applied).collect(),
    };
    let word = text
        .fingerprint
        .ok_or(RecordError::Missing("fingerprint"))?;
    let fingerprint: LogGen = word.parse().map_err(|_| unknown("fingerprint", &word))?;
    Ok(DecisionRecord {
        kind: text.kind.ok_or(RecordError::Missing("kind"))?.into(),
        origin: Origin {
            principal: text.principal.ok_or(RecordError::Missing("principal"))?,
            store: text.store_id,
            key: text.key,
            request: text.request_id.ok_or(RecordError::Missing("requestId"))?,
            correlation: text.correlation_id,
        },
        fingerprint: fingerprint.0,
        prev: text.prev.0,
        first_offset: text.offset,
        decision: Decision { results, events },
    })
}

fn event(text: &str) -> Result<Event, RecordError> {
    let event: EventText<'_> = serde_json::from_str(text)?;
    let CauseText {
        kind,
        delta,
        reason,
        reference,
        note,
    } = event.cause;
    let reason = reason
        .map(|word| Reason::parse(&word).ok_or_else(|| unknown("reason", &word)))
        .transpose()?;
    Ok(Event {
        kind: EventKind::parse(&event.event_type)
            .ok_or_else(|| unknown("eventType", &event.event_type))?,
        product: event.data,
        movement: Movement {
            kind: MovementKind::parse(&kind).ok_or_else(|| unknown("cause", &kind))?,
            delta,
            reason,
            reference: reference.map(|text| Arc::from(&*text)),
            note: note.map(|text| Arc::from(&*text)),
        },
    })
}

fn unknown(what: &'static str, word: &str) -> RecordError {
    RecordError::Unknown {
        what,
        word: word.to_owned(),
    }
}

#[derive(Deserialize)]
struct EventsOnly<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// Finds the events in a frame that was read back.
///
/// # Errors
/// A line that is not a record.
pub fn event_spans(frame: &Frame) -> Result<Vec<EventSpan>, RecordError> {
    // The header's count is a hint; no event is shorter than a hundred bytes.
    let mut spans = Vec::with_capacity((frame.header.events as usize).min(frame.bytes.len() / 100));
    let base = frame.bytes.as_ptr() as usize;
    for line in frame.lines() {
        let text: EventsOnly<'_> = serde_json::from_slice(line)?;
        let count = text.events.len();
        for (index, raw) in text.events.iter().enumerate() {
            // The raw text borrows from the frame, so the difference is its place in it.
            let start = (raw.get().as_ptr() as usize).saturating_sub(base);
            let to = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            spans.push(EventSpan {
                start: to(start),
                end: to(start + raw.get().len()),
                last: index + 1 == count,
            });
        }
    }
    Ok(spans)
}

/// Room for the header at the start of a frame under construction.
#[must_use]
pub fn frame_buffer(capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity + HEADER_BYTES);
    bytes.resize(HEADER_BYTES, 0);
    bytes
}
