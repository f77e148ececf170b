//! An event on the wire: the same bytes in the journal, the feed and a store's own journal.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::product::{Encoder, integer, optional_string, string};
use crate::clock::Timestamp;
use crate::domain::ids::ProductId;
use crate::domain::inventory::{Event, EventKind, Movement, Product};
use crate::domain::order;
use crate::domain::origin::Origin;

/// Where an event stands in the log.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Its offset.
    pub offset: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Its place among the events of one decision; `None` if it is the only one.
    pub batch: Option<Batch>,
}

/// An event's place in an atomic decision. Events of one batch are never split over two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Offset of the first event of the batch, which names it.
    pub id: u64,
    /// Events in the batch.
    pub size: u32,
    /// This one's place, from 0.
    pub index: u32,
}

impl Encoder {
    /// Appends `event` as a JSON object.
    pub fn event(&mut self, out: &mut Vec<u8>, position: Position, event: &Event, origin: &Origin) {
        out.extend_from_slice(b"{\"offset\":");
        integer(out, position.offset);
        out.extend_from_slice(b",\"timestamp\":");
        self.timestamp(out, position.at);
        out.extend_from_slice(b",\"eventType\":\"");
        out.extend_from_slice(event.kind.as_str().as_bytes());
        out.extend_from_slice(b"\",\"productId\":");
        string(out, event.product.id.as_str());
        out.extend_from_slice(b",\"data\":");
        self.product(out, &event.product);
        out.extend_from_slice(b",\"version\":");
        integer(out, event.product.version);
        out.extend_from_slice(b",\"cause\":");
        cause(out, &event.movement, origin);
        batch(out, position.batch);
        out.push(b'}');
    }
}

impl Encoder {
    /// Appends an order's event as a JSON object.
    pub fn order_event(
        &mut self,
        out: &mut Vec<u8>,
        position: Position,
        event: &order::Event,
        origin: &Origin,
    ) {
        let order::Event {
            kind,
            order,
            attempt,
            detail,
        } = event;
        out.extend_from_slice(b"{\"offset\":");
        integer(out, position.offset);
        out.extend_from_slice(b",\"timestamp\":");
        self.timestamp(out, position.at);
        out.extend_from_slice(b",\"eventType\":\"");
        out.extend_from_slice(kind.as_str().as_bytes());
        out.extend_from_slice(b"\",\"orderId\":");
        string(out, order.order_id.as_str());
        out.extend_from_slice(b",\"data\":");
        serde_json::to_writer(&mut *out, &**order).expect("writing an order to a Vec cannot fail");
        out.extend_from_slice(b",\"version\":");
        integer(out, order.version);
        out.extend_from_slice(b",\"cause\":{\"actor\":");
        string(out, origin.principal.as_str());
        if let Some(attempt) = attempt {
            out.extend_from_slice(b",\"attempt\":");
            integer(out, *attempt);
        }
        optional_string(out, b",\"detail\":", detail.as_deref());
        who(out, origin);
        out.push(b'}');
        batch(out, position.batch);
        out.push(b'}');
    }
}

/// Appends the shop, the key and the correlation of an origin, where there are any.
fn who(out: &mut Vec<u8>, origin: &Origin) {
    let Origin {
        store,
        key,
        correlation,
        ..
    } = origin;
    let store = store.as_ref().map(|id| id.as_str());
    optional_string(out, b",\"storeId\":", store);
    let key = key.as_ref().map(|key| key.as_str());
    optional_string(out, b",\"idempotencyKey\":", key);
    let correlation = correlation.as_ref().map(|id| id.as_str());
    optional_string(out, b",\"correlationId\":", correlation);
}

/// Appends the place in an atomic decision, if there is one.
fn batch(out: &mut Vec<u8>, batch: Option<Batch>) {
    if let Some(Batch { id, size, index }) = batch {
        out.extend_from_slice(b",\"batch\":{\"id\":");
        integer(out, id);
        out.extend_from_slice(b",\"size\":");
        integer(out, size);
        out.extend_from_slice(b",\"index\":");
        integer(out, index);
        out.push(b'}');
    }
}

/// Appends the cause of an event. The request id stands in the journal record, not here.
fn cause(out: &mut Vec<u8>, movement: &Movement, origin: &Origin) {
    let Movement {
        kind,
        delta,
        quantity,
        reservation,
        order,
        reason,
        reference,
        note,
    } = movement;
    out.extend_from_slice(b"{\"kind\":\"");
    out.extend_from_slice(kind.as_str().as_bytes());
    out.push(b'"');
    if let Some(delta) = delta {
        out.extend_from_slice(b",\"delta\":");
        integer(out, *delta);
    }
    if let Some(quantity) = quantity {
        out.extend_from_slice(b",\"quantity\":");
        integer(out, *quantity);
    }
    optional_string(out, b",\"reason\":", reason.map(|reason| reason.as_str()));
    let order = order.as_ref().map(|id| id.as_str());
    optional_string(out, b",\"orderId\":", order);
    let reservation = reservation.as_ref().map(|id| id.as_str());
    optional_string(out, b",\"reservationId\":", reservation);
    optional_string(
        out,
        b",\"storeId\":",
        origin.store.as_ref().map(|id| id.as_str()),
    );
    optional_string(
        out,
        b",\"idempotencyKey\":",
        origin.key.as_ref().map(|key| key.as_str()),
    );
    out.extend_from_slice(b",\"actor\":");
    string(out, origin.principal.as_str());
    optional_string(
        out,
        b",\"correlationId\":",
        origin.correlation.as_ref().map(|id| id.as_str()),
    );
    optional_string(out, b",\"reference\":", reference.as_deref());
    optional_string(out, b",\"note\":", note.as_deref());
    out.push(b'}');
}

/// An event as a reader takes it from the feed or from a file. What a reader does not know it
/// passes over: an unknown `eventType` has no `change`, but its offset counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// Its offset.
    pub offset: u64,
    /// When it was decided.
    pub timestamp: Timestamp,
    /// Which product.
    pub product_id: ProductId,
    /// What to fold in, if the type is known.
    pub change: Option<(EventKind, Product)>,
    /// Its place in an atomic decision.
    pub batch: Option<Batch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventText<'a> {
    offset: u64,
    timestamp: Timestamp,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    product_id: ProductId,
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
    #[serde(default)]
    batch: Option<Batch>,
}

impl FeedEvent {
    /// Parses one event.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let event: EventText<'_> = serde_json::from_str(text)?;
        let change = match EventKind::parse(&event.event_type) {
            Some(kind) => Some((kind, serde_json::from_str::<Product>(event.data.get())?)),
            None => None,
        };
        Ok(Self {
            offset: event.offset,
            timestamp: event.timestamp,
            product_id: event.product_id,
            change,
            batch: event.batch,
        })
    }
}
