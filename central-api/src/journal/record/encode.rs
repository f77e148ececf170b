//! How a record becomes its line, and where in it the events stand.
//!
//! By hand and not by a serializer, because these bytes are made once and used three times: the
//! journal keeps them, the feed sends the events out of them, and replays are read from them. The
//! order of the members is fixed; a member that says nothing is left out.
//!
//! What must stay true: the same decision always gives the same bytes, and a span covers exactly one
//! event. Framing and checksums are the frame's business.

use shared::clock::Timestamp;
use shared::domain::Decision;
use shared::domain::ids::{CorrelationId, IdempotencyKey, StoreId};
use shared::domain::origin::Origin;
use shared::wire::event::{Batch, Position};
use shared::wire::product::{Encoder, integer, optional_string, string};

use super::{EventSpan, Generation, Previous, Spans, hex16};
use crate::journal::frame::Offsets;

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
    /// The records about the same things before this one.
    pub prev: &'a Previous,
    /// Offsets of the first events.
    pub first: Offsets,
}

/// Appends the line of a decision to a frame under construction, and its events to `spans`.
pub fn encode_decision(
    out: &mut Vec<u8>,
    encoder: &mut Encoder,
    head: RecordHead<'_>,
    decision: &Decision,
    spans: &mut Spans,
) {
    let RecordHead {
        seq,
        at,
        kind,
        origin,
        fingerprint,
        prev,
        first,
    } = head;
    open(out, encoder, seq, at, outcome(decision));
    out.extend_from_slice(b",\"kind\":");
    string(out, kind);
    who(out, origin, fingerprint);
    out.extend_from_slice(b",\"orderOffset\":");
    integer(out, first.orders);
    out.extend_from_slice(b",\"prev\":");
    let products = prev.products.iter();
    chain(out, products.map(|(id, before)| (id.as_str(), *before)));
    if !decision.is_plain() {
        out.extend_from_slice(b",\"results\":");
        serde_json::to_writer(&mut *out, &decision.results)
            .expect("writing results to a Vec cannot fail");
    }
    if !decision.reservations.is_empty() {
        out.extend_from_slice(b",\"reservations\":");
        serde_json::to_writer(&mut *out, &decision.reservations)
            .expect("writing reservations to a Vec cannot fail");
    }
    if !decision.api_keys.is_empty() {
        out.extend_from_slice(b",\"apiKeys\":");
        serde_json::to_writer(&mut *out, &decision.api_keys)
            .expect("writing keys to a Vec cannot fail");
    }
    if !prev.orders.is_empty() {
        out.extend_from_slice(b",\"prevOrders\":");
        let orders = prev.orders.iter();
        chain(out, orders.map(|(id, before)| (id.as_str(), *before)));
    }
    if !decision.orders.is_empty() {
        out.extend_from_slice(b",\"orders\":[");
        let events = decision.orders.iter().map(|event| {
            move |out: &mut Vec<u8>, encoder: &mut Encoder, position| {
                encoder.order_event(out, position, event, origin);
            }
        });
        encode_events(out, encoder, at, first.orders, events, &mut spans.orders);
        out.push(b']');
    }
    out.extend_from_slice(b",\"offset\":");
    integer(out, first.inventory);
    out.extend_from_slice(b",\"events\":[");
    let events = decision.events.iter().map(|event| {
        move |out: &mut Vec<u8>, encoder: &mut Encoder, position| {
            encoder.event(out, position, event, origin);
        }
    });
    encode_events(
        out,
        encoder,
        at,
        first.inventory,
        events,
        &mut spans.inventory,
    );
    out.extend_from_slice(b"]}\n");
}

/// Appends who asked, under which key, and what tells the command from another.
fn who(out: &mut Vec<u8>, origin: &Origin, fingerprint: u64) {
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
}

/// Appends an object of id to seq.
fn chain<'a>(out: &mut Vec<u8>, links: impl Iterator<Item = (&'a str, u64)>) {
    out.push(b'{');
    for (index, (id, before)) in links.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, id);
        out.push(b':');
        integer(out, before);
    }
    out.push(b'}');
}

/// Appends the events of one feed and notes where they stand.
fn encode_events<F>(
    out: &mut Vec<u8>,
    encoder: &mut Encoder,
    at: Timestamp,
    first_offset: u64,
    events: impl ExactSizeIterator<Item = F>,
    spans: &mut Vec<EventSpan>,
) where
    F: FnOnce(&mut Vec<u8>, &mut Encoder, Position),
{
    let size = u32::try_from(events.len()).expect("a decision is bounded by its batch");
    for (index, encode) in (0_u32..).zip(events) {
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
        encode(out, encoder, Position { offset, at, batch });
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
    out.extend_from_slice(b"\",\"orderOffset\":");
    integer(out, generation.start.orders);
    out.extend_from_slice(b",\"offset\":");
    integer(out, generation.start.inventory);
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
    if decision.changes_something() {
        "applied"
    } else if decision.has_refusal() {
        "refused"
    } else {
        "unchanged"
    }
}

/// Where the next byte goes; frames are bounded far below 4 GiB.
fn position(out: &[u8]) -> u32 {
    u32::try_from(out.len()).expect("a frame is bounded far below 4 GiB")
}
