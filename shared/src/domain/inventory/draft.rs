//! The state with the items decided so far applied.
//!
//! Items of one command see each other: each is decided against the state with the items before it
//! applied, so two lines for the same product can never both take the last unit. A draft holds the
//! facts so far and answers as if they had been folded in; the state itself is only read.
//!
//! What must stay true: units that have run out are free. Whoever is short of units is given those
//! first, in the same decision, so that no answer depends on whether a timer was quicker: as many
//! holds end as are needed, or none if all of them are not enough. Whoever is refused is told of
//! those units too. Being refused costs the same however many hold units of the product.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::event::{Event, EventKind, Movement, MovementKind};
use super::product::{Details, Product, Stock};
use super::reservation::{Line, Reservation, ReservationState};
use super::state::{Inventory, ProductMap};
use crate::clock::Timestamp;
use crate::domain::decision::{Decision, ItemResult};
use crate::domain::ids::{OrderId, ProductId, ReservationId};
use crate::domain::rejection::Rejection;

/// Up to this many events are looked through one by one for a product's latest.
const SCANNED_EVENTS: usize = 8;

/// A step's outcome: an event, nothing to do, or a refusal.
pub type Step = Result<Option<Event>, Rejection>;

/// The state with the items decided so far applied.
#[derive(Debug)]
pub struct Draft<'a> {
    pub(super) state: &'a Inventory,
    pub(super) now: Timestamp,
    /// What was decided so far.
    pub decision: Decision,
    /// Latest event of each product drafted so far; absent while there are few, when looking
    /// through the events is quicker than hashing.
    latest: Option<ProductMap<usize>>,
    /// Holds whose end for want of time is drafted.
    expired: HashSet<ReservationId, FixedState>,
}

impl<'a> Draft<'a> {
    /// A draft in which nothing is decided yet.
    #[must_use]
    pub fn new(state: &'a Inventory, now: Timestamp) -> Self {
        Self {
            state,
            now,
            decision: Decision::default(),
            latest: None,
            expired: HashSet::default(),
        }
    }

    /// Takes one step after the other; what is refused for want of units is tried again once those
    /// that have run out are free.
    pub(super) fn each<T>(&mut self, items: &[T], mut step: impl FnMut(&Self, &T) -> Step) {
        self.decision.results.reserve_exact(items.len());
        self.decision.events.reserve(items.len());
        for item in items {
            let mut outcome = step(self, item);
            if let Err(rejection) = &mut outcome
                && self.make_up_for(rejection)
            {
                outcome = step(self, item);
            }
            let result = match outcome {
                Ok(Some(event)) => ItemResult::Applied(self.push(event)),
                Ok(None) => ItemResult::Unchanged,
                Err(rejection) => ItemResult::Refused(rejection),
            };
            self.decision.results.push(result);
        }
    }

    /// Adds an event and says where it stands.
    pub(super) fn push(&mut self, event: Event) -> usize {
        let index = self.decision.events.len();
        if index == SCANNED_EVENTS {
            let ids = self.decision.events.iter().map(|event| &event.product.id);
            let places = ids.enumerate().map(|(at, id)| (id.clone(), at));
            self.latest = Some(places.collect());
        }
        if let Some(latest) = &mut self.latest {
            latest.insert(event.product.id.clone(), index);
        }
        self.decision.events.push(event);
        index
    }

    /// What is known of `id` after the items so far: the product and whether it is live.
    pub(super) fn known(&self, id: &ProductId) -> Option<(&Product, bool)> {
        let events = &self.decision.events;
        let drafted = match &self.latest {
            Some(latest) => latest.get(id).and_then(|index| events.get(*index)),
            None => events.iter().rev().find(|event| event.product.id == *id),
        };
        match drafted {
            Some(event) => Some((&event.product, event.kind != EventKind::Deleted)),
            None => self
                .state
                .entry(id.as_str())
                .map(|entry| (&entry.product, entry.live)),
        }
    }

    /// The product, if it is in the catalogue.
    ///
    /// # Errors
    /// It is not.
    pub fn live(&self, id: &ProductId) -> Result<&Product, Rejection> {
        match self.known(id) {
            Some((product, true)) => Ok(product),
            Some((_, false)) | None => Err(Rejection::ProductNotFound {
                product_id: id.clone(),
            }),
        }
    }

    /// The reservation as it stands after what was drafted so far.
    #[must_use]
    pub fn reservation(&self, id: &str) -> Option<&Reservation> {
        let mut drafted = self.decision.reservations.iter().rev();
        drafted
            .find(|reservation| reservation.reservation_id.as_str() == id)
            .or_else(|| self.state.reservations().get(id).map(|held| &**held))
    }

    /// Frees what has run out if that makes up for what is missing, and says so; if it does not, the
    /// rejection counts it as free.
    fn make_up_for(&mut self, rejection: &mut Rejection) -> bool {
        let made_up = if let Rejection::InsufficientInventory {
            product_id,
            delta,
            available,
            ..
        } = rejection
        {
            let missing = delta.saturating_add(*available).saturating_neg();
            let freed = self.free_due(product_id, missing);
            freed.map_err(|units| *available = available.saturating_add(units))
        } else if let Rejection::UnitsPromised {
            product_id,
            reserved,
            ..
        } = rejection
        {
            let freed = self.free_due(product_id, *reserved);
            freed.map_err(|units| *reserved = reserved.saturating_sub(units))
        } else {
            Err(())
        };
        made_up.is_ok()
    }

    /// Frees as many units of `product` that have run out as are `missing`.
    ///
    /// # Errors
    /// How many there are if they are too few; then none is freed.
    fn free_due(&mut self, product: &ProductId, missing: i64) -> Result<(), i64> {
        let (holds, units) = self.due(product, missing);
        if units == 0 || units < missing {
            return Err(units);
        }
        for held in holds {
            self.resolve(held, ReservationState::Expired);
        }
        Ok(())
    }

    /// Holds of `product` that have run out and whose end nobody has drafted, up to as many as hold
    /// `enough` units, and how many units they hold.
    fn due(&self, product: &ProductId, enough: i64) -> (Vec<&'a Reservation>, i64) {
        let mut holds = Vec::new();
        let mut units = 0_i64;
        let due = self.state.reservations();
        for held in due.holding_due(product.as_str(), self.now) {
            if units >= enough {
                break;
            }
            if !self.expired.contains(&held.reservation_id) {
                let lines = held.lines.iter();
                let lines = lines.filter(|line| line.product_id == *product);
                units = lines.fold(units, |sum, line| sum.saturating_add(line.quantity));
                holds.push(&**held);
            }
        }
        (holds, units)
    }

    /// Ends a hold: its units are taken out of `reserved`, and out of the house if it is committed.
    pub fn resolve(&mut self, reservation: &Reservation, to: ReservationState) {
        let kind = match to {
            ReservationState::Committed => MovementKind::Committed,
            ReservationState::Expired => MovementKind::Expired,
            ReservationState::Released | ReservationState::Active => MovementKind::Released,
        };
        for line in reservation.lines.iter() {
            // A product that is gone has no figures to keep.
            let Ok(product) = self.live(&line.product_id) else {
                continue;
            };
            let mut stock = product.stock;
            stock.reserved = stock.reserved.saturating_sub(line.quantity);
            if to == ReservationState::Committed {
                stock.on_hand = stock.on_hand.saturating_sub(line.quantity);
            }
            let event = self.held(product, stock, kind, line, reservation);
            self.push(event);
        }
        if to == ReservationState::Expired {
            self.expired.insert(reservation.reservation_id.clone());
        }
        self.decision.reservations.push(Reservation {
            state: to,
            resolved_at: Some(self.now),
            ..reservation.clone()
        });
    }

    /// The event of one line of a reservation.
    pub(super) fn held(
        &self,
        product: &Product,
        stock: Stock,
        kind: MovementKind,
        line: &Line,
        reservation: &Reservation,
    ) -> Event {
        let order = reservation.order_id.as_ref();
        self.of_hold(
            product,
            stock,
            kind,
            line.quantity,
            &reservation.reservation_id,
            order,
        )
    }

    fn of_hold(
        &self,
        product: &Product,
        stock: Stock,
        kind: MovementKind,
        quantity: i64,
        reservation: &ReservationId,
        order: Option<&OrderId>,
    ) -> Event {
        let delta = stock.on_hand.saturating_sub(product.stock.on_hand);
        let mut movement = Movement::of(kind).with_delta(delta);
        movement.quantity = Some(quantity);
        movement.reservation = Some(reservation.clone());
        movement.order = order.cloned();
        self.updated(product, Arc::clone(&product.details), stock, movement)
    }

    /// The next version of a product.
    pub(super) fn updated(
        &self,
        before: &Product,
        details: Arc<Details>,
        stock: Stock,
        movement: Movement,
    ) -> Event {
        let product = Product {
            id: before.id.clone(),
            details,
            stock,
            version: before.version.saturating_add(1),
            last_updated: self.now,
        };
        Event {
            kind: EventKind::Updated,
            product,
            movement,
        }
    }

    /// Units that come back from the buyer of `order`, whose hold was committed. Returns the lines of
    /// products that were deleted meanwhile: there is no stock that theirs could be added to.
    pub fn bring_back<'l>(
        &mut self,
        lines: &'l [Line],
        reservation: &ReservationId,
        order: &OrderId,
    ) -> Vec<&'l Line> {
        let mut gone = Vec::new();
        for line in lines {
            let Ok(product) = self.live(&line.product_id) else {
                gone.push(line);
                continue;
            };
            let mut stock = product.stock;
            stock.on_hand = stock.on_hand.saturating_add(line.quantity);
            let event = self.of_hold(
                product,
                stock,
                MovementKind::SaleReturned,
                line.quantity,
                reservation,
                Some(order),
            );
            self.push(event);
        }
        gone
    }
}
