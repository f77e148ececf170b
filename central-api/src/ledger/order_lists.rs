//! Lists of orders, and what they sum up to.
//!
//! A list stands in the order of time, newest first, and so does each index of [`Books`]. A walk takes
//! the smallest index that holds everything that is asked for and looks at its orders a thousand at a
//! time, each time under the lock for as long as that takes; in between the flusher gets its turn. An
//! order that is placed meanwhile is newer than where the walk stands, so nothing is seen twice and
//! nothing that stays in the list is passed over.
//!
//! A walk may be long where two filters leave little of each other: it belongs on a blocking thread.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::ops::ControlFlow;
use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::ids::{CustomerId, OrderId, StoreId};
use shared::domain::order::{Order, OrderStatus};

use super::Books;
use super::books::Inner;
pub use super::books::Owed;

/// Orders looked at under one lock.
const LOOKED_AT_ONCE: usize = 1_024;

/// Where an order stands in every list: by when it was placed.
pub type Place = (Timestamp, OrderId);

/// Which orders a list has. Everything asked for must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Of this buyer.
    pub customer: Option<CustomerId>,
    /// Taken by this shop.
    pub store: Option<StoreId>,
    /// That stand like this.
    pub status: Option<OrderStatus>,
    /// Whose money is owed in this way.
    pub owed: Option<Owed>,
}

impl OrderFilter {
    /// The same, with what is not asked for here taken from `other`.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            customer: self.customer.or_else(|| other.customer.clone()),
            store: self.store.or_else(|| other.store.clone()),
            status: self.status.or(other.status),
            owed: self.owed.or(other.owed),
        }
    }

    fn takes(&self, order: &Order) -> bool {
        let customer = self.customer.as_ref();
        customer.is_none_or(|customer| *customer == order.customer_id)
            && (self.store.is_none() || self.store == order.store_id)
            && self.status.is_none_or(|status| status == order.status)
            && (self.owed.is_none() || self.owed == Owed::of(order))
    }

    /// The smallest index that has every order that this takes; `None` if there is no such order.
    fn index<'a>(&self, inner: &'a Inner) -> Option<&'a BTreeSet<Place>> {
        let mut smallest = &inner.by_time;
        let mut consider = |places: Option<&'a BTreeSet<Place>>| {
            let places = places?;
            if places.len() < smallest.len() {
                smallest = places;
            }
            Some(())
        };
        if let Some(customer) = &self.customer {
            consider(inner.by_customer.get(customer))?;
        }
        if let Some(store) = &self.store {
            consider(inner.by_store.get(store))?;
        }
        if let Some(status) = &self.status {
            consider(inner.by_status.get(status))?;
        }
        if let Some(owed) = &self.owed {
            consider(inner.owed.get(owed))?;
        }
        Some(smallest)
    }

    /// Whether an index of its own answers it, without a look at the orders.
    fn is_indexed(&self) -> bool {
        let asked = [
            self.customer.is_some(),
            self.store.is_some(),
            self.status.is_some(),
            self.owed.is_some(),
        ];
        asked.into_iter().filter(|asked| *asked).count() <= 1
    }
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this many orders.
    Offset(usize),
    /// After the order at this place, in a list that had so many.
    After {
        /// The place.
        place: Place,
        /// Orders that the list had when the walk began.
        total: usize,
    },
}

/// A page of orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderPage {
    /// Newest first.
    pub orders: Vec<Arc<Order>>,
    /// Orders of the whole list: of a walk that two filters narrow, as it was when the walk began.
    pub total: usize,
    /// Whether there are more behind them.
    pub has_more: bool,
}

impl Books {
    /// The orders that `filter` takes, about `limit` of them.
    #[must_use]
    pub fn list_orders(&self, filter: &OrderFilter, start: &Start, limit: usize) -> OrderPage {
        let mut page = OrderPage::default();
        let (mut skip, place) = match start {
            Start::Offset(offset) => (*offset, None),
            Start::After { place, .. } => (0, Some(place.clone())),
        };
        // A list that no index answers alone has to be gone through to be counted; once is enough.
        let known = match start {
            _ if filter.is_indexed() => Some(filter.index(&self.read()).map_or(0, BTreeSet::len)),
            Start::After { total, .. } => Some(*total),
            Start::Offset(_) => None,
        };
        let mut counted = 0;
        self.newest_first(
            filter,
            place.map_or(Unbounded, Excluded),
            Unbounded,
            |order| {
                counted += 1;
                if skip > 0 {
                    skip -= 1;
                } else if page.orders.len() < limit {
                    page.orders.push(Arc::clone(order));
                } else {
                    page.has_more = true;
                    if known.is_some() {
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            },
        );
        page.total = known.unwrap_or(counted);
        page
    }

    /// Shows `each` the orders that `filter` takes from `to` back to `from`.
    fn newest_first(
        &self,
        filter: &OrderFilter,
        mut to: std::ops::Bound<Place>,
        from: std::ops::Bound<Place>,
        mut each: impl FnMut(&Arc<Order>) -> ControlFlow<()>,
    ) {
        loop {
            let inner = self.read();
            let Some(index) = filter.index(&inner) else {
                return;
            };
            let mut looked_at = 0;
            let mut last = None;
            let places = index.range((from.as_ref(), to.as_ref())).rev();
            for place in places.take(LOOKED_AT_ONCE) {
                looked_at += 1;
                last = Some(place);
                let order = inner.orders.get(place.1.as_str());
                if let Some(order) = order.filter(|order| filter.takes(order))
                    && each(order).is_break()
                {
                    return;
                }
            }
            match last {
                Some(last) if looked_at == LOOKED_AT_ONCE => to = Excluded(last.clone()),
                Some(_) | None => return,
            }
        }
    }

    /// Sums up the orders that `filter` takes and that were placed from `from` on and before `to`,
    /// newest first, at most `most` of them.
    #[must_use]
    pub fn order_stats(
        &self,
        filter: &OrderFilter,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        most: usize,
    ) -> OrderStats {
        let mut stats = OrderStats::default();
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            return stats;
        }
        let mut millis = Vec::new();
        // The least id, so that the bounds lie before every order of their moment.
        let edge = |at| {
            (
                at,
                OrderId::parse("!").expect("a visible character is an id"),
            )
        };
        let from = from.map_or(Unbounded, |from| Included(edge(from)));
        let to = to.map_or(Unbounded, |to| Excluded(edge(to)));
        self.newest_first(filter, to, from, |order| {
            if stats.total == most {
                stats.is_cut = true;
                return ControlFlow::Break(());
            }
            stats.total += 1;
            stats.oldest = Some(order.created_at);
            match Owed::of(order) {
                Some(Owed::RefundOpen) => stats.refunds_open += 1,
                Some(Owed::RefundFailed) => stats.refunds_failed += 1,
                Some(Owed::VoidOpen) => stats.voids_open += 1,
                None => {}
            }
            let at = OrderStatus::ALL
                .iter()
                .position(|status| *status == order.status);
            if let Some(count) = at.and_then(|at| stats.by_status.get_mut(at)) {
                *count += 1;
            }
            millis.extend(
                order
                    .decided_at
                    .map(|decided| decided.millis_since(order.created_at)),
            );
            ControlFlow::Continue(())
        });
        stats.processing = Processing::of(millis);
        stats
    }
}

/// What some orders sum up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderStats {
    /// Orders.
    pub total: usize,
    /// Of those, how many stand like each of [`OrderStatus::ALL`].
    pub by_status: [usize; OrderStatus::ALL.len()],
    /// Of those, how many whose refund the provider has refused.
    pub refunds_failed: usize,
    /// Of those, how many whose refund is on its way.
    pub refunds_open: usize,
    /// Of those, how many were given up and may have been charged.
    pub voids_open: usize,
    /// How long it took until it was known what becomes of them.
    pub processing: Option<Processing>,
    /// When the oldest of them was placed.
    pub oldest: Option<Timestamp>,
    /// Whether there were more, placed earlier.
    pub is_cut: bool,
}

/// How long orders took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Processing {
    /// Orders of which that is known.
    pub count: usize,
    /// Their mean in milliseconds.
    pub mean_millis: f64,
    /// Milliseconds that 99 of 100 took at most: the nearest rank.
    pub p99_millis: i64,
}

impl Processing {
    fn of(mut millis: Vec<i64>) -> Option<Self> {
        let count = millis.len();
        let rank = (count * 99).div_ceil(100).checked_sub(1)?;
        let sum: i64 = millis.iter().sum();
        let (_, p99, _) = millis.select_nth_unstable(rank);
        #[expect(
            clippy::cast_precision_loss,
            reason = "sums of milliseconds stay far below 2^53"
        )]
        Some(Self {
            count,
            mean_millis: sum as f64 / count as f64,
            p99_millis: *p99,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p99_is_the_nearest_rank() {
        for (millis, mean, p99) in [
            (vec![7], 7.0, 7),
            (vec![3, 1], 2.0, 3),
            ((1..=100).rev().collect(), 50.5, 99),
            ((1..=200).collect(), 100.5, 198),
            ((1..=101).collect(), 51.0, 100),
        ] {
            let count = millis.len();
            let found = Processing::of(millis).unwrap();
            assert_eq!((found.count, found.p99_millis), (count, p99));
            assert!((found.mean_millis - mean).abs() < 1e-9, "{found:?}");
        }
        assert_eq!(Processing::of(Vec::new()), None);
    }
}
