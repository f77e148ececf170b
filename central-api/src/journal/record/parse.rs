//! How a line becomes a record again, and where the events of a read frame stand.
//!
//! Members that this release does not know are passed over; words that it does not know are not,
//! because whoever folded past them would hold another state than the one that was recorded.
//!
//! What must stay true: whatever any release has written is read here, so what a newer line has more
//! is optional. That a line is undamaged was shown by its frame; whether it follows the one before it
//! is for the fold to see.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::clock::Timestamp;
use shared::domain::access::ApiKey;
use shared::domain::ids::{
    CorrelationId, IdempotencyKey, OrderId, Principal, ProductId, RequestId, ReservationId, StoreId,
};
use shared::domain::inventory::{
    Event, EventKind, Movement, MovementKind, Product, Reason, Reservation,
};
use shared::domain::order::{self, Order};
use shared::domain::origin::Origin;
use shared::domain::{Decision, ItemResult};

use super::{
    Body, DecisionRecord, EventSpan, Generation, KeyedRecord, LogGen, OrdersOfRecord, Previous,
    Record, Spans,
};
use crate::journal::{Frame, Offsets};

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
    prev: Chain<ProductId>,
    #[serde(default)]
    prev_orders: Chain<OrderId>,
    #[serde(default)]
    reservations: Vec<Reservation>,
    #[serde(default)]
    api_keys: Vec<Arc<ApiKey>>,
    #[serde(borrow, default)]
    orders: Vec<&'a RawValue>,
    #[serde(default)]
    order_offset: u64,
    #[serde(default)]
    results: Option<Vec<ItemResult>>,
    #[serde(borrow, default, rename = "gen")]
    log_gen: Option<Cow<'a, str>>,
    offset: u64,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// An object of id to seq, in the order of the text.
struct Chain<T>(Vec<(T, u64)>);

impl<T> Default for Chain<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Chain<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = Chain<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of id to seq")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Chain<T>, A::Error> {
                let mut prev = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    prev.push(entry);
                }
                Ok(Chain(prev))
            }
        }
        deserializer.deserialize_map(Visitor(PhantomData))
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
#[serde(rename_all = "camelCase")]
struct CauseText<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    delta: Option<i64>,
    #[serde(default)]
    quantity: Option<i64>,
    #[serde(default)]
    order_id: Option<OrderId>,
    #[serde(default)]
    reservation_id: Option<ReservationId>,
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
                    start: Offsets {
                        inventory: text.offset,
                        orders: text.order_offset,
                    },
                })
            }
            "applied" | "refused" | "unchanged" => Body::Decision(Box::new(decision(text)?)),
            other => return Err(unknown("outcome", other)),
        };
        Ok(Self { seq, at, body })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyedText<'a> {
    seq: u64,
    at: Timestamp,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(default)]
    principal: Option<Principal>,
    #[serde(default)]
    key: Option<IdempotencyKey>,
    #[serde(borrow, default)]
    fingerprint: Option<Cow<'a, str>>,
}

impl KeyedRecord {
    /// Parses one line and passes over what was decided.
    ///
    /// # Errors
    /// [`RecordError`] if what is looked at is not that of a record.
    pub fn parse(line: &[u8]) -> Result<Self, RecordError> {
        let text: KeyedText<'_> = serde_json::from_slice(line)?;
        let (seq, at) = (text.seq, text.at);
        let mut keyed = Self {
            seq,
            at,
            generation: None,
            key: None,
        };
        if text.outcome == "generation" {
            if let Body::Generation(generation) = Record::parse(line)?.body {
                keyed.generation = Some(generation);
            }
        } else if let Some(key) = text.key {
            let principal = text.principal.ok_or(RecordError::Missing("principal"))?;
            let word = text.fingerprint;
            let word = word.ok_or(RecordError::Missing("fingerprint"))?;
            let fingerprint: LogGen = word.parse().map_err(|_| unknown("fingerprint", &word))?;
            keyed.key = Some((principal, key, fingerprint.0));
        }
        Ok(keyed)
    }
}

#[derive(Deserialize)]
struct OrdersText {
    seq: u64,
    #[serde(default)]
    orders: Vec<OrderIdText>,
}

#[derive(Deserialize)]
struct OrderIdText {
    data: OrderIdData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderIdData {
    order_id: OrderId,
}

impl OrdersOfRecord {
    /// Parses one line and passes over everything else.
    ///
    /// # Errors
    /// [`RecordError`] if what is looked at is not that of a record.
    pub fn parse(line: &[u8]) -> Result<Self, RecordError> {
        let OrdersText { seq, orders } = serde_json::from_slice(line)?;
        let orders = orders.into_iter().map(|event| event.data.order_id);
        Ok(Self {
            seq,
            orders: orders.collect(),
        })
    }
}

fn decision(text: RecordText<'_>) -> Result<DecisionRecord, RecordError> {
    let events = text
        .events
        .iter()
        .map(|raw| event(raw.get()))
        .collect::<Result<Vec<_>, _>>()?;
    let orders = text.orders.iter().map(|raw| order_event(raw.get()));
    let orders = orders.collect::<Result<Vec<_>, _>>()?;
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
        prev: Previous {
            products: text.prev.0,
            orders: text.prev_orders.0,
        },
        first: Offsets {
            inventory: text.offset,
            orders: text.order_offset,
        },
        decision: Decision {
            results,
            events,
            reservations: text.reservations,
            orders,
            api_keys: text.api_keys,
        },
    })
}

fn event(text: &str) -> Result<Event, RecordError> {
    let event: EventText<'_> = serde_json::from_str(text)?;
    let CauseText {
        kind,
        delta,
        quantity,
        order_id,
        reservation_id,
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
            quantity,
            reservation: reservation_id,
            order: order_id,
            reason,
            reference: reference.map(|text| Arc::from(&*text)),
            note: note.map(|text| Arc::from(&*text)),
        },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderEventText<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    data: Order,
    #[serde(borrow)]
    cause: OrderCauseText<'a>,
}

#[derive(Deserialize)]
struct OrderCauseText<'a> {
    #[serde(default)]
    attempt: Option<u32>,
    #[serde(borrow, default)]
    detail: Option<Cow<'a, str>>,
}

fn order_event(text: &str) -> Result<order::Event, RecordError> {
    let event: OrderEventText<'_> = serde_json::from_str(text)?;
    Ok(order::Event {
        kind: order::EventKind::parse(&event.event_type)
            .ok_or_else(|| unknown("eventType", &event.event_type))?,
        order: Arc::new(event.data),
        attempt: event.cause.attempt,
        detail: event.cause.detail.map(|text| Arc::from(&*text)),
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
    #[serde(borrow, default)]
    orders: Vec<&'a RawValue>,
}

/// Finds the events in a frame that was read back.
///
/// # Errors
/// A line that is not a record.
pub fn event_spans(frame: &Frame) -> Result<Spans, RecordError> {
    // The header's count is a hint; no event is shorter than a hundred bytes.
    let room = (frame.header.counts.events as usize).min(frame.bytes.len() / 100);
    let mut spans = Spans {
        inventory: Vec::with_capacity(room),
        orders: Vec::new(),
    };
    for line in frame.lines() {
        let text: EventsOnly<'_> = serde_json::from_slice(line)?;
        note_spans(frame, &text.events, &mut spans.inventory);
        note_spans(frame, &text.orders, &mut spans.orders);
    }
    Ok(spans)
}

fn note_spans(frame: &Frame, texts: &[&RawValue], spans: &mut Vec<EventSpan>) {
    let base = frame.bytes.as_ptr() as usize;
    let count = texts.len();
    for (index, raw) in texts.iter().enumerate() {
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
