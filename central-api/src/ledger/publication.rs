//! What a frame has to show once it is durable.
//!
//! What must stay true: nothing of it is shown before; and the head that readers go by moves last, so
//! that nobody is led beyond what can be seen.

use std::collections::HashMap;
use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::Decision;
use shared::domain::ids::{OrderId, ProductId};
use shared::domain::inventory::EventKind;
use shared::view::{Catalogue, Change, Head};

use super::books::Books;
use super::fold::{refused, refused_orders};
use crate::journal::record::Spans;
use crate::journal::{Frame, Generation, Offsets};

/// A decision and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its record; `None` for a refusal that is not remembered.
    pub seq: Option<u64>,
    /// When.
    pub at: Timestamp,
    /// Offsets of its first events, or of the next ones if it has none.
    pub first: Offsets,
    /// What became of each item.
    pub decision: Decision,
}

/// What readers get to see once the frame is durable.
#[derive(Debug)]
pub struct Publication {
    /// The frame and its events, if it has any records.
    pub frame: Option<(Frame, Spans)>,
    /// The decisions that change something, and their records.
    pub decided: Vec<Arc<Decided>>,
    /// What refusals are about.
    pub touched: Touched,
    /// Lives of the log that began.
    pub generations: Vec<Generation>,
    /// Where the log stands afterwards.
    pub head: Head,
}

/// What a record is about though nothing happened to it: something was refused. With that record.
#[derive(Debug, Default)]
pub struct Touched {
    /// Products.
    pub products: Vec<(ProductId, u64)>,
    /// Orders.
    pub orders: Vec<(OrderId, u64)>,
}

impl Touched {
    pub(super) fn note(&mut self, decision: &Decision, record: u64) {
        let products = refused(decision).cloned();
        self.products.extend(products.map(|id| (id, record)));
        let orders = refused_orders(decision).cloned();
        self.orders.extend(orders.map(|id| (id, record)));
    }
}

impl Publication {
    /// Shows what was decided to readers, and has `move_head` move the head that they go by together
    /// with reservations and orders. Its frame must be durable.
    pub fn show(&self, view: &Catalogue, books: &Books, move_head: impl FnOnce(Head)) {
        // A product may be changed and then refused something in one frame; the later one counts.
        let touched: HashMap<&str, u64> = self
            .touched
            .products
            .iter()
            .map(|(id, record)| (id.as_str(), *record))
            .collect();
        let last = |id: &str, record: u64| match touched.get(id) {
            Some(touched) => record.max(*touched),
            None => record,
        };
        let changes = self.decided.iter().flat_map(|decided| {
            let record = decided.seq.unwrap_or(0);
            decided.decision.events.iter().map(move |event| Change {
                product: &event.product,
                live: event.kind != EventKind::Deleted,
                record: last(event.product.id.as_str(), record),
            })
        });
        for (id, record) in &touched {
            view.touch(id, *record);
        }
        view.show(changes);
        let decided = self.decided.iter();
        let decided = decided.map(|decided| (&decided.decision, decided.seq.unwrap_or(0)));
        books.publish(decided, &self.touched.orders, || {
            move_head(self.head);
            // Last, so that no list of products leads a reader beyond the feed.
            view.reach(self.head);
        });
    }
}
