//! Reservations and orders as readers see them.
//!
//! The same collections that the writer decides with, folded from the same facts once they are
//! durable, and indices for the lists: by time, and by each thing that a list can be asked for. What
//! is in them is shared by reference, so a page is cut under the lock and written after it.
//!
//! What must stay true: nothing in here is ahead of the log, and the flusher alone changes it, frame
//! by frame. They and the head are shown together: it moves while they are locked. So a reader that
//! has seen a head finds everything below it, and one that has seen an order or a reservation finds
//! the head at it or past it, whatever it looks at first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};
use shared::clock::Timestamp;
use shared::domain::ids::{CustomerId, OrderId, ReservationId, StoreId};
use shared::domain::inventory::{Reservation, ReservationState, Reservations};
use shared::domain::order::{Order, OrderEntry, OrderStatus, Orders, Step, next_step};
use shared::domain::{Decision, State};

/// Entries that a copy takes under one lock.
const COPIED_AT_ONCE: usize = 1_024;

/// Where an order stands in every list: by when it was placed.
pub(super) type Place = (Timestamp, OrderId);

/// Where a reservation stands in every list: by when it was made.
pub type HoldPlace = (Timestamp, ReservationId);

/// What is still to be done about the money of an order that is owed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owed {
    /// The provider is being asked to give it back, or has it in hand.
    RefundOpen,
    /// The provider refuses to give it back: somebody has to do something.
    RefundFailed,
    /// Nobody knows whether it was charged, and it should not have been.
    VoidOpen,
}

impl Owed {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::RefundOpen, Self::RefundFailed, Self::VoidOpen];

    /// What is owed about `order`.
    #[must_use]
    pub fn of(order: &Order) -> Option<Self> {
        let payment = order.payment.as_ref()?;
        match next_step(order) {
            Some(Step::Refund(_)) => Some(Self::RefundOpen),
            Some(Step::Void) => Some(Self::VoidOpen),
            Some(Step::Charge) => None,
            None => payment.is_refund_failed().then_some(Self::RefundFailed),
        }
    }
}

/// What is known of reservations and orders at one moment.
#[derive(Debug, Default)]
pub struct Books {
    inner: RwLock<Inner>,
}

/// The collections and their indices.
#[derive(Debug, Default)]
pub struct Inner {
    /// Every reservation that is remembered.
    pub reservations: Reservations,
    /// Every remembered reservation by time.
    pub holds_by_time: BTreeSet<HoldPlace>,
    /// Every order that is remembered.
    pub orders: Orders,
    /// Every remembered order by time.
    pub by_time: BTreeSet<Place>,
    /// Likewise for each buyer.
    pub by_customer: BTreeMap<CustomerId, BTreeSet<Place>>,
    /// Likewise for each shop.
    pub by_store: BTreeMap<StoreId, BTreeSet<Place>>,
    /// Likewise for each status.
    pub by_status: BTreeMap<OrderStatus, BTreeSet<Place>>,
    /// Those with money that is owed, which are few.
    pub owed: BTreeMap<Owed, BTreeSet<Place>>,
    /// What happened since this process started.
    happened: Happened,
}

/// What happened to reservations and orders since the process started.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    made: u64,
    committed: u64,
    released: u64,
    expired: u64,
    /// Orders that came to each status, in the order of [`OrderStatus::ALL`].
    transitions: [u64; OrderStatus::ALL.len()],
}

/// How many there are, for whoever runs the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookFigures {
    /// Reservations whose units are held.
    pub active: usize,
    /// Reservations made since the process started.
    pub made: u64,
    committed: u64,
    released: u64,
    expired: u64,
    /// Remembered orders in each status, in the order of [`OrderStatus::ALL`].
    pub orders: [u64; OrderStatus::ALL.len()],
    /// Orders that came to each status since the process started.
    pub transitions: [u64; OrderStatus::ALL.len()],
}

impl BookFigures {
    /// Reservations that ended as `state` since the process started; `None` for the one that is no
    /// end.
    #[must_use]
    pub const fn resolved(&self, state: ReservationState) -> Option<u64> {
        match state {
            ReservationState::Active => None,
            ReservationState::Committed => Some(self.committed),
            ReservationState::Released => Some(self.released),
            ReservationState::Expired => Some(self.expired),
        }
    }
}

impl Books {
    /// What a state knows.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let mut inner = Inner {
            reservations: state.inventory.reservations().clone(),
            orders: state.orders.clone(),
            ..Inner::default()
        };
        let all: Vec<Arc<Order>> = inner
            .orders
            .entries()
            .map(|entry| Arc::clone(&entry.order))
            .collect();
        all.iter().for_each(|order| inner.index(order));
        let holds = inner.reservations.iter().map(|it| hold_place(it));
        inner.holds_by_time = holds.collect();
        Self {
            inner: RwLock::new(inner),
        }
    }

    /// Looks into them; be brief.
    pub fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read()
    }

    /// The order, if it is remembered.
    #[must_use]
    pub fn order(&self, id: &str) -> Option<Arc<Order>> {
        self.inner.read().orders.get(id).map(Arc::clone)
    }

    /// The order's last record, if it is remembered.
    #[must_use]
    pub fn order_record(&self, id: &str) -> Option<u64> {
        let inner = self.inner.read();
        inner.orders.entry(id).map(|entry| entry.last_record)
    }

    /// Whether there may be orders that are only in the log.
    #[must_use]
    pub fn may_have_forgotten(&self) -> bool {
        self.inner.read().orders.may_have_forgotten()
    }

    /// The reservation, if it is remembered.
    #[must_use]
    pub fn reservation(&self, id: &str) -> Option<Arc<Reservation>> {
        self.inner.read().reservations.get(id).map(Arc::clone)
    }

    /// Up to `count` reservations that were made before the one at `place`, newest first.
    #[must_use]
    pub fn reservations_before(
        &self,
        place: Option<&HoldPlace>,
        count: usize,
    ) -> Vec<Arc<Reservation>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let inner = self.inner.read();
        let to = place.map_or(Unbounded, Excluded);
        let places = inner.holds_by_time.range((Unbounded, to)).rev();
        places
            .filter_map(|(_, id)| inner.reservations.get(id.as_str()).map(Arc::clone))
            .take(count)
            .collect()
    }

    /// Up to `count` active reservations that hold units of `product`, newest first, and how many
    /// there are.
    #[must_use]
    pub fn holding(&self, product: &str, count: usize) -> (Vec<Arc<Reservation>>, usize) {
        let mut held: Vec<_> = {
            let inner = self.inner.read();
            let held = inner.reservations.holding(product);
            held.map(Arc::clone).collect()
        };
        let total = held.len();
        // There may be many: whoever writes does not wait for them to be sorted.
        held.sort_by_cached_key(|it| std::cmp::Reverse(hold_place(it)));
        held.truncate(count);
        (held, total)
    }

    /// How many there are of everything.
    #[must_use]
    pub fn figures(&self) -> BookFigures {
        let inner = self.inner.read();
        let Happened {
            made,
            committed,
            released,
            expired,
            transitions,
        } = inner.happened;
        let count = |status| inner.by_status.get(&status).map_or(0, BTreeSet::len) as u64;
        BookFigures {
            active: inner.reservations.active(),
            made,
            committed,
            released,
            expired,
            orders: OrderStatus::ALL.map(count),
            transitions,
        }
    }

    /// Orders about which the outside still has something to do.
    #[must_use]
    pub fn open_orders(&self) -> Vec<OrderId> {
        let inner = self.inner.read();
        let open = inner.orders.open();
        open.map(|order| order.order_id.clone()).collect()
    }

    /// Every reservation, copied some at a time: each as it stood at some moment, not all at one.
    #[must_use]
    pub fn copy_reservations(&self) -> Vec<Arc<Reservation>> {
        let mut copy: Vec<Arc<Reservation>> = Vec::new();
        loop {
            let last = copy.last().map(|it| it.reservation_id.clone());
            let mut more = self
                .read()
                .reservations
                .after(last.as_ref(), COPIED_AT_ONCE);
            if more.is_empty() {
                return copy;
            }
            copy.append(&mut more);
        }
    }

    /// Every order, likewise.
    #[must_use]
    pub fn copy_orders(&self) -> Vec<OrderEntry> {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut copy: Vec<OrderEntry> = Vec::new();
        loop {
            let last = copy.last().map(|entry| place(&entry.order));
            let inner = self.read();
            let from = last.as_ref().map_or(Unbounded, Excluded);
            let places = inner.by_time.range((from, Unbounded)).take(COPIED_AT_ONCE);
            let before = copy.len();
            copy.extend(places.filter_map(|(_, id)| inner.orders.entry(id.as_str()).cloned()));
            if copy.len() == before {
                return copy;
            }
        }
    }

    /// Shows what was decided, which must be durable, and calls `move_head` before anybody has seen
    /// it. Each decision comes with its record, and each order that was refused something with that.
    pub(super) fn publish<'a>(
        &self,
        decided: impl IntoIterator<Item = (&'a Decision, u64)>,
        touched: &[(OrderId, u64)],
        move_head: impl FnOnce(),
    ) {
        let mut waiting = decided
            .into_iter()
            .filter(|(decision, _)| {
                !(decision.reservations.is_empty() && decision.orders.is_empty())
            })
            .peekable();
        if waiting.peek().is_none() && touched.is_empty() {
            return move_head();
        }
        let mut inner = self.inner.write();
        for (decision, record) in waiting {
            for reservation in &decision.reservations {
                inner.put_hold(reservation);
            }
            for event in &decision.orders {
                inner.put(&event.order, record);
            }
        }
        for (id, record) in touched {
            inner.orders.touch(id.as_str(), *record);
        }
        move_head();
    }
}

impl Inner {
    fn put_hold(&mut self, reservation: &Reservation) {
        let before = self.reservations.get(reservation.reservation_id.as_str());
        self.happened
            .count_hold(before.map(|it| it.state), reservation.state);
        self.holds_by_time.insert(hold_place(reservation));
        if let Some(forgotten) = self.reservations.put(reservation) {
            self.holds_by_time.remove(&hold_place(&forgotten));
        }
    }

    fn put(&mut self, order: &Arc<Order>, record: u64) {
        let id = order.order_id.as_str();
        let known = self.orders.get(id).map(Arc::clone);
        let (was, is) = (known.as_deref().and_then(Owed::of), Owed::of(order));
        if was != is {
            if let Some(was) = was {
                remove(&mut self.owed, &was, &place(order));
            }
            if let Some(is) = is {
                self.owed.entry(is).or_default().insert(place(order));
            }
        }
        match known {
            None => {
                self.happened.count_order(order.status);
                self.index(order);
            }
            Some(before) if before.status != order.status => {
                self.happened.count_order(order.status);
                let place = place(order);
                if let Some(places) = self.by_status.get_mut(&before.status) {
                    places.remove(&place);
                }
                self.by_status
                    .entry(order.status)
                    .or_default()
                    .insert(place);
            }
            Some(_) => {}
        }
        if let Some(forgotten) = self.orders.put(order, record) {
            self.unindex(&forgotten);
        }
    }

    fn index(&mut self, order: &Order) {
        let place = place(order);
        self.by_time.insert(place.clone());
        let customer = self.by_customer.entry(order.customer_id.clone());
        customer.or_default().insert(place.clone());
        if let Some(store) = &order.store_id {
            let store = self.by_store.entry(store.clone());
            store.or_default().insert(place.clone());
        }
        if let Some(owed) = Owed::of(order) {
            self.owed.entry(owed).or_default().insert(place.clone());
        }
        self.by_status
            .entry(order.status)
            .or_default()
            .insert(place);
    }

    fn unindex(&mut self, order: &Order) {
        let place = place(order);
        self.by_time.remove(&place);
        remove(&mut self.by_customer, &order.customer_id, &place);
        if let Some(store) = &order.store_id {
            remove(&mut self.by_store, store, &place);
        }
        remove(&mut self.by_status, &order.status, &place);
        if let Some(owed) = Owed::of(order) {
            remove(&mut self.owed, &owed, &place);
        }
    }
}

impl Happened {
    /// A reservation is `now` what it may not have been before. One that is told again has not
    /// happened again.
    fn count_hold(&mut self, before: Option<ReservationState>, now: ReservationState) {
        if before == Some(now) {
            return;
        }
        self.made += u64::from(before.is_none());
        match now {
            ReservationState::Active => {}
            ReservationState::Committed => self.committed += 1,
            ReservationState::Released => self.released += 1,
            ReservationState::Expired => self.expired += 1,
        }
    }

    fn count_order(&mut self, status: OrderStatus) {
        let all = OrderStatus::ALL.iter().zip(&mut self.transitions);
        for (_, count) in all.filter(|(known, _)| **known == status) {
            *count += 1;
        }
    }
}

fn remove<K: Ord>(index: &mut BTreeMap<K, BTreeSet<Place>>, key: &K, place: &Place) {
    if let Some(places) = index.get_mut(key) {
        places.remove(place);
        if places.is_empty() {
            index.remove(key);
        }
    }
}

fn place(order: &Order) -> Place {
    (order.created_at, order.order_id.clone())
}

/// Where a reservation stands in every list.
#[must_use]
pub fn hold_place(reservation: &Reservation) -> HoldPlace {
    (reservation.created_at, reservation.reservation_id.clone())
}
