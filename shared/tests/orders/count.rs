//! Units counted by hand: from what was asked for and what came of it, never from what the rules say
//! that moved.
//!
//! ```text
//! on the shelf = created + received − sold − committed − confirmed + brought back
//! ```
//!
//! What a buyer brings back of a product that was deleted meanwhile is counted aside.
//!
//! The rules say with each event by how much the shelf changed, and a mistake in that would agree with
//! itself. So this looks at none of it: lines are those of the request, and whether it came about is
//! read from results, from the state of a reservation, and from the status of an order.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::ids::{OrderId, ProductId, ReservationId};
use shared::domain::inventory::{self, Line, ReservationState};
use shared::domain::order::{self, OrderStatus};
use shared::domain::{Command, Decision, ItemResult, State};

/// What should be on the shelf.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    on_hand: BTreeMap<ProductId, i64>,
    /// What was asked to be held.
    holds: BTreeMap<ReservationId, Vec<Line>>,
    /// What was ordered.
    orders: BTreeMap<OrderId, Vec<Line>>,
    /// Whose units have left the house.
    gone: BTreeSet<Gone>,
    /// Units that have left or come back of products that are not in the catalogue.
    pub(crate) aside: BTreeMap<ProductId, i64>,
}

/// What units leave the house for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gone {
    Hold(ReservationId),
    Order(OrderId),
}

impl Count {
    /// Takes note of `command`, and of what came of it.
    pub(crate) fn note(&mut self, command: &Command, decision: &Decision) {
        match command {
            Command::Inventory(command) => self.note_items(command, decision),
            Command::Order(order::Command::Place(place)) => {
                self.orders.insert(place.order.clone(), place.lines.clone());
            }
            Command::Order(_) | Command::Access(_) => {}
        }
        for hold in &decision.reservations {
            // An order's hold is its order's affair.
            if hold.order_id.is_none() && hold.state == ReservationState::Committed {
                self.leaves(Gone::Hold(hold.reservation_id.clone()));
            }
        }
        for event in &decision.orders {
            let order = Gone::Order(event.order.order_id.clone());
            match event.order.status {
                OrderStatus::Confirmed | OrderStatus::Completed => self.leaves(order),
                OrderStatus::Cancelled => self.comes_back(&order),
                _ => {}
            }
        }
    }

    fn note_items(&mut self, command: &inventory::Command, decision: &Decision) {
        let came_about = |at: usize| matches!(decision.results[at], ItemResult::Applied(_));
        match command {
            inventory::Command::Create { items, .. } => {
                for (_, item) in items.iter().enumerate().filter(|(at, _)| came_about(*at)) {
                    self.on_hand.insert(item.product.clone(), item.on_hand);
                }
            }
            inventory::Command::Delete { items, .. } => {
                for (_, item) in items.iter().enumerate().filter(|(at, _)| came_about(*at)) {
                    self.on_hand.remove(&item.product);
                }
            }
            inventory::Command::Move { lines, .. } => {
                for (_, line) in lines.iter().enumerate().filter(|(at, _)| came_about(*at)) {
                    self.add(&line.product, line.delta);
                }
            }
            inventory::Command::Reserve(reserve) => {
                let (id, lines) = (reserve.reservation.clone(), reserve.lines.clone());
                self.holds.insert(id, lines);
            }
            // An edit moves nothing.
            inventory::Command::Edit { .. }
            | inventory::Command::Commit { .. }
            | inventory::Command::Release { .. }
            | inventory::Command::Extend { .. }
            | inventory::Command::Expire => {}
            other => panic!("{other:?} is not counted here"),
        }
    }

    fn leaves(&mut self, what: Gone) {
        if self.gone.insert(what.clone()) {
            self.move_lines(&what, -1);
        }
    }

    fn comes_back(&mut self, what: &Gone) {
        if self.gone.remove(what) {
            self.move_lines(what, 1);
        }
    }

    fn move_lines(&mut self, what: &Gone, sign: i64) {
        let lines = match what {
            Gone::Hold(hold) => self.holds[hold].clone(),
            Gone::Order(order) => self.orders[order].clone(),
        };
        for line in lines {
            self.add(&line.product_id, sign * line.quantity);
        }
    }

    fn add(&mut self, product: &ProductId, units: i64) {
        match self.on_hand.get_mut(product) {
            Some(on_hand) => *on_hand += units,
            None => *self.aside.entry(product.clone()).or_default() += units,
        }
    }

    /// The products of which there are not as many as were counted, with both figures: counted, and
    /// there.
    pub(crate) fn differences(&self, state: &State) -> Vec<(ProductId, i64, i64)> {
        let there: BTreeMap<ProductId, i64> = state
            .inventory
            .entries()
            .filter(|entry| entry.live)
            .map(|entry| (entry.product.id.clone(), entry.product.stock.on_hand))
            .collect();
        let products: BTreeSet<&ProductId> = there.keys().chain(self.on_hand.keys()).collect();
        products
            .into_iter()
            .map(|id| {
                let units = |of: &BTreeMap<ProductId, i64>| of.get(id).copied().unwrap_or(0);
                (id.clone(), units(&self.on_hand), units(&there))
            })
            .filter(|(_, counted, there)| counted != there)
            .collect()
    }
}
