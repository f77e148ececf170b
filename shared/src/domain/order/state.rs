//! Every order, as it stands.
//!
//! What is kept beside the orders themselves follows from what they say, not from the way they came
//! in, so a copy can be put together in any order.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{Order, next_step};
use crate::clock::Timestamp;
use crate::domain::ids::OrderId;
use crate::limits;

/// What is known of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEntry {
    /// The order.
    pub order: Arc<Order>,
    /// Position of the last record about it, kept here for the journal's sake; the rules neither read
    /// nor change it.
    pub last_record: u64,
}

/// Every order that is remembered.
///
/// Orders that are over are kept up to a bound, by count alone, so that every copy of the log keeps
/// the same ones.
#[derive(Clone, Debug)]
pub struct Orders {
    /// How many orders that are over are kept.
    ended_kept: usize,
    all: HashMap<OrderId, OrderEntry, FixedState>,
    /// Those about which the outside still has something to do.
    open: BTreeSet<OrderId>,
    /// Those of which nothing more can become, by when they last changed.
    over: BTreeSet<(Timestamp, OrderId)>,
}

impl Default for Orders {
    fn default() -> Self {
        Self::keeping(limits::ORDERS_ENDED_KEPT)
    }
}

impl Orders {
    /// No orders; of those that will be over, the last `ended` to change are kept.
    #[must_use]
    pub fn keeping(ended: usize) -> Self {
        Self {
            ended_kept: ended,
            all: HashMap::default(),
            open: BTreeSet::new(),
            over: BTreeSet::new(),
        }
    }

    /// How many orders that are over are kept.
    #[must_use]
    pub const fn ended_kept(&self) -> usize {
        self.ended_kept
    }

    /// Whether an order may have been forgotten: none is as long as all of them are fewer than the
    /// bound, and since nothing else is ever removed, they are never fewer again.
    #[must_use]
    pub fn may_have_forgotten(&self) -> bool {
        self.all.len() >= self.ended_kept
    }

    /// The order, if it is remembered.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Order>> {
        self.all.get(id).map(|entry| &entry.order)
    }

    /// The order and its last record.
    #[must_use]
    pub fn entry(&self, id: &str) -> Option<&OrderEntry> {
        self.all.get(id)
    }

    /// Every remembered order, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &OrderEntry> {
        self.all.values()
    }

    /// Orders that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those about which the outside still has something to do.
    pub fn open(&self) -> impl Iterator<Item = &Arc<Order>> {
        self.open.iter().filter_map(|id| self.get(id.as_str()))
    }

    /// Notes `record` as the last one about an order, if it is remembered and that is later.
    pub fn touch(&mut self, id: &str, record: u64) {
        if let Some(entry) = self.all.get_mut(id) {
            entry.last_record = entry.last_record.max(record);
        }
    }

    /// Puts an order in as it stands after the record `record`. Returns one that is forgotten for it.
    pub fn put(&mut self, order: &Arc<Order>, record: u64) -> Option<Arc<Order>> {
        let id = &order.order_id;
        let entry = OrderEntry {
            order: Arc::clone(order),
            last_record: record,
        };
        let before = self.all.insert(id.clone(), entry);
        if let Some(OrderEntry { order: before, .. }) = before
            && before.is_over()
        {
            self.over.remove(&(before.updated_at, id.clone()));
        }
        if next_step(order).is_some() {
            self.open.insert(id.clone());
        } else {
            self.open.remove(id);
        }
        if order.is_over() {
            self.over.insert((order.updated_at, id.clone()));
        }
        if self.over.len() <= self.ended_kept {
            return None;
        }
        let (_, oldest) = self.over.pop_first()?;
        self.all.remove(&oldest).map(|entry| entry.order)
    }
}
